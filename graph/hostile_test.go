package graph_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
)

// The bounds of one evaluation of something hostile on a slow and busy machine
// under the race detector: an unbounded one takes hours, or all the memory
// there is.
const (
	hostileTime   = 2 * time.Minute
	hostileMemory = 1 << 30
)

// TestHostileExpressions: no expression takes much time or memory, whatever the
// instance says. Each of these did, in one single call.
func TestHostileExpressions(t *testing.T) {
	doubled := "[1, 1]"
	for i := range 40 {
		doubled = fmt.Sprintf("cel.bind(v%d, %s, [v%d, v%d])", i, doubled, i, i)
	}
	mapped := "[[1, 1]]"
	for range 40 {
		mapped += ".map(x, [x, x])"
	}
	spec := map[string]any{"a": "string", "half": "string", "numbers": "string", "pattern": "string", "verbs": "string"}
	numbers := make([]string, 150_000)
	for i := range numbers {
		numbers[i] = fmt.Sprint(i)
	}
	instance := map[string]any{
		"a":       strings.Repeat("a", 1<<20),
		"half":    strings.Repeat("a", 1<<19) + "b",
		"numbers": strings.Join(numbers, ","),
		"pattern": strings.Repeat("(.*a){40}", 40) + "b",
		"verbs":   strings.Repeat("%s", 5000),
	}
	tests := map[string]struct {
		expression string
		// reason of the issue; empty where it may succeed.
		reason string
	}{
		"a pattern of many states":            {"string(schema.spec.a.matches('(.*a){500}b'))", "TooCostly"},
		"a pattern that the instance gives":   {"string(schema.spec.a.matches(schema.spec.pattern))", "TooCostly"},
		"a pattern that is looked for":        {"schema.spec.a.find('(.*a){500}b')", "TooCostly"},
		"a pattern that is looked for often":  {"string(schema.spec.a.findAll('(.*a){500}b').size())", "TooCostly"},
		"a separator of a megabyte":           {"schema.spec.a.split('').join(schema.spec.a)", "TooCostly"},
		"many megabytes joined":               {"lists.range(5000).map(x, schema.spec.a).join('')", "TooCostly"},
		"each letter replaced by a megabyte":  {"schema.spec.a.replace('a', schema.spec.a)", "TooCostly"},
		"nothing replaced by a megabyte":      {"schema.spec.a.replace('', schema.spec.a)", "TooCostly"},
		"many megabytes formatted":            {"schema.spec.verbs.format(lists.range(5000).map(x, schema.spec.a))", "TooCostly"},
		"a long text looked for in another":   {"string(schema.spec.a.indexOf(schema.spec.half))", "TooCostly"},
		"a long text looked for from the end": {"string(schema.spec.a.lastIndexOf(schema.spec.half))", "TooCostly"},
		"many distinct values":                {"string(schema.spec.numbers.split(',').distinct().size())", "TooCostly"},
		"two large sets":                      {"string(sets.contains(schema.spec.numbers.split(','), schema.spec.numbers.split(',')))", "TooCostly"},
		"one list many times, flattened":      {"cel.bind(l, schema.spec.numbers.split(','), string(lists.range(5000).map(x, l).flatten().size()))", "TooCostly"},
		"a list doubled often, compared":      {"string(" + doubled + " == " + doubled + ")", "TooCostly"},
		"a list doubled by macros, compared":  {"string(" + mapped + " == " + mapped + ")", "TooCostly"},
		"a list doubled often, as a result":   {"json.marshal(" + doubled + ")", "TooCostly"},
		"a text of a billion":                 {"random.seededString(1000000000, 'x')", "EvaluationFailed"},
		"digits of a billion":                 {"'%.999999999f'.format([1.0])", ""},
		"a quantity of a billion digits":      {"string(quantity('1e999999999').asInteger())", "EvaluationFailed"},
		"a million numbers":                   {"string(lists.range(1000).map(i, lists.range(1000).map(j, i * j)).size())", "TooCostly"},
		"a million comparisons":               {"string(lists.range(5000).all(i, lists.range(5000).all(j, i != -j - 1)))", "TooCostly"},
		"a megabyte as JSON":                  {"string(json.unmarshal(schema.spec.a))", "EvaluationFailed"},
		"a megabyte as a version":             {"string(semver(schema.spec.a).major())", "EvaluationFailed"},
		"a megabyte as an address":            {"url(schema.spec.a).getHost()", "EvaluationFailed"},
		"a megabyte as a number":              {"string(int(schema.spec.a))", "EvaluationFailed"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			g, issues := graph.Compile(source(spec, configMap("a", map[string]any{"x": "${" + test.expression + "}"})), builtin.Resolver())
			if len(issues) > 0 {
				expectReason(t, issues, test.reason)
				return
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			_, issues = g.Evaluate(graph.Bindings{Instance: instanceWith(instance)})
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			if allocated := after.TotalAlloc - before.TotalAlloc; took > hostileTime || allocated > hostileMemory {
				t.Errorf("it took %v and %d MiB", took, allocated>>20)
			}
			expectReason(t, issues, test.reason)
		})
	}
}

