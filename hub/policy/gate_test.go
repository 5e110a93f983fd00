package policy_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
	"github.com/kronvoy/kronvoy/hub/policy"
)

func TestAGateThatIsWrongIsSaidWithLineAndColumn(t *testing.T) {
	g, issues := graph.Compile(graph.Source{
		Name:   "app",
		Schema: graph.SchemaSource{Group: "kro.run", Version: "v1alpha1", Kind: "App", Scope: graph.Namespaced, Status: map[string]any{"errors": "${int(it.data.errors)}"}},
		Nodes:  []graph.NodeSource{{ID: "it", External: &graph.ExternalSource{APIVersion: "v1", Kind: "ConfigMap", Name: "it"}}},
	}, builtin.Resolver())
	if err := issues.Err(); err != nil {
		t.Fatal(err)
	}
	owner := func(expressions ...string) *kronvoyv1alpha1.Distribution {
		return &kronvoyv1alpha1.Distribution{Spec: kronvoyv1alpha1.DistributionSpec{
			Rollout: &kronvoyv1alpha1.RolloutStrategy{Gate: kronvoyv1alpha1.RolloutGate{Expressions: expressions}},
		}}
	}
	for name, tc := range map[string]struct {
		owner *kronvoyv1alpha1.Distribution
		want  string
		// gated is true when the gate opens without errors alone.
		gated bool
	}{
		"nobody owns it":     {},
		"no rollout":         {owner: &kronvoyv1alpha1.Distribution{}},
		"no expressions":     {owner: owner()},
		"what is right":      {owner: owner("values.errors == 0"), gated: true},
		"a field":            {owner: owner("values.error == 0"), want: `spec.rollout.gate.expressions[0]:1:8: unknown field "error" (did you mean errors?)`},
		"in its second line": {owner: owner("values.errors == 0", "true ||\n values.error == 0"), want: `spec.rollout.gate.expressions[1]:2:9: unknown field "error" (did you mean errors?)`},
		"two that are wrong": {owner: owner("1", "2"), want: `spec.rollout.gate.expressions[0]:1:1: a condition must be a boolean, but the expression is an integer; and 1 more`},
	} {
		t.Run(name, func(t *testing.T) {
			gate, err := policy.Gate(g, tc.owner)
			got := ""
			var invalid *policy.InvalidError
			if errors.As(err, &invalid) && invalid.Reason == kronvoyv1alpha1.ReasonInvalidRollout {
				got = invalid.Error()
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			open, _ := gate.Evaluate(map[string]any{"errors": int64(0)}, graph.Cluster{})
			closed, _ := gate.Evaluate(map[string]any{"errors": int64(1)}, graph.Cluster{})
			if open != "" || (closed != "") != tc.gated {
				t.Errorf("closed without errors: %q, with one: %q", open, closed)
			}
		})
	}
}
