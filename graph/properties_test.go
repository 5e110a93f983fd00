package graph_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
)

// byID sorts results, so that two orders of the same graph can be compared.
func byID(nodes []graph.NodeResult) []graph.NodeResult {
	out := slices.Clone(nodes)
	sort.Slice(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out
}

// TestTheOrderOfNodesDoesNotMatter shuffles the resources of every scenario that
// compiles: hash, issues and results stay the same.
func TestTheOrderOfNodesDoesNotMatter(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*", "instance.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(7, 7))
	for _, file := range files {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			src := readSource(t, filepath.Join(dir, "rgd.yaml"))
			g, issues := graph.Compile(src, scenarioResolver(t, dir))
			if len(issues) > 0 {
				t.Skip("does not compile")
			}
			b, _ := scenarioBindings(t, dir)
			want, wantIssues := g.Evaluate(b)
			for range 3 {
				shuffled := src
				shuffled.Nodes = slices.Clone(src.Nodes)
				r.Shuffle(len(shuffled.Nodes), func(i, j int) {
					shuffled.Nodes[i], shuffled.Nodes[j] = shuffled.Nodes[j], shuffled.Nodes[i]
				})
				other, issues := graph.Compile(shuffled, scenarioResolver(t, dir))
				if len(issues) > 0 {
					t.Fatal(issues.Err())
				}
				if other.Hash() != g.Hash() {
					t.Error("the hash depends on the order of the nodes")
				}
				got, gotIssues := other.Evaluate(b)
				// Issues hold the place in the source, which has moved.
				ignorePath := cmpopts.IgnoreFields(graph.Issue{}, "Path")
				if diff := cmp.Diff(byID(want.Nodes), byID(got.Nodes), ignorePath); diff != "" {
					t.Errorf("nodes differ:\n%s", diff)
				}
				if diff := cmp.Diff(want.Status, got.Status); diff != "" {
					t.Errorf("the status differs:\n%s", diff)
				}
				if len(wantIssues) != len(gotIssues) {
					t.Errorf("%d issues, want %d", len(gotIssues), len(wantIssues))
				}
			}
		})
	}
}

// TestInputsAreNotChanged holds that neither compiling nor evaluating writes to
// its inputs, and that results share nothing with them.
func TestInputsAreNotChanged(t *testing.T) {
	src := readSource(t, filepath.Join("..", "examples", "webapp", "rgd.yaml"))
	_, instance := webapp(t)
	b := graph.Bindings{Instance: instance, Cluster: graph.Cluster{Name: "a", Labels: map[string]string{"region": "r", "size": "large"}}, Observed: observedWebapp()}
	before, _ := json.Marshal([]any{src, b})
	g := compile(t, src)
	first, _ := g.Evaluate(b)
	for _, n := range first.Nodes {
		for _, o := range n.Objects {
			scribble(o)
		}
	}
	scribble(first.Status)
	if after, _ := json.Marshal([]any{src, b}); string(after) != string(before) {
		t.Error("the inputs were changed")
	}
	again, _ := g.Evaluate(b)
	if again.Nodes[1].Objects[0]["kind"] != "Deployment" || !again.Ready {
		t.Error("a result shares values with the graph")
	}
}

// scribble overwrites everything in a value.
func scribble(v any) {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			scribble(v[k])
			v[k] = "scribbled"
		}
	case []any:
		for i := range v {
			scribble(v[i])
			v[i] = "scribbled"
		}
	}
}

func configMap(id string, data map[string]any) graph.NodeSource {
	return graph.NodeSource{ID: id, Template: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": strings.ToLower(id)}, "data": data,
	}}
}

func source(spec map[string]any, nodes ...graph.NodeSource) graph.Source {
	return graph.Source{Name: "app", Nodes: nodes, Schema: graph.SchemaSource{Group: "kro.run", Version: "v1alpha1", Kind: "App", Spec: spec}}
}

