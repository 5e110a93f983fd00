// Package rollout decides which revision of an instance each cluster should
// have, and which clusters lose it, and writes that into Targets: it alone writes
// their spec. What people have to agree to it asks with ApprovalRequests.
//
// Two controllers share the work. Mover makes Targets and assigns revisions and
// inputs, for all that moves together at once; Reconciler marks and removes, one
// instance at a time. Neither writes a field of the other's, and both write with
// an optimistic lock.
package rollout

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/go-multierror"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/clusters"
	"github.com/kronvoy/kronvoy/hub/definition"
	"github.com/kronvoy/kronvoy/hub/events"
	"github.com/kronvoy/kronvoy/hub/index"
	"github.com/kronvoy/kronvoy/hub/kinds"
	"github.com/kronvoy/kronvoy/hub/work"
)

// Reconciler takes an instance from the clusters that left its placement, one
// instance at a time.
type Reconciler struct {
	Client client.Client
	// Reader bypasses the cache before anything is removed.
	Reader client.Reader
	// Namespace of the hub: revisions of cluster-scoped instances live there.
	Namespace string
	Placer    Placer
	Store     *definition.Store
	Clock     clock.Clock
	Events    *events.Recorder
	// GracePeriod is how long a cluster that left its placement keeps the instance,
	// where no Distribution says so.
	GracePeriod time.Duration
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, k *kinds.Kinds) error {
	c, err := controller.NewTyped("removal", mgr, controller.TypedOptions[kinds.Request]{Reconciler: r, MaxConcurrentReconciles: 4})
	if err != nil {
		return err
	}
	k.Subscribe(func(gvk schema.GroupVersionKind) error {
		return c.Watch(source.TypedKind(mgr.GetCache(), kinds.Object(gvk),
			handler.TypedEnqueueRequestsFromMapFunc(func(_ context.Context, obj *unstructured.Unstructured) []kinds.Request {
				return []kinds.Request{kinds.RequestFor(obj)}
			})))
	})
	// A cluster that left its placement while it could not be reached is let go
	// of when it is back.
	if err := c.Watch(source.TypedKind(mgr.GetCache(), &clusterv1.ManagedCluster{},
		handler.TypedEnqueueRequestsFromMapFunc(r.onCluster), index.Changed(func(m *clusterv1.ManagedCluster) any {
			return clusters.Unreachable(m)
		}))); err != nil {
		return err
	}
	if err := c.Watch(source.TypedKind(mgr.GetCache(), &clusterv1.ManagedCluster{},
		handler.TypedEnqueueRequestsFromMapFunc(OnMembership(r.Client)), Membership())); err != nil {
		return err
	}
	if err := c.Watch(source.TypedKind(mgr.GetCache(), &clusterv1beta1.PlacementDecision{},
		handler.TypedEnqueueRequestsFromMapFunc(OnDecision(r.Client)))); err != nil {
		return err
	}
	if err := c.Watch(source.TypedKind(mgr.GetCache(), &clusterv1beta1.Placement{},
		handler.TypedEnqueueRequestsFromMapFunc(OnPlacement(r.Client)), Placements())); err != nil {
		return err
	}
	if err := c.Watch(source.TypedKind(mgr.GetCache(), &kronvoyv1alpha1.Distribution{},
		handler.TypedEnqueueRequestsFromMapFunc(OnDistribution(r.Client)), index.IgnoreStatus[*kronvoyv1alpha1.Distribution]())); err != nil {
		return err
	}
	if err := c.Watch(source.TypedKind(mgr.GetCache(), &kronvoyv1alpha1.Target{},
		handler.TypedEnqueueRequestsFromMapFunc(OnPins), Pins())); err != nil {
		return err
	}
	if err := c.Watch(source.TypedKind(mgr.GetCache(), &kronvoyv1alpha1.ApprovalRequest{},
		handler.TypedEnqueueRequestsFromMapFunc(func(_ context.Context, obj *kronvoyv1alpha1.ApprovalRequest) []kinds.Request {
			return OnApproval(obj)
		}))); err != nil {
		return err
	}
	return c.Watch(source.TypedKind(mgr.GetCache(), &kronvoyv1alpha1.Target{},
		handler.TypedEnqueueRequestsFromMapFunc(func(_ context.Context, obj *kronvoyv1alpha1.Target) []kinds.Request {
			return []kinds.Request{RequestForTarget(obj)}
		}), index.IgnoreStatus[*kronvoyv1alpha1.Target]()))
}

// onCluster are the instances that have a Target on a cluster.
func (r *Reconciler) onCluster(ctx context.Context, c *clusterv1.ManagedCluster) []kinds.Request {
	var targets kronvoyv1alpha1.TargetList
	if err := r.Client.List(ctx, &targets, client.InNamespace(c.Name), client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing targets failed", "cluster", c.Name)
		return nil
	}
	requests := make([]kinds.Request, 0, len(targets.Items))
	for i := range targets.Items {
		requests = append(requests, RequestForTarget(&targets.Items[i]))
	}
	return requests
}

// RequestForTarget is the instance a Target belongs to.
func RequestForTarget(t *kronvoyv1alpha1.Target) kinds.Request {
	return requestFor(work.IdentityOf(t.Spec.Instance))
}

// OnApproval is the instance that a question is about.
func OnApproval(r *kronvoyv1alpha1.ApprovalRequest) []kinds.Request {
	if r.Spec.Instance == nil {
		return nil
	}
	return []kinds.Request{requestFor(work.IdentityOf(*r.Spec.Instance))}
}

func requestFor(i work.Identity) kinds.Request {
	return kinds.Request{Group: i.Group, Version: i.Version, Kind: i.Kind, Namespace: i.Namespace, Name: i.Name}
}

