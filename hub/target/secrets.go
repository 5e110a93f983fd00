package target

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// keepSecrets ships nothing for which values of Secrets would have to leave their
// cluster, unless the definition says that they may. On the hub's own cluster they
// go nowhere.
func (r *Reconciler) keepSecrets(ctx context.Context, s *scope) error {
	uses := s.graph.SecretUses()
	if len(uses) == 0 || s.suspended || s.target.Namespace == kronvoyv1alpha1.LocalCluster {
		return nil
	}
	rgd := &krov1alpha1.ResourceGraphDefinition{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: s.graph.Name()}, rgd); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading definition %s: %w", s.graph.Name(), err)
	}
	if rgd.Annotations[kronvoyv1alpha1.AnnotationSecretValues] == kronvoyv1alpha1.SecretValuesTravel {
		return nil
	}
	s.reason = kronvoyv1alpha1.ReasonSecretValues
	s.blocked = fmt.Sprintf("%s, a value of a Secret, which would leave cluster %s for the hub: let the application read the Secret itself, "+
		"or run `kubectl annotate resourcegraphdefinition %s %s=%s`, and everybody who can read works or reports on the hub can read it",
		uses[0], s.target.Namespace, s.graph.Name(), kronvoyv1alpha1.AnnotationSecretValues, kronvoyv1alpha1.SecretValuesTravel)
	return nil
}
