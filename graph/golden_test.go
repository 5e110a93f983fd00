package graph_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
	"github.com/kronvoy/kronvoy/hub/convert"
	"github.com/kronvoy/kronvoy/internal/golden"
)

// TestScenarios runs every directory of testdata, whose name says what it shows:
//
//	rgd.yaml       the definition
//	crds.yaml      further kinds, optional
//	instance.yaml  without it only compilation is shown
//	cluster.yaml   name, labels, annotations, claims, version, allocatable, capacity
//	observed.yaml  by node id: a list of {object, current, partial, manifest, verdict},
//	               or {listed, selection, objects} for what a selector found
//	expected.yaml  what comes out, or
//	issues.txt     what is wrong
func TestScenarios(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join("testdata", "*", "rgd.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(dirs) < 60 {
		t.Errorf("there are %d scenarios, want at least 60", len(dirs))
	}
	for _, file := range dirs {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			expected, issues := runScenario(t, dir)
			golden.Compare(t, filepath.Join(dir, "expected.yaml"), expected)
			golden.Compare(t, filepath.Join(dir, "issues.txt"), issues)
		})
	}
}

func runScenario(t *testing.T, dir string) (expected, issueText string) {
	t.Helper()
	var rgd krov1alpha1.ResourceGraphDefinition
	readYAML(t, filepath.Join(dir, "rgd.yaml"), &rgd)
	src, err := convert.Source(&rgd)
	if err != nil {
		return "", "convert: " + err.Error() + "\n"
	}
	g, issues := graph.Compile(src, scenarioResolver(t, dir))
	if len(issues) > 0 {
		if g != nil {
			t.Error("Compile returned a graph and issues")
		}
		return "", formatIssues(issues)
	}
	b, given := scenarioBindings(t, dir)
	if !given {
		return marshal(t, describeGraph(t, g)), ""
	}
	evaluation, issues := g.Evaluate(b)
	again, _ := g.Evaluate(b)
	if diff := cmp.Diff(evaluation, again); diff != "" {
		t.Errorf("a second evaluation differs:\n%s", diff)
	}
	return marshal(t, describeEvaluation(evaluation)), formatIssues(issues)
}

func scenarioResolver(t *testing.T, dir string) schema.Resolver {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "crds.yaml"))
	if os.IsNotExist(err) {
		return builtin.Resolver()
	}
	if err != nil {
		t.Fatal(err)
	}
	var crds []*apiextensionsv1.CustomResourceDefinition
	for _, document := range strings.Split(string(data), "\n---\n") {
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict([]byte(document), &crd); err != nil {
			t.Fatal(err)
		}
		crds = append(crds, &crd)
	}
	r, err := schema.FromCRDs(crds...)
	if err != nil {
		t.Fatal(err)
	}
	return schema.Chain(r, builtin.Resolver())
}

