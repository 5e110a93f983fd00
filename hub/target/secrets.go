package target

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// secretValuesTravel asks the definition, where that matters, whether values of
// Secrets may leave their cluster. The annotation counts as it is now, also for an
// earlier revision.
func (g *Gatherer) secretValuesTravel(ctx context.Context, s *scope) (bool, error) {
	if len(s.in.Graph.SecretUses()) == 0 || s.in.ClusterName == kronvoyv1alpha1.LocalCluster {
		return false, nil
	}
	rgd := &krov1alpha1.ResourceGraphDefinition{}
	if err := g.Cached.Get(ctx, client.ObjectKey{Name: s.in.Graph.Name()}, rgd); client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("reading definition %s: %w", s.in.Graph.Name(), err)
	}
	return rgd.Annotations[kronvoyv1alpha1.AnnotationSecretValues] == kronvoyv1alpha1.SecretValuesTravel, nil
}
