// Package expiry deletes works that have been complete for as long as they ask
// to be kept, as OCM's ttlSecondsAfterFinished says. The agent then removes
// what they applied. It is the hub's to do: an agent that could delete works
// could delete those that nobody makes again.
package expiry

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/clock"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	workv1 "open-cluster-management.io/api/work/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kronvoy/kronvoy/hub/clusters"
)

// frozenRecheck is when to look again at a work whose time is up on a cluster
// where nothing may be deleted.
const frozenRecheck = 10 * time.Second

// Reconciler deletes works whose time is up.
type Reconciler struct {
	// Client reads from a cache that holds ManifestWorks and ManagedClusters;
	// Cache that of the hub's own namespace.
	Client client.Client
	Cache  client.Reader
	// Namespace is the hub's own, whose annotations may freeze the fleet.
	Namespace string
	Clock     clock.Clock
}

// SetupWithManager registers the controller; works without a time to live cost
// it nothing.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).Named("work-expiry").
		For(&workv1.ManifestWork{}, builder.WithPredicates(predicate.NewPredicateFuncs(func(object client.Object) bool {
			work, ok := object.(*workv1.ManifestWork)
			return ok && ttl(work) != nil
		}))).
		Complete(r)
}

// Reconcile deletes one work, or comes back when its time is up.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	work := &workv1.ManifestWork{}
	if err := r.Client.Get(ctx, req.NamespacedName, work); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	expires, finished := Expires(work)
	if !finished {
		return reconcile.Result{}, nil
	}
	if left := expires.Sub(r.Clock.Now()); left > 0 {
		return reconcile.Result{RequeueAfter: left}, nil
	}
	frozen, err := r.frozen(ctx, work.Namespace)
	if err != nil || frozen {
		return reconcile.Result{RequeueAfter: frozenRecheck}, err
	}
	// What was judged is what goes: a work that changed since is not complete.
	err = r.Client.Delete(ctx, work, client.Preconditions{UID: &work.UID, ResourceVersion: &work.ResourceVersion})
	if apierrors.IsConflict(err) {
		return reconcile.Result{}, nil // its change is on its way here
	}
	if client.IgnoreNotFound(err) != nil {
		return reconcile.Result{}, fmt.Errorf("deleting work %s, complete for longer than its ttlSecondsAfterFinished: %w", req, err)
	}
	ctrl.LoggerFrom(ctx).Info("Deleted a work whose time is up", "expired", expires)
	return reconcile.Result{}, nil
}

func (r *Reconciler) frozen(ctx context.Context, cluster string) (bool, error) {
	hub, managed := &corev1.Namespace{}, &clusterv1.ManagedCluster{}
	if err := r.Cache.Get(ctx, client.ObjectKey{Name: r.Namespace}, hub); client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("looking whether the fleet is frozen: %w", err)
	}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: cluster}, managed); client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("looking whether cluster %s is frozen: %w", cluster, err)
	}
	return clusters.Frozen(managed, hub) != "", nil
}

// Expires says when a work is to be deleted: its time to live after it became
// complete. False means never, as things stand: it has no time to live, is not
// complete as it is now, or is being deleted.
func Expires(work *workv1.ManifestWork) (time.Time, bool) {
	seconds := ttl(work)
	if seconds == nil || work.DeletionTimestamp != nil {
		return time.Time{}, false
	}
	complete := apimeta.FindStatusCondition(work.Status.Conditions, workv1.WorkComplete)
	if complete == nil || complete.Status != "True" || complete.ObservedGeneration != work.Generation {
		return time.Time{}, false
	}
	return complete.LastTransitionTime.Add(time.Duration(*seconds) * time.Second), true
}

func ttl(work *workv1.ManifestWork) *int64 {
	if work.Spec.DeleteOption == nil {
		return nil
	}
	return work.Spec.DeleteOption.TTLSecondsAfterFinished
}
