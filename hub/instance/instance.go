// Package instance looks at one instance as a whole: it keeps its revisions,
// sums up what became of it on all clusters, and takes it down.
package instance

import (
	"context"
	"fmt"

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
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/definition"
	"github.com/kronvoy/kronvoy/hub/events"
	"github.com/kronvoy/kronvoy/hub/index"
	"github.com/kronvoy/kronvoy/hub/kinds"
	"github.com/kronvoy/kronvoy/hub/metrics"
	"github.com/kronvoy/kronvoy/hub/override"
	"github.com/kronvoy/kronvoy/hub/pace"
	"github.com/kronvoy/kronvoy/hub/policy"
	"github.com/kronvoy/kronvoy/hub/rollout"
	"github.com/kronvoy/kronvoy/hub/work"
	"github.com/kronvoy/kronvoy/internal/trace"
)

// Reconciler handles one instance at a time.
type Reconciler struct {
	Client client.Client
	// Reader bypasses the cache where a new revision is numbered.
	Reader    client.Reader
	Store     *definition.Store
	Namespace string
	Clock     clock.Clock
	Events    *events.Recorder
	Placer    rollout.Placer
	// Metrics count what is done; nil counts nothing.
	Metrics *metrics.Metrics
	// Tracer begins a trace with each revision; nil does not.
	Tracer *trace.Tracer

	pace      pace.Pace[kinds.Request]
	numbers   numbers
	overrides override.Cache
	written   index.Written[kinds.Request]
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, k *kinds.Kinds) error {
	c, err := controller.NewTyped("instance", mgr, controller.TypedOptions[kinds.Request]{Reconciler: r, MaxConcurrentReconciles: 8})
	if err != nil {
		return err
	}
	k.Subscribe(func(gvk schema.GroupVersionKind) error {
		return c.Watch(source.TypedKind(mgr.GetCache(), kinds.Object(gvk),
			handler.TypedEnqueueRequestsFromMapFunc(func(_ context.Context, obj *unstructured.Unstructured) []kinds.Request {
				return []kinds.Request{kinds.RequestFor(obj)}
			}), index.IgnoreStatus[*unstructured.Unstructured]()))
	})
	if err := c.Watch(source.TypedChannel(k.Changes(), handler.TypedEnqueueRequestsFromMapFunc(r.ofKind))); err != nil {
		return err
	}
	// Where it runs is part of what is summed up.
	if err := c.Watch(source.TypedKind(mgr.GetCache(), &clusterv1beta1.PlacementDecision{},
		handler.TypedEnqueueRequestsFromMapFunc(rollout.OnDecision(r.Client)))); err != nil {
		return err
	}
	if err := c.Watch(source.TypedKind(mgr.GetCache(), &clusterv1beta1.Placement{},
		handler.TypedEnqueueRequestsFromMapFunc(rollout.OnPlacement(r.Client)), rollout.Placements())); err != nil {
		return err
	}
	if err := c.Watch(source.TypedKind(mgr.GetCache(), &kronvoyv1alpha1.Distribution{},
		handler.TypedEnqueueRequestsFromMapFunc(r.onDistribution), index.IgnoreStatus[*kronvoyv1alpha1.Distribution]())); err != nil {
		return err
	}
	if err := c.Watch(source.TypedKind(mgr.GetCache(), &clusterv1.ManagedCluster{},
		handler.TypedEnqueueRequestsFromMapFunc(rollout.OnMembership(r.Client)), rollout.Membership())); err != nil {
		return err
	}
	if err := c.Watch(source.TypedKind(mgr.GetCache(), &kronvoyv1alpha1.Target{},
		handler.TypedEnqueueRequestsFromMapFunc(rollout.OnPins), rollout.Pins())); err != nil {
		return err
	}
	if err := c.Watch(source.TypedKind(mgr.GetCache(), &kronvoyv1alpha1.ApprovalRequest{},
		handler.TypedEnqueueRequestsFromMapFunc(func(_ context.Context, a *kronvoyv1alpha1.ApprovalRequest) []kinds.Request {
			return rollout.OnApproval(a)
		}))); err != nil {
		return err
	}
	if err := c.Watch(source.TypedKind(mgr.GetCache(), &kronvoyv1alpha1.Rollout{},
		handler.TypedEnqueueRequestsFromMapFunc(rollout.OnPhase(r.Client)), rollout.Phases())); err != nil {
		return err
	}
	return c.Watch(source.TypedKind(mgr.GetCache(), &kronvoyv1alpha1.Target{},
		handler.TypedEnqueueRequestsFromMapFunc(func(_ context.Context, t *kronvoyv1alpha1.Target) []kinds.Request {
			return []kinds.Request{rollout.RequestForTarget(t)}
		})))
}

// onDistribution are the instances that a Distribution may select, also those that
// have no revision because of it.
func (r *Reconciler) onDistribution(ctx context.Context, d *kronvoyv1alpha1.Distribution) []kinds.Request {
	serving, served := r.Store.Serving(policy.KindOf(d))
	if !served {
		return nil
	}
	return r.list(ctx, serving.Graph.GroupVersionKind(), client.InNamespace(d.Namespace))
}

// ofKind are all instances of a kind.
func (r *Reconciler) ofKind(ctx context.Context, gvk schema.GroupVersionKind) []kinds.Request {
	return r.list(ctx, gvk)
}

