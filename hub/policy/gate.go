package policy

import (
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
)

// Gate is what the expressions of a Distribution's rollout demand of a cluster, for
// instances of a graph; nil where they demand nothing. The error is an InvalidError.
func Gate(g *graph.Graph, owner *kronvoyv1alpha1.Distribution) (*graph.Gate, error) {
	if owner == nil || owner.Spec.Rollout == nil {
		return nil, nil
	}
	const at = "spec.rollout.gate.expressions"
	expressions := owner.Spec.Rollout.Gate.Expressions
	gate, issues := g.CompileGate(expressions, at)
	if len(issues) > 0 {
		texts := make(map[string]string, len(expressions))
		for i, text := range expressions {
			texts[graph.GatePath(at, i)] = text
		}
		return nil, Invalid(kronvoyv1alpha1.ReasonInvalidRollout, issues, texts)
	}
	return gate, nil
}
