package distribution

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/policy"
)

// keepPlacement makes the Placement for a Distribution that selects clusters,
// changes it when it is another, and deletes it when it is wanted no more. One
// that the Distribution does not control is somebody else's, whatever its name:
// it is left alone, and selects nothing for the Distribution either. With the
// Distribution the garbage collector deletes it.
func (r *Reconciler) keepPlacement(ctx context.Context, d *kronvoyv1alpha1.Distribution) error {
	if d.DeletionTimestamp != nil {
		return nil
	}
	wanted, live := policy.Placement(d), &clusterv1beta1.Placement{}
	key := client.ObjectKey{Namespace: d.Namespace, Name: policy.PlacementName(d.Name)}
	err := r.Client.Get(ctx, key, live)
	switch {
	case apierrors.IsNotFound(err):
		if wanted == nil {
			return nil
		}
		if err := r.Client.Create(ctx, wanted, client.FieldOwner(kronvoyv1alpha1.FieldManagerHub)); err != nil {
			return fmt.Errorf("making placement %s: %w", key, err)
		}
	case err != nil:
		return fmt.Errorf("reading placement %s: %w", key, err)
	case !metav1.IsControlledBy(live, d) || live.DeletionTimestamp != nil:
	case wanted == nil:
		if err := r.Client.Delete(ctx, live, client.Preconditions{UID: &live.UID}); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting placement %s: %w", key, err)
		}
	case !policy.SamePlacement(live, wanted):
		before := live.DeepCopy()
		live.Spec = wanted.Spec
		patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
		if err := r.Client.Patch(ctx, live, patch, client.FieldOwner(kronvoyv1alpha1.FieldManagerHub)); err != nil {
			return fmt.Errorf("changing placement %s: %w", key, err)
		}
	}
	return nil
}

// placing maps what tells a Placement's name to the Distributions that place by
// it.
func placing[T client.Object](r *Reconciler, name func(T) string) handler.TypedEventHandler[T, reconcile.Request] {
	return handler.TypedEnqueueRequestsFromMapFunc(func(ctx context.Context, obj T) []reconcile.Request {
		return r.those(ctx, func(d *kronvoyv1alpha1.Distribution) bool {
			return slices.Contains(policy.Placements(d), name(obj))
		}, client.InNamespace(obj.GetNamespace()))
	})
}
