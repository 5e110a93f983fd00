package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// WorkReport carries what a ManifestWork's status cannot: drift findings,
// lists, objects and long values, and what is still being deleted. It has the
// name of its work; the hub creates it, the cluster's agent writes its status.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=kwr,categories=kronvoy
// +kubebuilder:printcolumn:name="Findings",type=integer,JSONPath=`.status.findingCount`
// +kubebuilder:printcolumn:name="Corrections",type=integer,JSONPath=`.status.corrections`
// +kubebuilder:printcolumn:name="Changed-By",type=string,JSONPath=`.status.findings[0].details[0].manager`
// +kubebuilder:printcolumn:name="Deleting",type=string,JSONPath=`.status.deleting[*].name`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type WorkReport struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Status is written by the cluster's agent.
	// +optional
	Status WorkReportStatus `json:"status,omitzero"`
}

// WorkReportStatus is the agent's answer to one work.
type WorkReportStatus struct {
	// ObservedHash is the kronvoy.io/hash of the work that this report answers.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	ObservedHash string `json:"observedHash,omitempty"`
	// ObservedGeneration is the generation of the work that this report answers.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Values are the fields listed in the work's kronvoy.io/observe annotation
	// that exist on the live objects. A value is at most 64 KiB, all of them
	// 400 KiB.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=2000
	Values []ReportedValue `json:"values,omitempty"`
	// Selections answer those of the work's kronvoy.io/observe annotation, by
	// node. One that the agent has no first list of is not in here.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1000
	Selections []SelectionReport `json:"selections,omitempty"`
	// Deleting lists the objects that left the work and still exist.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=250
	Deleting []DeletingObject `json:"deleting,omitempty"`
	// Findings are the differences between what was applied and what is there,
	// newest first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	Findings []Finding `json:"findings,omitempty"`
	// FindingCount is the number of objects that differ now, also those beyond
	// the list's limit.
	// +optional
	FindingCount int32 `json:"findingCount,omitempty"`
	// Corrections is how often this agent put drift right for this work.
	// +optional
	Corrections int64 `json:"corrections,omitempty"`
	// WorkStatusFollows is true when the agent was about to write the status of the
	// work as it wrote this: both tell of one change.
	// +optional
	WorkStatusFollows bool `json:"workStatusFollows,omitempty"`
}

