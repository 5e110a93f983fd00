package target

import (
	"context"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	workv1 "open-cluster-management.io/api/work/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
	mccontroller "sigs.k8s.io/multicluster-runtime/pkg/controller"
	mcmanager "sigs.k8s.io/multicluster-runtime/pkg/manager"
	"sigs.k8s.io/multicluster-runtime/pkg/multicluster"
	mcreconcile "sigs.k8s.io/multicluster-runtime/pkg/reconcile"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/index"
	"github.com/kronvoy/kronvoy/hub/kinds"
	"github.com/kronvoy/kronvoy/hub/rollout"
	"github.com/kronvoy/kronvoy/hub/work"
)

// firstRetry is the wait after the first error in a row.
const firstRetry = 10 * time.Millisecond

// workers is how many Targets are handled at once.
const workers = 8

// SetupWithManager registers the controller. Its keys name a cluster, but all
// its watches are on the hub: it never talks to a spoke.
func (r *Reconciler) SetupWithManager(mgr mcmanager.Manager, k *kinds.Kinds) error {
	local := mgr.GetLocalManager()
	options := controller.TypedOptions[mcreconcile.Request]{
		Reconciler:              r,
		MaxConcurrentReconciles: workers,
		Logger:                  local.GetLogger(),
		// Once the API server answers again nobody waits longer than for a Target
		// that is blocked.
		RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[mcreconcile.Request](firstRetry, blockedRetry),
	}
	options.DefaultFromConfig(local.GetControllerOptions())
	c, err := mccontroller.NewTyped("target", mgr, options)
	if err != nil {
		return err
	}
	k.Subscribe(func(gvk schema.GroupVersionKind) error {
		// What a Target made, or reads, concerns it with its status.
		if err := c.Watch(source.TypedKind(local.GetCache(), kinds.Object(gvk), handler.TypedEnqueueRequestsFromMapFunc(r.ofChild))); err != nil {
			return err
		}
		return c.Watch(source.TypedKind(local.GetCache(), kinds.Object(gvk), handler.TypedEnqueueRequestsFromMapFunc(r.ofInstance),
			index.IgnoreStatus[*unstructured.Unstructured]()))
	})
	cache := local.GetCache()
	for _, src := range []source.TypedSource[mcreconcile.Request]{
		source.TypedKind(cache, &kronvoyv1alpha1.Target{}, handler.TypedEnqueueRequestsFromMapFunc(
			func(_ context.Context, t *kronvoyv1alpha1.Target) []mcreconcile.Request { return requests(t) }),
			predicate.Or(decided(), rollout.Pins())),
		source.TypedKind(cache, &workv1.ManifestWork{}, r.fromWorks()),
		source.TypedKind(cache, &kronvoyv1alpha1.WorkReport{}, r.fromReports()),
		// What a revision holds never changes; what is noted on it does.
		source.TypedKind(cache, &appsv1.ControllerRevision{}, handler.TypedEnqueueRequestsFromMapFunc(r.ofRevision),
			index.Changed(func(r *appsv1.ControllerRevision) any { return r.UID })),
		source.TypedKind(cache, &corev1.Namespace{}, handler.TypedEnqueueRequestsFromMapFunc(r.ofNamespace),
			index.Changed(func(n *corev1.Namespace) any { return n.Annotations })),
		source.TypedKind(cache, &kronvoyv1alpha1.Distribution{}, handler.TypedEnqueueRequestsFromMapFunc(r.ofDistribution),
			index.IgnoreStatus[*kronvoyv1alpha1.Distribution]()),
		source.TypedKind(cache, &clusterv1.ManagedCluster{}, handler.TypedEnqueueRequestsFromMapFunc(r.ofCluster),
			clusterChanged()),
		source.TypedKind(cache, &krov1alpha1.ResourceGraphDefinition{}, handler.TypedEnqueueRequestsFromMapFunc(r.ofDefinition), gone()),
	} {
		if err := c.Watch(src); err != nil {
			return err
		}
	}
	return nil
}

// decided lets through what an evaluation goes by. What hub/rollout notes beside
// an assignment is no part of that: each cluster of a rollout would be evaluated
// anew when its gates open, and when it passes.
func decided() predicate.TypedPredicate[*kronvoyv1alpha1.Target] {
	return index.Changed(func(t *kronvoyv1alpha1.Target) any {
		spec := t.Spec
		spec.PassedAt, spec.Gates = nil, nil
		return []any{spec, t.DeletionTimestamp.IsZero(), t.Labels, t.Annotations, t.Finalizers}
	})
}

func requests(targets ...*kronvoyv1alpha1.Target) []mcreconcile.Request {
	out := make([]mcreconcile.Request, 0, len(targets))
	for _, t := range targets {
		out = append(out, mcreconcile.Request{
			ClusterName: multicluster.ClusterName(t.Namespace),
			Request:     reconcile.Request{NamespacedName: types.NamespacedName{Name: t.Name}},
		})
	}
	return out
}

// ofWork finds the Target by the name that a work's name begins with; the work
// of a namespace concerns all Targets that need it.
func (r *Reconciler) ofWork(ctx context.Context, w client.Object) []mcreconcile.Request {
	if namespace := w.GetLabels()[kronvoyv1alpha1.LabelNamespaceWork]; namespace != "" {
		return r.list(ctx, func(t *kronvoyv1alpha1.Target) bool { return t.Spec.Instance.Namespace == namespace }, client.InNamespace(w.GetNamespace()))
	}
	hash := w.GetLabels()[kronvoyv1alpha1.LabelInstance]
	if hash == "" {
		return nil
	}
	return r.list(ctx, nil, client.InNamespace(w.GetNamespace()), client.MatchingFields{index.Instance: hash})
}

