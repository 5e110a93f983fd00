// Package schema turns SimpleSchema into OpenAPI and OpenAPI into CEL types.
package schema

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// Type is what the engine must know of one kind.
type Type struct {
	// Schema is the kind's OpenAPI v3 schema with all references resolved.
	Schema *spec.Schema
	// Resource is the plural name the API serves the kind under.
	Resource   string
	Namespaced bool
}

// Resolver finds the Type of a kind. Implementations are safe for concurrent
// use and return an error that wraps ErrNotFound for a kind they do not know.
type Resolver interface {
	Resolve(gvk schema.GroupVersionKind) (*Type, error)
}