// ofOwner is the instance that a revision belongs to.
func ofOwner(r *appsv1.ControllerRevision) []kinds.Request {
	if r.Labels[kronvoyv1alpha1.LabelInstance] == "" {
		return nil
	}
	owner := metav1.GetControllerOf(r)
	if owner == nil {
		return nil
	}
	gvk := schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind)
	return []kinds.Request{{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Namespace: r.Namespace, Name: owner.Name}}
}

// owners are the instances that revisions belong to, each once.
func owners(revisions []appsv1.ControllerRevision) []kinds.Request {
	requests := map[kinds.Request]bool{}
	for i := range revisions {
		for _, request := range ofOwner(&revisions[i]) {
			requests[request] = true
		}
	}
	return slices.Collect(maps.Keys(requests))
}

// Reconcile gathers, decides and writes Targets.
func (r *Reconciler) Reconcile(ctx context.Context, req kinds.Request) (reconcile.Result, error) {
	if r.Store.Yielded(req.GVK().GroupKind()) {
		return reconcile.Result{RequeueAfter: definition.YieldedRecheck}, nil
	}
	instance := kinds.Object(req.GVK())
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: req.Namespace, Name: req.Name}, instance)
	if err != nil || instance.GetDeletionTimestamp() != nil {
		// hub/instance takes Targets down.
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if Suspended(instance) {
		// Every cluster keeps what it has, and none gets or loses anything.
		return reconcile.Result{}, nil
	}
	identity := work.Identity{Group: req.Group, Version: req.Version, Kind: req.Kind, Namespace: req.Namespace, Name: req.Name}
	f, err := r.gather(ctx, instance, identity)
	if err != nil {
		return reconcile.Result{}, err
	}
	p := decide(f)
	if len(p.remove) > 0 {
		// Not on the word of a cache: it may not show that others were removed a
		// moment ago, and take more down at a time than may be.
		if f.targets, err = index.LiveTargets(ctx, r.Reader, identity); err != nil {
			return reconcile.Result{}, err
		}
		p = decide(f)
	}
	var result reconcile.Result
	if !p.recheck.IsZero() {
		result.RequeueAfter = max(p.recheck.Sub(f.now), time.Millisecond)
	}
	return index.Settle(result, r.write(ctx, identity, p))
}

// gather reads all that a decision depends on, but the revision.
func (r *Reconciler) gather(ctx context.Context, instance *unstructured.Unstructured, identity work.Identity) (facts, error) {
	f := facts{
		identity: identity, namespace: RevisionNamespace(instance, r.Namespace),
		instance: *metav1.NewControllerRef(instance, instance.GroupVersionKind()),
		grace:    r.GracePeriod, now: r.Clock.Now(), unreachable: r.unreachable(ctx),
	}
	var err error
	if f.targets, err = index.Targets(ctx, r.Client, identity); err != nil {
		return facts{}, err
	}
	if f.owner, err = Owner(ctx, r.Client, instance, f.targets); err != nil {
		return facts{}, err
	}
	if f.decision, err = r.Placer.Decide(ctx, instance, f.owner); err != nil {
		return facts{}, err
	}
	requests, err := index.ApprovalRequests(ctx, r.Client, f.namespace, identity)
	f.requests = slices.DeleteFunc(requests, func(a kronvoyv1alpha1.ApprovalRequest) bool { return a.Spec.Action != kronvoyv1alpha1.ApprovalRemove })
	return f, err
}

// RevisionNamespace is where an instance's revisions live.
func RevisionNamespace(instance *unstructured.Unstructured, hubNamespace string) string {
	if instance.GetNamespace() == "" {
		return hubNamespace
	}
	return instance.GetNamespace()
}

// unreachable looks a cluster up; one that cannot be read counts as
// unreachable, since nothing may be removed on a guess, and one that is denied,
// for what is there stays (OCM).
func (r *Reconciler) unreachable(ctx context.Context) func(string) bool {
	return func(name string) bool {
		var c clusterv1.ManagedCluster
		if err := r.Client.Get(ctx, client.ObjectKey{Name: name}, &c); err != nil {
			return true
		}
		return !c.Spec.HubAcceptsClient || clusters.Unreachable(&c)
	}
}

// write carries a plan out; one cluster's failure does not stop the others. A
// crash in between changes nothing but how far it came: each step is planned anew
// from what is stored.
func (r *Reconciler) write(ctx context.Context, identity work.Identity, p plan) error {
	var errs *multierror.Error
	updated := true
	for _, m := range p.update {
		patch := client.MergeFromWithOptions(m.from, client.MergeFromWithOptimisticLock{})
		if err := r.Client.Patch(ctx, m.to, patch); client.IgnoreNotFound(err) != nil {
			updated = false
			errs = multierror.Append(errs, fmt.Errorf("changing what cluster %s should have of %s: %w", m.to.Namespace, identity, err))
		}
	}
	if err := put(ctx, r.Client, r.Events, p.settled, p.ask); err != nil {
		return multierror.Append(errs, err)
	}
	if !updated {
		return errs.ErrorOrNil()
	}
	for _, target := range p.remove {
		// The Target that was looked at, and not one that is wanted again meanwhile.
		same := client.Preconditions{UID: &target.UID, ResourceVersion: &target.ResourceVersion}
		if err := r.Client.Delete(ctx, target, same); client.IgnoreNotFound(err) != nil {
			errs = multierror.Append(errs, fmt.Errorf("removing %s from cluster %s: %w", identity, target.Namespace, err))
		}
	}
	return errs.ErrorOrNil()
}
