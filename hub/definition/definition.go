package definition

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/convert"
	"github.com/kronvoy/kronvoy/hub/index"
	"github.com/kronvoy/kronvoy/hub/kinds"
	"github.com/kronvoy/kronvoy/hub/revision"
)

// Finalizer keeps a definition until its last instance is gone; the name is
// kro's.
const Finalizer = "kro.run/finalizer"

// instancesRecheck is how often a definition under deletion looks whether its
// instances are gone.
const instancesRecheck = 2 * time.Second

// Clock gives the time; conditions carry it.
type Clock interface{ Now() time.Time }

// Reconciler serves one definition at a time.
type Reconciler struct {
	Client client.Client
	// Reader bypasses the cache.
	Reader    client.Reader
	Store     *Store
	Kinds     *kinds.Kinds
	Namespace string
	Clock     Clock

	written index.Written[string]
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	crd := &metav1.PartialObjectMetadata{}
	crd.SetGroupVersionKind(apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinition"))
	return ctrl.NewControllerManagedBy(mgr).Named("definition").
		For(&krov1alpha1.ResourceGraphDefinition{}, builder.WithPredicates(predicate.Or(
			predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		WatchesRawSource(source.Kind(mgr.GetCache(), crd, handler.TypedEnqueueRequestsFromMapFunc(
			func(ctx context.Context, obj *metav1.PartialObjectMetadata) []reconcile.Request {
				return r.concernedBy(ctx, obj)
			}))).
		WithOptions(controller.Options{MaxConcurrentReconciles: 2}).
		Complete(r)
}

// concernedBy are the definition that a CRD was made from, and those that are
// not accepted: a kind they could not find may have come with this CRD.
func (r *Reconciler) concernedBy(ctx context.Context, crd *metav1.PartialObjectMetadata) []reconcile.Request {
	var definitions krov1alpha1.ResourceGraphDefinitionList
	if err := r.Client.List(ctx, &definitions, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "listing definitions")
		return nil
	}
	var requests []reconcile.Request
	for i := range definitions.Items {
		rgd := &definitions.Items[i]
		if rgd.Name == crd.Labels[labelDefinitionName] || rgd.Status.State != krov1alpha1.Active {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKey{Name: rgd.Name}})
		}
	}
	return requests
}

// Reconcile runs load, teardown or compile, serve and status, in this order.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	rgd := &krov1alpha1.ResourceGraphDefinition{}
	if err := r.Client.Get(ctx, req.NamespacedName, rgd); err != nil {
		r.written.Forget(req.Name)
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if r.written.Behind(req.Name, rgd) {
		return index.Later(), nil
	}
	before := rgd.DeepCopy()
	if rgd.DeletionTimestamp != nil {
		return r.teardown(ctx, rgd)
	}
	if controllerutil.AddFinalizer(rgd, Finalizer) {
		if err := r.Client.Patch(ctx, rgd, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
			return reconcile.Result{}, fmt.Errorf("adding the finalizer to definition %s: %w", rgd.Name, err)
		}
		before = rgd.DeepCopy()
	}
	outcome, err := r.serve(ctx, rgd)
	if err != nil {
		outcome.err = err
	} else {
		r.Store.judge(rgd.Name)
	}
	if statusErr := r.writeStatus(ctx, before, rgd, outcome); err == nil {
		err = statusErr
	}
	return index.Settle(reconcile.Result{}, err)
}

// outcome is what came of one attempt to serve a definition.
type outcome struct {
	graph  *graph.Graph
	issues graph.Issues
	// conflict names another owner of the CRD, or what its update would break.
	conflict string
	// kindReady and watching are reached in this order.
	kindReady, watching bool
	revisionNumber      int64
	err                 error
}

// serve compiles the definition, makes sure of its CRD, and switches instances
// over to it. An invalid definition changes nothing that runs: the last good
// revision goes on serving.
func (r *Reconciler) serve(ctx context.Context, rgd *krov1alpha1.ResourceGraphDefinition) (*outcome, error) {
	o := &outcome{}
	var source graph.Source
	source, err := convert.Source(rgd)
	if err != nil {
		o.issues = graph.Issues{{Path: "spec", Offset: -1, Reason: "Unreadable", Message: err.Error()}}
	} else {
		o.graph, o.issues = graph.Compile(source, r.Store.resolver)
	}
	if o.graph == nil {
		return o, r.serveLastGood(ctx, rgd, o)
	}
	kind, err := r.ensureCRD(ctx, rgd, o.graph)
	if err != nil {
		return o, err
	}
	o.conflict, o.kindReady = cmp.Or(kind.conflict, kind.blocked), kind.established
	if kind.blocked != "" {
		// The kind is as it was, and so are its instances.
		err := r.serveLastGood(ctx, rgd, o)
		o.kindReady = false
		return o, err
	}
	if !kind.established {
		return o, nil
	}
	stored, err := r.ensureRevision(ctx, rgd, o.graph)
	if err != nil {
		return o, err
	}
	o.revisionNumber = stored.Revision
	return o, r.start(ctx, rgd.Name, stored.Name, o)
}

// start serves a graph whose kind is established.
func (r *Reconciler) start(ctx context.Context, definition, revisionName string, o *outcome) error {
	g := o.graph
	old, known := r.Store.Serving(g.GroupVersionKind().GroupKind())
	r.Store.serve(Serving{Definition: definition, Revision: revisionName, Graph: g})
	if err := r.Kinds.Ensure(g.GroupVersionKind()); err != nil {
		return err
	}
	o.watching = true
	if known && old.Revision != revisionName {
		r.Kinds.Changed(g.GroupVersionKind())
	}
	return nil
}

// serveLastGood finds the newest stored revision after a restart.
func (r *Reconciler) serveLastGood(ctx context.Context, rgd *krov1alpha1.ResourceGraphDefinition, o *outcome) error {
	if _, serving := r.Store.kindOf(rgd.Name); serving {
		o.kindReady, o.watching = true, true
		return nil
	}
	revisions, err := r.revisions(ctx, rgd.Name)
	if err != nil {
		return err
	}
	newest := revision.Newest(revisions)
	if newest == nil {
		return nil
	}
	g, err := r.Store.Graph(ctx, newest.Name)
	if err != nil {
		return err
	}
	last := &outcome{graph: g}
	if err := r.start(ctx, rgd.Name, newest.Name, last); err != nil {
		return err
	}
	o.kindReady, o.watching, o.revisionNumber = true, true, newest.Revision
	return nil
}

func (r *Reconciler) revisions(ctx context.Context, definition string) ([]appsv1.ControllerRevision, error) {
	var list appsv1.ControllerRevisionList
	err := r.Reader.List(ctx, &list, client.InNamespace(r.Namespace), client.MatchingLabels(revision.DefinitionSelector(definition)))
	if err != nil {
		return nil, fmt.Errorf("listing revisions of definition %s: %w", definition, err)
	}
	return list.Items, nil
}

// ensureRevision stores the definition as it is; a state that was there before
// becomes the newest again.
func (r *Reconciler) ensureRevision(ctx context.Context, rgd *krov1alpha1.ResourceGraphDefinition, g *graph.Graph) (*appsv1.ControllerRevision, error) {
	revisions, err := r.revisions(ctx, rgd.Name)
	if err != nil {
		return nil, err
	}
	newest := revision.Newest(revisions)
	if newest != nil && revision.Hash(newest) == g.Hash() {
		return newest, nil
	}
	number := int64(1)
	if newest != nil {
		number = newest.Revision + 1
	}
	for i := range revisions {
		if revision.Hash(&revisions[i]) != g.Hash() {
			continue
		}
		before := revisions[i].DeepCopy()
		revisions[i].Revision = number
		if err := r.Client.Patch(ctx, &revisions[i], client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
			return nil, fmt.Errorf("renumbering revision %s: %w", revisions[i].Name, err)
		}
		return &revisions[i], nil
	}
	spec, err := json.Marshal(rgd.Spec)
	if err != nil {
		return nil, fmt.Errorf("encoding definition %s: %w", rgd.Name, err)
	}
	owner := metav1.NewControllerRef(rgd, krov1alpha1.GroupVersion.WithKind("ResourceGraphDefinition"))
	stored, err := revision.Definition{Name: rgd.Name, Hash: g.Hash(), Spec: spec}.Object(r.Namespace, number, *owner)
	if err != nil {
		return nil, err
	}
	if err := r.Client.Create(ctx, stored, client.FieldOwner(kronvoyv1alpha1.FieldManagerHub)); err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, fmt.Errorf("storing revision %s: %w", stored.Name, err)
	}
	return stored, r.prune(ctx, revisions)
}

