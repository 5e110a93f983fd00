package rollout

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/go-multierror"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/clusters"
	"github.com/kronvoy/kronvoy/hub/convert"
	"github.com/kronvoy/kronvoy/hub/definition"
	"github.com/kronvoy/kronvoy/hub/index"
	"github.com/kronvoy/kronvoy/hub/kinds"
	"github.com/kronvoy/kronvoy/hub/override"
	"github.com/kronvoy/kronvoy/hub/pace"
	"github.com/kronvoy/kronvoy/hub/policy"
	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/hub/work"
	"github.com/kronvoy/kronvoy/placement/rollout"
)

// Mover assigns revisions and inputs to clusters, one unit at a time: with a
// strategy as placement/rollout says, else all at once. It alone writes those
// fields of a Target, and makes Targets; Reconciler says of which clusters an
// instance is taken away.
//
//	gather ─► adopt ─► Next ─► record, history ─► questions ─► passed ─► moves ─► status
//
// A crash between any two of them is followed by the same again: what was decided
// is stored before it is acted upon, and everything else is derived.
type Mover struct {
	Client client.Client
	// Reader bypasses the cache where a Target is missing from it that was made.
	Reader client.Reader
	// Namespaces tells whether the fleet is frozen, which the hub's own says.
	Namespaces client.Reader
	// Namespace of the hub: revisions of cluster-scoped instances live there.
	Namespace string
	Placer    Placer
	Store     *definition.Store
	Clock     clock.Clock
	Events    events.EventRecorder

	overrides override.Cache
	gates     gates
	expected  expected
	written   index.Written[Unit]
	pace      pace.Pace[Unit]
}

// scope is what one reconciliation of a unit works on.
type scope struct {
	unit Unit
	fleet
	// owner is the Distribution that the unit's instances belong to; nil for none.
	owner *kronvoyv1alpha1.Distribution
	// rollout is the unit's; nil for none. name is that which it has.
	rollout *kronvoyv1alpha1.Rollout
	name    string
	// paused says why nothing may move, besides what the Rollout says.
	paused string
	// asks says whose the Rollout and its questions are, and where.
	asks asker
	// requests are the questions that were put.
	requests []kronvoyv1alpha1.ApprovalRequest
}

// Reconcile gathers, plans and writes.
func (m *Mover) Reconcile(ctx context.Context, u Unit) (reconcile.Result, error) {
	s, wait, err := m.gather(ctx, u)
	switch {
	case err != nil || wait > 0:
		return index.Settle(reconcile.Result{RequeueAfter: wait}, err)
	case s == nil:
		m.forget(u)
		return reconcile.Result{}, nil
	case s.owner == nil || s.owner.Spec.Rollout == nil:
		if err := m.withdraw(ctx, s); err != nil {
			return index.Settle(reconcile.Result{}, err)
		}
		return index.Settle(reconcile.Result{}, m.write(ctx, s, s.atOnce()))
	}
	return index.Settle(m.roll(ctx, s))
}

func (m *Mover) forget(u Unit) {
	m.expected.forget(u)
	m.written.Forget(u)
	m.pace.Forget(u)
}

