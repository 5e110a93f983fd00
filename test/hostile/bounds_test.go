//go:build integration

package hostile

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/ext"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
	"github.com/kronvoy/kronvoy/hub/convert"
	"github.com/kronvoy/kronvoy/hub/nested"
	"github.com/kronvoy/kronvoy/hub/work"
)

// plainCEL is CEL as it comes, without bounds.
func plainCEL(expression string) error {
	env, err := cel.NewEnv(ext.Strings(), ext.Lists(), ext.Bindings())
	if err != nil {
		return err
	}
	checked, issues := env.Compile(expression)
	if issues.Err() != nil {
		return issues.Err()
	}
	program, err := env.Program(checked)
	if err != nil {
		return err
	}
	_, _, err = program.Eval(map[string]any{})
	return err
}

// evaluated is an expression in a definition's resource, or its forEach.
func evaluated(t *testing.T, forEach, expression string) error {
	t.Helper()
	node := graph.NodeSource{ID: "it", Template: object("ConfigMap", "it", map[string]any{"x": "${" + expression + "}"})}
	if forEach != "" {
		node.ForEach = []map[string]string{{"i": "${" + forEach + "}"}}
		node.Template = object("ConfigMap", "it-${string(i)}", nil)
	}
	g, issues := graph.Compile(graph.Source{
		Name: "victim", Schema: graph.SchemaSource{Group: "kro.run", Version: "v1alpha1", Kind: "Victim", Scope: graph.Namespaced}, Nodes: []graph.NodeSource{node},
	}, builtin.Resolver())
	if g == nil {
		return reasons(issues)
	}
	_, issues = g.Evaluate(graph.Bindings{Instance: victim, Cluster: graph.Cluster{Name: bad}})
	return reasons(issues)
}

func reasons(issues graph.Issues) error {
	if len(issues) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %w", issues[0].Reason, issues.Err())
}

// onBounds are inputs without end.
func onBounds() []codeAttack {
	var attacks []codeAttack
	doubled := "[1, 1]"
	for i := range 20 {
		doubled = fmt.Sprintf("cel.bind(v%d, %s, [v%d, v%d])", i, doubled, i, i)
	}
	const long = "lists.range(100).map(i, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa').join('')"
	for _, c := range []struct{ name, forEach, expression, says string }{
		{"make a hundred thousand objects with one resource", "lists.range(100000)", "", "EvaluationFailed"},
		{"make nine thousand objects with one resource", "lists.range(9000)", "", "TooMany"},
		{"compute a million numbers", "", "string(lists.range(1000).map(i, lists.range(1000).map(j, i * j)).size())", "TooCostly"},
		{"compare two lists that were doubled twenty times", "", "string(" + doubled + " == " + doubled + ")", "TooCostly"},
		{"look for patterns of many states", "", "string(lists.range(10).all(i, !(" + long + ").matches('(.*a){200}b')))", "TooCostly"},
		{"replace each letter by ten thousand", "", "cel.bind(l, " + long + ", l.replace('a', l))", "TooCostly"},
	} {
		attacks = append(attacks, codeAttack{
			name: c.name, says: c.says,
			unguarded: func(*testing.T) error { return plainCEL(c.forEach + c.expression) },
			guarded:   func(t *testing.T) error { return evaluated(t, c.forEach, c.expression) },
		})
	}
	for _, c := range []struct{ name, template, says string }{
		{"nest a definition five thousand levels deep", strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000), "nested deeper than 200 levels"},
		{"define a resource of four megabytes", `{"a":"` + strings.Repeat("x", 4<<20) + `"}`, "the definition is larger than"},
	} {
		attacks = append(attacks, codeAttack{
			name: c.name, says: c.says,
			unguarded: func(*testing.T) error { var v any; return utiljson.Unmarshal([]byte(c.template), &v) },
			guarded: func(*testing.T) error {
				_, err := convert.Source(&krov1alpha1.ResourceGraphDefinition{Spec: krov1alpha1.ResourceGraphDefinitionSpec{
					Schema: &krov1alpha1.Schema{Kind: "Victim", APIVersion: "v1alpha1"}, Resources: []*krov1alpha1.Resource{{ID: "it", Template: runtime.RawExtension{Raw: []byte(c.template)}}},
				}})
				return err
			},
		})
	}
	big := `{"value":"` + strings.Repeat("x", 1<<20) + `"}`
	attacks = append(attacks, codeAttack{name: "have the hub take a value of a megabyte", says: "it is not taken",
		unguarded: func(*testing.T) error { var v any; return utiljson.Unmarshal([]byte(big), &v) },
		guarded:   func(t *testing.T) error { return reported(t, big) },
	})
	return append(attacks, codeAttack{
		name: "define kinds that contain each other without end", says: "levels deep, and no more are allowed",
		unguarded: func(t *testing.T) error { return chained(t, func(int) int { return 0 }) },
		guarded:   func(t *testing.T) error { return chained(t, func(level int) int { return level }) },
	})
}

