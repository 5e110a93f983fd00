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
	"github.com/kronvoy/kronvoy/hub/events"
	"github.com/kronvoy/kronvoy/hub/index"
	"github.com/kronvoy/kronvoy/hub/kinds"
	"github.com/kronvoy/kronvoy/hub/revision"
)

// Finalizer keeps a definition until its last instance is gone; the name is
// kro's.
const Finalizer = "kro.run/finalizer"

// kindRecheck is how often a definition looks for a kind that is not served. The
// event of a CRD comes before the API server publishes its schema, and an
// aggregated API comes without any.
const kindRecheck = 5 * time.Second

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
	Events    *events.Recorder

	written index.Written[string]
	stated  statements
	kro     kroWatch
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	crd := &metav1.PartialObjectMetadata{}
	crd.SetGroupVersionKind(apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinition"))
	return ctrl.NewControllerManagedBy(mgr).Named("definition").
		For(&krov1alpha1.ResourceGraphDefinition{}, builder.WithPredicates(predicate.Or(
			predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}, r.stated.byOthers()))).
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
		ctrl.LoggerFrom(ctx).Error(err, "Listing definitions failed")
		return nil
	}
	var requests []reconcile.Request
	for i := range definitions.Items {
		rgd := &definitions.Items[i]
		if rgd.Name == crd.Labels[graph.LabelDefinition] || rgd.Status.State != krov1alpha1.Active {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKey{Name: rgd.Name}})
		}
	}
	return requests
}

// Reconcile runs load, teardown or compile, serve and status, in this order. A
// definition that kro's controller looks after is left alone.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	rgd := &krov1alpha1.ResourceGraphDefinition{}
	if err := r.Client.Get(ctx, req.NamespacedName, rgd); err != nil {
		r.written.Forget(req.Name)
		r.stated.forget(req.Name)
		r.kro.forget(req.Name)
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if r.written.Behind(req.Name, rgd) {
		return index.Later(), nil
	}
	sign, err := r.kro.live(ctx, r.Reader, r.Clock.Now(), rgd.Name)
	if err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if sign != "" {
		r.Store.yield(rgd)
		err := r.writeStatus(ctx, rgd.DeepCopy(), rgd, &outcome{kro: sign})
		return index.Settle(reconcile.Result{RequeueAfter: kroRecheck}, err)
	}
	if r.Store.resume(rgd.Name) {
		r.Kinds.Changed(specKind(rgd))
	}
	return r.reconcile(ctx, rgd)
}

func (r *Reconciler) reconcile(ctx context.Context, rgd *krov1alpha1.ResourceGraphDefinition) (reconcile.Result, error) {
	if rgd.DeletionTimestamp != nil {
		return r.teardown(ctx, rgd)
	}
	before := rgd.DeepCopy()
	if controllerutil.AddFinalizer(rgd, Finalizer) {
		if err := r.Client.Patch(ctx, rgd, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
			return reconcile.Result{}, fmt.Errorf("adding the finalizer to definition %s: %w", rgd.Name, err)
		}
		before = rgd.DeepCopy()
	}
	o := &outcome{}
	err := r.serve(ctx, rgd, o)
	if result, settled := index.Settle(reconcile.Result{}, err); err != nil && settled == nil {
		// Somebody else was faster: no fault to tell of.
		return result, nil
	}
	if err == nil {
		r.Store.judge(rgd.Name)
	}
	if statusErr := r.writeStatus(ctx, before, rgd, o); err == nil {
		err = statusErr
	}
	result := reconcile.Result{}
	if slices.ContainsFunc(o.issues, MayComeRight) {
		result.RequeueAfter = kindRecheck
	}
	return index.Settle(result, err)
}

// MayComeRight says whether an issue is none of the author's, but of what the
// hub's API server serves now.
func MayComeRight(issue graph.Issue) bool {
	return issue.Reason == "UnknownKind" || unavailable(issue)
}

// unavailable is an issue that only says that the hub's API server did not
// answer.
func unavailable(issue graph.Issue) bool { return issue.Reason == "SchemaUnavailable" }

// serve compiles the definition, makes sure of its CRD, and switches instances
// over to it. An invalid definition changes nothing that runs: the last good
// revision goes on serving.
func (r *Reconciler) serve(ctx context.Context, rgd *krov1alpha1.ResourceGraphDefinition, o *outcome) error {
	o.graph, o.issues = r.Store.Compile(rgd)
	if o.graph == nil {
		return r.serveLastGood(ctx, rgd, o)
	}
	kind, err := r.ensureKind(ctx, rgd, o.graph)
	if err != nil {
		o.kind = unmet(reasonFailed, err.Error())
		return err
	}
	if kind.kept {
		err := r.serveLastGood(ctx, rgd, o)
		o.kind = unmet(reasonFailed, kind.fault)
		return err
	}
	o.kind = kind.verdict()
	if !kind.established {
		return nil
	}
	stored, err := r.ensureRevision(ctx, rgd, o.graph)
	if err != nil {
		o.revisions = unmet(reasonFailed, err.Error())
		return err
	}
	return r.start(Serving{Definition: rgd.Name, Revision: stored.Name, Graph: o.graph}, stored.Revision, o)
}