// roll takes the next step of a rollout.
func (m *Mover) roll(ctx context.Context, s *scope) (reconcile.Result, error) {
	how, err := convert.Strategy(s.owner.Spec.Rollout)
	if err != nil || m.Placer.unusable(s.owner) != nil {
		// The Distribution's condition Accepted says so; all stays as it is.
		return reconcile.Result{}, nil //nolint:nilerr // it is no error of this controller
	}
	if changes, err := s.adopt(how); err != nil || len(changes) > 0 {
		if err == nil {
			err = m.write(ctx, s, changes)
		}
		return index.Later(), err
	}
	if s.rollout == nil {
		if !slices.ContainsFunc(s.members, func(of member) bool { return len(of.clusters()) > 0 }) {
			// What nobody is to have has not succeeded.
			return reconcile.Result{}, nil
		}
		return index.Later(), m.begin(ctx, s)
	}
	if m.written.Behind(s.unit, s.rollout) {
		return index.Later(), nil
	}
	if noted, err := m.noteRetry(ctx, s); noted || err != nil {
		return index.Later(), err
	}
	known := record(&s.rollout.Status)
	step := rollout.Next(s.input(how, s.owner.Spec.Rollout.Gate, known, s.orders()))
	ask, settled := s.asks.settle(s.requests, step.Question, kronvoyv1alpha1.ApprovalEnterGroup)
	status := progress(s.rollout.Status, &step, s.asks.name(step.Question))
	if step.Record != known || len(step.Instances) > 0 {
		if err := m.store(ctx, s, status); err != nil {
			return reconcile.Result{}, err
		}
		return index.Later(), m.remember(ctx, s, step.Instances)
	}
	var errs *multierror.Error
	errs = multierror.Append(errs, put(ctx, m.Client, settled, ask), m.write(ctx, s, s.passed(step.Passed)))
	if changes, err := s.moved(how, step.Moves); err != nil {
		errs = multierror.Append(errs, err)
	} else if errs.ErrorOrNil() == nil {
		errs = multierror.Append(errs, m.write(ctx, s, changes))
	}
	wait, err := m.tell(ctx, s, status)
	errs = multierror.Append(errs, err)
	return s.again(step.RecheckAt, wait), errs.ErrorOrNil()
}

// again is when to look at a unit without an event.
func (s *scope) again(recheck time.Time, wait time.Duration) reconcile.Result {
	if !recheck.IsZero() {
		until := max(recheck.Sub(s.now), time.Millisecond)
		if wait == 0 || until < wait {
			wait = until
		}
	}
	return reconcile.Result{RequeueAfter: wait}
}

// orders are what people want, as the Rollout and the questions say.
func (s *scope) orders() orders {
	o := orders{paused: cmp.Or(pausedBy(s.rollout.Spec.Paused), s.paused), undo: s.rollout.Spec.Undo}
	if retry := s.rollout.Status.Retry; retry != nil {
		o.retry = retry.At.Time
	}
	for i := range s.requests {
		o.approvals = append(o.approvals, answer(&s.requests[i]))
	}
	return o
}

// noteRetry stores when an order to try again was found.
func (m *Mover) noteRetry(ctx context.Context, s *scope) (noted bool, err error) {
	order, known := s.rollout.Spec.Retry, s.rollout.Status.Retry
	if order == nil || known != nil && known.Order.Equal(&order.At) {
		return false, nil
	}
	at := s.now
	for i := range s.members {
		if rejected := history(s.members[i].revisions, s.members[i].newest).RejectedAt; !at.After(rejected) {
			at = rejected.Add(time.Microsecond)
		}
	}
	status := *s.rollout.Status.DeepCopy()
	status.Retry = &kronvoyv1alpha1.RolloutRetry{Order: order.At, At: metav1.MicroTime{Time: at}}
	return true, m.store(ctx, s, status)
}

// begin makes the Rollout. What it says is the next look's to find out.
func (m *Mover) begin(ctx context.Context, s *scope) error {
	r := &kronvoyv1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{
		Namespace: s.asks.namespace, Name: s.name, OwnerReferences: []metav1.OwnerReference{s.asks.owner},
	}}
	err := m.Client.Create(ctx, r, client.FieldOwner(kronvoyv1alpha1.FieldManagerHub))
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("making Rollout %s/%s: %w", s.asks.namespace, s.name, err)
	}
	return nil
}

// withdraw deletes the Rollout and the questions of a unit that has no strategy
// any more.
func (m *Mover) withdraw(ctx context.Context, s *scope) error {
	if s.rollout != nil {
		err := m.Client.Delete(ctx, s.rollout, client.Preconditions{UID: &s.rollout.UID})
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting Rollout %s/%s: %w", s.rollout.Namespace, s.rollout.Name, err)
		}
	}
	_, settled := s.asks.settle(s.requests, nil, kronvoyv1alpha1.ApprovalEnterGroup)
	return put(ctx, m.Client, settled, nil)
}

