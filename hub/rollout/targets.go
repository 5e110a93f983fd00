package rollout

import (
	"cmp"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/work"
	"github.com/kronvoy/kronvoy/placement/rollout"
)

// DefaultMaxPercent is the share of an instance's clusters that may leave unasked
// where no Distribution says otherwise; the CRD has it as its default, too.
const DefaultMaxPercent = 30

// facts are all that decides which clusters an instance leaves.
type facts struct {
	identity work.Identity
	// instance owns the questions that are asked about it; namespace is where.
	instance  metav1.OwnerReference
	namespace string
	decision  Decision
	targets   []kronvoyv1alpha1.Target
	// owner is the Distribution that owns the instance; nil for none.
	owner       *kronvoyv1alpha1.Distribution
	unreachable func(cluster string) bool
	// requests are the questions about the instance that there are.
	requests []kronvoyv1alpha1.ApprovalRequest
	// grace is the period where no Distribution gives one.
	grace time.Duration
	now   time.Time
}

// plan is what to write, in this order.
type plan struct {
	update []change
	// settled questions go, and ask is put in their place; nil for none.
	settled []*kronvoyv1alpha1.ApprovalRequest
	ask     *kronvoyv1alpha1.ApprovalRequest
	remove  []*kronvoyv1alpha1.Target
	// recheck is when there is something to do with nothing changed but the time.
	recheck time.Time
}

// decide says what becomes of the Targets on clusters that left the placement:
// that is rollout.Removals'.
func decide(f facts) plan {
	policy := f.policy()
	removals := rollout.Removals(f.removals(policy))
	p := plan{recheck: removals.RecheckAt}
	for i := range f.targets {
		target := &f.targets[i]
		if target.DeletionTimestamp != nil {
			continue
		}
		wanted := target.DeepCopy()
		wanted.Spec.Distribution = f.distribution()
		wanted.Spec.Removal = f.mark(target, removals, policy)
		removed := slices.Contains(removals.Remove, target.Namespace)
		switch {
		case removed && target.Spec.Removal.Policy == wanted.Spec.Removal.Policy:
			p.remove = append(p.remove, target)
		case !equality.Semantic.DeepEqual(target.Spec, wanted.Spec):
			// What a removal does is stored before it begins.
			p.update = append(p.update, change{target, wanted})
		}
	}
	if f.decision.Decided {
		p.ask, p.settled = f.asks().settle(f.requests, removals.Question, kronvoyv1alpha1.ApprovalRemove)
	}
	return p
}

func (f facts) distribution() string {
	if f.owner == nil {
		return ""
	}
	return f.owner.Name
}

func (f facts) asks() asker { return asksAbout(f.identity, f.namespace, f.instance, f.owner) }

// policy is the owner's, with the defaults where it says nothing.
func (f facts) policy() rollout.RemovalPolicy {
	p := rollout.RemovalPolicy{GracePeriod: f.grace, MaxPercent: DefaultMaxPercent}
	if f.owner == nil {
		return p
	}
	removal := f.owner.Spec.Removal
	if removal.GracePeriod != nil {
		p.GracePeriod = removal.GracePeriod.Duration
	}
	if removal.MaxPercent != nil {
		p.MaxPercent = int(*removal.MaxPercent)
	}
	p.RemoveUnreachable = removal.OnUnreachable == kronvoyv1alpha1.UnreachableRemove
	p.Orphan = removal.Policy == kronvoyv1alpha1.RemovalOrphan
	return p
}

func (f facts) removals(policy rollout.RemovalPolicy) rollout.RemovalInput {
	in := rollout.RemovalInput{Decided: f.decision.Decided, Clusters: f.decision.Clusters, Policy: policy, Now: f.now}
	for i := range f.targets {
		t := &f.targets[i]
		target := rollout.RemovalTarget{Cluster: t.Namespace, Deleting: t.DeletionTimestamp != nil, Reachable: !f.unreachable(t.Namespace)}
		if removal := t.Spec.Removal; removal != nil {
			target.LeavingSince, target.Approved = removal.Since.Time, removal.Approved
		}
		in.Targets = append(in.Targets, target)
	}
	if request := newest(f.requests); request != nil {
		in.Approval = answer(request)
	}
	return in
}

// Departure is what decides which clusters an instance leaves, for those who only
// look.
type Departure struct {
	Decision Decision
	Targets  []kronvoyv1alpha1.Target
	// Owner is the Distribution that owns the instance; nil for none.
	Owner       *kronvoyv1alpha1.Distribution
	Unreachable func(cluster string) bool
	Requests    []kronvoyv1alpha1.ApprovalRequest
	// Grace is the period where no Distribution gives one.
	Grace time.Duration
	Now   time.Time
}

// Plan is what the hub does about clusters that leave, and by which policy.
func (d Departure) Plan() (rollout.RemovalPlan, rollout.RemovalPolicy) {
	f := facts{decision: d.Decision, targets: d.Targets, owner: d.Owner, unreachable: d.Unreachable, requests: d.Requests, grace: d.Grace, now: d.Now}
	policy := f.policy()
	return rollout.Removals(f.removals(policy)), policy
}

// newest question; one that it took the place of may not be gone yet.
func newest(requests []kronvoyv1alpha1.ApprovalRequest) *kronvoyv1alpha1.ApprovalRequest {
	if len(requests) == 0 {
		return nil
	}
	request := slices.MaxFunc(requests, func(a, b kronvoyv1alpha1.ApprovalRequest) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return &request
}

// mark is what a Target is to say about its removal.
func (f facts) mark(target *kronvoyv1alpha1.Target, removals rollout.RemovalPlan, policy rollout.RemovalPolicy) *kronvoyv1alpha1.TargetRemoval {
	cluster, removal := target.Namespace, target.Spec.Removal.DeepCopy()
	if slices.Contains(removals.Unmark, cluster) {
		return nil
	}
	if slices.Contains(removals.Mark, cluster) {
		if removal == nil {
			removal = &kronvoyv1alpha1.TargetRemoval{}
		}
		removal.Since = metav1.NewTime(f.now).Rfc3339Copy()
	}
	if removal == nil {
		return nil
	}
	removal.Policy = kronvoyv1alpha1.RemovalDelete
	if policy.Orphan {
		removal.Policy = kronvoyv1alpha1.RemovalOrphan
	}
	removal.Held = ""
	if slices.Contains(removals.Approve, cluster) {
		removal.Approved = removals.Question.PlanHash
		return removal
	}
	if i := slices.IndexFunc(removals.Waiting, func(w rollout.Waiting) bool { return w.Cluster == cluster }); i >= 0 {
		removal.Held = held(removals.Waiting[i])
	}
	return removal
}

// held says why a removal does not begin when its grace period is over. It does
// not say what changes with every other cluster that leaves: each change is a
// write of the Target.
func held(w rollout.Waiting) string {
	switch w.Reason {
	case rollout.InGracePeriod:
		return ""
	case rollout.NeedsApproval:
		return "more clusters leave than may without being asked for, so somebody has to approve it"
	case rollout.OthersInTeardown:
		return "it waits until others are gone"
	default:
		return w.Message
	}
}