// ensureKind is ensureCRD; watches of a kind end with its CRD, and begin anew.
func (r *Reconciler) ensureKind(ctx context.Context, rgd *krov1alpha1.ResourceGraphDefinition, g *graph.Graph) (kindState, error) {
	kind, err := r.ensureCRD(ctx, rgd, g)
	if err == nil && kind.created {
		err = r.Kinds.Remove(ctx, g.GroupVersionKind())
	}
	return kind, err
}

// start serves a graph whose kind is established.
func (r *Reconciler) start(serving Serving, number int64, o *outcome) error {
	gvk := serving.Graph.GroupVersionKind()
	old, known := r.Store.Serving(gvk.GroupKind())
	r.Store.serve(serving)
	o.revisionNumber, o.revisions = number, met("Resolved", fmt.Sprintf("revision %d is stored and served", number))
	if err := r.Kinds.Ensure(gvk); err != nil {
		o.controller = unmet("FailedToStart", err.Error())
		return err
	}
	o.controller = met("Running", "instances are watched")
	if known && (old.Revision != serving.Revision || !old.Graph.Aggregates().Same(serving.Graph.Aggregates())) {
		r.Kinds.Changed(gvk)
	}
	return nil
}

// serveLastGood serves the newest stored revision, if there is one, with the
// CRD that it generates. If another release of Kronvoy made that, what it holds
// becomes a revision of this one.
func (r *Reconciler) serveLastGood(ctx context.Context, rgd *krov1alpha1.ResourceGraphDefinition, o *outcome) error {
	revisions, err := r.revisions(ctx, rgd.Name)
	if err != nil {
		return err
	}
	newest := revision.Newest(revision.Own(revisions, rgd))
	if newest == nil {
		return nil
	}
	g, err := r.Store.Shown(ctx, newest.Name)
	if err != nil {
		return err
	}
	kind, err := r.ensureKind(ctx, rgd, g)
	if err != nil {
		return err
	}
	o.kind = kind.verdict()
	if !kind.established && !kind.kept {
		return nil
	}
	if newest, err = r.ofThisRelease(ctx, rgd, newest, g); err != nil {
		return err
	}
	return r.start(Serving{Definition: rgd.Name, Revision: newest.Name, Graph: g}, newest.Revision, o)
}

// ofThisRelease is a definition's newest revision, or one of this release of Kronvoy
// with what another one stored; g is its graph.
func (r *Reconciler) ofThisRelease(ctx context.Context, rgd *krov1alpha1.ResourceGraphDefinition, newest *appsv1.ControllerRevision, g *graph.Graph) (*appsv1.ControllerRevision, error) {
	if revision.OfThisRelease(newest) {
		return newest, nil
	}
	good, err := definitionOf(newest)
	if err != nil {
		return nil, err
	}
	rgd = rgd.DeepCopy()
	rgd.Spec = good.Spec
	return r.ensureRevision(ctx, rgd, g)
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
// becomes the newest again, and this definition's own.
func (r *Reconciler) ensureRevision(ctx context.Context, rgd *krov1alpha1.ResourceGraphDefinition, g *graph.Graph) (*appsv1.ControllerRevision, error) {
	revisions, err := r.revisions(ctx, rgd.Name)
	if err != nil {
		return nil, err
	}
	newest := revision.Newest(revisions)
	if newest != nil && revision.Hash(newest) == g.Hash() && metav1.IsControlledBy(newest, rgd) {
		return newest, nil
	}
	owner := metav1.NewControllerRef(rgd, krov1alpha1.GroupVersion.WithKind("ResourceGraphDefinition"))
	number := int64(1)
	if newest != nil {
		number = newest.Revision + 1
	}
	for i := range revisions {
		if revision.Hash(&revisions[i]) != g.Hash() {
			continue
		}
		before := revisions[i].DeepCopy()
		revision.Renew(&revisions[i], number, *owner)
		if err := r.Client.Patch(ctx, &revisions[i], client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
			return nil, fmt.Errorf("renumbering revision %s: %w", revisions[i].Name, err)
		}
		return &revisions[i], nil
	}
	spec, err := json.Marshal(rgd.Spec)
	if err != nil {
		return nil, fmt.Errorf("encoding definition %s: %w", rgd.Name, err)
	}
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

func unmarshal(raw []byte, into any) error { return utiljson.Unmarshal(raw, into) }
