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
	"k8s.io/utils/clock"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcreconcile "sigs.k8s.io/multicluster-runtime/pkg/reconcile"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/internal/trace"
	"github.com/kronvoy/kronvoy/spoke/apply"
	"github.com/kronvoy/kronvoy/spoke/keep"
	"github.com/kronvoy/kronvoy/spoke/metrics"
	"github.com/kronvoy/kronvoy/spoke/report"
)

// hubTimeout bounds a write to the hub that applying has to wait for.
const hubTimeout = 5 * time.Second

// askAgain is the wait for a hub that has not been asked yet.
const askAgain = 500 * time.Millisecond

// minFlush is the wait for a hub that has not taken a report yet.
const minFlush = 100 * time.Millisecond

// reconciler brings one work at a time to what the hub says.
type reconciler struct {
	hub      *hub
	plans    *plans
	applier  *apply.Applier
	observer *report.Observer
	writer   *report.Writer
	keeper   *keep.Keeper
	grace    time.Duration
	log      logr.Logger
	clock    clock.PassiveClock
	metrics  *metrics.Metrics
	tracer   *trace.Tracer
	// noticed takes when a change of a work's objects was seen.
	noticed func(work string) time.Time
	// met are the works of which an earlier process's word was taken over,
	// restored those that are kept without the hub.
	met, restored *firsts
}

// Reconcile handles one work by name: the hub's word decides what it is.
func (r *reconciler) Reconcile(ctx context.Context, req mcreconcile.Request) (reconcile.Result, error) {
	name := req.Name
	noticed := r.noticed(name)
	work, known, err := r.hub.work(ctx, name)
	switch {
	case err != nil:
		return reconcile.Result{}, err
	case !known:
		return r.enforce(ctx, name)
	case work == nil:
		return r.vanished(ctx, name)
	case !work.DeletionTimestamp.IsZero():
		return r.teardown(ctx, work)
	}
	if err := r.ensureFinalizer(ctx, work); err != nil {
		return reconcile.Result{}, err
	}
	return r.apply(ctx, work, noticed)
}

// enforce keeps a work as last told while the hub cannot be reached; the hub,
// when it can, brings every work as it then is, and has the first word.
func (r *reconciler) enforce(ctx context.Context, name string) (reconcile.Result, error) {
	if !r.hub.Away() {
		return reconcile.Result{RequeueAfter: askAgain}, nil
	}
	if err := r.keeper.Load(ctx); err != nil {
		return reconcile.Result{}, err
	}
	kept := r.keeper.Peek(name)
	if kept == nil {
		return reconcile.Result{}, nil
	}
	if !r.restored.met(name) {
		r.applier.Restore(name, kept.Objects)
		r.restored.meet(name)
	}
	changes, err := r.applier.Enforce(ctx, r.plans.of(kept.Work))
	if err != nil {
		return reconcile.Result{}, err
	}
	if !changes.Hold {
		r.writer.Report(r.observer.Observe(changes))
	}
	return reconcile.Result{RequeueAfter: changes.RetryAfter}, nil
}

// apply runs one work and passes on what there is to tell.
func (r *reconciler) apply(ctx context.Context, work *workv1.ManifestWork, noticed time.Time) (reconcile.Result, error) {
	planned := r.plans.current(work)
	if err := r.remember(ctx, work, planned); err != nil {
		return reconcile.Result{}, err
	}
	if err := r.writer.CatchUp(ctx, work); err != nil {
		return reconcile.Result{}, err
	}
	if r.writer.Settled(work.Name) {
		if err := r.applier.Flush(ctx, planned); err != nil {
			return reconcile.Result{}, err
		}
	}
	if err := r.keeper.Outdate(ctx, work.Name, work.Generation, planned.Keys); err != nil {
		return reconcile.Result{}, err
	}
	began := r.clock.Now()
	changes, err := r.applier.Apply(ctx, planned)
	traceparent := r.trace(work, began, changes, err)
	if err != nil {
		r.metrics.Applied(r.clock.Since(began), true, false)
		return reconcile.Result{}, err
	}
	r.measure(changes, began, noticed)
	obs := r.observer.Observe(changes)
	obs.Noticed, obs.Traceparent = noticed, traceparent
	if !changes.Hold {
		r.writer.Report(obs)
	}
	keep, err := r.keep(ctx, work, planned)
	if err != nil {
		return reconcile.Result{}, err
	}
	flush := r.applier.FlushIn(work.Name)
	if flush > 0 && flush < minFlush {
		flush = minFlush // the hub has not heard everything yet
	}
	return reconcile.Result{RequeueAfter: soonest(changes.RetryAfter, soonest(flush, keep))}, nil
}

// measure counts a run over a work.
func (r *reconciler) measure(changes *apply.ChangeSet, began, noticed time.Time) {
	failed := false
	for _, outcome := range changes.Outcomes {
		r.metrics.Object(string(outcome.Action))
		failed = failed || outcome.Action == apply.ActionFailed
		if outcome.Action == apply.ActionCorrected && !noticed.IsZero() {
			r.metrics.Corrected(r.clock.Since(noticed))
		}
	}
	r.metrics.Applied(r.clock.Since(began), failed, changes.Hold)
}

// keep saves what is to survive a restart, some time after it changed. It says
// when to look again.
func (r *reconciler) keep(ctx context.Context, work *workv1.ManifestWork, planned *apply.Work) (time.Duration, error) {
	stamp := r.applier.Stamp(planned)
	due, wait := r.keeper.Due(work.Name, stamp)
	if !due {
		return wait, nil
	}
	return 0, r.keeper.Save(ctx, stamp, &keep.State{Work: keep.Slim(work), Objects: r.applier.Snapshot(work.Name)})
}

// remember takes over, when a work is first met, what an earlier process kept
// and reported.
func (r *reconciler) remember(ctx context.Context, work *workv1.ManifestWork, planned *apply.Work) error {
	if r.met.met(planned.Name) {
		return nil
	}
	if err := r.keeper.Load(ctx); err != nil {
		return err
	}
	reported, err := r.hub.report(ctx, planned.Name)
	if err != nil {
		return err
	}
	if kept := r.keeper.Peek(planned.Name); kept != nil {
		r.applier.Restore(planned.Name, kept.Objects)
	}
	if reported != nil {
		r.applier.Recall(planned, &reported.Status)
	}
	r.applier.RecallComplete(planned, &work.Status)
	r.keeper.Release(planned.Name)
	r.met.meet(planned.Name)
	return nil
}

// teardown deletes what a work applied; its finalizer goes last.
func (r *reconciler) teardown(ctx context.Context, work *workv1.ManifestWork) (reconcile.Result, error) {
	if !slices.Contains(work.Finalizers, kronvoyv1alpha1.FinalizerWork) {
		return reconcile.Result{}, nil
	}
	if err := r.unkeep(ctx, work.Name); err != nil {
		return reconcile.Result{}, err
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
	if err := r.unkeep(ctx, name); err != nil {
		return reconcile.Result{}, err
	}
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

// unkeep drops what is kept of a work that is on its way out, before any of its
// objects goes: a successor must not make them again.
func (r *reconciler) unkeep(ctx context.Context, name string) error {
	if err := r.keeper.Load(ctx); err != nil { // or it would not know of a Secret
		return err
	}
	return r.keeper.Delete(ctx, name)
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
