package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	clusterv1alpha1 "open-cluster-management.io/api/cluster/v1alpha1"
)

// RolloutStrategy says how a change moves through the clusters: group by group,
// a few clusters of each at a time. A cluster counts when the instances on it
// have been ready and healthy for MinSuccessTime with what is new; the next
// group begins when all clusters of the one before count, but for those that may
// fail.
// +kubebuilder:validation:XValidation:rule="!has(self.strategy) || !(has(self.groupBy) || has(self.maxConcurrency) || has(self.minSuccessTime) || has(self.progressDeadline) || has(self.maxFailures))",message="strategy stands in the place of groupBy, maxConcurrency, minSuccessTime, progressDeadline and maxFailures"
type RolloutStrategy struct {
	// Scope is what moves together: Distribution, all instances on a cluster at
	// once; or Instance, each instance by itself.
	// +optional
	// +kubebuilder:default=Distribution
	Scope RolloutScope `json:"scope,omitempty"`
	// GroupBy divides the clusters into groups, which move one after the other.
	// Without it they are one group.
	// +optional
	GroupBy *RolloutGroupBy `json:"groupBy,omitempty"`
	// MaxConcurrency is how many clusters of a group may be on their way at a
	// time, from their change until they count: a number or a percentage, which is
	// rounded down; at least one. 25% when it is not set.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:Pattern="^((100|[0-9]{1,2})%|[0-9]+)$"
	MaxConcurrency *intstr.IntOrString `json:"maxConcurrency,omitempty"`
	// MinSuccessTime is how long a cluster must have been ready, and every gate been
	// open, without a break, as in 10m; 0s when it is not set. It counts from when
	// the hub found it so, and anew after each time that the hub found otherwise.
	// +optional
	MinSuccessTime *metav1.Duration `json:"minSuccessTime,omitempty"`
	// ProgressDeadline is when a cluster that is not ready counts as failed, from
	// its change on; 30m when it is not set, and 0s is never.
	// +optional
	ProgressDeadline *metav1.Duration `json:"progressDeadline,omitempty"`
	// MaxFailures is how many clusters of a group may fail before the rollout
	// stops: a number or a percentage, which is rounded down; 0 when it is not set.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:Pattern="^((100|[0-9]{1,2})%|[0-9]+)$"
	MaxFailures *intstr.IntOrString `json:"maxFailures,omitempty"`
	// Strategy is OCM's RolloutStrategy, which goes by the decision groups of the
	// placement, in the place of groupBy and the sizes and times above.
	// +optional
	Strategy *clusterv1alpha1.RolloutStrategy `json:"strategy,omitempty"`
	// Approval says before which groups people are asked.
	// +optional
	Approval *RolloutApproval `json:"approval,omitempty"`
	// OnFailure is what happens when more clusters have failed than may: Pause, or
	// Rollback, which takes all clusters back to what they had with success before.
	// A change that was rolled back is not tried again until there is another one,
	// or somebody runs kronvoy rollout retry.
	// +optional
	// +kubebuilder:default=Pause
	OnFailure RolloutOnFailure `json:"onFailure,omitempty"`
	// LateJoiners is when a cluster that joins during a rollout gets the instances:
	// WithGroup, when its group is reached, or Immediately.
	// +optional
	// +kubebuilder:default=WithGroup
	LateJoiners RolloutLateJoiners `json:"lateJoiners,omitempty"`
	// Unreachable is what a cluster that cannot be reached does to a rollout: Skip,
	// its group goes on without it and it moves when it is back; Wait, its group
	// waits for it; or Fail, it counts as failed.
	// +optional
	// +kubebuilder:default=Skip
	Unreachable RolloutUnreachable `json:"unreachable,omitempty"`
	// Gate is what a cluster must be before it counts, besides ready.
	// +optional
	Gate RolloutGate `json:"gate,omitzero"`
	// InputChanges is what a change of labels and claims does that expressions
	// read: Rollout, it moves as any other change, or Immediate.
	// +optional
	// +kubebuilder:default=Rollout
	InputChanges RolloutInputChanges `json:"inputChanges,omitempty"`
}

// RolloutScope is what moves together.
// +kubebuilder:validation:Enum=Distribution;Instance
type RolloutScope string

// The scopes.
const (
	ScopeDistribution RolloutScope = "Distribution"
	ScopeInstance     RolloutScope = "Instance"
)

// RolloutGroupBy divides clusters by a label.
type RolloutGroupBy struct {
	// Label of the ManagedClusters whose values are the groups. Clusters without
	// it are the last group.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=316
	Label string `json:"label"`
	// Order of groups by name. Those that are not in it come after them,
	// alphabetically.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=63
	Order []string `json:"order,omitempty"`
}

// RolloutApproval says before which groups people are asked.
type RolloutApproval struct {
	// BeforeGroups by name; an ApprovalRequest is made for each when it is reached.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	BeforeGroups []string `json:"beforeGroups"`
}

// RolloutOnFailure is what happens when too many clusters have failed.
// +kubebuilder:validation:Enum=Pause;Rollback
type RolloutOnFailure string

