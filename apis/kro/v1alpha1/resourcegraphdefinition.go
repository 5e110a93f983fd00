package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// ResourceGraphDefinition composes resources into one new kind: its schema
// becomes a CustomResourceDefinition, and each instance of that kind becomes
// the resources of the graph, evaluated once for every cluster it is placed on.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=rgd,categories=kronvoy
// +kubebuilder:printcolumn:name="APIVERSION",type=string,JSONPath=`.spec.schema.apiVersion`
// +kubebuilder:printcolumn:name="KIND",type=string,JSONPath=`.spec.schema.kind`
// +kubebuilder:printcolumn:name="STATE",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="READY",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="TOPOLOGICALORDER",type=string,priority=1,JSONPath=`.status.topologicalOrder`
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
type ResourceGraphDefinition struct {
	metav1.TypeMeta `json:",inline"`
	// Metadata of the definition.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the graph: the schema of its instances and its resources.
	// +optional
	Spec ResourceGraphDefinitionSpec `json:"spec,omitempty"`
	// Status tells whether the graph is accepted and served.
	// +optional
	Status ResourceGraphDefinitionStatus `json:"status,omitempty"`
}

// ResourceGraphDefinitionList is a list of definitions.
//
// +kubebuilder:object:root=true
type ResourceGraphDefinitionList struct {
	metav1.TypeMeta `json:",inline"`
	// Metadata of the list.
	metav1.ListMeta `json:"metadata,omitempty"`
	// Items are the definitions.
	Items []ResourceGraphDefinition `json:"items"`
}

// ResourceGraphDefinitionSpec is the graph as its author writes it.
type ResourceGraphDefinitionSpec struct {
	// Schema describes the kind that this definition generates.
	// +required
	Schema *Schema `json:"schema,omitempty"`
	// Resources of the graph. Expressions (`${…}`) in one resource may refer to
	// another by its id; such references alone decide the order.
	// +optional
	Resources []*Resource `json:"resources,omitempty"`
}

// Scope of the generated kind.
//
// +kubebuilder:validation:Enum=Namespaced;Cluster
type Scope string

// The scopes of a generated kind.
const (
	// NamespacedScope makes instances live in namespaces. This is the default.
	NamespacedScope Scope = "Namespaced"
	// ClusterScope makes instances live outside of namespaces.
	ClusterScope Scope = "Cluster"
)

// Schema describes the generated kind in SimpleSchema.
type Schema struct {
	// Kind of the instances, in PascalCase, as in WebApp. Immutable.
	// +required
	// +kubebuilder:validation:Pattern=`^[A-Z][a-zA-Z0-9]{0,62}$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="kind is immutable"
	Kind string `json:"kind,omitempty"`
	// APIVersion is the version of the generated kind without its group, as in
	// v1alpha1. Immutable.
	// +required
	// +kubebuilder:validation:Pattern=`^v[0-9]+(alpha[0-9]+|beta[0-9]+)?$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="apiVersion is immutable"
	APIVersion string `json:"apiVersion,omitempty"`
	// Group of the generated kind. Immutable.
	// +optional
	// +kubebuilder:default="kro.run"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="group is immutable"
	Group string `json:"group,omitempty"`
	// Spec of the instances: field names with SimpleSchema types, as in
	// `replicas: integer | default=1 minimum=0`.
	// +optional
	Spec runtime.RawExtension `json:"spec,omitempty"`
	// Types are custom types that Spec may use by name.
	// +optional
	Types runtime.RawExtension `json:"types,omitempty"`
	// Status of the instances: each value is an expression over the resources,
	// as in `available: ${deployment.status.availableReplicas}`.
	// +optional
	Status runtime.RawExtension `json:"status,omitempty"`
	// Scope of the generated kind: Namespaced or Cluster. Immutable.
	// +optional
	// +kubebuilder:default="Namespaced"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="scope is immutable"
	Scope Scope `json:"scope,omitempty"`
	// AdditionalPrinterColumns replace the default columns State, Ready and Age
	// of the generated kind.
	// +optional
	AdditionalPrinterColumns []apiextensionsv1.CustomResourceColumnDefinition `json:"additionalPrinterColumns,omitempty"`
	// ShortNames of the generated kind, for kubectl.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z]([-a-z0-9]*[a-z0-9])?$`
	ShortNames []string `json:"shortNames,omitempty"`
	// Categories that the generated kind belongs to, for kubectl.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z]([-a-z0-9]*[a-z0-9])?$`
	Categories []string `json:"categories,omitempty"`
	// Metadata to put on the generated CustomResourceDefinition.
	// +optional
	Metadata *CRDMetadata `json:"metadata,omitempty"`
}

// CRDMetadata is metadata of the generated CustomResourceDefinition.
type CRDMetadata struct {
	// Labels to put on it.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// Annotations to put on it.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Resource is one node of the graph: a template to apply, or a reference to an
// object that exists without the graph.
//
// +kubebuilder:validation:XValidation:rule="has(self.template) != has(self.externalRef)",message="exactly one of template or externalRef must be provided"
type Resource struct {
	// ID by which expressions refer to this resource, in lowerCamelCase.
	// +required
	ID string `json:"id,omitempty"`
	// Template is the manifest to apply, with expressions in its values.
	// +optional
	Template runtime.RawExtension `json:"template,omitempty"`
	// ExternalRef names an object to read; it is never changed.
	// +optional
	ExternalRef *ExternalRef `json:"externalRef,omitempty"`
	// ReadyWhen are expressions over this resource alone; it is ready when all
	// are true, as in `${deployment.status.availableReplicas > 0}`. Without any
	// it is ready as soon as it exists.
	// +optional
	ReadyWhen []string `json:"readyWhen,omitempty"`
	// IncludeWhen are expressions that must all be true for this resource, and
	// whatever depends on it, to be part of the graph.
	// +optional
	IncludeWhen []string `json:"includeWhen,omitempty"`
	// ForEach makes one object for each element of a list, or for each
	// combination when there are several lists.
	// +optional
	ForEach []ForEachDimension `json:"forEach,omitempty"`
}

// ForEachDimension binds one iterator name to an expression that yields a list,
// as in `{region: ${schema.spec.regions}}`.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:MaxProperties=1
type ForEachDimension map[string]string

// ExternalRef names an object, or selects objects, that the graph reads.
type ExternalRef struct {
	// APIVersion of the object, as in apps/v1.
	// +required
	APIVersion string `json:"apiVersion"`
	// Kind of the object.
	// +required
	Kind string `json:"kind"`
	// Metadata says which object or objects.
	// +required
	Metadata ExternalRefMetadata `json:"metadata"`
}

// ExternalRefMetadata says which objects an ExternalRef reads: exactly one of
// name and selector.
type ExternalRefMetadata struct {
	// Name of the object; may be an expression.
	// +optional
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name,omitempty"`
	// Namespace of the object. With a name, the instance's namespace is the
	// default; with a selector, all namespaces.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// Selector is a label selector, literal or as an expression, of all objects
	// to read.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:pruning:PreserveUnknownFields
	Selector runtime.RawExtension `json:"selector,omitempty"`
}
