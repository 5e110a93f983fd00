package spoke

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcreconcile "sigs.k8s.io/multicluster-runtime/pkg/reconcile"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/apply"
	"github.com/kronvoy/kronvoy/spoke/report"
)

// hubTimeout bounds a write to the hub that applying has to wait for.
const hubTimeout = 5 * time.Second

// minFlush is the wait for a hub that has not taken a report yet.
const minFlush = 100 * time.Millisecond

// reconciler brings one work at a time to what the hub says.
type reconciler struct {
	hub      *hub
	plans    *plans
	applier  *apply.Applier
	observer *report.Observer
	writer   *report.Writer
	grace    time.Duration
	log      logr.Logger
	met      *firsts
}

// Reconcile handles one work by name: the hub's word decides what it is.
func (r *reconciler) Reconcile(ctx context.Context, req mcreconcile.Request) (reconcile.Result, error) {
	name := req.Name
	work, known, err := r.hub.work(ctx, name)
	switch {
	case err != nil:
		return reconcile.Result{}, err
	case !known:
		return reconcile.Result{}, nil // the engaging hub brings every work
	case work == nil:
		return r.vanished(ctx, name)
	case !work.DeletionTimestamp.IsZero():
		return r.teardown(ctx, work)
	}
	if err := r.ensureFinalizer(ctx, work); err != nil {
		return reconcile.Result{}, err
	}
	return r.apply(ctx, work)
}

// apply runs one work and passes on what there is to tell.
func (r *reconciler) apply(ctx context.Context, work *workv1.ManifestWork) (reconcile.Result, error) {
	planned := r.plans.of(work)
	first := r.met.first(work.Name)
	if first {
		if err := r.recall(ctx, planned); err != nil {
			return reconcile.Result{}, err
		}
	}
	if r.writer.Settled(work.Name) {
		if err := r.applier.Flush(ctx, work.Name); err != nil {
			return reconcile.Result{}, err
		}
	}
	changes, err := r.applier.Apply(ctx, planned)
	if err != nil {
		return reconcile.Result{}, err
	}
	obs := r.observer.Observe(changes)
	if !changes.Hold {
		r.writer.Report(obs)
	}
	flush := r.applier.FlushIn(work.Name)
	if flush > 0 && flush < minFlush {
		flush = minFlush // the hub has not heard everything yet
	}
	return reconcile.Result{RequeueAfter: soonest(changes.RetryAfter, flush)}, nil
}

// recall reads what an earlier process reported about a work.
func (r *reconciler) recall(ctx context.Context, planned *apply.Work) error {
	known, err := r.hub.report(ctx, planned.Name)
	if err != nil {
		return err
	}
	if known != nil {
		r.applier.Recall(planned, &known.Status)
	}
	return nil
}

// teardown deletes what a work applied; its finalizer goes last.
func (r *reconciler) teardown(ctx context.Context, work *workv1.ManifestWork) (reconcile.Result, error) {
	if !slices.Contains(work.Finalizers, kronvoyv1alpha1.FinalizerWork) {
		return reconcile.Result{}, nil
	}
	planned := r.plans.of(work)
	changes, done, err := r.applier.Teardown(ctx, planned)
	if err != nil {
		return reconcile.Result{}, err
	}
	r.writer.Report(r.observer.ObserveDeletion(planned, changes, done))
	if done {
		r.forget(work.Name)
		return reconcile.Result{}, nil
	}
	return reconcile.Result{RequeueAfter: changes.RetryAfter}, nil
}

// vanished handles a work that the hub does not have.
func (r *reconciler) vanished(ctx context.Context, name string) (reconcile.Result, error) {
	after, err := r.applier.Vanished(ctx, name, r.grace)
	if err != nil {
		return reconcile.Result{}, err
	}
	if after == 0 {
		r.forget(name)
	}
	return reconcile.Result{RequeueAfter: after}, nil
}

func (r *reconciler) forget(name string) {
	r.plans.forget(name)
	r.observer.Forget(name)
	r.met.forget(name)
}

// ensureFinalizer makes sure, before anything is applied, that the work cannot
// go without its objects.
func (r *reconciler) ensureFinalizer(ctx context.Context, work *workv1.ManifestWork) error {
	if slices.Contains(work.Finalizers, kronvoyv1alpha1.FinalizerWork) {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"resourceVersion": work.ResourceVersion,
		"finalizers":      append(slices.Clone(work.Finalizers), kronvoyv1alpha1.FinalizerWork),
	}})
	if err != nil {
		return fmt.Errorf("writing the finalizers of work %q: %w", work.Name, err)
	}
	target := &workv1.ManifestWork{}
	target.Namespace, target.Name = work.Namespace, work.Name
	bounded, cancel := context.WithTimeout(ctx, hubTimeout)
	defer cancel()
	err = r.hub.Writer().Patch(bounded, target, client.RawPatch(types.MergePatchType, patch))
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("adding the finalizer of work %q: %w", work.Name, err)
	}
	return nil
}

// soonest is the shorter of two waits, where zero is none.
func soonest(a, b time.Duration) time.Duration {
	if a == 0 || (b > 0 && b < a) {
		return b
	}
	return a
}
