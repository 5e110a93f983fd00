package dashboard

import (
	"context"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
)

// Graphs finds compiled graphs: definition.Store does.
type Graphs interface {
	// Graph of a definition revision.
	Graph(ctx context.Context, revision string) (*graph.Graph, error)
	// Compile a definition as it is now; nothing is kept.
	Compile(rgd *krov1alpha1.ResourceGraphDefinition) (*graph.Graph, graph.Issues)
}
