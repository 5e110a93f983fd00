//go:build integration

package hostile

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
	"github.com/kronvoy/kronvoy/hub/work"
)

// object is a manifest with data.
func object(kind, name string, data map[string]any) map[string]any {
	return map[string]any{"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"name": name}, "data": data}
}

func compiled(t *testing.T, schema graph.SchemaSource, nodes ...graph.NodeSource) *graph.Graph {
	t.Helper()
	schema.Group, schema.Version, schema.Kind, schema.Scope = "kro.run", "v1alpha1", "Victim", graph.Namespaced
	g, issues := graph.Compile(graph.Source{Name: "victim", Schema: schema, Nodes: nodes}, builtin.Resolver())
	if g == nil {
		t.Fatal(issues.Err())
	}
	return g
}

var victim = map[string]any{"apiVersion": "kro.run/v1alpha1", "kind": "Victim", "metadata": map[string]any{"name": "victim", "namespace": "tenant-a"}, "spec": map[string]any{}}

// gated is an instance on c1: a gate, and what is shipped when it is open.
type gated struct {
	graph *graph.Graph
	work  *workv1.ManifestWork
	// report is what the cluster says beside the work's status.
	report *kronvoyv1alpha1.WorkReport
}

func newGated(t *testing.T) *gated {
	t.Helper()
	return newGatedBy(t, []string{`${gate.data.open == "yes"}`}, "${gate.data.value}")
}

// newGatedBy has a gate that is ready when it is said to be, and something behind
// it with a value of it.
func newGatedBy(t *testing.T, readyWhen []string, value string) *gated {
	t.Helper()
	g := &gated{graph: compiled(t, graph.SchemaSource{},
		graph.NodeSource{ID: "gate", Template: object("ConfigMap", "gate", map[string]any{"value": "x"}), ReadyWhen: readyWhen},
		graph.NodeSource{ID: "behind", Template: object("ConfigMap", "behind", map[string]any{"value": value})},
	), report: &kronvoyv1alpha1.WorkReport{}}
	evaluation, issues := g.graph.Evaluate(graph.Bindings{Instance: victim, Cluster: graph.Cluster{Name: bad}})
	if len(issues) > 0 {
		t.Fatal(issues.Err())
	}
	plan, err := work.Build(work.Input{
		Identity:    work.Identity{Group: "kro.run", Version: "v1alpha1", Kind: "Victim", Namespace: "tenant-a", Name: "victim"},
		InstanceUID: "uid", Cluster: bad, Revision: "r1", Graph: g.graph, Evaluation: evaluation, Capabilities: work.Capabilities{Reports: true},
	})
	if err != nil || len(plan.Works) != 1 {
		t.Fatal(err, len(plan.Works))
	}
	g.work = plan.Works[0]
	g.work.Generation = 2
	return g
}

// answer has the agent say that the gate is open: of a generation of the work,
// and of a manifest's hash.
func (g *gated) answer(generation int64, hash string) {
	said := func(conditionType string) metav1.Condition {
		return metav1.Condition{Type: conditionType, Status: metav1.ConditionTrue, ObservedGeneration: generation}
	}
	id := g.work.Spec.ManifestConfigs[0].ResourceIdentifier
	g.work.Status = workv1.ManifestWorkStatus{
		Conditions: []metav1.Condition{said(workv1.WorkApplied)},
		ResourceStatus: workv1.ManifestResourceStatus{Manifests: []workv1.ManifestCondition{{
			ResourceMeta: workv1.ManifestResourceMeta{Group: id.Group, Resource: id.Resource, Namespace: id.Namespace, Name: id.Name},
			Conditions:   []metav1.Condition{said(workv1.ManifestApplied), said(workv1.ManifestAvailable), said(kronvoyv1alpha1.ConditionManifestReady)},
			StatusFeedbacks: workv1.StatusFeedbackResult{Values: []workv1.FeedbackValue{
				{Name: kronvoyv1alpha1.FeedbackHash, Value: workv1.FieldValue{Type: workv1.String, String: &hash}},
				{Name: "data.value", Value: workv1.FieldValue{Type: workv1.String, String: &hash}},
			}},
		}}},
	}
}

func (g *gated) read(t *testing.T) work.Feedback {
	t.Helper()
	feedback, err := work.Read(g.graph, []*workv1.ManifestWork{g.work}, map[string]*kronvoyv1alpha1.WorkReport{g.work.Name: g.report}, work.Capabilities{Reports: true})
	if err != nil {
		t.Fatal(err)
	}
	return feedback
}

// opens says what keeps what is behind the gate from being shipped.
func (g *gated) opens(t *testing.T, feedback work.Feedback) error {
	t.Helper()
	evaluation, issues := g.graph.Evaluate(graph.Bindings{Instance: victim, Cluster: graph.Cluster{Name: bad}, Observed: feedback.Observed})
	if len(issues) > 0 {
		return issues.Err()
	}
	if behind := evaluation.Nodes[1]; len(behind.Objects) == 0 {
		return fmt.Errorf("%s is %s and waits for %v", behind.ID, behind.State, behind.WaitsFor)
	}
	return nil
}

// believed is what was read by somebody who does not compare what a verdict is
// about with what was shipped.
func (g *gated) believed(t *testing.T) work.Feedback {
	t.Helper()
	feedback := g.read(t)
	for _, observed := range feedback.Observed {
		for i := range observed.Objects {
			observed.Objects[i].Current, observed.Objects[i].Verdict = true, &graph.Verdict{Ready: true}
		}
	}
	return feedback
}

// shipped is the hash of the gate as it was shipped.
func (g *gated) shipped(t *testing.T) string {
	t.Helper()
	var manifest struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
	}
	if err := json.Unmarshal(g.work.Spec.Workload.Manifests[0].Raw, &manifest); err != nil {
		t.Fatal(err)
	}
	return manifest.Metadata.Annotations[kronvoyv1alpha1.AnnotationHash]
}

