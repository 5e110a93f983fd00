package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ApprovalRequest asks people whether the hub may go on with what it does not do
// by itself. The hub makes it, in the namespace of the instance or the
// Distribution that it is about (its own for cluster-scoped instances), and
// deletes it when the question is settled or another one has taken its place.
// Whoever has the verb approve on it may decide, once and in his own name.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=kar,categories=kronvoy
// +kubebuilder:printcolumn:name="For",type=string,JSONPath=`.spec.action`
// +kubebuilder:printcolumn:name="Clusters",type=integer,JSONPath=`.spec.clusterCount`
// +kubebuilder:printcolumn:name="Decision",type=string,JSONPath=`.status.decision`
// +kubebuilder:printcolumn:name="By",type=string,JSONPath=`.status.decidedBy`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.spec.message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ApprovalRequest struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the question.
	// +required
	Spec ApprovalRequestSpec `json:"spec"`
	// Status is the answer.
	// +optional
	Status ApprovalRequestStatus `json:"status,omitzero"`
}

// ApprovalAction is what an ApprovalRequest asks for.
// +kubebuilder:validation:Enum=Remove;EnterGroup
type ApprovalAction string

// The actions.
const (
	// ApprovalRemove: instances are to be removed from clusters that left their
	// placement, and these are too many to do so unasked.
	ApprovalRemove ApprovalAction = "Remove"
	// ApprovalEnterGroup: a rollout has reached a group before which people are to
	// be asked.
	ApprovalEnterGroup ApprovalAction = "EnterGroup"
)

// ApprovalRequestSpec is the question. It never changes: another question is
// another ApprovalRequest.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a question never changes: the hub asks another one"
type ApprovalRequestSpec struct {
	// Action that is asked for.
	// +required
	Action ApprovalAction `json:"action"`
	// Distribution in the same namespace whose rules ask for an answer; empty when
	// none owned the instance.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Distribution string `json:"distribution,omitempty"`
	// Instance that this is about; absent when it is about all instances of a
	// Distribution.
	// +optional
	Instance *InstanceReference `json:"instance,omitempty"`
	// Group of the rollout that is to be entered; empty for any other action.
	// +optional
	// +kubebuilder:validation:MaxLength=316
	Group string `json:"group,omitempty"`
	// PlanHash stands for what exactly is to be done: an approval counts for that
	// alone.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	PlanHash string `json:"planHash"`
	// ClusterCount is how many clusters it concerns.
	// +required
	// +kubebuilder:validation:Minimum=0
	ClusterCount int32 `json:"clusterCount"`
	// Clusters that it concerns by name, at most the first hundred.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=253
	Clusters []string `json:"clusters,omitempty"`
	// Message is the question in a sentence.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message"`
}

// ApprovalDecision is the answer of an ApprovalRequest.
// +kubebuilder:validation:Enum=Approved;Rejected
type ApprovalDecision string

// The decisions.
const (
	Approved ApprovalDecision = "Approved"
	Rejected ApprovalDecision = "Rejected"
)

// ApprovalRequestStatus is the answer. It is given once.
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.decision) || self == oldSelf",message="the decision was made already"
// +kubebuilder:validation:XValidation:rule="has(self.decision) == has(self.decidedBy)",message="a decision names who made it, in decidedBy"
type ApprovalRequestStatus struct {
	// Decision is Approved or Rejected; empty until somebody decides.
	// +optional
	Decision ApprovalDecision `json:"decision,omitempty"`
	// DecidedBy is the name of the user who decided: his own.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	DecidedBy string `json:"decidedBy,omitempty"`
	// DecidedAt is when that was.
	// +optional
	DecidedAt *metav1.Time `json:"decidedAt,omitempty"`
	// Reason that he gave.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`
}

// ApprovalRequestList is a list of ApprovalRequests.
// +kubebuilder:object:root=true
type ApprovalRequestList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ApprovalRequest `json:"items"`
}
