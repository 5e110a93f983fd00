package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Target is one instance on one cluster: which revision that cluster should
// have, and what came of it by the hub's own clock. It lives in the cluster's
// namespace on the hub, where agents cannot see it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=kt,categories=kronvoy
// +kubebuilder:printcolumn:name="Kind",type=string,JSONPath=`.spec.instance.kind`
// +kubebuilder:printcolumn:name="Instance",type=string,JSONPath=`.spec.instance.name`
// +kubebuilder:printcolumn:name="Instance-Namespace",type=string,JSONPath=`.spec.instance.namespace`,priority=1
// +kubebuilder:printcolumn:name="Distribution",type=string,JSONPath=`.spec.distribution`,priority=1
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Health",type=string,JSONPath=`.status.health`
// +kubebuilder:printcolumn:name="Revision",type=string,JSONPath=`.status.revision`
// +kubebuilder:printcolumn:name="Leaving",type=date,JSONPath=`.spec.removal.since`
// +kubebuilder:printcolumn:name="Held",type=string,JSONPath=`.spec.removal.held`,priority=1
// +kubebuilder:printcolumn:name="Drift",type=integer,JSONPath=`.status.drift.objects`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Target struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what the hub decided. Only the hub writes it.
	// +required
	Spec TargetSpec `json:"spec"`
	// Status is what came of it.
	// +optional
	Status TargetStatus `json:"status,omitzero"`
}

// TargetSpec says which revision of which instance the cluster should have.
type TargetSpec struct {
	// Instance that is placed on this cluster.
	// +required
	Instance InstanceReference `json:"instance"`
	// Revision is the name of the instance's ControllerRevision that this
	// cluster should run.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Revision string `json:"revision"`
	// Distribution is the name of the Distribution, in the instance's namespace,
	// that owns the instance; empty when none does.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Distribution string `json:"distribution,omitempty"`
	// Inputs are what expressions of the revision read of the cluster, as it was
	// when they were assigned: other labels or claims count only when the hub
	// assigns them. Absent when they read nothing of it.
	// +optional
	Inputs *TargetInputs `json:"inputs,omitempty"`
	// AssignedAt is when Revision and Inputs became what they are.
	// +optional
	AssignedAt *metav1.MicroTime `json:"assignedAt,omitempty"`
	// PassedAt is when the cluster had been ready with them for as long as the
	// rollout asks for. It counts only if it is not before AssignedAt.
	// +optional
	PassedAt *metav1.MicroTime `json:"passedAt,omitempty"`
	// Gates are those of the rollout, as they were last found with Revision and
	// Inputs. Absent while nothing was found that is to be remembered: then they are
	// closed until PassedAt is set, and open from then on.
	// +optional
	Gates *TargetGates `json:"gates,omitempty"`
	// Removal is set while the cluster is not in the instance's placement any
	// more.
	// +optional
	Removal *TargetRemoval `json:"removal,omitempty"`
}

// TargetGates are all gates of a rollout together, on one cluster.
type TargetGates struct {
	// Open is true when every one of them is.
	// +required
	Open bool `json:"open"`
	// Since is when the hub first found it so, by its own clock: minSuccessTime
	// counts from it while they are open.
	// +required
	Since metav1.MicroTime `json:"since"`
}

// TargetInputs are values of a ManagedCluster.
type TargetInputs struct {
	// Hash of Values.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Hash string `json:"hash"`
	// Values have the shape of the variable cluster, with the fields in it that
	// expressions read.
	// +required
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	Values runtime.RawExtension `json:"values"`
}

// TargetRemoval is what is to become of an instance on a cluster that left its
// placement.
type TargetRemoval struct {
	// Since is when the hub found that the cluster had left.
	// +required
	Since metav1.Time `json:"since"`
	// Policy is what becomes of the objects.
	// +optional
	Policy RemovalPolicy `json:"policy,omitempty"`
	// Approved is the plan hash of the ApprovalRequest with which the removal was
	// approved; empty where it was not, or did not have to be. It is kept here since
	// an approval counts for all its clusters, which are taken down one batch after
	// the other.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Approved string `json:"approved,omitempty"`
	// Held says why the instance is not removed although the grace period is
	// over; empty if it is.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Held string `json:"held,omitempty"`
}

