package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// RemovalInput is all that Removals looks at, for one instance. Deleting the
// instance itself is no removal.
type RemovalInput struct {
	// Decided is false while nothing may be concluded from Clusters.
	Decided bool
	// Clusters that the instance is placed on, in any order.
	Clusters []string
	// Targets that exist, in any order, one a cluster.
	Targets  []RemovalTarget
	Policy   RemovalPolicy
	Approval Approval
	Now      time.Time
}

// RemovalTarget is what is stored and known about one Target.
type RemovalTarget struct {
	Cluster string
	// LeavingSince is the stored mark: when the hub first found that the cluster
	// had left; zero without one (Target: spec.removal.since).
	LeavingSince time.Time
	// Approved is the stored plan hash with which the removal was approved; empty
	// when it was not (Target: spec.removal.approved).
	Approved string
	// Deleting targets are being taken down, which nothing stops.
	Deleting bool
	// Reachable is false when the agent is silent, and when it is not known.
	Reachable bool
}

// RemovalPolicy is the operator's (Distribution: spec.removal).
type RemovalPolicy struct {
	// GracePeriod that a cluster keeps the instance after it left.
	GracePeriod time.Duration
	// MaxPercent of all targets, rounded down but at least one, may leave unasked,
	// and be in teardown at a time. With 0 every removal is asked for.
	MaxPercent int
	// RemoveUnreachable removes from clusters that cannot be reached, too.
	RemoveUnreachable bool
	// Orphan leaves the objects on the cluster. It changes nothing but the
	// question: who allowed that objects are left behind did not allow to delete
	// them.
	Orphan bool
}

// action is what a removal does, in one word.
func (p RemovalPolicy) action() string {
	if p.Orphan {
		return "orphan"
	}
	return "delete"
}

// RemovalPlan is what to do now. Clusters are sorted by name everywhere, except
// in Remove. A caller writes marks before it removes, and stops at a mark that
// cannot be written.
type RemovalPlan struct {
	// Mark targets as leaving since now.
	Mark []string
	// Unmark targets: they are wanted again, and what was approved for them is
	// forgotten.
	Unmark []string
	// Approve marks targets with the plan hash of Question, which was approved.
	Approve []string
	// Remove targets, those that left first before the others.
	Remove []string
	// Waiting holds every other leaving target that is not in teardown.
	Waiting []Waiting
	// Question to put to people, answered or not; nil when there is none, and one
	// that was put before is settled. While the input is undecided a question that
	// was put stands: there is nothing new to say about it.
	Question *Question
	// RecheckAt is when there is something to do with nothing changed but the
	// time; zero when there is not.
	RecheckAt time.Time
}

// Held are the clusters that wait for people, by name.
func (p RemovalPlan) Held() []string {
	var held []string
	for _, w := range p.Waiting {
		if w.Reason == NeedsApproval || w.Reason == ApprovalRejected {
			held = append(held, w.Cluster)
		}
	}
	return held
}

// Waiting is a target that left its placement and is not removed yet.
type Waiting struct {
	Cluster string
	Reason  RemovalReason
	// Message is a sentence for people.
	Message string
}

// RemovalReason is why a target is not removed yet, in PascalCase.
type RemovalReason string

// The reasons, the more important ones first.
const (
	// PlacementUndecided: whether the cluster has left is not known any more.
	PlacementUndecided RemovalReason = "PlacementUndecided"
	// ApprovalRejected: somebody said that it is to stay.
	ApprovalRejected RemovalReason = "ApprovalRejected"
	// NeedsApproval: too many leave, or all.
	NeedsApproval RemovalReason = "NeedsApproval"
	// InGracePeriod: it has not been gone for long enough.
	InGracePeriod RemovalReason = "InGracePeriod"
	// ClusterUnreachable: losing a cluster never loses its workload.
	ClusterUnreachable RemovalReason = "ClusterUnreachable"
	// OthersInTeardown: as many are taken down as may be at a time.
	OthersInTeardown RemovalReason = "OthersInTeardown"
)

// departure is a target that left and is not in teardown.
type departure struct {
	RemovalTarget
	// since is LeavingSince where it is marked, and Now where it is about to be.
	since    time.Time
	approved bool
}

// marked says whether the mark is stored. One of the future is none: a clock was
// wrong, and the grace period counts anew.
func (t RemovalTarget) marked(now time.Time) bool {
	return !t.LeavingSince.IsZero() && !t.LeavingSince.After(now)
}