func (r *Reconciler) ofInstance(ctx context.Context, obj *unstructured.Unstructured) []mcreconcile.Request {
	req := kinds.RequestFor(obj)
	identity := work.Identity{Group: req.Group, Version: req.Version, Kind: req.Kind, Namespace: req.Namespace, Name: req.Name}
	return r.list(ctx, nil, client.MatchingFields{index.Instance: identity.Hash()})
}

func (r *Reconciler) ofChild(ctx context.Context, obj *unstructured.Unstructured) []mcreconcile.Request {
	return r.list(ctx, nil, client.MatchingFields{index.Child: work.IdentityOfInstance(obj).Hash()})
}

func (r *Reconciler) ofRevision(ctx context.Context, revision *appsv1.ControllerRevision) []mcreconcile.Request {
	hash := revision.Labels[kronvoyv1alpha1.LabelInstance]
	if hash == "" {
		return nil
	}
	return r.list(ctx, func(t *kronvoyv1alpha1.Target) bool { return t.Spec.Revision == revision.Name }, client.MatchingFields{index.Instance: hash})
}

func (r *Reconciler) ofCluster(ctx context.Context, c *clusterv1.ManagedCluster) []mcreconcile.Request {
	return r.list(ctx, nil, client.InNamespace(c.Name))
}

// ofNamespace are the Targets that a namespace's annotations concern: the hub's
// own can freeze the fleet.
func (r *Reconciler) ofNamespace(ctx context.Context, n *corev1.Namespace) []mcreconcile.Request {
	if n.Name == r.Namespace {
		return r.list(ctx, nil)
	}
	return r.listNested(ctx, func(t *kronvoyv1alpha1.Target) bool { return t.Spec.Instance.Namespace == n.Name })
}

func (r *Reconciler) ofDistribution(ctx context.Context, d *kronvoyv1alpha1.Distribution) []mcreconcile.Request {
	return r.listNested(ctx, func(t *kronvoyv1alpha1.Target) bool {
		return t.Spec.Instance.Namespace == d.Namespace && t.Spec.Distribution == d.Name
	})
}

// ofDefinition are the Targets that made instances of a definition's kind, or read
// some. The watch of the kind ends with its last instance, and may not have told
// that this one is gone.
func (r *Reconciler) ofDefinition(ctx context.Context, rgd *krov1alpha1.ResourceGraphDefinition) []mcreconcile.Request {
	s := rgd.Spec.Schema
	if s == nil {
		return nil
	}
	kind := schema.GroupKind{Group: s.Group, Kind: s.Kind}
	return r.list(ctx, func(t *kronvoyv1alpha1.Target) bool {
		return slices.ContainsFunc(t.Status.Children, func(child kronvoyv1alpha1.ChildReference) bool {
			return work.IdentityOf(child.Reference()).GroupKind() == kind
		})
	})
}

// gone lets through the end of a definition alone.
func gone() predicate.TypedPredicate[*krov1alpha1.ResourceGraphDefinition] {
	return predicate.TypedFuncs[*krov1alpha1.ResourceGraphDefinition]{
		CreateFunc:  func(event.TypedCreateEvent[*krov1alpha1.ResourceGraphDefinition]) bool { return false },
		UpdateFunc:  func(event.TypedUpdateEvent[*krov1alpha1.ResourceGraphDefinition]) bool { return false },
		GenericFunc: func(event.TypedGenericEvent[*krov1alpha1.ResourceGraphDefinition]) bool { return false },
	}
}

// listNested are Targets, and those of the instances that were made for them,
// which are applied in the same name.
func (r *Reconciler) listNested(ctx context.Context, keep func(*kronvoyv1alpha1.Target) bool) []mcreconcile.Request {
	type place struct{ cluster, instance string }
	made := map[place]bool{}
	out := r.list(ctx, func(t *kronvoyv1alpha1.Target) bool {
		kept := keep(t)
		for _, child := range t.Status.Children {
			if kept && !child.ReadOnly {
				made[place{t.Namespace, work.IdentityOf(child.Reference()).Hash()}] = true
			}
		}
		return kept
	})
	if len(made) == 0 {
		return out
	}
	return append(out, r.listNested(ctx, func(t *kronvoyv1alpha1.Target) bool {
		return !keep(t) && made[place{t.Namespace, work.IdentityOf(t.Spec.Instance).Hash()}]
	})...)
}

func (r *Reconciler) list(ctx context.Context, keep func(*kronvoyv1alpha1.Target) bool, opts ...client.ListOption) []mcreconcile.Request {
	var targets kronvoyv1alpha1.TargetList
	if err := r.Client.List(ctx, &targets, append(opts, client.UnsafeDisableDeepCopy)...); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing targets failed")
		return nil
	}
	var out []mcreconcile.Request
	for i := range targets.Items {
		if keep == nil || keep(&targets.Items[i]) {
			out = append(out, requests(&targets.Items[i])...)
		}
	}
	return out
}

// clusterChanged lets through what an expression can read and what says
// whether the cluster can be reached.
func clusterChanged() predicate.TypedPredicate[*clusterv1.ManagedCluster] {
	return index.Changed(func(c *clusterv1.ManagedCluster) any {
		type facts struct {
			Labels, Annotations map[string]string
			Status              clusterv1.ManagedClusterStatus
		}
		status := c.Status
		return facts{c.Labels, c.Annotations, status}
	})
}
