package rollout

import "time"

// Input is all that Next looks at: one Distribution, or one instance that rolls
// by itself. Nothing in it is changed, and no order in it matters.
type Input struct {
	Strategy  Strategy
	Instances []Instance
	// Clusters that the instances are placed on, each once. While the placement is
	// undecided these are the ones with Targets.
	Clusters []Cluster
	// Undecided says why it is not known of an instance which clusters it is placed
	// on; empty if it is known of all. The rollout goes on, and has not succeeded.
	Undecided string
	// Targets that exist. Those of clusters or instances that are not here are
	// leaving, which is no matter of a rollout.
	Targets []Target
	// Record is what the last Step gave, as far as it was stored.
	Record Record
	// Approvals that people gave or refused.
	Approvals []Approval
	// Paused says why nothing may move: an operator paused it, the fleet is frozen.
	Paused string
	// Retry is when somebody last asked to try again: deadlines begin anew, and
	// revisions rejected before are no longer.
	Retry time.Time
	Now   time.Time
}

// Instance is what is wanted of one instance, and what is remembered of it. What
// is remembered belongs to the instance, not to the rollout: a Distribution's
// status cannot hold it for all.
type Instance struct {
	Name string
	// Wanted revision: the newest one.
	Wanted string
	// Pinned revision to have instead, as somebody ordered (undo).
	Pinned string
	History
	// Lost says why nothing is Good although something was; empty where there never
	// was anything.
	Lost string
}

// History is what the last Step gave for an instance.
type History struct {
	// Good is the last revision that all clusters had with success.
	Good string
	// Rejected revision, which failed and is not tried again until another one is
	// wanted.
	Rejected   string
	RejectedAt time.Time
}

// Cluster is what a rollout has to know of one.
type Cluster struct {
	Name string
	// Labels of the cluster, for GroupBy.
	Labels map[string]string
	// Group of the placement's decision, for strategies that go by them.
	Group GroupID
	// Instances placed on it, by name; nil for all.
	Instances []string
	// Inputs stands for its labels, claims and whatever else expressions read.
	Inputs string
	// Reachable is false when the agent is silent.
	Reachable bool
	// Suspended says why nothing is written there now.
	Suspended string
	// Maintenance says what is under way there, such as an upgrade of Talos.
	Maintenance string
	// Since is when it was last found to be reachable and neither suspended nor in
	// maintenance, by the hub's clock: soaking and deadlines do not begin before.
	Since time.Time
}

// Assignment is what a cluster has been told to have of an instance.
type Assignment struct {
	Revision string
	// Inputs of the cluster that it is evaluated with.
	Inputs string
}

// Target is one instance on one cluster.
type Target struct {
	Cluster, Instance string
	Assignment
	// Moved is when that was assigned.
	Moved time.Time
	// Passed is when it had been ready for long enough with this assignment, as a
	// Step said; zero when it has not been. A move erases it.
	Passed time.Time
	// Deleting targets are being taken down; the instance comes back after that.
	Deleting bool
	// Current stands for what a sample must be of to count: a generation or a hash.
	Current string
	// Found is what the last Step said of all gates together. A move erases it.
	Found Finding
	// Failed is set while something cannot be evaluated or applied.
	Failed Failure
	Gates  Gates
}

// Finding is whether all gates of a target are open, and when that was first
// found to be so. The zero value is that nothing was found since the move: they
// are closed until the target has passed, and open from then on.
type Finding struct {
	Open bool
	// Since is by the clock of the caller.
	Since time.Time
}

// Failure is a sample of something that failed.
type Failure struct {
	// Of is what it was found with; it counts only if that is Current.
	Of      string
	Since   time.Time
	Message string
}

// Gates are the samples that decide whether a target counts as ready.
type Gates struct {
	// Ready: every node is, by its readyWhen.
	Ready Gate
	// Health: every object is, by what its kind says of itself.
	Health Gate
	// Expressions of the strategy hold.
	Expressions Gate
	// Drift is within its budget.
	Drift Gate
}

// Gate is one sample.
type Gate struct {
	// Of is what it was taken of; a gate that is open for something else than
	// Current is closed.
	Of   string
	Open bool
	// Since is when it became so, as far as whoever took the sample knows; zero if
	// he does not. A gate may close and open again between two Steps.
	Since time.Time
	// Message says what it waits for.
	Message string
}

// Record is what a Step wants to be remembered. Everything else is derived.
type Record struct {
	// Plan stands for what is wanted, and how clusters are grouped: the rest is about
	// that alone.
	Plan string
	// Started is when that was first wanted.
	Started time.Time
	// Group that the rollout is at: all groups before it have passed, and late
	// comers in them wait for nothing.
	Group GroupID
	// Entered says that its clusters may move.
	Entered bool
	// Succeeded says that all groups have passed.
	Succeeded bool
}
