// Package target carries one instance to one cluster: it evaluates the graph
// for that cluster, distributes the works, and says what came of it. It is the
// hub's unit of work: a change on one cluster costs one evaluation.
package target

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcreconcile "sigs.k8s.io/multicluster-runtime/pkg/reconcile"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/definition"
	"github.com/kronvoy/kronvoy/hub/index"
	"github.com/kronvoy/kronvoy/hub/metrics"
	"github.com/kronvoy/kronvoy/hub/pace"
	"github.com/kronvoy/kronvoy/hub/plan"
	"github.com/kronvoy/kronvoy/hub/work"
	"github.com/kronvoy/kronvoy/internal/trace"
)

// Reconciler handles one Target at a time.
type Reconciler struct {
	Gatherer
	Client client.Client
	Clock  clock.Clock
	// Metrics count what is done; nil counts nothing.
	Metrics *metrics.Metrics
	// Tracer follows what is assigned, see step; nil does not.
	Tracer *trace.Tracer

	answers answers
	halves  halves
	hashes  hashes
	written index.Written[mcreconcile.Request]
	pace    pace.Pace[mcreconcile.Request]
}

// blockedRetry is how often a Target that cannot be decided is looked at again
// without an event.
const blockedRetry = 30 * time.Second

// errStaleCache asks for another look at works that the cache does not show.
var errStaleCache = apierrors.NewConflict(workv1.Resource("manifestworks"), "", errors.New("the cache is behind"))

// scope is what one reconciliation works on.
type scope struct {
	target *kronvoyv1alpha1.Target
	// in is what was gathered, and plan what is to be there because of it.
	in   plan.Input
	plan plan.Plan
	// frozen says why nothing at all may be written to the cluster.
	frozen      string
	unreachable bool
	// kept is true while the cluster is to have what another release of Kronvoy
	// rendered: see keep.
	kept bool
	// traceparent is what spans go under; empty where there are to be none.
	traceparent string
	// waiting says what must happen on the cluster before the works are shipped.
	waiting string
	// retry is when to look again without an event; 0 for never.
	retry time.Duration
}

// Reconcile runs load, teardown or evaluate, distribute and status, in this
// order.
func (r *Reconciler) Reconcile(ctx context.Context, req mcreconcile.Request) (reconcile.Result, error) {
	return index.Settle(r.reconcile(ctx, req))
}