// reported has a cluster report a map that a definition reads, and says whether
// it was taken.
func reported(t *testing.T, value string) error {
	t.Helper()
	g := newGatedBy(t, nil, "${string(size(gate.data))}")
	takes := func(value string) bool {
		g.answer(2, g.shipped(t))
		g.report.Status.Values = []kronvoyv1alpha1.ReportedValue{{
			ObjectReference: kronvoyv1alpha1.ObjectReference{Resource: "configmaps", Kind: "ConfigMap", Namespace: "tenant-a", Name: "gate"}, Path: "data", Value: value}}
		return g.read(t).Observed["gate"].Objects[0].Object["data"] != nil
	}
	if !takes(`{"value":"x"}`) {
		t.Fatal("an honest value is not taken")
	}
	if !takes(value) {
		return errors.New("it is not taken")
	}
	return nil
}

// chained makes instances of a kind whose definition contains that kind, as many
// levels deep as it may; counted says how deep an instance is taken to be.
func chained(t *testing.T, counted func(level int) int) error {
	t.Helper()
	loop := func(nodes ...graph.NodeSource) graph.Source {
		return graph.Source{Name: "loop", Schema: graph.SchemaSource{Group: "kro.run", Version: "v1alpha1", Kind: "Loop", Scope: graph.Namespaced}, Nodes: nodes}
	}
	first, issues := graph.Compile(loop(), schema.Types{})
	if first == nil {
		t.Fatal(issues.Err())
	}
	kinds, err := schema.FromCRDs(first.CRD())
	if err != nil {
		t.Fatal(err)
	}
	g, issues := graph.Compile(loop(graph.NodeSource{ID: "inner", Template: map[string]any{
		"apiVersion": "kro.run/v1alpha1", "kind": "Loop", "metadata": map[string]any{"name": "${schema.metadata.name}-x"}}}), kinds)
	if g == nil {
		t.Fatal(issues.Err())
	}
	for level := range 50 {
		evaluation, issues := g.Evaluate(graph.Bindings{Instance: map[string]any{"apiVersion": "kro.run/v1alpha1", "kind": "Loop",
			"metadata": map[string]any{"name": fmt.Sprint("a", level), "namespace": "tenant-a"}, "spec": map[string]any{}}, Cluster: graph.Cluster{Name: bad}})
		if len(issues) > 0 {
			t.Fatal(issues.Err())
		}
		wants := nested.Wanted(g, evaluation, nested.Parent{Identity: work.Identity{Group: "kro.run", Version: "v1alpha1", Kind: "Loop", Namespace: "tenant-a", Name: "a"},
			UID: "uid", Cluster: bad, Depth: counted(level)})
		if failure := wants.Failures["inner"]; failure != "" {
			return errors.New(failure)
		}
		if len(wants.Instances) != 1 {
			t.Fatalf("level %d wants %d instances", level, len(wants.Instances))
		}
	}
	return nil
}

// onSecrets are definitions that show values of a Secret. Of a ConfigMap they may.
func onSecrets() []codeAttack {
	const value = "string(it.data.key)"
	condition := func(conditionType, status, message string) map[string]any {
		return map[string]any{"conditions": []any{"${runtime.newCondition({type: " + conditionType + ", status: " + status + ", reason: 'Hostile', message: " + message + "})}"}}
	}
	var attacks []codeAttack
	for _, c := range []struct {
		name   string
		status map[string]any
		node   map[string]any
	}{
		{"show a Secret in a condition's message", condition("'It'", "'True'", value), nil},
		{"show a Secret as a condition's type", condition(value, "'True'", "''"), nil},
		{"show a Secret as a condition's status", condition("'It'", value, "''"), nil},
		{"show a Secret in the status", map[string]any{"it": "${" + value + "}"}, nil},
		{"show a Secret in what CEL says of a resource", nil, object("ConfigMap", "own", map[string]any{"x": "${url(" + value + ").getHost()}"})},
		{"show a Secret in what CEL says of the status", map[string]any{"it": "${url(" + value + ").getHost()}"}, nil},
		{"show a Secret in what CEL says of a condition", condition("'It'", "url("+value+").getHost() == '' ? 'True' : 'False'", "''"), nil},
	} {
		shows := func(t *testing.T, kind, data string) error {
			t.Helper()
			nodes := []graph.NodeSource{{ID: "it", External: &graph.ExternalSource{APIVersion: "v1", Kind: kind, Name: "it"}}}
			if c.node != nil {
				nodes = append(nodes, graph.NodeSource{ID: "own", Template: c.node})
			}
			g := compiled(t, graph.SchemaSource{Status: c.status}, nodes...)
			it := object(kind, "it", map[string]any{"key": data})
			it["metadata"] = map[string]any{"name": "it", "namespace": "tenant-a"}
			e, issues := g.Evaluate(graph.Bindings{Instance: victim, Cluster: graph.Cluster{Name: bad},
				Observed: map[string]graph.Observed{"it": {Objects: []graph.ObservedObject{{Object: it, Current: true}}}}})
			told, err := json.Marshal([]any{g.WithoutSecrets(e.Status), e.Conditions, e.ConditionWaits, e.StatusWaits, issues})
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(told), "swordfish") {
				return nil
			}
			return fmt.Errorf("it is not shown: %s", told)
		}
		attacks = append(attacks, codeAttack{name: c.name, says: "it is not shown",
			unguarded: func(t *testing.T) error { return shows(t, "ConfigMap", "swordfish") },
			guarded:   func(t *testing.T) error { return shows(t, "Secret", "c3dvcmRmaXNo") },
		})
	}
	return attacks
}
