package graph

import "k8s.io/apimachinery/pkg/runtime/schema"

// Source is a graph as its author wrote it, free of API machinery: what
// Compile takes in. Values are decoded JSON (map[string]any, []any, string,
// bool, int64, float64, nil); Compile does not keep or change them.
type Source struct {
	// Name of the definition; it appears in the generated CRD's labels.
	Name   string
	Schema SchemaSource
	// Nodes in the order of the file: ties in the topological order are broken by it.
	Nodes []NodeSource
	// Aggregates are expressions over all clusters of an instance, by name. No
	// cluster gets anything of them, so they are not part of the hash.
	Aggregates map[string]string `json:"-"`
}

// Scope of the generated kind.
type Scope string

// The two scopes of a Kubernetes kind.
const (
	Namespaced    Scope = "Namespaced"
	ClusterScoped Scope = "Cluster"
)

// SchemaSource describes the kind that a definition generates.
type SchemaSource struct {
	Group, Version, Kind string
	Scope                Scope
	// Spec, Types and Status are SimpleSchema; Status holds CEL projections.
	Spec, Types, Status map[string]any
	PrinterColumns      []PrinterColumn
	ShortNames          []string
	Categories          []string
	// Labels and Annotations are copied onto the generated CRD.
	Labels, Annotations map[string]string
}

// PrinterColumn is one column that kubectl prints for the generated kind.
type PrinterColumn struct {
	Name, Type, Format, Description, JSONPath string
	Priority                                  int32
}

// NodeSource is one resource of the graph: exactly one of Template and
// External is set.
type NodeSource struct {
	ID          string
	Template    map[string]any
	External    *ExternalSource
	ReadyWhen   []string
	IncludeWhen []string
	// ForEach has one entry a map; several maps span a cartesian product.
	ForEach []map[string]string
}

// ExternalSource names an object that the graph reads and never writes.
// Exactly one of Name and Selector is set.
type ExternalSource struct {
	APIVersion, Kind string
	Name, Namespace  string
	Selector         any
}

// GroupVersionKind of the generated kind.
func (s SchemaSource) GroupVersionKind() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: s.Group, Version: s.Version, Kind: s.Kind}
}
