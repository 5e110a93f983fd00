// Package distribution says of each Distribution what it comes to: whether it
// can be used, whether what it names is there, and which instances it owns; and
// it keeps a Placement for one that selects clusters by their labels. What
// follows from it is decided elsewhere: owner and clusters in hub/rollout, the
// works in hub/target.
package distribution

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/convert"
	"github.com/kronvoy/kronvoy/hub/definition"
	"github.com/kronvoy/kronvoy/hub/index"
	"github.com/kronvoy/kronvoy/hub/kinds"
	"github.com/kronvoy/kronvoy/hub/override"
	"github.com/kronvoy/kronvoy/hub/policy"
	"github.com/kronvoy/kronvoy/hub/rollout"
	"github.com/kronvoy/kronvoy/hub/work"
)

// Reconciler handles one Distribution at a time.
type Reconciler struct {
	Client client.Client
	Store  *definition.Store
	Clock  clock.Clock
	Placer rollout.Placer
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, k *kinds.Kinds) error {
	c, err := controller.New("distribution", mgr, controller.Options{Reconciler: r})
	if err != nil {
		return err
	}
	cache := mgr.GetCache()
	k.Subscribe(func(gvk schema.GroupVersionKind) error {
		return c.Watch(source.TypedKind(cache, kinds.Object(gvk), handler.TypedEnqueueRequestsFromMapFunc(
			func(ctx context.Context, obj *unstructured.Unstructured) []reconcile.Request {
				return r.of(ctx, gvk.GroupKind(), client.InNamespace(obj.GetNamespace()))
			}), index.Changed(func(obj *unstructured.Unstructured) any { return obj.GetLabels() })))
	})
	for _, src := range []source.Source{
		// What one selects another may lose.
		source.TypedKind(cache, &kronvoyv1alpha1.Distribution{}, handler.TypedEnqueueRequestsFromMapFunc(
			func(ctx context.Context, d *kronvoyv1alpha1.Distribution) []reconcile.Request {
				self := reconcile.Request{NamespacedName: client.ObjectKeyFromObject(d)}
				return append(r.of(ctx, policy.KindOf(d), client.InNamespace(d.Namespace)), self)
			}), index.IgnoreStatus[*kronvoyv1alpha1.Distribution]()),
		source.TypedKind(cache, &kronvoyv1alpha1.Target{}, handler.TypedEnqueueRequestsFromMapFunc(
			func(ctx context.Context, t *kronvoyv1alpha1.Target) []reconcile.Request {
				identity := work.IdentityOf(t.Spec.Instance)
				return r.of(ctx, schema.GroupKind{Group: identity.Group, Kind: identity.Kind}, client.InNamespace(identity.Namespace))
			}), index.Changed(func(t *kronvoyv1alpha1.Target) any { return t.Spec.Distribution })),
		source.TypedKind(cache, &clusterv1beta1.Placement{}, placing(r, func(p *clusterv1beta1.Placement) string { return p.Name })),
		source.TypedKind(cache, &clusterv1beta1.PlacementDecision{}, placing(r, func(d *clusterv1beta1.PlacementDecision) string {
			return d.Labels[clusterv1beta1.PlacementLabel]
		})),
		source.TypedKind(cache, &kronvoyv1alpha1.ApprovalRequest{}, handler.TypedEnqueueRequestsFromMapFunc(
			func(ctx context.Context, a *kronvoyv1alpha1.ApprovalRequest) []reconcile.Request {
				if a.Spec.Instance == nil {
					return nil
				}
				identity := work.IdentityOf(*a.Spec.Instance)
				return r.of(ctx, schema.GroupKind{Group: identity.Group, Kind: identity.Kind}, client.InNamespace(a.Namespace))
			})),
		source.TypedKind(cache, &kronvoyv1alpha1.Rollout{}, handler.TypedEnqueueRequestsFromMapFunc(
			func(_ context.Context, o *kronvoyv1alpha1.Rollout) []reconcile.Request {
				return []reconcile.Request{{NamespacedName: client.ObjectKeyFromObject(o)}}
			})),
		// Its status is written after the kind is served, and when it is no more.
		source.TypedKind(cache, &krov1alpha1.ResourceGraphDefinition{}, handler.TypedEnqueueRequestsFromMapFunc(
			func(ctx context.Context, rgd *krov1alpha1.ResourceGraphDefinition) []reconcile.Request {
				if rgd.Spec.Schema == nil {
					return nil
				}
				return r.of(ctx, schema.GroupKind{Group: rgd.Spec.Schema.Group, Kind: rgd.Spec.Schema.Kind})
			})),
	} {
		if err := c.Watch(src); err != nil {
			return err
		}
	}
	return nil
}

// of are the Distributions for instances of a kind.
func (r *Reconciler) of(ctx context.Context, kind schema.GroupKind, opts ...client.ListOption) []reconcile.Request {
	return r.those(ctx, func(d *kronvoyv1alpha1.Distribution) bool { return policy.KindOf(d) == kind }, opts...)
}

func (r *Reconciler) those(ctx context.Context, concerned func(*kronvoyv1alpha1.Distribution) bool, opts ...client.ListOption) []reconcile.Request {
	var list kronvoyv1alpha1.DistributionList
	if err := r.Client.List(ctx, &list, append(opts, client.UnsafeDisableDeepCopy)...); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing distributions failed")
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		if concerned(&list.Items[i]) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
	}
	return requests
}