// What happens then.
const (
	OnFailurePause    RolloutOnFailure = "Pause"
	OnFailureRollback RolloutOnFailure = "Rollback"
)

// RolloutLateJoiners is when clusters that join late get the instances.
// +kubebuilder:validation:Enum=WithGroup;Immediately
type RolloutLateJoiners string

// When they do.
const (
	LateJoinersWithGroup   RolloutLateJoiners = "WithGroup"
	LateJoinersImmediately RolloutLateJoiners = "Immediately"
)

// RolloutUnreachable is what clusters do to a rollout that cannot be reached.
// +kubebuilder:validation:Enum=Skip;Wait;Fail
type RolloutUnreachable string

// What they do.
const (
	UnreachableSkip RolloutUnreachable = "Skip"
	UnreachableWait RolloutUnreachable = "Wait"
	UnreachableFail RolloutUnreachable = "Fail"
)

// RolloutInputChanges is what changed labels and claims do.
// +kubebuilder:validation:Enum=Rollout;Immediate
type RolloutInputChanges string

// What they do.
const (
	InputChangesRollout   RolloutInputChanges = "Rollout"
	InputChangesImmediate RolloutInputChanges = "Immediate"
)

// RolloutGate is what a cluster must be before it counts, besides ready.
type RolloutGate struct {
	// BuiltinHealth asks that every object is healthy by what its kind says of
	// itself: a Deployment that is available, a Job that has not failed. It holds
	// for resources without readyWhen, too. true when it is not set.
	// +optional
	BuiltinHealth *bool `json:"builtinHealth,omitempty"`
	// Expressions in CEL must all be true of the cluster, over values, the author's
	// status fields as this cluster gives them, and cluster:
	//   values.errorRate < 0.01
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=4096
	Expressions []string `json:"expressions,omitempty"`
	// MaxDrift is how many objects on the cluster may differ from what was applied,
	// reported and not corrected. No limit when it is not set.
	// +optional
	// +kubebuilder:validation:Minimum=0
	MaxDrift *int32 `json:"maxDrift,omitempty"`
}

// Rollout is how far a change of a Distribution's instances has come, and what
// people have ordered about it. The hub makes one for each Distribution with a
// rollout, of its name; or, where each instance moves by itself, one for each
// instance. Whoever may update it steers the rollout, and needs no rights on the
// Distribution, whose spec is never touched by that.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=kr,categories=kronvoy
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Group",type=string,JSONPath=`.status.group`
// +kubebuilder:printcolumn:name="Clusters",type=integer,JSONPath=`.status.counts.total`
// +kubebuilder:printcolumn:name="Updated",type=integer,JSONPath=`.status.counts.updated`
// +kubebuilder:printcolumn:name="Ready",type=integer,JSONPath=`.status.counts.ready`
// +kubebuilder:printcolumn:name="Failed",type=integer,JSONPath=`.status.counts.failed`
// +kubebuilder:printcolumn:name="Started",type=date,JSONPath=`.status.startedAt`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`
type Rollout struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what people have ordered.
	// +optional
	Spec RolloutSpec `json:"spec,omitzero"`
	// Status is how far it has come.
	// +optional
	Status RolloutStatus `json:"status,omitzero"`
}

// RolloutSpec is what people have ordered.
type RolloutSpec struct {
	// Paused stops all moves, of a rollback too, as long as it is set.
	// +optional
	Paused *RolloutOrder `json:"paused,omitempty"`
	// Retry tries again what has failed: deadlines begin anew, and changes that
	// were rejected before are not any more. Another time is another order.
	// +optional
	Retry *RolloutOrder `json:"retry,omitempty"`
	// Undo takes instances back to an earlier revision.
	// +optional
	Undo *RolloutUndo `json:"undo,omitempty"`
}

// RolloutOrder is what somebody has ordered.
type RolloutOrder struct {
	// At is when.
	// +required
	At metav1.Time `json:"at"`
	// By is who: the name by which the API server knows whoever gave the order.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	By string `json:"by"`
	// Reason that he gave.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`
}

// RolloutUndo takes instances back. It holds until the instance, its definition
// or its overrides change, or it is removed.
type RolloutUndo struct {
	RolloutOrder `json:",inline"`
	// Instances that go back.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=500
	Instances []RolloutPin `json:"instances"`
}

// RolloutPin takes one instance back.
type RolloutPin struct {
	// Name of the instance.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// From is the revision that is not to be had any more; the pin counts as long
	// as that is the newest one.
	// +required
	// +kubebuilder:validation:MaxLength=253
	From string `json:"from"`
	// To is the revision to have in its place.
	// +required
	// +kubebuilder:validation:MaxLength=253
	To string `json:"to"`
}

// RolloutPhase says in one word how far a rollout has come.
// +kubebuilder:validation:Enum=Progressing;WaitingForApproval;Paused;RollingBack;RolledBack;Succeeded;Failed
type RolloutPhase string