// store writes the status at once.
func (m *Mover) store(ctx context.Context, s *scope, status kronvoyv1alpha1.RolloutStatus) error {
	before := s.rollout.DeepCopy()
	s.rollout.Status = status
	if equality.Semantic.DeepEqual(before.Status, status) {
		return nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	err := m.Client.Status().Patch(ctx, s.rollout, patch, client.FieldOwner(kronvoyv1alpha1.FieldManagerHub))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing status of Rollout %s/%s: %w", s.rollout.Namespace, s.rollout.Name, err)
	}
	if err == nil {
		m.written.Note(s.unit, s.rollout)
		m.announce(before, s.rollout)
	}
	return nil
}

// tell writes the status at a bounded pace: a record is stored already.
func (m *Mover) tell(ctx context.Context, s *scope, status kronvoyv1alpha1.RolloutStatus) (time.Duration, error) {
	if equality.Semantic.DeepEqual(s.rollout.Status, status) {
		return 0, nil
	}
	pacing := m.pace.Progress
	if s.rollout.Status.Phase != status.Phase || s.rollout.Status.ApprovalRequest != status.ApprovalRequest {
		pacing = m.pace.News
	}
	if wait := pacing(s.unit, s.now); wait > 0 {
		return wait, nil
	}
	return 0, m.store(ctx, s, status)
}

// announce records an event when a rollout comes to another phase.
func (m *Mover) announce(before, after *kronvoyv1alpha1.Rollout) {
	phase := after.Status.Phase
	if phase == before.Status.Phase || phase == "" {
		return
	}
	kind := corev1.EventTypeNormal
	switch phase {
	case kronvoyv1alpha1.RolloutPaused, kronvoyv1alpha1.RolloutRollingBack, kronvoyv1alpha1.RolloutFailed:
		kind = corev1.EventTypeWarning
	}
	m.Events.Eventf(after, nil, kind, string(phase), "Roll", "%s", cmp.Or(after.Status.Message, string(phase)))
}

// remember stores histories of instances on their revisions.
func (m *Mover) remember(ctx context.Context, s *scope, histories []rollout.Remember) error {
	for _, h := range histories {
		member, _ := s.find(rollout.Key{Instance: h.Instance})
		for _, n := range remember(member.revisions, member.newest, h.History, s.now) {
			patch := client.MergeFromWithOptions(n.from, client.MergeFromWithOptimisticLock{})
			if err := m.Client.Patch(ctx, n.to, patch, client.FieldOwner(kronvoyv1alpha1.FieldManagerHub)); err != nil {
				return fmt.Errorf("noting on revision %s what became of it: %w", n.from.Name, err)
			}
		}
	}
	return nil
}

// write carries changes of Targets out; one cluster's failure does not stop the
// others.
func (m *Mover) write(ctx context.Context, s *scope, changes []change) error {
	var errs *multierror.Error
	for _, c := range changes {
		var err error
		if c.from == nil {
			err = m.Client.Create(ctx, c.to)
		} else {
			err = client.IgnoreNotFound(m.Client.Patch(ctx, c.to, client.MergeFromWithOptions(c.from, client.MergeFromWithOptimisticLock{})))
		}
		if err != nil {
			errs = multierror.Append(errs, fmt.Errorf("changing what cluster %s should have of %s: %w", c.to.Namespace, work.IdentityOf(c.to.Spec.Instance), err))
			continue
		}
		m.expected.note(s.unit, c.to)
	}
	return errs.ErrorOrNil()
}

// gather reads all that a plan depends on; nil when there is nothing to be moved
// by this unit. wait is for a cache that is behind, or a kind that is about to be
// served again.
func (m *Mover) gather(ctx context.Context, u Unit) (s *scope, wait time.Duration, err error) {
	if behind, err := m.expected.behind(ctx, u, m.Client, m.Reader); err != nil || behind {
		return nil, index.Later().RequeueAfter, err
	}
	s = &scope{unit: u, fleet: fleet{now: m.Clock.Now().Truncate(time.Microsecond), clusters: map[string]*clusterv1.ManagedCluster{}}}
	if u.Distribution.Name != "" {
		wait, err = m.gatherDistribution(ctx, s)
	} else {
		wait, err = m.gatherInstance(ctx, s)
	}
	if err != nil || wait > 0 || s.name == "" {
		return nil, wait, err
	}
	if err := m.gatherRollout(ctx, s); err != nil {
		return nil, 0, err
	}
	return s, 0, m.gatherClusters(ctx, s)
}

