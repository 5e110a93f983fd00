package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// State of a definition in one word.
type State string

// The states of a definition.
const (
	// Active means that the graph is accepted and its kind is served.
	Active State = "Active"
	// Inactive means that it is not; an earlier version may still be served.
	Inactive State = "Inactive"
)

// ResourceGraphDefinitionStatus is what is known about a definition.
type ResourceGraphDefinitionStatus struct {
	// State is Active when GraphAccepted, KindReady and ControllerReady are True.
	// +optional
	State State `json:"state,omitempty"`
	// TopologicalOrder lists the resource ids in an order that satisfies all
	// dependencies.
	// +optional
	TopologicalOrder []string `json:"topologicalOrder,omitempty"`
	// Conditions of the definition: GraphRevisionsResolved, GraphAccepted,
	// KindReady, ControllerReady, and Ready for all of them.
	// +optional
	Conditions []Condition `json:"conditions,omitempty"`
	// Resources lists the dependencies of those resources that have any.
	// +optional
	Resources []ResourceInformation `json:"resources,omitempty"`
	// LastIssuedRevision is the highest revision number ever given to a version
	// of this graph.
	// +optional
	LastIssuedRevision int64 `json:"lastIssuedRevision,omitempty"`
}

// ResourceInformation is what compiling found out about one resource.
type ResourceInformation struct {
	// ID of the resource.
	// +optional
	ID string `json:"id,omitempty"`
	// Dependencies are the resources whose values it uses.
	// +optional
	Dependencies []Dependency `json:"dependencies,omitempty"`
}

// Dependency is a resource that another one depends on.
type Dependency struct {
	// ID of the resource that is depended on.
	// +optional
	ID string `json:"id,omitempty"`
}

// ConditionType names one condition of a definition or an instance.
type ConditionType string

// The conditions of a definition.
const (
	// GraphRevisionsResolved is True (Resolved) when the latest revision is known.
	GraphRevisionsResolved ConditionType = "GraphRevisionsResolved"
	// GraphAccepted is True (Valid) when the graph compiles, and False
	// (InvalidResourceGraph) with every issue's place when it does not.
	GraphAccepted ConditionType = "GraphAccepted"
	// KindReady is True (Ready) when the generated kind is served, and False
	// (Failed) when its CustomResourceDefinition could not be written.
	KindReady ConditionType = "KindReady"
	// ControllerReady is True (Running) when instances of the kind are served.
	ControllerReady ConditionType = "ControllerReady"
	// Ready is True when all other conditions are.
	Ready ConditionType = "Ready"
)

// The further conditions of an instance.
const (
	// InstanceManaged is True (Managed) when the instance is under control.
	InstanceManaged ConditionType = "InstanceManaged"
	// GraphResolved is True (Resolved) when the graph of the instance evaluates.
	GraphResolved ConditionType = "GraphResolved"
	// ResourcesReady is True (AllResourcesReady) when every resource is ready.
	ResourcesReady ConditionType = "ResourcesReady"
)

// Condition is one aspect of a definition's state, in kro's own shape.
type Condition struct {
	// Type of the condition.
	// +required
	Type ConditionType `json:"type"`
	// Status is True, False or Unknown.
	// +required
	Status metav1.ConditionStatus `json:"status"`
	// LastTransitionTime is when Status changed last.
	// +optional
	LastTransitionTime *metav1.Time `json:"lastTransitionTime,omitempty"`
	// Reason is the cause in one PascalCase word.
	// +optional
	Reason *string `json:"reason,omitempty"`
	// Message is the cause for people.
	// +optional
	Message *string `json:"message,omitempty"`
	// ObservedGeneration is the generation that the condition was judged on.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
}
