package plan_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/plan"
)

// data of the ConfigMaps in works, by name.
func data(t *testing.T, works []*workv1.ManifestWork) map[string]any {
	t.Helper()
	out := map[string]any{}
	for _, w := range works {
		for _, m := range w.Spec.Workload.Manifests {
			var object struct {
				Metadata struct{ Name string }
				Data     map[string]any
			}
			if err := json.Unmarshal(m.Raw, &object); err != nil {
				t.Fatal(err)
			}
			out[object.Metadata.Name] = object.Data
		}
	}
	return out
}

func states(e graph.Evaluation) map[string]graph.NodeState {
	out := map[string]graph.NodeState{}
	for _, n := range e.Nodes {
		out[n.ID] = n.State
	}
	return out
}

func TestWhatTheRevisionSaysIsPlanned(t *testing.T) {
	in := input(t, "ConfigMap")
	p := plan.Evaluate(in)
	p.Build(in)
	if p.Blocked != "" || len(p.Works.Works) != 1 {
		t.Fatalf("blocked %q, %d works", p.Blocked, len(p.Works.Works))
	}
	if diff := cmp.Diff(map[string]graph.NodeState{"it": graph.Progressing, "copy": graph.Held, "own": graph.Progressing}, states(p.Evaluation)); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
	// The spec is that of the revision, not that of the instance as it is now.
	want := map[string]any{"it": map[string]any(nil), "own": map[string]any{"n": "2"}}
	if diff := cmp.Diff(want, data(t, p.Works.Works)); diff != "" {
		t.Errorf("manifests (-want +got):\n%s", diff)
	}
	if !p.NeedsNamespace(in) {
		t.Error("nothing brings the instance's namespace")
	}
}

func TestASuspendedInstanceKeepsItsWorks(t *testing.T) {
	in := input(t, "ConfigMap")
	before := plan.Evaluate(in)
	before.Build(in)
	in.Works, in.Suspended = before.Works.Works, true
	in.Revision.Spec = map[string]any{"n": int64(7)}
	p := plan.Evaluate(in)
	p.Build(in)
	if diff := cmp.Diff(data(t, in.Works), data(t, p.Works.Works)); diff != "" {
		t.Errorf("manifests (-want +got):\n%s", diff)
	}
	if p.Works.Works[0].Annotations[kronvoyv1alpha1.AnnotationReconcile] == "" {
		t.Error("the agent is not told")
	}
}

func TestTeardownNeedsNoGraph(t *testing.T) {
	in := input(t, "ConfigMap")
	before := plan.Evaluate(in)
	before.Build(in)
	p, err := plan.Teardown(plan.Input{
		Identity: in.Identity, ClusterName: in.ClusterName, RevisionName: in.RevisionName, Works: before.Works.Works, Agent: in.Agent,
	})
	if err != nil {
		t.Fatal(err)
	}
	if !p.Works.Leaves || p.Works.Remaining != 2 || len(p.Works.Delete) != 1 {
		t.Errorf("%+v", p.Works)
	}
}

func TestOverridesOfTheRevisionChangeTheSpecOnTheirClusters(t *testing.T) {
	small := &metav1.LabelSelector{MatchLabels: map[string]string{"size": "small"}}
	for name, tc := range map[string]struct {
		override kronvoyv1alpha1.Override
		// own is what the instance's ConfigMap says, reason why there is none.
		own, reason string
	}{
		"a patch":                 {override: kronvoyv1alpha1.Override{ClusterSelector: small, Spec: &runtime.RawExtension{Raw: []byte(`{"n":7}`)}}, own: "7"},
		"an expression":           {override: kronvoyv1alpha1.Override{Expressions: map[string]string{"n": "${schema.spec.n * size(cluster.name)}"}}, own: "14"},
		"for another cluster":     {override: kronvoyv1alpha1.Override{ClusterSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"size": "large"}}, Spec: &runtime.RawExtension{Raw: []byte(`{"n":7}`)}}, own: "2"},
		"what the kind forbids":   {override: kronvoyv1alpha1.Override{Expressions: map[string]string{"n": "${json.unmarshal('\"x\"')}"}}, reason: "InvalidOverride"},
		"what the cluster lacks":  {override: kronvoyv1alpha1.Override{Expressions: map[string]string{"n": "${int(cluster.labels.weight)}"}}, reason: "InvalidOverride"},
		"what no longer compiles": {override: kronvoyv1alpha1.Override{Spec: &runtime.RawExtension{Raw: []byte(`{"gone":1}`)}}, reason: "InvalidOverride"},
	} {
		t.Run(name, func(t *testing.T) {
			in := input(t, "ConfigMap", func(in *plan.Input) { in.Revision.Overrides = []kronvoyv1alpha1.Override{tc.override} })
			p := plan.Evaluate(in)
			if p.Reason != tc.reason || (p.Blocked != "") != (tc.reason != "") {
				t.Fatalf("blocked: %q, reason %q; want %q", p.Blocked, p.Reason, tc.reason)
			}
			if tc.reason != "" {
				return
			}
			if p.Build(in); data(t, p.Works.Works)["own"].(map[string]any)["n"] != tc.own {
				t.Errorf("n is %v, want %s", data(t, p.Works.Works)["own"], tc.own)
			}
			if overridden := tc.own != "2"; (len(p.Overridden) == 1) != overridden || overridden && p.Overridden[0].Path != "spec.n" {
				t.Errorf("overridden are %v", p.Overridden)
			}
			if in.Revision.Spec["n"] != int64(2) {
				t.Error("the revision was changed")
			}
		})
	}
}
