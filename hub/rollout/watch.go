package rollout

import (
	"context"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/workqueue"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/index"
	"github.com/kronvoy/kronvoy/hub/kinds"
)

// together is how long what clusters report is gathered before a unit is planned
// anew: a plan looks at all of its clusters, and each of them reports.
const together = 200 * time.Millisecond

// SetupWithManager registers the controller.
func (m *Mover) SetupWithManager(mgr ctrl.Manager, k *kinds.Kinds) error {
	c, err := controller.NewTyped("rollout", mgr, controller.TypedOptions[Unit]{Reconciler: m, MaxConcurrentReconciles: 4})
	if err != nil {
		return err
	}
	cache := mgr.GetCache()
	k.Subscribe(func(gvk schema.GroupVersionKind) error {
		return c.Watch(source.TypedKind(cache, kinds.Object(gvk), handler.TypedEnqueueRequestsFromMapFunc(
			func(ctx context.Context, obj *unstructured.Unstructured) []Unit {
				return units(ctx, m.Client, []kinds.Request{kinds.RequestFor(obj)})
			}), index.IgnoreStatus[*unstructured.Unstructured]()))
	})
	for _, src := range []source.TypedSource[Unit]{
		source.TypedKind(cache, &appsv1.ControllerRevision{}, ofInstances(m.Client, func(_ context.Context, r *appsv1.ControllerRevision) []kinds.Request { return ofOwner(r) })),
		source.TypedKind(cache, &clusterv1.ManagedCluster{}, ofInstances(m.Client, OnMembership(m.Client)), Membership()),
		source.TypedKind(cache, &clusterv1.ManagedCluster{}, soon(m.onCluster), clusterChanged()),
		source.TypedKind(cache, &corev1.Namespace{}, soon(m.onNamespace), index.Changed(func(n *corev1.Namespace) any { return n.Annotations })),
		source.TypedKind(cache, &clusterv1beta1.PlacementDecision{}, ofInstances(m.Client, OnDecision(m.Client))),
		source.TypedKind(cache, &clusterv1beta1.Placement{}, ofInstances(m.Client, OnPlacement(m.Client)), Placements()),
		source.TypedKind(cache, &kronvoyv1alpha1.Distribution{}, handler.TypedEnqueueRequestsFromMapFunc(m.onDistribution), index.IgnoreStatus[*kronvoyv1alpha1.Distribution]()),
		source.TypedKind(cache, &kronvoyv1alpha1.Rollout{}, handler.TypedEnqueueRequestsFromMapFunc(
			func(_ context.Context, r *kronvoyv1alpha1.Rollout) []Unit { return OnRollout(r) })),
		source.TypedKind(cache, &kronvoyv1alpha1.ApprovalRequest{}, handler.TypedEnqueueRequestsFromMapFunc(
			func(_ context.Context, a *kronvoyv1alpha1.ApprovalRequest) []Unit { return onQuestion(a) })),
		source.TypedKind(cache, &kronvoyv1alpha1.Target{}, ofInstances(m.Client, OnPins), Pins()),
		source.TypedKind(cache, &kronvoyv1alpha1.Target{}, ofInstances(m.Client, func(_ context.Context, t *kronvoyv1alpha1.Target) []kinds.Request {
			return []kinds.Request{RequestForTarget(t)}
		}), index.IgnoreStatus[*kronvoyv1alpha1.Target]()),
		source.TypedKind(cache, &kronvoyv1alpha1.Target{}, soon(m.onReport), reports()),
	} {
		if err := c.Watch(src); err != nil {
			return err
		}
	}
	return nil
}

// ofInstances maps an object to the units of the instances that it is about.
func ofInstances[T client.Object](c client.Reader, instances func(context.Context, T) []kinds.Request) handler.TypedEventHandler[T, Unit] {
	return handler.TypedEnqueueRequestsFromMapFunc(func(ctx context.Context, obj T) []Unit { return units(ctx, c, instances(ctx, obj)) })
}

// soon lets what happens at about the same time lead to one plan. A unit that
// waits already waits no longer therefore.
func soon[T client.Object](find func(context.Context, T) []Unit) handler.TypedEventHandler[T, Unit] {
	enqueue := func(ctx context.Context, obj T, queue workqueue.TypedRateLimitingInterface[Unit]) {
		for _, u := range find(ctx, obj) {
			queue.AddAfter(u, together)
		}
	}
	type limiter = workqueue.TypedRateLimitingInterface[Unit]
	return handler.TypedFuncs[T, Unit]{
		CreateFunc:  func(ctx context.Context, e event.TypedCreateEvent[T], q limiter) { enqueue(ctx, e.Object, q) },
		UpdateFunc:  func(ctx context.Context, e event.TypedUpdateEvent[T], q limiter) { enqueue(ctx, e.ObjectNew, q) },
		DeleteFunc:  func(ctx context.Context, e event.TypedDeleteEvent[T], q limiter) { enqueue(ctx, e.Object, q) },
		GenericFunc: func(ctx context.Context, e event.TypedGenericEvent[T], q limiter) { enqueue(ctx, e.Object, q) },
	}
}

// reports lets through what clusters report of that which gates go by.
func reports() predicate.TypedPredicate[*kronvoyv1alpha1.Target] {
	return index.Changed(func(t *kronvoyv1alpha1.Target) any {
		s := &t.Status
		return []any{s.AssignedAt, s.Revision, s.State, s.Health, s.Message, s.Drift.Objects, s.Clocks, s.Values}
	})
}

// clusterChanged lets through what a rollout, or an expression, reads of a cluster.
func clusterChanged() predicate.TypedPredicate[*clusterv1.ManagedCluster] {
	return index.Changed(func(c *clusterv1.ManagedCluster) any {
		return []any{c.Labels, c.Annotations, c.Spec.HubAcceptsClient, c.Status}
	})
}

func (m *Mover) onReport(ctx context.Context, t *kronvoyv1alpha1.Target) []Unit {
	unit, rolls := ofTarget(ctx, m.Client, t)
	if !rolls {
		return nil
	}
	return []Unit{unit}
}

func (m *Mover) onCluster(ctx context.Context, c *clusterv1.ManagedCluster) []Unit {
	return m.rolling(ctx, client.InNamespace(c.Name))
}

// onNamespace are all units that roll: the hub's own namespace can freeze the fleet.
func (m *Mover) onNamespace(ctx context.Context, n *corev1.Namespace) []Unit {
	if n.Name != m.Namespace {
		return nil
	}
	return m.rolling(ctx)
}

// rolling are the units with a strategy that have Targets.
func (m *Mover) rolling(ctx context.Context, opts ...client.ListOption) []Unit {
	var targets kronvoyv1alpha1.TargetList
	if err := m.Client.List(ctx, &targets, append(opts, client.UnsafeDisableDeepCopy)...); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing targets failed")
		return nil
	}
	found := map[Unit]bool{}
	var out []Unit
	for i := range targets.Items {
		if unit, rolls := ofTarget(ctx, m.Client, &targets.Items[i]); rolls && !found[unit] {
			found[unit] = true
			out = append(out, unit)
		}
	}
	return out
}

// onDistribution are the Distribution's own unit, and the instances that may have
// come into it, or left it.
func (m *Mover) onDistribution(ctx context.Context, d *kronvoyv1alpha1.Distribution) []Unit {
	own := Unit{Distribution: client.ObjectKeyFromObject(d)}
	return append(slices.DeleteFunc(units(ctx, m.Client, OnDistribution(m.Client)(ctx, d)), func(u Unit) bool { return u == own }), own)
}