// readJSON decodes YAML with whole numbers as int64, as the API machinery does;
// false when there is no such file.
func readJSON(t *testing.T, file string, into any) bool {
	t.Helper()
	data, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	raw, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if err := utiljson.Unmarshal(raw, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return true
}

func scenarioBindings(t *testing.T, dir string) (graph.Bindings, bool) {
	t.Helper()
	b := graph.Bindings{Observed: map[string]graph.Observed{}}
	var instance map[string]any
	if !readJSON(t, filepath.Join(dir, "instance.yaml"), &instance) {
		return b, false
	}
	b.Instance = instance
	b.Cluster = graph.Cluster{Name: "eu-west"}
	if data, err := os.ReadFile(filepath.Join(dir, "cluster.yaml")); err == nil {
		if err := yaml.UnmarshalStrict(data, &b.Cluster); err != nil {
			t.Fatal(err)
		}
	}
	var observed map[string]any
	readJSON(t, filepath.Join(dir, "observed.yaml"), &observed)
	for id, list := range observed {
		o := graph.Observed{}
		if found, ok := list.(map[string]any); ok {
			o.Listed, _ = found["listed"].(bool)
			o.SelectionHash, _ = found["selection"].(string)
			list = found["objects"]
		}
		items, _ := list.([]any)
		for _, item := range items {
			o.Objects = append(o.Objects, observedObject(item.(map[string]any)))
		}
		b.Observed[id] = o
	}
	return b, true
}

func observedObject(item map[string]any) graph.ObservedObject {
	var o graph.ObservedObject
	o.Object, _ = item["object"].(map[string]any)
	o.Current, _ = item["current"].(bool)
	o.Partial, _ = item["partial"].(bool)
	o.ManifestHash, _ = item["manifest"].(string)
	if v, found := item["verdict"].(map[string]any); found {
		o.Verdict = &graph.Verdict{}
		o.Verdict.Ready, _ = v["ready"].(bool)
		o.Verdict.Err, _ = v["err"].(string)
	}
	return o
}

func formatIssues(issues graph.Issues) string {
	var b strings.Builder
	for _, i := range issues {
		fmt.Fprintf(&b, "%s", i.Path)
		if i.Offset >= 0 {
			fmt.Fprintf(&b, " @%d", i.Offset)
		}
		fmt.Fprintf(&b, "\n  %s: %s\n", i.Reason, i.Message)
		if i.Snippet != "" {
			fmt.Fprintf(&b, "  > %s\n", i.Snippet)
		}
		if i.Suggestion != "" {
			fmt.Fprintf(&b, "  ? %s\n", i.Suggestion)
		}
	}
	return b.String()
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	data, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// describeGraph is what a scenario without an instance shows.
func describeGraph(t *testing.T, g *graph.Graph) any {
	t.Helper()
	nodes := []any{}
	for _, n := range g.Nodes() {
		node := map[string]any{"id": n.ID, "kind": n.GVK.Kind, "wave": n.Wave}
		setIf(node, "external", n.Kind == graph.External, true)
		setIf(node, "selects", n.Selects, true)
		setIf(node, "definition", n.Definition != "", n.Definition)
		setIf(node, "sensitive", n.Sensitive, true)
		setIf(node, "dependencies", len(n.Dependencies) > 0, n.Dependencies)
		setIf(node, "readyRules", len(n.ReadyRules) > 0, n.ReadyRules)
		var reads []string
		for _, r := range n.Reads {
			path := r.Path
			if path == "" {
				path = "(all)"
			}
			if r.Scalar {
				path += " (scalar)"
			}
			reads = append(reads, path)
		}
		setIf(node, "reads", len(reads) > 0, reads)
		nodes = append(nodes, node)
	}
	properties := g.CRD().Spec.Versions[0].Schema.OpenAPIV3Schema.Properties
	status := properties["status"]
	delete(status.Properties, "conditions")
	delete(status.Properties, "state")
	delete(status.Properties, "fleet")
	crd := map[string]any{"name": g.CRD().Name}
	setIf(crd, "spec", len(properties["spec"].Properties) > 0, properties["spec"])
	setIf(crd, "status", len(status.Properties) > 0, status)
	return map[string]any{"nodes": nodes, "crd": crd}
}

func describeEvaluation(e graph.Evaluation) any {
	nodes := []any{}
	for _, n := range e.Nodes {
		node := map[string]any{"id": n.ID, "state": n.State}
		setIf(node, "objects", n.Objects != nil, n.Objects)
		setIf(node, "selection", n.Selection != nil, n.Selection)
		setIf(node, "waitsFor", len(n.WaitsFor) > 0, describeWaits(n.WaitsFor))
		setIf(node, "issue", n.Issue != nil, n.Issue)
		nodes = append(nodes, node)
	}
	out := map[string]any{"nodes": nodes, "ready": e.Ready}
	setIf(out, "status", e.Status != nil, e.Status)
	setIf(out, "conditions", e.Conditions != nil, describeConditions(e.Conditions))
	setIf(out, "conditionsIncomplete", e.ConditionsIncomplete, true)
	setIf(out, "conditionWaits", len(e.ConditionWaits) > 0, describeWaits(e.ConditionWaits))
	setIf(out, "statusWaits", len(e.StatusWaits) > 0, describeWaits(e.StatusWaits))
	return out
}

func describeConditions(conditions []graph.Condition) []string {
	out := []string{}
	for _, c := range conditions {
		out = append(out, fmt.Sprintf("%s=%s %s: %s", c.Type, c.Status, c.Reason, c.Message))
	}
	return out
}

func describeWaits(waits []graph.Wait) []string {
	var out []string
	for _, w := range waits {
		s := w.Path
		if w.Field != "" {
			s = w.Field + ": " + s
		}
		out = append(out, s)
	}
	return out
}

func setIf(m map[string]any, key string, condition bool, value any) {
	if condition {
		if issue, ok := value.(*graph.Issue); ok {
			value = issue.Reason + ": " + issue.Message
		}
		m[key] = value
	}
}