// The phases.
const (
	RolloutProgressing        RolloutPhase = "Progressing"
	RolloutWaitingForApproval RolloutPhase = "WaitingForApproval"
	// RolloutPaused: somebody has to do something, as the message says.
	RolloutPaused      RolloutPhase = "Paused"
	RolloutRollingBack RolloutPhase = "RollingBack"
	RolloutRolledBack  RolloutPhase = "RolledBack"
	RolloutSucceeded   RolloutPhase = "Succeeded"
	// RolloutFailed: it was rolled back and not every cluster became ready, or all
	// clusters failed and that is tolerated.
	RolloutFailed RolloutPhase = "Failed"
)

// RolloutStatus is how far it has come.
type RolloutStatus struct {
	// Phase is Progressing, WaitingForApproval, Paused, RollingBack, RolledBack,
	// Succeeded or Failed.
	// +optional
	Phase RolloutPhase `json:"phase,omitempty"`
	// Message says in a sentence what is under way, or what it waits for.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// Plan stands for what is wanted, and how clusters are grouped.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Plan string `json:"plan,omitempty"`
	// StartedAt is when that was first wanted.
	// +optional
	StartedAt *metav1.MicroTime `json:"startedAt,omitempty"`
	// Group that it is at; all before it have passed.
	// +optional
	// +kubebuilder:validation:MaxLength=316
	Group string `json:"group,omitempty"`
	// GroupIndex is the number of that group, where groups are those of the
	// placement's decision; -1 for the clusters that are in none.
	// +optional
	GroupIndex int32 `json:"groupIndex,omitempty"`
	// Entered is true when the clusters of that group may move.
	// +optional
	Entered bool `json:"entered,omitempty"`
	// Succeeded is true when all groups have passed.
	// +optional
	Succeeded bool `json:"succeeded,omitempty"`
	// Retry is the last order to try again that was found in the spec.
	// +optional
	Retry *RolloutRetry `json:"retry,omitempty"`
	// Counts over all clusters.
	// +optional
	Counts RolloutCounts `json:"counts,omitzero"`
	// Groups in the order in which they move, at most the first hundred.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	Groups []RolloutGroup `json:"groups,omitempty"`
	// Clusters that have not passed, or some of them: those that failed first, then
	// those on their way, then those that wait; at most fifty.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	Clusters []RolloutCluster `json:"clusters,omitempty"`
	// NextAt is when a time ends that it waits for, as one that a cluster soaks for,
	// or a deadline. Without it, and with nothing else happening, it stays as it is.
	// +optional
	NextAt *metav1.Time `json:"nextAt,omitempty"`
	// ApprovalRequest is the name of the one that it waits for.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ApprovalRequest string `json:"approvalRequest,omitempty"`
}

// RolloutRetry is an order to try again, and when it was found. Whoever gave it
// may have a clock that is wrong; deadlines go by the hub's.
type RolloutRetry struct {
	// Order is the time in the spec, which tells orders apart.
	// +required
	Order metav1.Time `json:"order"`
	// At is when the hub found it.
	// +required
	At metav1.MicroTime `json:"at"`
}

// RolloutCounts count clusters.
type RolloutCounts struct {
	// Total clusters.
	// +optional
	Total int32 `json:"total"`
	// Updated clusters have what is wanted.
	// +optional
	Updated int32 `json:"updated"`
	// Ready clusters have it, and are ready and whatever else is asked for.
	// +optional
	Ready int32 `json:"ready"`
	// InFlight clusters have it and do not count yet.
	// +optional
	InFlight int32 `json:"inFlight"`
	// Failed clusters have it and count as failures.
	// +optional
	Failed int32 `json:"failed"`
	// Skipped clusters are waited for by nobody: they are out of reach or frozen.
	// +optional
	Skipped int32 `json:"skipped"`
}

// RolloutGroup is how far one group has come.
type RolloutGroup struct {
	// Name of the group: the label's value, or the decision group's name; empty for
	// the clusters without one.
	// +optional
	// +kubebuilder:validation:MaxLength=316
	Name string `json:"name,omitempty"`
	// Index of a decision group.
	// +optional
	Index int32 `json:"index,omitempty"`
	// State is Waiting, NeedsApproval, Progressing, Soaking, Stopped or Passed.
	// +required
	// +kubebuilder:validation:MaxLength=32
	State string `json:"state"`
	// Counts over its clusters.
	// +required
	Counts RolloutCounts `json:"counts"`
	// SoakEndsAt is when the last of the clusters that are ready will have been so
	// for long enough.
	// +optional
	SoakEndsAt *metav1.Time `json:"soakEndsAt,omitempty"`
	// Message says what it waits for.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// RolloutCluster is where one cluster stands.
type RolloutCluster struct {
	// Name of the cluster.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// Group that it is in.
	// +optional
	// +kubebuilder:validation:MaxLength=316
	Group string `json:"group,omitempty"`
	// State is Moving, Held, Skipped, InFlight, Soaking, Failed or Ready.
	// +required
	// +kubebuilder:validation:MaxLength=32
	State string `json:"state"`
	// Reason in one word, as in Maintenance or DeadlineExceeded.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`
	// Message says what it waits for, or what is wrong.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// RolloutList is a list of Rollouts.
// +kubebuilder:object:root=true
type RolloutList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Rollout `json:"items"`
}
