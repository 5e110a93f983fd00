package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Distribution says how the instances that it selects, in its own namespace,
// are carried to their clusters: what becomes of changes made there by others,
// of objects that exist already and of those that leave, and in whose name the
// agents act. An instance without a Distribution has the defaults.
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
	// Conditions are Accepted, Resolved, Conflicted and Ready.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Condition types of a Distribution.
const (
	// ConditionAccepted: the spec can be used. While it is False, what has been
	// shipped of the instances that the Distribution owns stays as it is.
	// Reasons: Accepted, InvalidPath, InvalidSelector, TooLarge.
	ConditionAccepted = "Accepted"
	// ConditionResolved: what the spec names is there. While it is False,
	// everything else is in force. Reasons: Resolved, NoInstances (True: it may
	// come), UnknownKind, UnknownNode, NodeWithoutPolicies.
	ConditionResolved = "Resolved"
	// ConditionConflicted: another Distribution owns instances that this one
	// selects; the message names it. Reasons: OwnedByAnother, NoConflict.
	ConditionConflicted = "Conflicted"
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

	ReasonResolved    = "Resolved"
	ReasonNoInstances = "NoInstances"
	ReasonUnknownKind = "UnknownKind"
	ReasonUnknownNode = "UnknownNode"
	// ReasonNodeWithoutPolicies: a policy names an external reference, or an
	// instance of another definition.
	ReasonNodeWithoutPolicies = "NodeWithoutPolicies"

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