func instanceWith(spec map[string]any) map[string]any {
	return map[string]any{"apiVersion": "kro.run/v1alpha1", "kind": "App",
		"metadata": map[string]any{"name": "app", "namespace": "default"}, "spec": spec}
}

// TestLargeGraphs: time is linear in the graph, where a naive engine is
// exponential (layers) or quadratic (chains).
func TestLargeGraphs(t *testing.T) {
	layers := func(width, depth int) []graph.NodeSource {
		var nodes []graph.NodeSource
		for d := range depth {
			for w := range width {
				data := map[string]any{}
				for p := range width {
					if d > 0 {
						data[fmt.Sprint("k", p)] = fmt.Sprintf("${n%dx%d.metadata.name}", d-1, p)
					}
				}
				nodes = append(nodes, configMap(fmt.Sprintf("n%dx%d", d, w), data))
			}
		}
		return nodes
	}
	tests := map[string][]graph.NodeSource{
		"layers, each node on all of the one below": layers(3, 300),
		"a chain":       layers(1, 2000),
		"10,000 leaves": layers(10_000, 1),
	}
	for name, nodes := range tests {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			g := compile(t, source(nil, nodes...))
			compiled := time.Since(start)
			start = time.Now()
			e, issues := g.Evaluate(graph.Bindings{Instance: instanceWith(map[string]any{})})
			if len(issues) > 0 || len(e.Nodes) != len(nodes) {
				t.Fatalf("%d nodes, %v", len(e.Nodes), issues)
			}
			observed := map[string]graph.Observed{}
			for _, n := range nodes {
				object := map[string]any{"metadata": map[string]any{"name": n.ID, "namespace": "default"}}
				observed[n.ID] = graph.Observed{Objects: []graph.ObservedObject{{Object: object, Current: true}}}
			}
			e, issues = g.Evaluate(graph.Bindings{Instance: instanceWith(map[string]any{}), Observed: observed})
			if len(issues) > 0 || !e.Ready {
				t.Fatalf("ready %v, %v", e.Ready, issues)
			}
			t.Logf("compiled in %v, evaluated twice in %v", compiled, time.Since(start))
			// Two orders of magnitude of slack for a slow machine.
			if compiled > time.Minute || time.Since(start) > 20*time.Second {
				t.Error("too slow")
			}
		})
	}
	if _, issues := graph.Compile(source(nil, layers(10_001, 1)...), builtin.Resolver()); len(issues) != 1 || issues[0].Reason != "TooMany" {
		t.Errorf("10,001 nodes: %v", issues)
	}
}

