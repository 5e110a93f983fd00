package policy

import (
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
)

// Aggregates of an instance: those of its definition, under those of the
// Distribution that owns it, nil for none. The error is an InvalidError about the
// Distribution; those of the definition come all the same.
func Aggregates(g *graph.Graph, owner *kronvoyv1alpha1.Distribution) (*graph.Aggregates, error) {
	if owner == nil {
		return g.Aggregates(), nil
	}
	const at = "spec.aggregate"
	own, issues := g.CompileAggregates(owner.Spec.Aggregate, at)
	if len(issues) > 0 {
		texts := make(map[string]string, len(owner.Spec.Aggregate))
		for name, text := range owner.Spec.Aggregate {
			texts[at+"."+name] = text
		}
		return g.Aggregates(), Invalid(kronvoyv1alpha1.ReasonInvalidAggregate, issues, texts)
	}
	return g.Aggregates().Under(own), nil
}
