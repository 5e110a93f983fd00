package dashboard

import (
	"context"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/plan"
	"github.com/kronvoy/kronvoy/hub/target"
)

// Graphs finds compiled graphs: definition.Store does.
type Graphs interface {
	// Shown is the graph of a definition revision, of another release of Kronvoy too.
	Shown(ctx context.Context, revision string) (*graph.Graph, error)
	// Compile a definition as it is now; nothing is kept.
	Compile(rgd *krov1alpha1.ResourceGraphDefinition) (*graph.Graph, graph.Issues)
}

// Plans finds what a Target depends on, so that plan.Evaluate says what would come
// of another revision: target.Gatherer does.
type Plans interface {
	Gather(ctx context.Context, t *kronvoyv1alpha1.Target) (target.Gathered, error)
	// Look reads the nested instances that a plan asks for.
	Look(ctx context.Context, in *plan.Input, refs []kronvoyv1alpha1.ChildReference) error
}
