package target

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
	"github.com/kronvoy/kronvoy/hub/plan"
)

// judged is a scope whose one node is a ConfigMap, with conditions in the
// definition.
func judged(t *testing.T, conditions ...any) *scope {
	t.Helper()
	g, issues := graph.Compile(graph.Source{
		Name: "shop",
		Schema: graph.SchemaSource{Group: "kro.run", Version: "v1alpha1", Kind: "Shop", Scope: graph.Namespaced,
			Spec: map[string]any{"n": "integer | default=1"}, Status: map[string]any{"conditions": conditions}},
		Nodes: []graph.NodeSource{{ID: "web", Template: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "web"}, "data": map[string]any{"a": "b"},
		}}},
	}, builtin.Resolver())
	if g == nil {
		t.Fatal(issues.Err())
	}
	return &scope{target: &kronvoyv1alpha1.Target{}, in: plan.Input{Graph: g}, plan: plan.Plan{Bindings: graph.Bindings{Instance: map[string]any{
		"apiVersion": "kro.run/v1alpha1", "kind": "Shop",
		"metadata": map[string]any{"name": "shop", "namespace": "shop"}, "spec": map[string]any{"n": int64(1)},
	}}}}
}

const (
	mirror  = "${runtime.newCondition({type: 'Up', status: runtime.condition(schema, 'Ready').status, reason: runtime.condition(schema, 'ResourcesReady').reason})}"
	waiting = "${runtime.newCondition({type: 'Color', status: web.data.color == 'red' ? 'True' : 'False'})}"
	failing = "${runtime.newCondition({type: 'Broken', status: 1 / (schema.spec.n - 1) > 0 ? 'True' : 'False'})}"
)

func TestTheAuthorsConditionsOfACluster(t *testing.T) {
	cases := map[string]struct {
		conditions []any
		suspended  bool
		state      kronvoyv1alpha1.TargetState
		old        []kronvoyv1alpha1.TargetCondition
		want       []kronvoyv1alpha1.TargetCondition
		issues     int
	}{
		"read the built-in ones as they are now": {
			conditions: []any{mirror}, state: kronvoyv1alpha1.TargetReady,
			old:  []kronvoyv1alpha1.TargetCondition{{Type: "Up", Status: "False"}, {Type: "Gone", Status: "True"}},
			want: []kronvoyv1alpha1.TargetCondition{{Type: "Up", Status: "True", Reason: "AllResourcesReady"}},
		},
		"read what only the agent knows": {
			conditions: []any{mirror}, state: kronvoyv1alpha1.TargetFailed,
			want: []kronvoyv1alpha1.TargetCondition{{Type: "Up", Status: "False", Reason: "NotReady"}},
		},
		"read that it is suspended": {
			conditions: []any{mirror}, state: kronvoyv1alpha1.TargetReady, suspended: true,
			want: []kronvoyv1alpha1.TargetCondition{{Type: "Up", Status: "False", Reason: "ReconciliationSuspended"}},
		},
		"keep what was found last while they wait": {
			conditions: []any{mirror, waiting}, state: kronvoyv1alpha1.TargetReady,
			old: []kronvoyv1alpha1.TargetCondition{{Type: "Up", Status: "False"}, {Type: "Color", Status: "True", Message: "red"}},
			want: []kronvoyv1alpha1.TargetCondition{
				{Type: "Up", Status: "True", Reason: "AllResourcesReady"}, {Type: "Color", Status: "True", Message: "red", Kept: true},
			},
		},
		"hide no other when one fails": {
			conditions: []any{failing, mirror}, state: kronvoyv1alpha1.TargetReady, issues: 1,
			want: []kronvoyv1alpha1.TargetCondition{{Type: "Up", Status: "True", Reason: "AllResourcesReady"}},
		},
		"that come twice are left out": {
			conditions: []any{"${[1, 2].map(i, runtime.newCondition({type: 'Twin', status: 'True'}))}", mirror}, state: kronvoyv1alpha1.TargetReady, issues: 1,
			want: []kronvoyv1alpha1.TargetCondition{{Type: "Up", Status: "True", Reason: "AllResourcesReady"}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := judged(t, tc.conditions...)
			s.in.Suspended, s.target.Status.Conditions = tc.suspended, tc.old
			got, issues := authored(s, kronvoyv1alpha1.TargetStatus{State: tc.state})
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(issues) != tc.issues {
				t.Errorf("issues %q, want %d", issues, tc.issues)
			}
		})
	}
}

func TestWhereNothingIsDecidedTheAuthorsConditionsStay(t *testing.T) {
	s := judged(t, mirror)
	s.plan.Blocked = "no"
	s.target.Status.Conditions = []kronvoyv1alpha1.TargetCondition{{Type: "Up", Status: "True"}}
	s.target.Status.Issues = []string{"x"}
	conditions, issues := authored(s, kronvoyv1alpha1.TargetStatus{})
	if diff := cmp.Diff(s.target.Status.Conditions, conditions); diff != "" || len(issues) != 1 {
		t.Errorf("issues %q, conditions (-want +got):\n%s", issues, diff)
	}
}

func TestWhatATargetCannotHoldIsRefused(t *testing.T) {
	made := []graph.Condition{
		{Type: "Fine", Status: "True"},
		{Type: "", Status: "True"},
		{Type: strings.Repeat("x", 317), Status: "True"},
		{Type: "Odd", Status: "yes"},
		{Type: "Large", Status: "True", Message: strings.Repeat("x", maxConditionBytes)},
	}
	conditions, refused := bounded(made)
	if diff := cmp.Diff([]kronvoyv1alpha1.TargetCondition{{Type: "Fine", Status: "True"}}, conditions); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(refused) != len(made)-1 {
		t.Errorf("refused: %v", refused.Err())
	}
}