// gatherDistribution finds the instances that a Distribution moves together; none
// if it does not, and then no owner either. A suspended one is left out: it keeps
// what it has.
func (m *Mover) gatherDistribution(ctx context.Context, s *scope) (wait time.Duration, err error) {
	d := &kronvoyv1alpha1.Distribution{}
	if err := m.Client.Get(ctx, s.unit.Distribution, d, client.UnsafeDisableDeepCopy); err != nil {
		return 0, client.IgnoreNotFound(err)
	}
	s.asks = asker{
		owner: *metav1.NewControllerRef(d, kronvoyv1alpha1.GroupVersion.WithKind("Distribution")), namespace: d.Namespace,
		readable: d.Name, id: "Distribution/" + d.Namespace + "/" + d.Name, distribution: d.Name,
	}
	s.name = d.Name
	if !Together(d) {
		return 0, nil
	}
	if m.Store.Yielded(policy.KindOf(d)) {
		return definition.YieldedRecheck, nil
	}
	requests := OnDistribution(m.Client)(ctx, d)
	slices.SortFunc(requests, func(a, b kinds.Request) int { return cmp.Compare(a.Name, b.Name) })
	for _, req := range requests {
		instance := kinds.Object(req.GVK())
		err := m.Client.Get(ctx, client.ObjectKey{Namespace: req.Namespace, Name: req.Name}, instance, client.UnsafeDisableDeepCopy)
		if client.IgnoreNotFound(err) != nil {
			return 0, fmt.Errorf("reading instance %s/%s: %w", req.Namespace, req.Name, err)
		}
		if err != nil || instance.GetDeletionTimestamp() != nil || Suspended(instance) {
			continue
		}
		found, err := m.owned(ctx, instance)
		if err != nil {
			return 0, err
		}
		if found.owner == nil || found.owner.Name != d.Name {
			continue
		}
		if err := m.add(ctx, s, instance, found); err != nil {
			return 0, err
		}
	}
	s.owner = d
	return 0, nil
}

// gatherInstance finds one instance, unless it moves together with others.
func (m *Mover) gatherInstance(ctx context.Context, s *scope) (wait time.Duration, err error) {
	req := s.unit.Instance
	if m.Store.Yielded(req.GVK().GroupKind()) {
		return definition.YieldedRecheck, nil
	}
	instance := kinds.Object(req.GVK())
	if err := m.Client.Get(ctx, client.ObjectKey{Namespace: req.Namespace, Name: req.Name}, instance); err != nil || instance.GetDeletionTimestamp() != nil {
		return 0, client.IgnoreNotFound(err)
	}
	found, err := m.owned(ctx, instance)
	if err != nil {
		return 0, err
	}
	s.name = found.identity.TargetName()
	s.asks = asksAbout(found.identity, RevisionNamespace(instance, m.Namespace), *metav1.NewControllerRef(instance, instance.GroupVersionKind()), found.owner)
	if Together(found.owner) {
		return 0, nil
	}
	if s.owner = found.owner; Suspended(instance) {
		s.paused = "the instance is suspended"
		if s.owner == nil || s.owner.Spec.Rollout == nil {
			return 0, nil
		}
	}
	return 0, m.add(ctx, s, instance, found)
}

// owned is an instance with its Targets and the Distribution that owns it. They
// are shared with the cache: read-only.
func (m *Mover) owned(ctx context.Context, instance *unstructured.Unstructured) (member, error) {
	out := member{identity: work.IdentityOfInstance(instance)}
	var targets kronvoyv1alpha1.TargetList
	if err := m.Client.List(ctx, &targets, client.MatchingFields{index.Instance: out.identity.Hash()}, client.UnsafeDisableDeepCopy); err != nil {
		return member{}, fmt.Errorf("listing targets of %s: %w", out.identity, err)
	}
	out.targets = targets.Items
	slices.SortFunc(out.targets, func(a, b kronvoyv1alpha1.Target) int { return cmp.Compare(a.Namespace, b.Namespace) })
	var err error
	out.owner, err = Owner(ctx, m.Client, instance, out.targets)
	return out, err
}