// InstanceReference names an instance on the hub.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a Target never changes its instance"
type InstanceReference struct {
	// APIVersion of the instance, as in kro.run/v1alpha1.
	// +required
	// +kubebuilder:validation:MaxLength=317
	APIVersion string `json:"apiVersion"`
	// Kind of the instance.
	// +required
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// Namespace of the instance; empty for a cluster-scoped one.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
	// Name of the instance.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// TargetState is the one-word summary of a Target.
// +kubebuilder:validation:Enum=Pending;Progressing;Ready;Failed;Unreachable;Deleting
type TargetState string

// The states of a Target.
const (
	// TargetPending: nothing has been shipped yet.
	TargetPending TargetState = "Pending"
	// TargetProgressing: shipped, not everything is ready.
	TargetProgressing TargetState = "Progressing"
	// TargetReady: every node is ready at the wanted revision.
	TargetReady TargetState = "Ready"
	// TargetFailed: a node cannot be evaluated or applied.
	TargetFailed TargetState = "Failed"
	// TargetUnreachable: the cluster's agent stopped reporting.
	TargetUnreachable TargetState = "Unreachable"
	// TargetDeleting: the works are being taken down, last wave first.
	TargetDeleting TargetState = "Deleting"
)

// Health is what objects on a cluster say of themselves in their status, judged
// by the cluster's agent (kstatus), whatever readyWhen asks for.
// +kubebuilder:validation:Enum=Healthy;Progressing;Failed;Unknown
type Health string

// The kinds of health.
const (
	// Healthy: nothing in the objects' status says otherwise.
	Healthy Health = "Healthy"
	// HealthProgressing: an object is not yet what its specification asks for.
	HealthProgressing Health = "Progressing"
	// HealthFailed: an object will not become so by itself, as a Deployment that
	// exceeded its progressDeadlineSeconds.
	HealthFailed Health = "Failed"
	// HealthUnknown: the agent has not judged the objects as they should be now.
	HealthUnknown Health = "Unknown"
)

// TargetStatus is what is known about the instance on this cluster.
type TargetStatus struct {
	// ObservedGeneration is the generation of the spec this status speaks of. Later
	// ones may differ from it in passedAt and gates, of which it does not speak.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Revision that the cluster was last evaluated and shipped at.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Revision string `json:"revision,omitempty"`
	// AssignedAt is spec.assignedAt as this status found it: State, Health and
	// Drift are of what was assigned then, of the revision if Revision is that one.
	// Whoever waits for what was assigned later goes by nothing of this status.
	// +optional
	AssignedAt *metav1.MicroTime `json:"assignedAt,omitempty"`
	// State is the summary of all nodes, by readyWhen.
	// +optional
	State TargetState `json:"state,omitempty"`
	// Health is the worst health of all nodes: Failed, Progressing, Unknown, or
	// Healthy. It changes neither State nor the instance's conditions, which are
	// about readyWhen alone. What was Ready may fail later.
	// +optional
	Health Health `json:"health,omitempty"`
	// Reason says in one word why nothing of the wanted revision is shipped, as in
	// AgentLacksWorkReport: the graph needs a feature that the cluster's agent
	// does not have; or NoServiceAccount, InvalidDistribution, InvalidOverride. Empty if it is
	// shipped.
	// +optional
	// +kubebuilder:validation:MaxLength=316
	Reason string `json:"reason,omitempty"`
	// Suspended says why nothing is written on this cluster now; empty if it is.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Suspended string `json:"suspended,omitempty"`
	// Ineffective says which policies of the instance's Distribution the cluster's
	// agent does not follow, and why; empty if it follows all.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Ineffective string `json:"ineffective,omitempty"`
	// Message says in a sentence what is missing, or nothing when Ready.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// Nodes of the graph in topological order.
	// +optional
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MaxItems=1000
	Nodes []NodeStatus `json:"nodes,omitempty"`
	// Children are the instances on the hub that this Target has made, or reads.
	// They are listed before they are made and until they are gone: an instance
	// is this Target's if, and only if, it is in here.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=2000
	Children []ChildReference `json:"children,omitempty"`
	// Values are the author's status fields as this cluster gives them.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	Values *runtime.RawExtension `json:"values,omitempty"`
	// Conditions are the author's, as this cluster gives them.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=256
	Conditions []TargetCondition `json:"conditions,omitempty"`
	// Issues name the author's status fields and conditions that cannot be
	// evaluated on this cluster, and why.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	// +kubebuilder:validation:items:MaxLength=1024
	Issues []string `json:"issues,omitempty"`
	// Drift counts what was changed on the cluster by others.
	// +optional
	Drift DriftSummary `json:"drift,omitzero"`
	// Clocks hold the hub's own times, which soak and deadline are judged by.
	// +optional
	Clocks Clocks `json:"clocks,omitzero"`
}

// NodeDeleting is the state of a node of which somebody else deleted an object
// that is not gone yet. The other states are the engine's.
const NodeDeleting = "Deleting"

// NodeStatus is the state of one node of the graph on one cluster.
type NodeStatus struct {
	// ID of the node.
	// +required
	// +kubebuilder:validation:MaxLength=253
	ID string `json:"id"`
	// State is Pending, Held, Excluded, Failed, Progressing, Ready or Deleting.
	// +required
	// +kubebuilder:validation:MaxLength=32
	State string `json:"state"`
	// WaitsFor lists what the node waits for, as in service.spec.clusterIP.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	WaitsFor []string `json:"waitsFor,omitempty"`
	// Message says what is wrong, when something is.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// Health is the worst of the node's objects on the cluster, judged by their own
	// status and not by readyWhen. It is Unknown unless the agent judged all of
	// them as they are rendered now, and always where the cluster's agent does not
	// judge health, as OCM's. It is empty where there is nothing to be judged: the
	// node is excluded, renders no object, or is an external reference.
	// +optional
	Health Health `json:"health,omitempty"`
	// HealthMessage says of the first object with that health why it is not
	// Healthy.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	HealthMessage string `json:"healthMessage,omitempty"`
}

// TargetCondition is one of the author's conditions on one cluster. Its times
// are the instance's.
type TargetCondition struct {
	// Type of the condition.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=316
	Type string `json:"type"`
	// Status of the condition.
	// +required
	// +kubebuilder:validation:Enum=True;False;Unknown
	Status metav1.ConditionStatus `json:"status"`
	// Reason the author gives.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`
	// Message the author gives.
	// +optional
	// +kubebuilder:validation:MaxLength=32768
	Message string `json:"message,omitempty"`
	// Kept is true when the condition cannot be judged now, and is what was
	// found last.
	// +optional
	Kept bool `json:"kept,omitempty"`
}

// ChildReference names an instance on the hub that belongs to a node of a graph:
// one whose kind another definition generates.
type ChildReference struct {
	// APIVersion of the instance.
	// +required
	// +kubebuilder:validation:MaxLength=317
	APIVersion string `json:"apiVersion"`
	// Kind of the instance.
	// +required
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// Namespace of the instance; empty for a cluster-scoped one.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
	// Name of the instance.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// Node of the graph.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Node string `json:"node"`
	// Index among the objects of the node.
	// +optional
	Index int32 `json:"index,omitempty"`
	// Wave of the node, as of when it was last rendered: the highest leaves first.
	// +optional
	Wave int32 `json:"wave,omitempty"`
	// ReadOnly instances are somebody else's: an externalRef names them, or they
	// have the name of one that cannot be made therefore.
	// +optional
	ReadOnly bool `json:"readOnly,omitempty"`
	// Leaving instances are no longer wanted.
	// +optional
	Leaving bool `json:"leaving,omitempty"`
}

// Reference names the instance.
func (c ChildReference) Reference() InstanceReference {
	return InstanceReference{APIVersion: c.APIVersion, Kind: c.Kind, Namespace: c.Namespace, Name: c.Name}
}

// DriftSummary counts drift findings of one Target.
type DriftSummary struct {
	// Objects that differ now and are reported, not yet corrected.
	// +optional
	Objects int32 `json:"objects,omitempty"`
	// Corrections made since the Target exists, as far as the agent remembers.
	// +optional
	Corrections int64 `json:"corrections,omitempty"`
	// Last is the newest finding in a sentence: who changed what, and what was done.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Last string `json:"last,omitempty"`
	// LastSeen is the spoke's time of the newest finding.
	// +optional
	LastSeen *metav1.Time `json:"lastSeen,omitempty"`
}

// Clocks are times by the hub's clock.
type Clocks struct {
	// RevisionSince is when the wanted revision was first shipped.
	// +optional
	RevisionSince *metav1.Time `json:"revisionSince,omitempty"`
	// StateSince is when State last changed.
	// +optional
	StateSince *metav1.Time `json:"stateSince,omitempty"`
	// HealthySince is since when, without a break, State has been Ready and Health
	// Healthy at the wanted revision, which is spec.revision. It is absent while
	// that does not hold, or is not known: while the cluster is unreachable, or
	// its agent has not answered what was shipped last.
	// +optional
	HealthySince *metav1.Time `json:"healthySince,omitempty"`
	// HealthSince is when Health last changed.
	// +optional
	HealthSince *metav1.Time `json:"healthSince,omitempty"`
	// DriftSince is since when, without a break, drift.objects has not been zero: when
	// the hub first saw what differs now. It is absent while nothing differs.
	// +optional
	DriftSince *metav1.Time `json:"driftSince,omitempty"`
	// WritableSince is since when, without a break, the cluster could be reached,
	// nothing was suspended there, and nobody was at work on it. It is absent while
	// that does not hold.
	// +optional
	WritableSince *metav1.Time `json:"writableSince,omitempty"`
}

// Since is since when the Target is as it is, by the hub's clock: what is ready, and
// not as it was applied, since that; all else since its state has lasted.
func (s *TargetStatus) Since() *metav1.Time {
	if s.State == TargetReady && s.Clocks.DriftSince != nil {
		return s.Clocks.DriftSince
	}
	return s.Clocks.StateSince
}

// TargetList is a list of Targets.
// +kubebuilder:object:root=true
type TargetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Target `json:"items"`
}
