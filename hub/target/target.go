// Package target carries one instance to one cluster: it evaluates the graph
// for that cluster, distributes the works, and says what came of it. It is the
// hub's unit of work: a change on one cluster costs one evaluation.
package target

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcreconcile "sigs.k8s.io/multicluster-runtime/pkg/reconcile"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/clusters"
	"github.com/kronvoy/kronvoy/hub/convert"
	"github.com/kronvoy/kronvoy/hub/definition"
	"github.com/kronvoy/kronvoy/hub/index"
	"github.com/kronvoy/kronvoy/hub/kinds"
	"github.com/kronvoy/kronvoy/hub/nested"
	"github.com/kronvoy/kronvoy/hub/pace"
	"github.com/kronvoy/kronvoy/hub/policy"
	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/hub/rollout"
	"github.com/kronvoy/kronvoy/hub/work"
)

// Reconciler handles one Target at a time.
type Reconciler struct {
	Client client.Client
	// Reader bypasses the cache before a Target is let go of.
	Reader client.Reader
	// Cache holds namespaces: annotations of the hub's own can freeze the fleet,
	// those of an instance's say in whose name it is applied.
	Cache     client.Reader
	Store     *definition.Store
	Namespace string
	Clock     clock.Clock
	// AllowedNamespaces are reserved namespaces that instances may use all the
	// same.
	AllowedNamespaces []string
	// DefaultServiceAccount is in whose name agents act where nothing else says
	// so; AgentIdentity is where they may use their own rights.
	DefaultServiceAccount policy.ServiceAccount
	AgentIdentity         policy.AgentIdentity

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
	target   *kronvoyv1alpha1.Target
	identity work.Identity
	works    []*workv1.ManifestWork
	reports  map[string]*kronvoyv1alpha1.WorkReport
	// decisions are what people decided about drift here.
	decisions []kronvoyv1alpha1.DriftDecision

	instance *unstructured.Unstructured
	revision revision.Instance
	graph    *graph.Graph
	cluster  *clusterv1.ManagedCluster
	// agent is what the cluster's agent can do. described is false while nobody
	// has said so: then nothing is shipped.
	agent     work.Capabilities
	described bool
	// suspended is true while nothing of the instance may be written here, by
	// the instance's own word or because of frozen.
	suspended bool
	// frozen says why nothing at all may be written to the cluster.
	frozen      string
	feedback    work.Feedback
	bindings    graph.Bindings
	evaluation  graph.Evaluation
	issues      graph.Issues
	plan        work.Plan
	unreachable bool
	// policies and executor are those of the works, where nothing is suspended.
	policies policy.Policies
	executor *workv1.ManifestWorkExecutor
	// confined instances are those of a tenant: the hub does for them nothing
	// outside of their namespace.
	confined bool
	// live are the nested instances that were looked for, and nested what is to
	// be done about them; nil when nothing was decided.
	live   nested.Live
	nested *nested.Plan
	// blocked says why nothing can be decided; the works stay as they are. reason
	// is a word for it, where somebody can do something about it.
	blocked, reason string
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
	s := &scope{target: target, identity: work.IdentityOf(target.Spec.Instance)}
	if r.Store.Yielded(schema.GroupKind{Group: s.identity.Group, Kind: s.identity.Kind}) {
		return reconcile.Result{RequeueAfter: definition.YieldedRecheck}, nil
	}
	var err error
	if s.works, s.reports, err = index.Works(ctx, r.Client, target.Namespace, s.identity); err != nil {
		return reconcile.Result{}, err
	}
	if target.DeletionTimestamp != nil {
		return r.teardown(ctx, req, s)
	}
	wait, err := r.load(ctx, s)
	if err != nil || wait {
		return reconcile.Result{}, err
	}
	if s.blocked == "" {
		r.evaluate(s)
	}
	if s.blocked == "" && !s.suspended && s.nests() {
		wait, err := r.nest(ctx, s)
		if err != nil || wait {
			return reconcile.Result{RequeueAfter: definition.UnjudgedRecheck}, err
		}
	}
	if s.blocked == "" {
		s.build()
	}
	if s.blocked == "" {
		if err := r.ship(ctx, s); err != nil {
			return reconcile.Result{}, err
		}
		if err := r.dropDecisions(ctx, s); err != nil {
			return reconcile.Result{}, err
		}
	}
	result, err := r.writeStatus(ctx, req, s)
	if s.blocked != "" {
		s.retryAfter(blockedRetry)
	}
	return s.orRetry(result), err
}