func (r *Reconciler) list(ctx context.Context, gvk schema.GroupVersionKind, opts ...client.ListOption) []kinds.Request {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
	if err := r.Client.List(ctx, list, append(opts, client.UnsafeDisableDeepCopy)...); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing instances failed", "kind", gvk.String())
		return nil
	}
	requests := make([]kinds.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, kinds.RequestFor(&list.Items[i]))
	}
	return requests
}

// scope is what one reconciliation works on.
type scope struct {
	identity work.Identity
	instance *unstructured.Unstructured
	targets  []kronvoyv1alpha1.Target
	// owner is nil where no Distribution owns the instance; read-only.
	owner   *kronvoyv1alpha1.Distribution
	serving definition.Serving
	served  bool
	newest  *appsv1.ControllerRevision
	// refused is why there is no revision of the instance as it is now; empty if
	// there is.
	refused string
}

// Reconcile runs load, teardown or finalizer, revision and status, in this
// order.
func (r *Reconciler) Reconcile(ctx context.Context, req kinds.Request) (reconcile.Result, error) {
	if r.Store.Yielded(req.GVK().GroupKind()) {
		return reconcile.Result{RequeueAfter: definition.YieldedRecheck}, nil
	}
	return index.Settle(r.reconcile(ctx, req))
}

func (r *Reconciler) reconcile(ctx context.Context, req kinds.Request) (reconcile.Result, error) {
	s, err := r.load(ctx, req)
	if err != nil {
		return reconcile.Result{}, err
	}
	if s.instance == nil {
		r.pace.Forget(req)
		r.written.Forget(req)
		r.numbers.forget(s.identity)
		return reconcile.Result{}, r.deleteTargets(ctx, s)
	}
	if s.instance.GetDeletionTimestamp() != nil {
		return r.teardown(ctx, req, s)
	}
	if !controllerutil.ContainsFinalizer(s.instance, kronvoyv1alpha1.FinalizerInstance) {
		if err := r.addFinalizer(ctx, s); err != nil {
			return reconcile.Result{}, err
		}
	}
	if s.served {
		if err := r.ensureRevision(ctx, s); err != nil {
			return reconcile.Result{}, err
		}
	}
	return r.writeStatus(ctx, req, s)
}

func (r *Reconciler) load(ctx context.Context, req kinds.Request) (*scope, error) {
	s := &scope{identity: work.Identity{Group: req.Group, Version: req.Version, Kind: req.Kind, Namespace: req.Namespace, Name: req.Name}}
	instance := kinds.Object(req.GVK())
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: req.Namespace, Name: req.Name}, instance)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("reading instance %s: %w", s.identity, err)
	}
	if err == nil {
		s.instance = instance
	}
	s.serving, s.served = r.Store.Serving(req.GVK().GroupKind())
	if s.targets, err = index.Targets(ctx, r.Client, s.identity); err != nil || s.instance == nil {
		return s, err
	}
	s.owner, err = rollout.Owner(ctx, r.Client, s.instance, s.targets)
	return s, err
}

// addFinalizer goes on with the object as the server has it now: there is no
// reason to wait for its event.
func (r *Reconciler) addFinalizer(ctx context.Context, s *scope) error {
	before := s.instance.DeepCopy()
	controllerutil.AddFinalizer(s.instance, kronvoyv1alpha1.FinalizerInstance)
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Patch(ctx, s.instance, patch, client.FieldOwner(kronvoyv1alpha1.FieldManagerHub)); err != nil {
		return fmt.Errorf("adding the finalizer to %s: %w", s.identity, err)
	}
	return nil
}

// teardown deletes Targets and lets go of the instance when the last is gone.
func (r *Reconciler) teardown(ctx context.Context, req kinds.Request, s *scope) (reconcile.Result, error) {
	if !controllerutil.ContainsFinalizer(s.instance, kronvoyv1alpha1.FinalizerInstance) {
		return reconcile.Result{}, nil
	}
	if len(s.targets) > 0 {
		if err := r.deleteTargets(ctx, s); err != nil {
			return reconcile.Result{}, err
		}
		return r.writeStatus(ctx, req, s)
	}
	// The cache may not have seen a Target yet that was created a moment ago.
	var live kronvoyv1alpha1.TargetList
	if err := r.Reader.List(ctx, &live, client.MatchingLabels{kronvoyv1alpha1.LabelInstance: s.identity.Hash()}); err != nil {
		return reconcile.Result{}, fmt.Errorf("listing targets of %s: %w", s.identity, err)
	}
	if s.targets = live.Items; len(s.targets) > 0 {
		return reconcile.Result{}, r.deleteTargets(ctx, s)
	}
	before := s.instance.DeepCopy()
	controllerutil.RemoveFinalizer(s.instance, kronvoyv1alpha1.FinalizerInstance)
	if err := r.Client.Patch(ctx, s.instance, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); client.IgnoreNotFound(err) != nil {
		return reconcile.Result{}, fmt.Errorf("removing the finalizer of %s: %w", s.identity, err)
	}
	return reconcile.Result{}, nil
}

// deleteTargets deletes what is not being deleted yet; each Target then takes
// its works down wave by wave.
func (r *Reconciler) deleteTargets(ctx context.Context, s *scope) error {
	for i := range s.targets {
		target := &s.targets[i]
		if target.DeletionTimestamp != nil {
			continue
		}
		if err := r.Client.Delete(ctx, target, client.Preconditions{UID: &target.UID}); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("removing %s from cluster %s: %w", s.identity, target.Namespace, err)
		}
	}
	return nil
}

func ownerOf(instance *unstructured.Unstructured) metav1.OwnerReference {
	return *metav1.NewControllerRef(instance, instance.GroupVersionKind())
}
