package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Distribution says how the instances that it selects, in its own namespace,
// are carried to their clusters: to which, with which values on each, what
// becomes of changes made there by others, of objects that exist already, of
// those that leave and of clusters that leave, and in whose name the agents act.
// An instance without a Distribution has the defaults.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=kd,categories=kronvoy
// +kubebuilder:printcolumn:name="Kind",type=string,JSONPath=`.spec.instances.kind`
// +kubebuilder:printcolumn:name="Instances",type=integer,JSONPath=`.status.instances`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Service-Account",type=string,JSONPath=`.spec.serviceAccountName`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Distribution struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what the operator wants.
	// +required
	Spec DistributionSpec `json:"spec"`
	// Status is what the hub makes of it.
	// +optional
	Status DistributionStatus `json:"status,omitzero"`
}

// DistributionSpec says which instances, and how they are carried out.
type DistributionSpec struct {
	// Instances that this Distribution is for. Of several Distributions that
	// select one instance the present owner keeps it; without one the first by
	// name gets it.
	// +required
	Instances InstanceSelector `json:"instances"`
	// Placement says where the instances run. Without it the label
	// kronvoy.io/placement of each says so; with it that label counts for nothing,
	// and the instance's condition PlacementShadowed is True.
	// +optional
	Placement *DistributionPlacement `json:"placement,omitempty"`
	// Overrides change the instances' spec on some of the clusters, in order:
	// later ones win. What comes of it must be valid as the spec of the instance
	// itself; a cluster for which it is not keeps what it has, and the others go
	// on.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Overrides []Override `json:"overrides,omitempty"`
	// Policies say what agents do about drift, about what exists already and
	// about what leaves. For each resource and each of drift, takeover and
	// deletion the first entry counts that says something about it. Entries with
	// paths come before those without. A change acts on all clusters at once.
	// What a policy says of an instance's resources ends with the Distribution:
	// delete the instances first where their objects are to stay.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Policies []DistributionPolicy `json:"policies,omitempty"`
	// Rollout says how a change moves through the clusters. A change is another
	// spec of an instance, another definition, another override, or, of a cluster,
	// another label or claim that their expressions read. Without it all clusters
	// get it at once.
	// +optional
	Rollout *RolloutStrategy `json:"rollout,omitempty"`
	// Removal says what becomes of the instances on clusters that leave their
	// placement.
	// +optional
	Removal Removal `json:"removal,omitzero"`
	// Aggregate holds expressions over all clusters of an instance, by name. Their
	// values are shown in its status, in fleet.aggregates, such as
	//   readyTotal: ${clusters.filter(c, c.ready).map(c, c.status.replicas).sum()}
	// over the list clusters, whose entries have name, labels, group, revision,
	// ready (a bool) and status (the author's fields on that cluster). One that
	// reads what a cluster has not given has no value. Where the author's schema
	// has a field of that name and type, the aggregate is its value. They come
	// beside those in the definition's annotation kronvoy.io/aggregate, and before
	// them where names are the same.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	Aggregate map[string]string `json:"aggregate,omitempty"`
	// ServiceAccountName is the ServiceAccount, in the instance's namespace on
	// each cluster, in whose name the agent acts there. The cluster's
	// administrator allows that by binding ClusterRole kronvoy-agent-executor to
	// the agent in that namespace. When it is empty, the annotation
	// kronvoy.io/service-account of the namespace on the hub counts, then the
	// hub's --default-service-account.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	ServiceAccountName string `json:"serviceAccountName,omitempty"`
}

// DistributionPlacement says on which clusters instances run.
// +kubebuilder:validation:XValidation:rule="has(self.refs) != has(self.clusterSelector)",message="a placement has either refs or clusterSelector"
type DistributionPlacement struct {
	// Refs are Placements of this namespace, in order. An instance runs on all
	// clusters that any of them selects; a cluster that several select is in the
	// decision group of the first.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Refs []PlacementReference `json:"refs,omitempty"`
	// ClusterSelector of the ManagedClusters' labels. The hub keeps a Placement of
	// its own for it; a ManagedClusterSetBinding in this namespace says, as for any
	// Placement, which clusters it may choose from.
	// +optional
	ClusterSelector *metav1.LabelSelector `json:"clusterSelector,omitempty"`
}

