package rollout

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/go-multierror"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/convert"
	"github.com/kronvoy/kronvoy/hub/events"
	"github.com/kronvoy/kronvoy/hub/index"
	"github.com/kronvoy/kronvoy/hub/metrics"
	"github.com/kronvoy/kronvoy/hub/pace"
	"github.com/kronvoy/kronvoy/hub/work"
	"github.com/kronvoy/kronvoy/placement/rollout"
)

// Mover assigns revisions and inputs to clusters, one unit at a time: with a
// strategy as placement/rollout says, else all at once. It alone writes those
// fields of a Target, and makes Targets; Reconciler says of which clusters an
// instance is taken away.
//
//	gather ─► adopt ─► Next ─► record, history ─► questions ─► gates, passed ─► moves ─► status
//
// A crash between any two of them is followed by the same again: what was decided
// is stored before it is acted upon, and everything else is derived.
type Mover struct {
	Gatherer
	Client client.Client
	// Reader bypasses the cache where a Target is missing from it that was made.
	Reader client.Reader
	Events *events.Recorder
	// Metrics count what is done; nil counts nothing.
	Metrics *metrics.Metrics

	expected expected
	written  index.Written[Unit]
	pace     pace.Pace[Unit]
}

// rolls says whether the unit's instances move by a strategy.
func (s *scope) rolls() bool { return s.owner != nil && s.owner.Spec.Rollout != nil }

// Reconcile gathers, plans and writes.
func (m *Mover) Reconcile(ctx context.Context, u Unit) (reconcile.Result, error) {
	behind, err := m.expected.behind(ctx, u, m.Client, m.Reader)
	if behind {
		m.Metrics.Held(metrics.Rollout, metrics.Cache)
	}
	if err != nil || behind {
		return index.Later(), err
	}
	s, wait, err := m.gather(ctx, u)
	switch {
	case err != nil || wait > 0:
		return index.Settle(reconcile.Result{RequeueAfter: wait}, err)
	case s == nil:
		m.forget(u)
		return reconcile.Result{}, nil
	case !s.rolls():
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
	if s.owner.DeletionTimestamp != nil {
		// Its Rollout goes before it, with what people ordered.
		return reconcile.Result{}, nil
	}
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
	status := progress(s.rollout.Status, &step, s.asks.name(step.Question), s.now)
	if step.Record != known || len(step.Instances) > 0 {
		if err := m.store(ctx, s, status); err != nil {
			return reconcile.Result{}, err
		}
		return index.Later(), m.remember(ctx, s, step.Instances)
	}
	var errs *multierror.Error
	errs = multierror.Append(errs, put(ctx, m.Client, m.Events, settled, ask), m.write(ctx, s, append(s.found(step.Found), s.passed(step.Passed)...)))
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

// noteRetry stores when an order to try again was found.
func (m *Mover) noteRetry(ctx context.Context, s *scope) (noted bool, err error) {
	if !s.unnoted() {
		return false, nil
	}
	at := s.now
	for i := range s.members {
		if rejected := history(s.members[i].revisions, s.members[i].newest).RejectedAt; !at.After(rejected) {
			at = rejected.Add(time.Microsecond)
		}
	}
	status := *s.rollout.Status.DeepCopy()
	status.Retry = &kronvoyv1alpha1.RolloutRetry{Order: s.rollout.Spec.Retry.At, At: metav1.MicroTime{Time: at}}
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
	return put(ctx, m.Client, m.Events, settled, nil)
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
		m.Metrics.Held(metrics.Rollout, metrics.Pace)
		return wait, nil
	}
	return 0, m.store(ctx, s, status)
}

// announce records an event when a rollout comes to another phase.
func (m *Mover) announce(before, after *kronvoyv1alpha1.Rollout) {
	if phase := after.Status.Phase; phase != before.Status.Phase {
		m.Events.Tell(after, nil, events.Phase(phase), "%s", cmp.Or(after.Status.Message, string(phase)))
	}
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
		m.Metrics.Moved(work.IdentityOf(c.to.Spec.Instance).GroupKind(), c.from == nil)
		m.expected.note(s.unit, c.to)
	}
	return errs.ErrorOrNil()
}