// Reconcile keeps the Distribution's Placement, gathers, judges and writes the
// status.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	d := &kronvoyv1alpha1.Distribution{}
	if err := r.Client.Get(ctx, req.NamespacedName, d); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	kind := policy.KindOf(d)
	view := policy.View{Distribution: d, Now: metav1.NewTime(r.Clock.Now())}
	if err := r.place(ctx, d, &view); err != nil {
		return index.Settle(reconcile.Result{}, err)
	}
	serving, served := r.Store.Serving(kind)
	if served {
		view.APIVersion, view.Nodes = serving.Graph.GroupVersionKind().GroupVersion().String(), governed(serving.Graph)
		view.Unfit = unfit(d, serving.Graph)
		var err error
		if view.Instances, err = r.instances(ctx, d, serving.Graph.GroupVersionKind()); err != nil {
			return reconcile.Result{}, err
		}
		var questions kronvoyv1alpha1.ApprovalRequestList
		if err := r.Client.List(ctx, &questions, client.InNamespace(d.Namespace), client.UnsafeDisableDeepCopy); err != nil {
			return reconcile.Result{}, fmt.Errorf("listing approval requests in namespace %s: %w", d.Namespace, err)
		}
		view.Approvals = questions.Items
	} else if unjudged, err := r.Store.Unjudged(ctx, r.Client, kind); err != nil || unjudged {
		return reconcile.Result{RequeueAfter: definition.UnjudgedRecheck}, err
	}
	var err error
	if view.Rollout, err = r.rollout(ctx, d); err != nil {
		return reconcile.Result{}, err
	}
	before := d.DeepCopy()
	if d.Status = policy.Judge(view); equality.Semantic.DeepEqual(before.Status, d.Status) {
		return reconcile.Result{}, nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	err = r.Client.Status().Patch(ctx, d, patch, client.FieldOwner(kronvoyv1alpha1.FieldManagerHub))
	if client.IgnoreNotFound(err) != nil {
		err = fmt.Errorf("writing status of distribution %s: %w", req, err)
	}
	return index.Settle(reconcile.Result{}, client.IgnoreNotFound(err))
}

// place keeps the Distribution's Placement, and says in the view what is wrong
// with where it places. With one that cannot be used all stays as it is.
func (r *Reconciler) place(ctx context.Context, d *kronvoyv1alpha1.Distribution, view *policy.View) error {
	if _, err := policy.On(&d.Spec, nil); err != nil {
		return nil //nolint:nilerr // the condition Accepted says so
	}
	if err := r.keepPlacement(ctx, d); err != nil || d.Spec.Placement == nil {
		return err
	}
	decision, err := r.Placer.ByDistribution(ctx, d)
	if err == nil && decision.Reason != rollout.ReasonPlaced {
		view.PlacementReason, view.PlacementMessage = decision.Reason, decision.Message
	}
	return err
}

// rollout is that of the Distribution's instances together; nil for none.
func (r *Reconciler) rollout(ctx context.Context, d *kronvoyv1alpha1.Distribution) (*kronvoyv1alpha1.Rollout, error) {
	if !rollout.Together(d) {
		return nil, nil
	}
	found := &kronvoyv1alpha1.Rollout{}
	err := r.Client.Get(ctx, client.ObjectKeyFromObject(d), found, client.UnsafeDisableDeepCopy)
	if apierrors.IsNotFound(err) || err == nil && !metav1.IsControlledBy(found, d) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading Rollout %s/%s: %w", d.Namespace, d.Name, err)
	}
	return found, nil
}

// governed are the nodes of a graph, true for those that take policies.
func governed(g *graph.Graph) map[string]bool {
	nodes := map[string]bool{}
	for _, node := range g.Nodes() {
		nodes[node.ID] = node.Kind != graph.External && node.Definition == ""
	}
	return nodes
}

// unfit is what of a Distribution does not fit the kind of its instances.
func unfit(d *kronvoyv1alpha1.Distribution, g *graph.Graph) error {
	if _, err := convert.Strategy(d.Spec.Rollout); err != nil {
		return err
	}
	if _, err := policy.Gate(g, d); err != nil {
		return err
	}
	if _, err := override.Compile(g, d.Spec.Overrides); err != nil {
		return err
	}
	_, err := policy.Aggregates(g, d)
	return err
}

// instances are those that a Distribution selects or owns, with their owners.
func (r *Reconciler) instances(ctx context.Context, d *kronvoyv1alpha1.Distribution, gvk schema.GroupVersionKind) ([]policy.Owned, error) {
	var all kronvoyv1alpha1.DistributionList
	if err := r.Client.List(ctx, &all, client.InNamespace(d.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing distributions in namespace %s: %w", d.Namespace, err)
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
	if err := r.Client.List(ctx, list, client.InNamespace(d.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing instances of %s in namespace %s: %w", gvk.Kind, d.Namespace, err)
	}
	var found []policy.Owned
	for i := range list.Items {
		instance := &list.Items[i]
		var targets kronvoyv1alpha1.TargetList
		err := r.Client.List(ctx, &targets, client.MatchingFields{index.Instance: work.IdentityOfInstance(instance).Hash()}, client.UnsafeDisableDeepCopy)
		if err != nil {
			return nil, fmt.Errorf("listing targets of %s %s/%s: %w", gvk.Kind, d.Namespace, instance.GetName(), err)
		}
		owner := policy.Owner(policy.Instance{Kind: gvk.GroupKind(), Labels: instance.GetLabels()}, all.Items, policy.Recorded(targets.Items))
		// What is wrong with a selector the condition Accepted says.
		if selected, err := policy.Selects(&d.Spec, instance.GetLabels()); owner == d.Name || err == nil && selected {
			found = append(found, policy.Owned{Name: instance.GetName(), Owner: owner})
		}
	}
	return found, nil
}
