package rollout

import "time"

// Strategy says how clusters move to a revision (Distribution: spec.rollout).
// The zero value moves all clusters at once and tolerates no failure.
type Strategy struct {
	// Kind of strategy: ByGroup, or one of OCM's.
	Kind StrategyKind
	// GroupBy divides the clusters where the kind is ByGroup. OCM's kinds go by
	// decision groups.
	GroupBy GroupBy
	// Mandatory decision groups come first, and tolerate no failure (OCM:
	// mandatoryDecisionGroups). ByGroup has none.
	Mandatory []MandatoryGroup
	// MaxConcurrency is how many clusters of a group may be in flight: from their
	// move until they are ready and have soaked. At least one may; zero is no limit.
	MaxConcurrency Amount
	// MinSuccessTime is how long a cluster must have been ready before it counts.
	MinSuccessTime time.Duration
	// ProgressDeadline is when a cluster that is not ready counts as failed, from its
	// move on; zero is never.
	ProgressDeadline time.Duration
	// FailureGrace is how long a cluster may be failing before it counts as failed:
	// agents try again.
	FailureGrace time.Duration
	// MaxFailures is how many clusters of a group may fail before the rollout stops;
	// of all clusters for OCM's Progressive. More than there are is as good as all.
	MaxFailures Amount
	// ApprovalBefore names the groups before which people are asked.
	ApprovalBefore []string
	// Gates that have to be open beside Ready.
	Gates        RequiredGates
	OnFailure    OnFailure
	LateJoiners  LateJoiners
	Unreachable  UnreachablePolicy
	InputChanges InputChanges
}

// StrategyKind is how clusters are divided and sized.
type StrategyKind string

// The kinds. Those of OCM (cluster.open-cluster-management.io/v1alpha1,
// RolloutStrategy) differ in their sizes, see newGroups.
const (
	// ByGroup: group by group, MaxConcurrency and MaxFailures for each.
	ByGroup StrategyKind = ""
	// All: all clusters at once, no failure stops anything, nothing soaks (OCM).
	All StrategyKind = "All"
	// Progressive: mandatory decision groups, then the rest as one group (OCM).
	Progressive StrategyKind = "Progressive"
	// ProgressivePerGroup: one decision group after the other, each at once (OCM).
	ProgressivePerGroup StrategyKind = "ProgressivePerGroup"
)

// GroupBy divides clusters into groups. The zero value makes one of them.
type GroupBy struct {
	// Label whose values are groups. Those in Order come first and in that order,
	// the others alphabetically, and clusters without a value last.
	Label string
	Order []string
	// Decisions takes the decision groups of the placement, in their order, where
	// there is no Label.
	Decisions bool
}

// MandatoryGroup is a decision group by name, or by index where it has none.
type MandatoryGroup struct {
	Name  string
	Index int
}

// Amount is a number of clusters, or a share of them.
type Amount struct {
	Value int
	// Percent makes Value a share, which is rounded down (a limit is never
	// exceeded), or up by OCM's strategies (as its helper does).
	Percent bool
}

// of n clusters; between 0 and n.
func (a Amount) of(n int, up bool) int {
	size := a.Value
	if a.Percent {
		size = a.Value * n
		if up {
			size += 99
		}
		size /= 100
	}
	return min(max(size, 0), n)
}

// RequiredGates are those that a strategy asks for.
type RequiredGates struct {
	Health, Expressions, Drift bool
}

// OnFailure is what happens when too many clusters failed.
type OnFailure string

// What happens on failure.
const (
	// Pause moves no cluster until fewer have failed, or something else is wanted.
	Pause OnFailure = "Pause"
	// Rollback rejects the revisions, and takes all clusters back to the last good
	// ones. Where there are none (nothing was good before) it is as Pause: taking an
	// instance away is not what was asked for, and would hide what went wrong.
	Rollback OnFailure = "Rollback"
)

// LateJoiners says when a cluster that joins in the middle gets the instances.
type LateJoiners string

// When late joiners get them.
const (
	// WithGroup: when their group is reached.
	WithGroup LateJoiners = "WithGroup"
	// Immediately: at once, within the limits of their group.
	Immediately LateJoiners = "Immediately"
)

// UnreachablePolicy is what a cluster that cannot be reached does to a rollout.
type UnreachablePolicy string

// What unreachable clusters do.
const (
	// Skip: its group goes on without it, and it moves when it is back. One that was
	// moved and became silent afterwards has its deadline: that may be the move's
	// fault.
	Skip UnreachablePolicy = "Skip"
	// Wait: its group waits for it.
	Wait UnreachablePolicy = "Wait"
	// Fail: it counts as failed.
	Fail UnreachablePolicy = "Fail"
)

// InputChanges says what changes of labels and claims do, that expressions read.
type InputChanges string

// What changed inputs do.
const (
	// InputsRollout: they roll as revisions do.
	InputsRollout InputChanges = "Rollout"
	// InputsImmediate: they are no matter of a rollout.
	InputsImmediate InputChanges = "Immediate"
)