func (r *Reconciler) reconcile(ctx context.Context, req mcreconcile.Request) (reconcile.Result, error) {
	target := &kronvoyv1alpha1.Target{}
	if err := r.Client.Get(ctx, client.ObjectKey{Namespace: string(req.ClusterName), Name: req.Name}, target); err != nil {
		r.forget(req)
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	s := r.scope(target)
	if r.Store.Yielded(s.in.Identity.GroupKind()) {
		return reconcile.Result{RequeueAfter: definition.YieldedRecheck}, nil
	}
	var err error
	if s.in.Works, s.in.Reports, err = index.Works(ctx, r.Client, target.Namespace, s.in.Identity); err != nil {
		return reconcile.Result{}, err
	}
	if target.DeletionTimestamp != nil {
		return r.teardown(ctx, req, s)
	}
	wait, err := r.load(ctx, s)
	if err != nil || wait {
		return reconcile.Result{}, err
	}
	if s.kept && s.plan.Blocked == "" {
		return r.keep(ctx, req, s)
	}
	began := r.Clock.Now()
	s.follow(began)
	if s.plan.Blocked == "" {
		s.plan = plan.Evaluate(s.in)
	}
	if s.plan.Blocked == "" && s.plan.Wants != nil {
		wait, err := r.nest(ctx, s)
		if err != nil || wait {
			return reconcile.Result{RequeueAfter: definition.UnjudgedRecheck}, err
		}
	}
	// Suspending decides nothing.
	if s.plan.Blocked == "" || s.in.Suspended {
		s.plan.Build(s.in)
	}
	r.measure(s, began)
	if s.plan.Blocked == "" || s.in.Suspended {
		if err := r.ship(ctx, s); err != nil {
			return reconcile.Result{}, err
		}
		if err := r.dropDecisions(ctx, s); err != nil {
			return reconcile.Result{}, err
		}
	}
	result, err := r.writeStatus(ctx, req, s)
	if s.plan.Blocked != "" {
		s.retryAfter(blockedRetry)
	}
	return s.orRetry(result), err
}

// ship writes nested instances, and the works after the namespace they need is
// there.
func (r *Reconciler) ship(ctx context.Context, s *scope) error {
	if !s.in.Described {
		s.waiting = "the cluster's agent to describe the cluster in the status of its ManagedCluster, with what the agent can do"
		return nil
	}
	if err := r.applyChildren(ctx, s); err != nil {
		return err
	}
	if len(s.plan.Works.Works) > 0 && !s.in.Suspended && s.plan.NeedsNamespace(s.in) {
		ready, err := r.ensureNamespace(ctx, s.target.Namespace, s.in.Identity.Namespace)
		if err != nil {
			return err
		}
		if !ready && len(s.in.Works) == 0 {
			s.waiting = "namespace " + s.in.Identity.Namespace + " to be created"
			return nil
		}
	}
	if err := r.distribute(ctx, s); err != nil {
		return err
	}
	return r.deleteChildren(ctx, s)
}

// teardown needs no graph: waves were recorded when the works were built.
func (r *Reconciler) teardown(ctx context.Context, req mcreconcile.Request, s *scope) (reconcile.Result, error) {
	if !controllerutil.ContainsFinalizer(s.target, kronvoyv1alpha1.FinalizerTarget) {
		return reconcile.Result{}, nil
	}
	if err := r.loadCluster(ctx, s); client.IgnoreNotFound(err) != nil {
		return reconcile.Result{}, err
	}
	if s.frozen != "" {
		return r.holdTeardown(ctx, req, s)
	}
	if err := r.look(ctx, s, s.in.Children); err != nil {
		return reconcile.Result{}, err
	}
	next, err := plan.Teardown(s.in)
	if err != nil {
		return reconcile.Result{}, err
	}
	if len(s.in.Works) == 0 && len(next.Nested.Children) == 0 {
		return reconcile.Result{}, r.letGo(ctx, s)
	}
	if restated, err := r.restate(ctx, s); restated || err != nil {
		return reconcile.Result{}, err
	}
	s.plan = next
	if err := r.distribute(ctx, s); err != nil {
		return reconcile.Result{}, err
	}
	if err := r.deleteChildren(ctx, s); err != nil {
		return reconcile.Result{}, err
	}
	result, err := r.writeStatus(ctx, req, s)
	return s.orRetry(result), err
}

// holdTeardown keeps everything on a frozen cluster as it is.
func (r *Reconciler) holdTeardown(ctx context.Context, req mcreconcile.Request, s *scope) (reconcile.Result, error) {
	s.plan.Works = work.Suspend(s.in.Works)
	for _, w := range s.plan.Works.Works {
		s.plan.Works.Remaining += len(w.Spec.Workload.Manifests)
	}
	s.plan.Works.Withheld = s.frozen
	if err := r.distribute(ctx, s); err != nil {
		return reconcile.Result{}, err
	}
	return r.writeStatus(ctx, req, s)
}

// letGo is the end of a Target: no instance and no work of it is left, and not
// only in the cache, which may not show one that was created a moment ago.
func (r *Reconciler) letGo(ctx context.Context, s *scope) error {
	left, err := index.AnyWork(ctx, r.Reader, s.target.Namespace, s.in.Identity)
	if err != nil {
		return err
	}
	if left {
		return errStaleCache
	}
	if err := r.releaseNamespace(ctx, s.target); err != nil {
		return err
	}
	before := s.target.DeepCopy()
	controllerutil.RemoveFinalizer(s.target, kronvoyv1alpha1.FinalizerTarget)
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Patch(ctx, s.target, patch); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("letting go of target %s/%s: %w", s.target.Namespace, s.target.Name, err)
	}
	return nil
}

func (r *Reconciler) forget(req mcreconcile.Request) {
	r.written.Forget(req)
	r.pace.Forget(req)
	r.answers.settle(req)
}