// onReadiness are statuses that are about something else than was shipped.
func onReadiness() []codeAttack {
	var attacks []codeAttack
	for _, c := range []struct {
		name       string
		generation int64
		hash       func(t *testing.T, g *gated) string
	}{
		{"open a gate with a verdict on an earlier generation", 1, func(t *testing.T, g *gated) string { t.Helper(); return g.shipped(t) }},
		{"open a gate with a verdict on a later generation", 3, func(t *testing.T, g *gated) string { t.Helper(); return g.shipped(t) }},
		{"open a gate with a verdict on another hash", 2, func(*testing.T, *gated) string { return "v1-0123456789abcdef" }},
		{"open a gate with a verdict on no hash", 2, func(*testing.T, *gated) string { return "" }},
	} {
		forged := func(t *testing.T) *gated {
			t.Helper()
			g := newGated(t)
			g.answer(2, g.shipped(t))
			if err := g.opens(t, g.read(t)); err != nil {
				t.Fatalf("an honest answer does not open it: %v", err)
			}
			g.answer(c.generation, c.hash(t, g))
			return g
		}
		attacks = append(attacks, codeAttack{
			name: c.name, says: "behind is Held and waits for",
			unguarded: func(t *testing.T) error { g := forged(t); return g.opens(t, g.believed(t)) },
			guarded:   func(t *testing.T) error { g := forged(t); return g.opens(t, g.read(t)) },
		})
	}
	return attacks
}

// onTerminals are texts that do something to who reads them.
func onTerminals() []codeAttack {
	var attacks []codeAttack
	for name, text := range map[string]string{
		"clear the terminal of who reads a status":     "\x1b[2J\x1b[H all is well",
		"write a status over the line before":          "failed\rready ",
		"have a status read backwards":                 "\u202eydaer",
		"fill a status with one message of a megabyte": strings.Repeat("x", 1<<20),
	} {
		failed := func(t *testing.T) *gated {
			t.Helper()
			g := newGated(t)
			g.answer(2, g.shipped(t))
			g.work.Status.ResourceStatus.Manifests[0].Conditions[0] = metav1.Condition{
				Type: workv1.ManifestApplied, Status: metav1.ConditionFalse, Reason: "AppliedManifestFailed", Message: text, ObservedGeneration: 2,
			}
			return g
		}
		harms := func(message string) error {
			if len(message) > 2048 || strings.ContainsFunc(message, func(r rune) bool { return !unicode.IsPrint(r) }) {
				return nil
			}
			return fmt.Errorf("plain text: %q", message)
		}
		attacks = append(attacks, codeAttack{
			name: name, says: "plain text",
			unguarded: func(t *testing.T) error {
				return harms(failed(t).work.Status.ResourceStatus.Manifests[0].Conditions[0].Message)
			},
			guarded: func(t *testing.T) error { return harms(failed(t).read(t).Failures["gate"]) },
		})
	}
	return attacks
}
