// Package schema turns SimpleSchema into OpenAPI and OpenAPI into CEL types.
package schema

import (
	"errors"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// ErrNotFound is the cause when a Resolver does not know a kind.
var ErrNotFound = errors.New("kind not found")

// Type is what the engine must know of one kind. A resolver that returns the
// same *Type again spares the engine the conversion to CEL types.
type Type struct {
	// Schema is the kind's OpenAPI v3 schema with all references resolved.
	Schema *spec.Schema
	// Resource is the plural name the API serves the kind under.
	Resource   string
	Namespaced bool
	// Definition is the name of the definition that generates the kind; empty when
	// it is no generated kind, or when the resolver does not know.
	Definition string

	once sync.Once
	decl *Decl
}

// Decl is the CEL view of the kind, converted once.
func (t *Type) Decl(gvk schema.GroupVersionKind) *Decl {
	t.once.Do(func() {
		t.decl = NewDecl(gvk.GroupVersion().String()+"/"+gvk.Kind, t.Schema)
	})
	return t.decl
}

// Resolver finds the Type of a kind. Implementations are safe for concurrent
// use and return an error that wraps ErrNotFound for a kind they do not know.
type Resolver interface {
	Resolve(gvk schema.GroupVersionKind) (*Type, error)
}

// ResolverFunc makes a function a Resolver.
type ResolverFunc func(gvk schema.GroupVersionKind) (*Type, error)

// Resolve implements Resolver.
func (f ResolverFunc) Resolve(gvk schema.GroupVersionKind) (*Type, error) { return f(gvk) }

// Chain asks resolvers in order; the first that knows the kind answers. An
// error other than ErrNotFound ends the search, so that a broken first source
// is not silently replaced by a later one.
func Chain(resolvers ...Resolver) Resolver {
	return ResolverFunc(func(gvk schema.GroupVersionKind) (*Type, error) {
		for _, r := range resolvers {
			t, err := r.Resolve(gvk)
			if err == nil || !errors.Is(err, ErrNotFound) {
				return t, err
			}
		}
		return nil, NotFound(gvk)
	})
}

// Types is a Resolver of fixed types.
type Types map[schema.GroupVersionKind]*Type

// Resolve implements Resolver.
func (m Types) Resolve(gvk schema.GroupVersionKind) (*Type, error) {
	if t, found := m[gvk]; found {
		return t, nil
	}
	return nil, NotFound(gvk)
}

// NotFound is the error for a kind that a resolver does not know.
func NotFound(gvk schema.GroupVersionKind) error {
	return fmt.Errorf("%s, kind %s: %w", gvk.GroupVersion(), gvk.Kind, ErrNotFound)
}