// Removals decides from which clusters an instance is removed, and why not from
// the others that left its placement. Nothing is removed
//
//   - while the placement is undecided;
//   - while more than the policy allows have left, counting those in teardown and
//     those out of reach, or the placement is empty, unless it was approved;
//   - before it is stored that the cluster has left (and, if so, that this was
//     approved), and the grace period since then is over;
//   - from a cluster that cannot be reached, unless the policy says so;
//   - while as many as the policy allows are in teardown. A teardown on a cluster
//     that cannot be reached makes no progress and does not count, for it would
//     stop all the others, unless the policy removes from such clusters.
//
// An approval is stored with each target before the first of them is removed.
// So it covers those that are removed in later batches, when the leaving
// clusters are fewer and their hash is another one; and those that leave
// meanwhile are not covered by it.
func Removals(in RemovalInput) RemovalPlan {
	if !in.Decided {
		return undecided(in.Targets)
	}
	var plan RemovalPlan
	leaving, gone := plan.depart(&in)
	allowance := max(1, share(in.Policy.MaxPercent, len(in.Targets)))
	held, why := plan.ask(&in, leaving, gone, allowance)

	room := allowance - inTeardown(in.Targets, in.Policy)
	if len(plan.Approve) > 0 {
		room = 0 // until the approval is stored with all that it is for
	}
	recheck := &earliest{}
	slices.SortFunc(leaving, func(a, b departure) int { return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.Cluster, b.Cluster)) })
	for _, d := range leaving {
		due := d.since.Add(in.Policy.GracePeriod)
		switch {
		case held != "" && !d.approved:
			plan.wait(d.Cluster, held, why)
		case !d.marked(in.Now) || in.Now.Before(due):
			recheck.note(due)
			plan.wait(d.Cluster, InGracePeriod, fmt.Sprintf("it left its placement at %s and is removed %s later",
				d.since.UTC().Format(time.RFC3339), in.Policy.GracePeriod))
		case !d.Reachable && !in.Policy.RemoveUnreachable:
			plan.wait(d.Cluster, ClusterUnreachable, "it left its placement and cannot be reached: what is there stays until it can")
		case room <= 0:
			plan.wait(d.Cluster, OthersInTeardown, fmt.Sprintf("it is removed when others are gone: at most %d of %d at a time", allowance, len(in.Targets)))
		default:
			plan.Remove = append(plan.Remove, d.Cluster)
			room--
		}
	}
	slices.SortFunc(plan.Waiting, func(a, b Waiting) int { return cmp.Compare(a.Cluster, b.Cluster) })
	plan.RecheckAt = recheck.at
	return plan
}

// undecided leaves everything as it is.
func undecided(targets []RemovalTarget) RemovalPlan {
	var plan RemovalPlan
	for _, t := range targets {
		if !t.LeavingSince.IsZero() && !t.Deleting {
			plan.wait(t.Cluster, PlacementUndecided, "it had left its placement, which is undecided now: nothing is removed until it is not")
		}
	}
	slices.SortFunc(plan.Waiting, func(a, b Waiting) int { return cmp.Compare(a.Cluster, b.Cluster) })
	return plan
}

// depart finds the targets that leave, sorted by name, and marks and unmarks what
// is to be. It counts all that are going: one in teardown is lost to the instance
// even if its cluster is wanted again.
func (p *RemovalPlan) depart(in *RemovalInput) (leaving []departure, gone int) {
	wanted := make(map[string]bool, len(in.Clusters))
	for _, cluster := range in.Clusters {
		wanted[cluster] = true
	}
	for _, t := range in.Targets {
		switch {
		case t.Deleting:
			gone++
		case wanted[t.Cluster]:
			if !t.LeavingSince.IsZero() {
				p.Unmark = append(p.Unmark, t.Cluster)
			}
		default:
			d := departure{RemovalTarget: t, since: t.LeavingSince, approved: strings.HasPrefix(t.Approved, in.Policy.action()+"-")}
			if !t.marked(in.Now) {
				p.Mark = append(p.Mark, t.Cluster)
				d.since = in.Now
			}
			leaving = append(leaving, d)
		}
	}
	slices.Sort(p.Mark)
	slices.Sort(p.Unmark)
	slices.SortFunc(leaving, func(a, b departure) int { return cmp.Compare(a.Cluster, b.Cluster) })
	return leaving, gone + len(leaving)
}

// ask finds out whether those that are not approved have to be, and with which
// answer.
func (p *RemovalPlan) ask(in *RemovalInput, leaving []departure, gone, allowance int) (held RemovalReason, why string) {
	answer := in.Approval
	var open, covered []string // covered: what the answer was given for, if it is not outdated
	for _, d := range leaving {
		if !d.approved {
			open = append(open, d.Cluster)
		}
		if !d.approved || d.Approved == answer.PlanHash {
			covered = append(covered, d.Cluster)
		}
	}
	if len(open) == 0 {
		return "", ""
	}
	action := in.Policy.action()
	counts := answer.PlanHash != "" && planHash(action, covered) == answer.PlanHash
	tooMany := gone > allowance || in.Policy.MaxPercent <= 0
	switch {
	case counts && answer.Verdict == Rejected:
		p.Question = &Question{PlanHash: answer.PlanHash, Clusters: covered, Message: question(in, covered, gone)}
		return ApprovalRejected, answer.By + " rejected its removal"
	case !tooMany && len(in.Clusters) > 0:
		return "", ""
	case counts && answer.Verdict == Approved:
		p.Question = &Question{PlanHash: answer.PlanHash, Clusters: covered, Message: question(in, covered, gone)}
		p.Approve = open
		return NeedsApproval, "its removal was approved and is about to begin"
	default:
		p.Question = &Question{PlanHash: planHash(action, open), Clusters: open, Message: question(in, open, gone)}
		return NeedsApproval, p.Question.Message
	}
}

// question in words; gone counts the targets that are going.
func question(in *RemovalInput, clusters []string, gone int) string {
	verb := "remove the instance from"
	if in.Policy.Orphan {
		verb = "let go of the instance on"
	}
	why := fmt.Sprintf("%d of its %d clusters are going, and %d%% may without being asked for", gone, len(in.Targets), max(in.Policy.MaxPercent, 0))
	if len(in.Clusters) == 0 {
		why = "no cluster is left in its placement"
	}
	return fmt.Sprintf("%s %s? %s", verb, named(clusters), why)
}

// inTeardown counts the targets that take up room.
func inTeardown(targets []RemovalTarget, policy RemovalPolicy) (n int) {
	for _, t := range targets {
		if t.Deleting && (t.Reachable || policy.RemoveUnreachable) {
			n++
		}
	}
	return n
}

func (p *RemovalPlan) wait(cluster string, reason RemovalReason, message string) {
	p.Waiting = append(p.Waiting, Waiting{Cluster: cluster, Reason: reason, Message: message})
}