// prune deletes old revisions beyond the limit that no instance revision was
// made for: what a cluster runs can always be rendered again.
func (r *Reconciler) prune(ctx context.Context, revisions []appsv1.ControllerRevision) error {
	slices.SortFunc(revisions, func(a, b appsv1.ControllerRevision) int { return cmp.Compare(b.Revision, a.Revision) })
	for i := revision.Limit; i < len(revisions); i++ {
		old := &revisions[i]
		users := &metav1.PartialObjectMetadataList{}
		users.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("ControllerRevisionList"))
		if err := r.Reader.List(ctx, users, client.MatchingLabels(revision.UsersSelector(old.Name)), client.Limit(1)); err != nil {
			return fmt.Errorf("looking for users of revision %s: %w", old.Name, err)
		}
		if len(users.Items) > 0 {
			continue
		}
		if err := r.Client.Delete(ctx, old); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting revision %s: %w", old.Name, err)
		}
		r.Store.drop(old.Name)
	}
	return nil
}

// teardown keeps a definition until its last instance is gone: without it
// nobody would take the instances' finalizers off.
func (r *Reconciler) teardown(ctx context.Context, rgd *krov1alpha1.ResourceGraphDefinition) (reconcile.Result, error) {
	if !controllerutil.ContainsFinalizer(rgd, Finalizer) {
		return reconcile.Result{}, nil
	}
	gvk, err := r.lastKind(rgd)
	if err != nil {
		return reconcile.Result{}, err
	}
	left, err := r.instances(ctx, gvk)
	if err != nil {
		return reconcile.Result{}, err
	}
	before := rgd.DeepCopy()
	if left {
		// After a restart nobody else would see the instances go.
		serveErr := r.serveLastGood(ctx, rgd, &outcome{})
		r.Store.judge(rgd.Name)
		o := &outcome{err: fmt.Errorf("instances of %s still exist: delete them, or take their finalizer %s off", gvk.Kind, kronvoyv1alpha1.FinalizerInstance)}
		if err := r.writeStatus(ctx, before, rgd, o); err != nil {
			return reconcile.Result{}, err
		}
		return reconcile.Result{RequeueAfter: instancesRecheck}, serveErr
	}
	if err := r.Kinds.Remove(ctx, gvk); err != nil {
		return reconcile.Result{}, err
	}
	r.Store.withdraw(rgd.Name)
	controllerutil.RemoveFinalizer(rgd, Finalizer)
	return reconcile.Result{}, client.IgnoreNotFound(r.Client.Patch(ctx, rgd, client.MergeFrom(before)))
}

func (r *Reconciler) lastKind(rgd *krov1alpha1.ResourceGraphDefinition) (runtimeschema.GroupVersionKind, error) {
	if gvk, serving := r.Store.kindOf(rgd.Name); serving {
		return gvk, nil
	}
	if rgd.Spec.Schema == nil {
		return runtimeschema.GroupVersionKind{}, nil
	}
	return runtimeschema.GroupVersionKind{Group: rgd.Spec.Schema.Group, Version: rgd.Spec.Schema.APIVersion, Kind: rgd.Spec.Schema.Kind}, nil
}

// instances is true while any instance of the kind exists.
func (r *Reconciler) instances(ctx context.Context, gvk runtimeschema.GroupVersionKind) (bool, error) {
	if gvk.Kind == "" {
		return false, nil
	}
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
	err := r.Reader.List(ctx, list, client.Limit(1))
	if apierrors.IsNotFound(err) || isNoMatch(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for instances of %s: %w", gvk, err)
	}
	return len(list.Items) > 0, nil
}

func unmarshal(raw []byte, into any) error { return utiljson.Unmarshal(raw, into) }