// add adds an instance to the unit, unless it has no revision yet.
func (m *Mover) add(ctx context.Context, s *scope, instance *unstructured.Unstructured, of member) error {
	var revisions appsv1.ControllerRevisionList
	err := m.Client.List(ctx, &revisions, client.InNamespace(RevisionNamespace(instance, m.Namespace)), client.MatchingFields{index.Instance: of.identity.Hash()})
	if err != nil {
		return fmt.Errorf("listing revisions of %s: %w", of.identity, err)
	}
	of.revisions = revision.Own(revisions.Items, instance)
	if of.newest = revision.Newest(of.revisions); of.newest == nil {
		return nil
	}
	if of.decision, err = m.Placer.Decide(ctx, instance, of.owner); err != nil {
		return err
	}
	if of.gate, err = m.gate(ctx, &of); err != nil {
		return err
	}
	s.members = append(s.members, of)
	return nil
}

// gatherRollout finds the unit's Rollout and the questions that were put for it.
func (m *Mover) gatherRollout(ctx context.Context, s *scope) error {
	r := &kronvoyv1alpha1.Rollout{}
	err := m.Client.Get(ctx, client.ObjectKey{Namespace: s.asks.namespace, Name: s.name}, r)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading Rollout %s/%s: %w", s.asks.namespace, s.name, err)
	}
	if err == nil {
		if owner := metav1.GetControllerOf(r); owner == nil || owner.UID != s.asks.owner.UID {
			return fmt.Errorf("the Rollout %s/%s belongs to somebody else: delete it, and the hub makes its own", r.Namespace, r.Name)
		}
		s.rollout = r
	}
	var requests kronvoyv1alpha1.ApprovalRequestList
	if err := m.Client.List(ctx, &requests, client.InNamespace(s.asks.namespace), client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing approval requests in namespace %s: %w", s.asks.namespace, err)
	}
	for i := range requests.Items {
		if slices.Contains(onQuestion(&requests.Items[i]), s.unit) {
			s.requests = append(s.requests, requests.Items[i])
		}
	}
	return nil
}

// gatherClusters finds the clusters of a unit that has a strategy: others go
// wherever they are placed.
func (m *Mover) gatherClusters(ctx context.Context, s *scope) error {
	if s.owner == nil || s.owner.Spec.Rollout == nil {
		return nil
	}
	hub := &corev1.Namespace{}
	if err := m.Namespaces.Get(ctx, client.ObjectKey{Name: m.Namespace}, hub); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("looking whether the fleet is frozen: %w", err)
	}
	s.frozen = func(c *clusterv1.ManagedCluster) string { return clusters.Frozen(c, hub) }
	s.paused = cmp.Or(s.paused, s.frozen(&clusterv1.ManagedCluster{}))
	inputs := inputReader{revisions: map[string]*appsv1.ControllerRevision{}, clusters: s.clusters, compile: m.reads(ctx), reads: map[string]readsOf{}, known: map[assigned]inputsOf{}}
	for i := range s.members {
		member := &s.members[i]
		for j := range member.revisions {
			inputs.revisions[member.revisions[j].Name] = &member.revisions[j]
		}
		names := slices.Clone(member.decision.Clusters)
		for j := range member.targets {
			names = append(names, member.targets[j].Namespace)
		}
		for _, name := range names {
			if _, known := s.clusters[name]; known {
				continue
			}
			c := &clusterv1.ManagedCluster{}
			err := m.Client.Get(ctx, client.ObjectKey{Name: name}, c, client.UnsafeDisableDeepCopy)
			if client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("reading cluster %s: %w", name, err)
			}
			if err == nil {
				s.clusters[name] = c
			}
		}
	}
	s.inputs = inputs.inputs
	return nil
}