// load gathers everything a decision depends on. wait is true when an event
// that is on its way will bring what is missing.
func (r *Reconciler) load(ctx context.Context, s *scope) (wait bool, err error) {
	ref := s.identity
	s.instance = kinds.Object(kinds.Request{Group: ref.Group, Version: ref.Version, Kind: ref.Kind}.GVK())
	err = r.Client.Get(ctx, client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, s.instance)
	if apierrors.IsNotFound(err) {
		// hub/instance deletes the Target.
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading instance %s: %w", ref, err)
	}
	s.suspended = rollout.Suspended(s.instance)
	// Without them what was accepted would be put right.
	if s.decisions, err = kronvoyv1alpha1.ParseDriftDecisions(s.target.Annotations); s.blockedBy(err) {
		return false, nil
	}
	stored := &appsv1.ControllerRevision{}
	key := client.ObjectKey{Namespace: rollout.RevisionNamespace(s.instance, r.Namespace), Name: s.target.Spec.Revision}
	err = r.Client.Get(ctx, key, stored)
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading revision %s: %w", key, err)
	}
	if s.revision, err = revision.ParseInstance(stored); s.blockedBy(err) {
		return false, nil
	}
	var unusable *definition.UnusableError
	s.graph, err = r.Store.Graph(ctx, s.revision.Definition)
	switch {
	case errors.As(err, &unusable):
		s.blockedBy(err)
		return false, nil
	case err != nil:
		return false, err
	}
	err = r.loadCluster(ctx, s)
	switch {
	case apierrors.IsNotFound(err):
		s.blockedBy(err)
		return false, nil
	case err != nil:
		return false, err
	}
	if s.described && !s.suspended {
		if lack := s.agent.Lacks(s.graph); lack != nil {
			s.blocked, s.reason = lack.String(), lack.Reason()
			return false, nil
		}
	}
	if err := r.keepSecrets(ctx, s); err != nil || s.blocked != "" {
		return false, err
	}
	if wait, err := r.govern(ctx, s); wait || err != nil || s.blocked != "" {
		return wait, err
	}
	return false, r.look(ctx, s, s.target.Status.Children)
}

// loadCluster looks at the cluster, and at whether it may be written to.
func (r *Reconciler) loadCluster(ctx context.Context, s *scope) error {
	s.cluster = &clusterv1.ManagedCluster{}
	err := r.Client.Get(ctx, client.ObjectKey{Name: s.target.Namespace}, s.cluster)
	s.meetAgent()
	if err != nil {
		return fmt.Errorf("reading cluster %s: %w", s.target.Namespace, err)
	}
	hub := &corev1.Namespace{}
	if err := r.Cache.Get(ctx, client.ObjectKey{Name: r.Namespace}, hub); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("looking whether the fleet is frozen: %w", err)
	}
	s.unreachable, s.frozen = clusters.Unreachable(s.cluster), clusters.Frozen(s.cluster, hub)
	s.suspended = s.suspended || s.frozen != ""
	return nil
}

// blockedBy keeps an error as what is wrong with this Target: an event, or at
// the latest another look, may find it gone.
func (s *scope) blockedBy(err error) bool {
	if err != nil {
		s.blocked = err.Error()
	}
	return err != nil
}