func expectReason(t *testing.T, issues graph.Issues, want string) {
	t.Helper()
	if want != "" && !slices.ContainsFunc(issues, func(i graph.Issue) bool { return i.Reason == want }) {
		t.Errorf("%v, want %s", issues.Err(), want)
	}
	if len(issues) > 0 && len(issues.Err().Error()) > 20_000 {
		t.Errorf("the error is %d bytes long", len(issues.Err().Error()))
	}
}

// TestHostileGraphs: calls that are each allowed are bounded together.
func TestHostileGraphs(t *testing.T) {
	spec := map[string]any{"text": "string", "long": "string"}
	instance := instanceWith(map[string]any{"text": strings.Repeat("a", 15_000), "long": strings.Repeat("a", 200_000)})
	for name, expression := range map[string]string{
		"patterns":             "string(lists.range(100).filter(i, schema.spec.text.matches('(.*a){500}b')).size())",
		"patterns to look for": "string(lists.range(100).map(i, schema.spec.text.find('(.*a){500}b')).size())",
		"texts made by format": "string(lists.range(1000).map(i, '%s%s%s%s%s'.format([schema.spec.long, schema.spec.long, schema.spec.long, schema.spec.long, schema.spec.long])).size())",
		"texts joined":         "string(lists.range(1000).map(i, [schema.spec.long, schema.spec.long, schema.spec.long].join('')).size())",
		"texts replaced":       "string(lists.range(1000).map(i, schema.spec.text.replace('a', 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb')).size())",
		"texts searched":       "string(lists.range(1000).map(i, schema.spec.text.indexOf(schema.spec.text.substring(0, 1000) + 'b')).size())",
		"lists flattened":      "string(lists.range(1000).map(i, lists.range(100).map(j, lists.range(5000)).flatten()).size())",
	} {
		t.Run(name, func(t *testing.T) {
			var nodes []graph.NodeSource
			for i := range 200 {
				nodes = append(nodes, configMap(fmt.Sprint("n", i), map[string]any{"x": "${" + expression + "}"}))
			}
			g := compile(t, source(spec, nodes...))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			_, issues := g.Evaluate(graph.Bindings{Instance: instance})
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			t.Logf("%v, %d MiB", took, (after.TotalAlloc-before.TotalAlloc)>>20)
			if allocated := after.TotalAlloc - before.TotalAlloc; took > hostileTime || allocated > hostileMemory {
				t.Errorf("it took %v and %d MiB", took, allocated>>20)
			}
			expectReason(t, issues, "TooCostly")
		})
	}
}

// TestTheGuardsLeaveUsualExpressionsAlone: what people write works.
func TestTheGuardsLeaveUsualExpressionsAlone(t *testing.T) {
	chained := "schema.spec.names" + strings.Repeat(".map(x, x).filter(x, size(x) > 0)", 12)
	g := compile(t, source(map[string]any{"names": "[]string"}, configMap("a", map[string]any{
		"matches": "${string('web-12'.matches('^[a-z]{3}-[0-9]{1,2}$') && schema.spec.names[0].matches(schema.spec.names[0]))}",
		"find":    "${'web-12'.find('[0-9]+') + string('a1b2'.findAll('[0-9]').size())}",
		"text":    "${schema.spec.names.join('-').replace('b', 'B').replace('', '.', 1) + '%s=%d'.format(['n', 1])}",
		"lists":   "${string([[1], [2, [3]]].flatten(2).size() + [1, 1].distinct().size() + 'abc'.indexOf('c') + [1, 2].indexOf(2))}",
		"sets":    "${string(sets.contains(schema.spec.names, ['a']) && sets.equivalent([1], [1]) && !sets.intersects([1], [2]))}",
		"chained": "${" + chained + ".join('')}",
	})))
	e, issues := g.Evaluate(graph.Bindings{Instance: instanceWith(map[string]any{"names": []any{"a", "b"}})})
	if len(issues) > 0 {
		t.Fatal(issues.Err())
	}
	want := map[string]any{"matches": "true", "find": "122", "text": ".a-Bn=1", "lists": "7", "sets": "true", "chained": "ab"}
	if got := e.Nodes[0].Objects[0]["data"]; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}
