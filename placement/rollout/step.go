package rollout

import "time"

// Phase of a rollout.
type Phase string

// The phases.
const (
	Progressing        Phase = "Progressing"
	WaitingForApproval Phase = "WaitingForApproval"
	// Paused: somebody has to do something, as Message says.
	Paused      Phase = "Paused"
	RollingBack Phase = "RollingBack"
	RolledBack  Phase = "RolledBack"
	Succeeded   Phase = "Succeeded"
	// Failed: it was rolled back, and not every cluster became ready; or no cluster
	// is, and that is tolerated.
	Failed Phase = "Failed"
)

// Step is what to do now. A caller stores Record and Instances first: while they
// differ from what was given, Moves is empty, and the next Step has them. So what
// was decided is never forgotten after it was acted upon.
type Step struct {
	Phase Phase
	// Message is a sentence for people.
	Message string
	Record  Record
	// Instances of which something else is to be remembered.
	Instances []Remember
	// Passed targets are stored as such, since now.
	Passed []Key
	// Found is what is to be stored of targets' gates.
	Found []Found
	// Moves to make.
	Moves []Move
	// Clusters, by name, with what each of them does or waits for.
	Clusters []ClusterStep
	// Groups in order.
	Groups []GroupStep
	// Question to put to people, answered or not; one that was put before and is not
	// here any more is settled, and its answer needed no longer.
	Question *Question
	// RecheckAt is when there may be something to do with nothing changed but the
	// time; zero when there is not.
	RecheckAt time.Time
}

// Remember is the new History of an instance.
type Remember struct {
	Instance string
	History
}

// Key names a Target.
type Key struct{ Cluster, Instance string }

// Found is a new Finding about a target.
type Found struct {
	Key
	Finding
}

// Move tells a cluster to have something else of an instance.
type Move struct {
	Key
	Assignment
}

// ClusterStep is where one cluster stands.
type ClusterStep struct {
	Cluster string
	Group   GroupID
	State   ClusterState
	// Reason in PascalCase why it is not Ready, or does not move.
	Reason Reason
	// Message is a sentence for people.
	Message string
}

// ClusterState says in one word where a cluster stands.
type ClusterState string

// The states of a cluster.
const (
	// ClusterMoving: this Step moves it.
	ClusterMoving ClusterState = "Moving"
	// ClusterHeld: it is to be moved, and waits for what Reason says.
	ClusterHeld ClusterState = "Held"
	// ClusterSkipped: it is to be moved, and nobody waits for it.
	ClusterSkipped ClusterState = "Skipped"
	// ClusterInFlight: it was moved, and is not ready.
	ClusterInFlight ClusterState = "InFlight"
	// ClusterSoaking: it is ready, but not for long enough.
	ClusterSoaking ClusterState = "Soaking"
	// ClusterUnready: it had passed in this rollout, and is not ready any more.
	ClusterUnready ClusterState = "Unready"
	// ClusterFailed: it counts as a failure.
	ClusterFailed ClusterState = "Failed"
	// ClusterReady: it has what is wanted.
	ClusterReady ClusterState = "Ready"
)

// Reason is a cause in PascalCase.
type Reason string

// The reasons.
const (
	ReasonPaused           Reason = "Paused"
	ReasonStoring          Reason = "Storing"
	ReasonRollingBack      Reason = "RollingBack"
	ReasonTooManyFailures  Reason = "TooManyFailures"
	ReasonWaitsForGroup    Reason = "WaitsForGroup"
	ReasonNeedsApproval    Reason = "NeedsApproval"
	ReasonApprovalRejected Reason = "ApprovalRejected"
	ReasonConcurrency      Reason = "ConcurrencyReached"
	ReasonSuspended        Reason = "Suspended"
	ReasonMaintenance      Reason = "Maintenance"
	ReasonUnreachable      Reason = "Unreachable"
	ReasonTeardown         Reason = "Teardown"
	ReasonNotReady         Reason = "NotReady"
	ReasonDeadlineExceeded Reason = "DeadlineExceeded"
	ReasonFailing          Reason = "Failing"
	ReasonSoaking          Reason = "Soaking"
)

// GroupStep is where one group stands.
type GroupStep struct {
	Group GroupID
	State GroupState
	// Total clusters of it; Updated ones have what is wanted, Ready ones with all
	// gates open.
	Total, Updated, Ready, InFlight, Failed, Skipped int
	// SoakEndsAt is when the last of those that soak now will have; zero if none does.
	SoakEndsAt time.Time
	// Message says what it waits for.
	Message string
}

// GroupState says in one word where a group stands.
type GroupState string

// The states of a group.
const (
	GroupWaiting       GroupState = "Waiting"
	GroupNeedsApproval GroupState = "NeedsApproval"
	GroupProgressing   GroupState = "Progressing"
	GroupSoaking       GroupState = "Soaking"
	GroupStopped       GroupState = "Stopped"
	GroupPassed        GroupState = "Passed"
)