// ObjectReference names one object on the spoke.
type ObjectReference struct {
	// Group of the object's API; empty for the core group.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`
	// Version of the object's API.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Version string `json:"version,omitempty"`
	// Kind of the object.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind,omitempty"`
	// Resource is the plural name of the kind.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Resource string `json:"resource,omitempty"`
	// Namespace of the object; empty for a cluster-scoped one.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
	// Name of the object.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// ReportedValue is one field of one live object.
type ReportedValue struct {
	ObjectReference `json:",inline"`
	// Hash is the live object's kronvoy.io/hash when the value was read.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Hash string `json:"hash,omitempty"`
	// Path of the field, as in status.conditions.
	// +required
	// +kubebuilder:validation:MaxLength=1024
	Path string `json:"path"`
	// Value of the field, as JSON in a text: so the API server can bound it, and
	// keeps it as it was written.
	// +required
	// +kubebuilder:validation:MaxLength=65536
	Value string `json:"value"`
}

// SelectionReport is what a selection has found on the cluster.
type SelectionReport struct {
	// Node is the id of the graph's node.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Node string `json:"node"`
	// Hash is that of the selection that this answers.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Hash string `json:"hash,omitempty"`
	// Listed is true when items are all that match. Otherwise nothing is known,
	// and the message says why.
	// +optional
	Listed bool `json:"listed,omitempty"`
	// Message says why there is no list.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// Items are the objects that match, by namespace and name.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1000
	Items []SelectedObject `json:"items,omitempty"`
}

// SelectedObject is one object that a selection has found.
type SelectedObject struct {
	// Namespace of the object; empty for a cluster-scoped one.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
	// Name of the object.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// Values are the fields that were asked for and exist. They share the
	// limits of the report's own values.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=200
	Values []SelectedValue `json:"values,omitempty"`
}

// SelectedValue is one field of an object that a selection has found.
type SelectedValue struct {
	// Path of the field; empty for the whole object.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Path string `json:"path,omitempty"`
	// Value of the field, as JSON in a text: so the API server can bound it, and
	// keeps it as it was written.
	// +required
	// +kubebuilder:validation:MaxLength=65536
	Value string `json:"value"`
}

// DeletingObject is an object on its way out.
type DeletingObject struct {
	ObjectReference `json:",inline"`
	// Since is when the agent asked for its deletion, by the spoke's clock.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
	// Message says what it waits for, such as finalizers or a missing right.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// FindingAction is what the agent did about a finding.
// +kubebuilder:validation:Enum=Corrected;Reported;Conflict;MutatedOnAdmission
type FindingAction string

// The actions of a finding.
const (
	// FindingCorrected: the fields were put back.
	FindingCorrected FindingAction = "Corrected"
	// FindingReported: left as it is, by policy.
	FindingReported FindingAction = "Reported"
	// FindingConflict: the fields belong to somebody else, and the takeover
	// policy keeps the agent from taking them.
	FindingConflict FindingAction = "Conflict"
	// FindingMutatedOnAdmission: the spoke's own admission changed what was
	// applied; it is reported once and not fought.
	FindingMutatedOnAdmission FindingAction = "MutatedOnAdmission"
)

// Finding is what differs on one object.
type Finding struct {
	// ID names the finding in the fleet. It stays the same as long as the same
	// fields of the object differ, whatever their values are. Agents of older
	// releases give none.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	ID              string `json:"id,omitempty"`
	ObjectReference `json:",inline"`
	// Node is the id of the graph's node.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Node string `json:"node,omitempty"`
	// Action the agent took.
	// +required
	Action FindingAction `json:"action"`
	// Missing is true when the whole object was deleted.
	// +optional
	Missing bool `json:"missing,omitempty"`
	// Details are the fields that differ.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	Details []FindingDetail `json:"details,omitempty"`
	// DetailCount is the number of fields that differ, also those beyond the
	// list's limit.
	// +optional
	DetailCount int32 `json:"detailCount,omitempty"`
	// FirstSeen is when this difference was first seen, by the spoke's clock.
	// +optional
	FirstSeen metav1.Time `json:"firstSeen,omitzero"`
	// LastSeen is when it was last seen, by the spoke's clock.
	// +optional
	LastSeen metav1.Time `json:"lastSeen,omitzero"`
	// Count is how often it was seen.
	// +optional
	Count int64 `json:"count,omitempty"`
	// NextCorrection is set while somebody changes back, again and again, what the
	// agent puts right: it waits ever longer between corrections, 5 minutes at
	// most, and this is when the next one is due, by the spoke's clock. Count is then
	// how often it was put right, firstSeen when that began, and the details name
	// the other manager.
	// +optional
	NextCorrection *metav1.Time `json:"nextCorrection,omitempty"`
}

// FindingDetail is one field that differs. Values of Secrets are masked.
type FindingDetail struct {
	// Path of the field, as in spec.replicas.
	// +required
	// +kubebuilder:validation:MaxLength=1024
	Path string `json:"path"`
	// Desired value as JSON, shortened to 256 characters; empty when the field should not be there.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Desired string `json:"desired,omitempty"`
	// Observed value as JSON, shortened to 256 characters; empty when the field is missing.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Observed string `json:"observed,omitempty"`
	// Manager is the field manager that owns the field now.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Manager string `json:"manager,omitempty"`
}

// WorkReportList is a list of WorkReports.
// +kubebuilder:object:root=true
type WorkReportList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []WorkReport `json:"items"`
}
