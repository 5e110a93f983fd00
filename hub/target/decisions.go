package target

import (
	"context"
	"encoding/json"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/work"
)

// dropDecisions forgets what was decided about drift and has had its effect. It
// replaces only the very list that was judged: people add to it at any time.
func (r *Reconciler) dropDecisions(ctx context.Context, s *scope) error {
	standing, err := work.Standing(s.in.Decisions, s.plan.Works.Works, s.in.Works, s.in.Reports)
	if err != nil || len(standing) == len(s.in.Decisions) {
		return err
	}
	before := s.target.DeepCopy()
	delete(s.target.Annotations, kronvoyv1alpha1.AnnotationDriftDecisions)
	if len(standing) > 0 {
		text, err := json.Marshal(standing)
		if err != nil {
			return fmt.Errorf("encoding drift decisions: %w", err)
		}
		s.target.Annotations[kronvoyv1alpha1.AnnotationDriftDecisions] = string(text)
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Patch(ctx, s.target, patch, client.FieldOwner(kronvoyv1alpha1.FieldManagerHub)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("dropping drift decisions of target %s/%s: %w", s.target.Namespace, s.target.Name, err)
	}
	return nil
}