// TestBounds: whatever comes in, there is an answer, soon, and not a huge one.
func TestBounds(t *testing.T) {
	megabyte := strings.Repeat("x", 1<<20)
	deep := func(n int) any {
		var v any = "leaf"
		for range n {
			v = map[string]any{"a": v}
		}
		return v
	}
	wide := make([]any, 2000)
	for i := range wide {
		wide[i] = int64(i)
	}
	tests := map[string]struct {
		spec, data, instance map[string]any
		// compile and evaluate are the expected reasons; empty for success.
		compile, evaluate string
	}{
		"a string of 1 MB passes through": {
			spec: map[string]any{"s": "string"}, data: map[string]any{"a": "${schema.spec.s}"}, instance: map[string]any{"s": megabyte}},
		"a string of 1 MB in a template": {data: map[string]any{"a": megabyte}},
		"a string of 1 MB twice is too large for one object": {
			spec: map[string]any{"s": "string"}, data: map[string]any{"a": "${schema.spec.s}", "b": "${schema.spec.s}"}, instance: map[string]any{"s": megabyte}, evaluate: "TooLarge"},
		"a string of 1 MB twice in a text": {
			spec: map[string]any{"s": "string"}, data: map[string]any{"a": "a${schema.spec.s}${schema.spec.s}"}, instance: map[string]any{"s": megabyte}, evaluate: "TooLarge"},
		"an expression of 1 MB":              {data: map[string]any{"a": "${'" + megabyte + "'}"}, compile: "TooLong"},
		"a thousand expressions in a string": {data: map[string]any{"a": strings.Repeat("${'x'}", 1000)}},
		"an expression nested deep":          {data: map[string]any{"a": "${" + strings.Repeat("(", 3000) + "'a'" + strings.Repeat(")", 3000) + "}"}, compile: "SyntaxError"},
		"a sum of many large strings": {
			spec: map[string]any{"s": "string"}, data: map[string]any{"a": "${schema.spec.s" + strings.Repeat("+schema.spec.s", 300) + "}"},
			instance: map[string]any{"s": megabyte}, compile: "SyntaxError"},
		"a sum of some large strings": {
			spec: map[string]any{"s": "string"}, data: map[string]any{"a": "${schema.spec.s" + strings.Repeat("+schema.spec.s", 60) + "}"},
			instance: map[string]any{"s": megabyte}, evaluate: "TooCostly"},
		"a template nested deep":           {data: map[string]any{"a": deep(5000)}, compile: "TooDeep"},
		"a schema nested deep":             {spec: deep(5000).(map[string]any), compile: "TooDeep"},
		"an instance nested deep":          {spec: map[string]any{"o": "object"}, data: map[string]any{"a": "${string(size(schema.spec.o))}"}, instance: map[string]any{"o": deep(5000)}},
		"an instance nested deep, copied":  {spec: map[string]any{"o": "object"}, data: map[string]any{"a": "${schema.spec.o.a}"}, instance: map[string]any{"o": deep(5000)}, evaluate: "TooLarge"},
		"a regular expression of 10,000":   {data: map[string]any{"a": "${string('a'.matches('(a{1,1000}){1,1000}'))}"}, compile: "InvalidExpression"},
		"comprehensions over a large list": {spec: map[string]any{"l": "[]integer"}, data: map[string]any{"a": "${string(schema.spec.l.map(a, schema.spec.l.map(b, a+b)).size())}"}, instance: map[string]any{"l": wide}, evaluate: "TooCostly"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			g, issues := graph.Compile(source(test.spec, configMap("a", test.data)), builtin.Resolver())
			if test.compile != "" || len(issues) > 0 {
				if !slices.ContainsFunc(issues, func(i graph.Issue) bool { return i.Reason == test.compile }) {
					t.Fatalf("compile: %v, want %s", issues.Err(), test.compile)
				}
				if n := len(issues.Err().Error()); n > 20_000 {
					t.Errorf("the error is %d bytes long", n)
				}
				return
			}
			if test.instance == nil {
				test.instance = map[string]any{}
			}
			_, issues = g.Evaluate(graph.Bindings{Instance: instanceWith(test.instance)})
			switch {
			case test.evaluate == "" && len(issues) > 0:
				t.Errorf("evaluate: %v", issues.Err())
			case test.evaluate != "" && (len(issues) == 0 || issues[0].Reason != test.evaluate):
				t.Errorf("evaluate: %v, want %s", issues.Err(), test.evaluate)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// TestTheBudgetOfAnEvaluation: many expressions that are each within the limit
// are stopped together.
func TestTheBudgetOfAnEvaluation(t *testing.T) {
	var nodes []graph.NodeSource
	for i := range 40 {
		nodes = append(nodes, configMap(fmt.Sprint("n", i), map[string]any{
			"a": "${string(lists.range(150).map(a, lists.range(150).map(b, a)).size())}"}))
	}
	g := compile(t, source(nil, nodes...))
	e, issues := g.Evaluate(graph.Bindings{Instance: instanceWith(map[string]any{})})
	if len(issues) == 0 || issues[0].Reason != "TooCostly" {
		t.Fatalf("issues %v", issues.Err())
	}
	if e.Nodes[0].State != graph.Progressing {
		t.Errorf("the first node is %s: what fits into the budget should be rendered", e.Nodes[0].State)
	}
}

// FuzzCompile mutates definitions as JSON: whatever they say, Compile and
// Evaluate answer.
func FuzzCompile(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "*", "rgd.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		// A bomb takes all that it may: with the fuzzer's instruments on a busy
		// machine that is more than the fuzzer waits for.
		if strings.Contains(file, "_bomb_") {
			continue
		}
		src := readSource(f, file)
		if raw, err := json.Marshal(src); err == nil {
			f.Add(raw, []byte(`{"metadata":{"name":"a","namespace":"b"},"spec":{"name":"x"}}`))
		}
	}
	f.Fuzz(func(t *testing.T, raw, instance []byte) {
		var src graph.Source
		var b graph.Bindings
		if json.Unmarshal(raw, &src) != nil || json.Unmarshal(instance, &b.Instance) != nil {
			return
		}
		g, issues := graph.Compile(src, builtin.Resolver())
		if (g == nil) == (len(issues) == 0) {
			t.Fatalf("Compile returned %v and %v", g, issues)
		}
		for _, i := range issues {
			if i.Reason == "" || i.Message == "" {
				t.Fatalf("an issue without a reason: %+v", i)
			}
		}
		if g == nil {
			return
		}
		first, _ := g.Evaluate(b)
		b.Observed = map[string]graph.Observed{}
		for _, n := range first.Nodes {
			o := graph.Observed{}
			for _, object := range n.Objects {
				o.Objects = append(o.Objects, graph.ObservedObject{Object: object, Current: true})
			}
			b.Observed[n.ID] = o
		}
		g.Evaluate(b)
		g.Evaluate(graph.Bindings{})
	})
}

// TestReadsAreEnough evaluates every scenario once more with no more of the
// objects of collections than the graph says that it reads.
func TestReadsAreEnough(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*", "observed.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	pruned := 0
	for _, file := range files {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			g, issues := graph.Compile(readSource(t, filepath.Join(dir, "rgd.yaml")), scenarioResolver(t, dir))
			if len(issues) > 0 {
				t.Skip("does not compile")
			}
			b, _ := scenarioBindings(t, dir)
			want, wantIssues := g.Evaluate(b)
			for id, observed := range b.Observed {
				node := g.Node(id)
				// The verdict on rules that travel is not among what is read.
				if node == nil || !node.Collection || len(node.ReadyRules) > 0 {
					continue
				}
				for i, o := range observed.Objects {
					observed.Objects[i].Object, observed.Objects[i].Partial = readOnly(o.Object, node.Reads), true
					pruned++
				}
			}
			got, gotIssues := g.Evaluate(b)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the evaluation differs:\n%s", diff)
			}
			if diff := cmp.Diff(wantIssues, gotIssues); diff != "" {
				t.Errorf("the issues differ:\n%s", diff)
			}
		})
	}
	if pruned < 10 {
		t.Errorf("%d objects were cut, want at least 10: the test shows nothing", pruned)
	}
}

// readOnly is what of an object comes back: its identity and what is read.
func readOnly(object map[string]any, reads []graph.Read) map[string]any {
	metadata, _ := object["metadata"].(map[string]any)
	identity := map[string]any{}
	for _, field := range []string{"name", "namespace"} {
		if v, found := metadata[field]; found {
			identity[field] = v
		}
	}
	out := map[string]any{"apiVersion": object["apiVersion"], "kind": object["kind"], "metadata": identity}
	for _, read := range reads {
		if len(read.Fields) == 0 {
			return object
		}
		from, into := object, out
		for _, field := range read.Fields[:len(read.Fields)-1] {
			next, _ := into[field].(map[string]any)
			if next == nil {
				next = map[string]any{}
				into[field] = next
			}
			into = next
			from, _ = from[field].(map[string]any)
		}
		if v, found := from[read.Fields[len(read.Fields)-1]]; found {
			into[read.Fields[len(read.Fields)-1]] = v
		}
	}
	return out
}