// PlacementReference names a Placement of the same namespace.
type PlacementReference struct {
	// Name of the Placement.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// Override changes an instance's spec on some clusters.
// +kubebuilder:validation:XValidation:rule="has(self.spec) || has(self.expressions)",message="an override has spec, expressions or both"
type Override struct {
	// ClusterSelector of the ManagedClusters' labels; without one the override is
	// for all clusters.
	// +optional
	ClusterSelector *metav1.LabelSelector `json:"clusterSelector,omitempty"`
	// Spec is merged into the instance's spec: objects field by field, and all
	// else, lists too, is replaced (a JSON merge patch, RFC 7386). To remove a
	// field set it to null.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	Spec *runtime.RawExtension `json:"spec,omitempty"`
	// Expressions set fields of the spec, after Spec is merged. Keys are paths in
	// the spec, as in host, ingress.host or limits['example.com/gpu']; a list is set
	// as a whole. Values are text with ${} as in a definition, over cluster and over
	// schema, the instance as it is without overrides:
	//   host: ${schema.metadata.name}.${cluster.name}.example.com
	// A value of null takes the field away.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=32
	Expressions map[string]string `json:"expressions,omitempty"`
}

// RemovalPolicy is what becomes of an instance's objects on a cluster that left
// its placement.
// +kubebuilder:validation:Enum=Delete;Orphan
type RemovalPolicy string

// The removal policies.
const (
	// RemovalDelete: they are deleted, or left, as the deletion policy of each
	// says.
	RemovalDelete RemovalPolicy = "Delete"
	// RemovalOrphan: all of them are left on the cluster.
	RemovalOrphan RemovalPolicy = "Orphan"
)

// UnreachableRemoval is what becomes of an instance on a cluster that left its
// placement and cannot be reached.
// +kubebuilder:validation:Enum=Keep;Remove
type UnreachableRemoval string

// What becomes of a cluster that cannot be reached.
const (
	// UnreachableKeep: it keeps its works until it can be reached.
	UnreachableKeep UnreachableRemoval = "Keep"
	// UnreachableRemove: its works are deleted on the hub; the agent removes the
	// objects when it is back.
	UnreachableRemove UnreachableRemoval = "Remove"
)

// Removal says what becomes of instances on clusters that leave their placement.
// It is not about instances that are deleted: those leave all their clusters at
// once.
type Removal struct {
	// Policy is Delete, or Orphan, which leaves all objects on the cluster and lets
	// go of them.
	// +optional
	// +kubebuilder:default=Delete
	Policy RemovalPolicy `json:"policy,omitempty"`
	// GracePeriod is how long a cluster keeps the instance after it left, as in
	// 30s or 5m; one that comes back meanwhile has lost nothing. The hub's
	// --removal-grace-period when it is not set.
	// +optional
	GracePeriod *metav1.Duration `json:"gracePeriod,omitempty"`
	// MaxPercent is the largest part of an instance's clusters, but at least one,
	// that may leave without being asked for, and the most that is taken down at a
	// time. A decision that removes more, or all, is held until somebody approves
	// its ApprovalRequest (condition RemovalHeld).
	// +optional
	// +kubebuilder:default=30
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	MaxPercent *int32 `json:"maxPercent,omitempty"`
	// OnUnreachable is what becomes of the instance on a cluster that left and
	// cannot be reached: Keep, or Remove.
	// +optional
	// +kubebuilder:default=Keep
	OnUnreachable UnreachableRemoval `json:"onUnreachable,omitempty"`
}

// InstanceSelector selects instances of one kind.
type InstanceSelector struct {
	// APIVersion of the instances, as in kro.run/v1alpha1.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	APIVersion string `json:"apiVersion"`
	// Kind of the instances.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// Selector of the instances' labels; without one all instances of the kind in
	// this namespace are selected.
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
}

// DistributionPolicy is what is to be done about some resources, or some of
// their fields.
// +kubebuilder:validation:XValidation:rule="has(self.drift) || has(self.takeover) || has(self.deletion)",message="a policy says at least one of drift, takeover and deletion"
// +kubebuilder:validation:XValidation:rule="!has(self.paths) || !(has(self.takeover) || has(self.deletion))",message="takeover and deletion are about whole objects: leave paths out, or make two policies of it"
type DistributionPolicy struct {
	// Nodes are the ids of the resources in the definition that this is about;
	// without any it is about all. External references take no policies, and
	// instances of other definitions have Distributions of their own.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Nodes []string `json:"nodes,omitempty"`
	// ClusterSelector of the ManagedClusters' labels; without one this is about
	// all clusters.
	// +optional
	ClusterSelector *metav1.LabelSelector `json:"clusterSelector,omitempty"`
	// Paths limit drift to these fields and all below them:
	//   spec.replicas
	//   metadata.annotations["example.com/note"]
	//   spec.template.spec.containers[name=web].image
	//   spec.template.spec.containers[*].image
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	Paths []string `json:"paths,omitempty"`
	// Drift is what an agent does about a field that somebody changed: Correct
	// puts it right and reports it, Report only reports it, Ignore does neither.
	// +optional
	// +kubebuilder:validation:Enum=Correct;Report;Ignore
	Drift DriftPolicy `json:"drift,omitempty"`
	// Takeover is what an agent does about an object that exists and is not the
	// instance's: Always takes it over, IfNoDiff takes it over if that changes
	// none of its fields, Never refuses.
	// +optional
	// +kubebuilder:validation:Enum=Always;IfNoDiff;Never
	Takeover TakeoverPolicy `json:"takeover,omitempty"`
	// Deletion is what happens to an object that is no longer wanted, or whose
	// instance is deleted: Delete, or Orphan, which leaves it on the cluster.
	// +optional
	// +kubebuilder:validation:Enum=Delete;Orphan
	Deletion DeletionPolicy `json:"deletion,omitempty"`
}

// DistributionStatus is what the hub makes of a Distribution.
type DistributionStatus struct {
	// ObservedGeneration is the generation of the spec this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Instances is how many instances this Distribution owns.
	// +optional
	Instances int32 `json:"instances"`
	// Conditions are Accepted, Resolved, Conflicted, Ready and, while people are
	// asked whether instances may leave clusters, RemovalHeld.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Condition types of a Distribution.
const (
	// ConditionAccepted: the spec can be used. While it is False, what has been
	// shipped of the instances that the Distribution owns stays as it is; with
	// InvalidAggregate all but the aggregates is in force.
	// Reasons: Accepted, InvalidPath, InvalidSelector, TooLarge, InvalidOverride,
	// InvalidAggregate, InvalidRollout.
	ConditionAccepted = "Accepted"
	// ConditionResolved: what the spec names is there. While it is False,
	// everything else is in force, and instances stay on the clusters that they
	// are on if it is about the placement. Reasons: Resolved, NoInstances (True: it
	// may come), UnknownKind, UnknownNode, NodeWithoutPolicies, PlacementNotFound,
	// PlacementPending, PlacementMisconfigured, PlacementTaken,
	// NoClusterSetBinding, NoClusters.
	ConditionResolved = "Resolved"
	// ConditionConflicted: another Distribution owns instances that this one
	// selects; the message names it. Reasons: OwnedByAnother, NoConflict.
	ConditionConflicted = "Conflicted"
	// ConditionRemovalHeld: instances keep clusters that left their placement, since
	// so many leave that people are asked, in ApprovalRequests; it is not there
	// otherwise. An instance has the same condition. Reasons: NeedsApproval,
	// ApprovalRejected.
	ConditionRemovalHeld = "RemovalHeld"
	// ConditionRolledOut, where there is a rollout of all instances together: its
	// Rollout has succeeded. Its reason is that one's phase: Succeeded (True),
	// Progressing, WaitingForApproval, Paused, RollingBack, RolledBack, Failed. It is
	// not there otherwise.
	ConditionRolledOut = "RolledOut"
	// ConditionReady: all is as it should be. Its reason is that of the first of
	// the other conditions that says otherwise.
	ConditionReady = "Ready"
)

// Reasons of a Distribution's conditions.
const (
	ReasonAccepted        = "Accepted"
	ReasonInvalidPath     = "InvalidPath"
	ReasonInvalidSelector = "InvalidSelector"
	ReasonTooLarge        = "TooLarge"
	// ReasonInvalidOverride: an override does not fit the instances' kind. On a
	// Target it is what an override comes to on that cluster alone.
	ReasonInvalidOverride = "InvalidOverride"
	// ReasonInvalidAggregate: an aggregate does not fit the instances' kind.
	ReasonInvalidAggregate = "InvalidAggregate"
	// ReasonInvalidRollout: a field of spec.rollout is wrong by itself, or a gate's
	// expression does not fit the instances' kind.
	ReasonInvalidRollout = "InvalidRollout"

	ReasonResolved    = "Resolved"
	ReasonNoInstances = "NoInstances"
	ReasonUnknownKind = "UnknownKind"
	ReasonUnknownNode = "UnknownNode"
	// ReasonNodeWithoutPolicies: a policy names an external reference, or an
	// instance of another definition.
	ReasonNodeWithoutPolicies = "NodeWithoutPolicies"

	// ReasonPlacementNotFound: a Placement that is named is not there, or on its
	// way out.
	ReasonPlacementNotFound = "PlacementNotFound"
	// ReasonPlacementPending: a Placement has no decision yet.
	ReasonPlacementPending = "PlacementPending"
	// ReasonPlacementMisconfigured: a Placement's own condition says what is wrong
	// with it. A decision from before stands.
	ReasonPlacementMisconfigured = "PlacementMisconfigured"
	// ReasonPlacementTaken: the name of the Placement that the hub would keep for
	// spec.placement.clusterSelector is somebody else's.
	ReasonPlacementTaken = "PlacementTaken"
	// ReasonNoClusterSetBinding: no cluster set, or none that a Placement names, is
	// bound to the namespace.
	ReasonNoClusterSetBinding = "NoClusterSetBinding"
	// ReasonNoClusters: no cluster is selected.
	ReasonNoClusters = "NoClusters"

	ReasonNeedsApproval    = "NeedsApproval"
	ReasonApprovalRejected = "ApprovalRejected"

	ReasonOwnedByAnother = "OwnedByAnother"
	ReasonNoConflict     = "NoConflict"
)

// DistributionList is a list of Distributions.
// +kubebuilder:object:root=true
type DistributionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Distribution `json:"items"`
}