// evaluate is pure: what came back, and what should be there.
func (r *Reconciler) evaluate(s *scope) {
	var err error
	if s.feedback, err = work.Read(s.graph, s.works, s.reports, s.agent); s.blockedBy(err) {
		return
	}
	if refused := r.refuseNamespace(s.target.Namespace, s.identity.Namespace); refused != "" {
		s.blocked = refused
		return
	}
	parent := s.parent()
	nested.Observe(s.graph, s.target.Status.Children, s.live, parent, s.feedback.Observed)
	s.bindings = graph.Bindings{
		Instance: nested.Called(map[string]any{
			"apiVersion": s.instance.GetAPIVersion(),
			"kind":       s.instance.GetKind(),
			"metadata":   s.instance.Object["metadata"],
			"spec":       s.revision.Spec,
		}, s.calledAs()),
		Cluster:  convert.GraphCluster(s.cluster),
		Observed: s.feedback.Observed,
	}
	s.evaluation, s.issues = s.graph.Evaluate(s.bindings)
}

// build plans the works that bring what was evaluated.
func (s *scope) build() {
	if s.suspended {
		s.plan = work.Suspend(s.works)
		return
	}
	var err error
	s.plan, err = work.Build(work.Input{
		Identity: s.identity, InstanceUID: string(s.instance.GetUID()),
		Cluster: s.target.Namespace, Revision: s.target.Spec.Revision,
		Graph: s.graph, Evaluation: s.evaluation,
		Previous: s.works, Reports: s.reports, Elsewhere: s.elsewhere(),
		Policies: s.policies, Executor: s.executor, Decisions: s.decisions, Capabilities: s.agent,
	})
	s.blockedBy(err)
}

// ship writes nested instances, and the works after the namespace they need is
// there.
func (r *Reconciler) ship(ctx context.Context, s *scope) error {
	if !s.described {
		s.waiting = "the cluster's agent to describe the cluster in the status of its ManagedCluster, with what the agent can do"
		return nil
	}
	if err := r.applyChildren(ctx, s); err != nil {
		return err
	}
	if len(s.plan.Works) > 0 && !s.suspended && needsNamespace(s) {
		ready, err := r.ensureNamespace(ctx, s.target.Namespace, s.identity.Namespace)
		if err != nil {
			return err
		}
		if !ready && len(s.works) == 0 {
			s.waiting = "namespace " + s.identity.Namespace + " to be created"
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
	if err := r.look(ctx, s, s.target.Status.Children); err != nil {
		return reconcile.Result{}, err
	}
	left := nested.Decide(nested.Wants{}, s.target.Status.Children, s.live, s.parent())
	s.nested = &left
	if len(s.works) == 0 && len(left.Children) == 0 {
		return reconcile.Result{}, r.letGo(ctx, s)
	}
	if restated, err := r.restate(ctx, s); restated || err != nil {
		return reconcile.Result{}, err
	}
	var err error
	s.plan, err = work.Build(work.Input{
		Identity: s.identity, Cluster: s.target.Namespace, Revision: s.target.Spec.Revision,
		Previous: s.works, Reports: s.reports, Elsewhere: s.elsewhere(), Capabilities: s.agent,
	})
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("taking %s down on cluster %s: %w", s.identity, s.target.Namespace, err)
	}
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
	s.plan = work.Suspend(s.works)
	for _, w := range s.plan.Works {
		s.plan.Remaining += len(w.Spec.Workload.Manifests)
	}
	s.plan.Withheld = s.frozen
	if err := r.distribute(ctx, s); err != nil {
		return reconcile.Result{}, err
	}
	return r.writeStatus(ctx, req, s)
}

// letGo is the end of a Target: no instance and no work of it is left, and not
// only in the cache, which may not show one that was created a moment ago.
func (r *Reconciler) letGo(ctx context.Context, s *scope) error {
	left, err := index.AnyWork(ctx, r.Reader, s.target.Namespace, s.identity)
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
}
