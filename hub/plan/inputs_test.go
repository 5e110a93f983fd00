package plan_test

import (
	"maps"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
	"github.com/kronvoy/kronvoy/hub/override"
	"github.com/kronvoy/kronvoy/hub/plan"
)

// regional is an App that writes down the region and n, which overrides change
// where clusters are small.
func regional(t *testing.T) (*graph.Graph, []kronvoyv1alpha1.Override) {
	t.Helper()
	g, issues := graph.Compile(graph.Source{
		Name:   "app",
		Schema: graph.SchemaSource{Group: "kro.run", Version: "v1alpha1", Kind: "App", Scope: graph.Namespaced, Spec: map[string]any{"n": "integer | default=1"}},
		Nodes: []graph.NodeSource{{ID: "own", Template: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "own"},
			"data": map[string]any{"n": "${string(schema.spec.n)}", "region": "${cluster.labels.region}", "tier": "${cluster.labels.?tier.orValue('none')}"},
		}}},
	}, builtin.Resolver())
	if err := issues.Err(); err != nil {
		t.Fatal(err)
	}
	return g, []kronvoyv1alpha1.Override{
		{ClusterSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"size": "small"}}, Spec: &runtime.RawExtension{Raw: []byte(`{"n":7}`)}},
		{ClusterSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "weight", Operator: metav1.LabelSelectorOpExists}}},
			Expressions: map[string]string{"n": "${schema.spec.n * int(cluster.labels.weight)}"}},
	}
}

func TestAClusterHasTheTextOfTheInputsThatWereAssigned(t *testing.T) {
	g, overrides := regional(t)
	labels := map[string]string{"region": "eu", "size": "small", "zone": "a"}
	for name, tc := range map[string]struct {
		// set is what becomes of the cluster's labels, gone what leaves them.
		set  map[string]string
		gone string
		// changed: other inputs would be assigned now; text is what the live cluster
		// would have then, empty for what cannot be told.
		changed bool
		text    map[string]any
	}{
		"nothing":                              {text: map[string]any{"n": "7", "region": "eu", "tier": "none"}},
		"a label that nothing reads":           {set: map[string]string{"zone": "b", "team": "x"}, text: map[string]any{"n": "7", "region": "eu", "tier": "none"}},
		"a label that an expression reads":     {set: map[string]string{"region": "us"}, changed: true, text: map[string]any{"n": "7", "region": "us", "tier": "none"}},
		"a label that was absent":              {set: map[string]string{"tier": "gold"}, changed: true, text: map[string]any{"n": "7", "region": "eu", "tier": "gold"}},
		"a label that an override selects by":  {set: map[string]string{"size": "large"}, changed: true, text: map[string]any{"n": "2", "region": "eu", "tier": "none"}},
		"one by which another override begins": {set: map[string]string{"weight": "3"}, changed: true, text: map[string]any{"n": "6", "region": "eu", "tier": "none"}},
		"a label without which all fails":      {gone: "region", changed: true},
	} {
		t.Run(name, func(t *testing.T) {
			in := input(t, "ConfigMap", func(in *plan.Input) { in.Graph, in.Revision.Overrides = g, overrides })
			in.Cluster.Labels = maps.Clone(labels)
			compiled, err := override.Compile(g, overrides)
			if err != nil {
				t.Fatal(err)
			}
			inputs := func() *graph.Inputs {
				assigned, err := plan.Inputs(g, compiled, in.Cluster)
				if err != nil {
					t.Fatal(err)
				}
				return assigned
			}
			assigned := inputs()
			maps.Copy(in.Cluster.Labels, tc.set)
			delete(in.Cluster.Labels, tc.gone)
			if now := inputs(); (now.Hash != assigned.Hash) != tc.changed {
				t.Errorf("inputs %v, then %v; changed should be %t", assigned, now, tc.changed)
			}

			in.Inputs = assigned
			if got := own(t, in); got["n"] != "7" || got["region"] != "eu" || got["tier"] != "none" {
				t.Errorf("with the inputs that were assigned the text is %v", got)
			}
			for _, in.Inputs = range []*graph.Inputs{nil, inputs()} {
				if got := own(t, in); !maps.Equal(got, tc.text) {
					t.Errorf("with inputs %v the text is %v, want %v", in.Inputs, got, tc.text)
				}
			}
		})
	}
}

func TestInputsThatCannotBeReadBlock(t *testing.T) {
	in := input(t, "ConfigMap", func(in *plan.Input) { in.Inputs = &graph.Inputs{Values: map[string]any{"labels": "x"}} })
	want := "the inputs of cluster eu-west cannot be read: cluster.labels is no value of a cluster"
	if p := plan.Evaluate(in); p.Blocked != want {
		t.Errorf("blocked: %q, want %q", p.Blocked, want)
	}
}

func TestWhatReadsNothingOfItsClusterHasNoInputs(t *testing.T) {
	in := input(t, "ConfigMap")
	if inputs, err := plan.Inputs(in.Graph, nil, in.Cluster); inputs != nil || err != nil {
		t.Errorf("inputs %v, error %v", inputs, err)
	}
}

// own is the text of the instance's ConfigMap; nil where there is none.
func own(t *testing.T, in plan.Input) map[string]any {
	t.Helper()
	p := plan.Evaluate(in)
	if p.Blocked != "" {
		t.Fatal(p.Blocked)
	}
	p.Build(in)
	text, _ := data(t, p.Works.Works)["own"].(map[string]any)
	return text
}
