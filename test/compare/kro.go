package compare

import (
	"errors"
	"fmt"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/validation/spec"

	upstreamv1alpha1 "github.com/kubernetes-sigs/kro/api/v1alpha1"
	"github.com/kubernetes-sigs/kro/pkg/features"
	krograph "github.com/kubernetes-sigs/kro/pkg/graph"

	"github.com/kronvoy/kronvoy/graph/schema"
)

// limits are the defaults of kro's controller.
var limits = krograph.Config{MaxCollectionSize: 1000, MaxCollectionDimensionSize: 10}

// Kro is kro's engine, reading types from the resolver that ours reads.
type Kro struct {
	builder *krograph.Builder
	mapper  apimeta.RESTMapper
}

// NewKro returns kro's engine over some types. It knows all that kro can express:
// the gate of omit() is open.
func NewKro(types schema.Resolver) (*Kro, error) {
	if err := features.FeatureGate.SetFromMap(map[string]bool{string(features.CELOmitFunction): true}); err != nil {
		return nil, fmt.Errorf("opening kro's gate of omit(): %w", err)
	}
	mapper := kroMapper{types: types}
	b, err := krograph.NewBuilder(nil, nil, krograph.WithSchemaResolver(kroSchemas{types}), krograph.WithRESTMapper(mapper))
	if err != nil {
		return nil, fmt.Errorf("making kro's builder: %w", err)
	}
	return &Kro{builder: b, mapper: mapper}, nil
}

// Build compiles a definition as kro's controller does; group and scope are
// filled in as the API server does it. A panic, which its controller recovers
// from, is a refusal.
func (k *Kro) Build(rgd *upstreamv1alpha1.ResourceGraphDefinition) (g *krograph.Graph, err error) {
	defer func() {
		if p := recover(); p != nil {
			g, err = nil, fmt.Errorf("kro panics: %v", p)
		}
	}()
	rgd = rgd.DeepCopy()
	s := rgd.Spec.Schema
	if s == nil {
		return nil, errors.New("spec.schema is missing") // the API server refuses it
	}
	if s.Group == "" {
		s.Group = upstreamv1alpha1.KRODomainName
	}
	if s.Scope == "" {
		s.Scope = upstreamv1alpha1.ResourceScopeNamespaced
	}
	return k.builder.NewResourceGraphDefinition(rgd, limits)
}

// kroSchemas hands our types to kro.
type kroSchemas struct{ types schema.Resolver }

// ResolveSchema implements kro's schema resolver.
func (r kroSchemas) ResolveSchema(gvk runtimeschema.GroupVersionKind) (*spec.Schema, error) {
	t, err := r.types.Resolve(gvk)
	if err != nil {
		return nil, err
	}
	return t.Schema, nil
}

// kroMapper tells kro of scopes and plurals. It asks for nothing else of a
// RESTMapper; the nil interface inside makes another call fail loudly.
type kroMapper struct {
	apimeta.RESTMapper
	types schema.Resolver
}

// RESTMapping implements meta.RESTMapper.
func (m kroMapper) RESTMapping(gk runtimeschema.GroupKind, versions ...string) (*apimeta.RESTMapping, error) {
	for _, version := range versions {
		gvk := gk.WithVersion(version)
		t, err := m.types.Resolve(gvk)
		if errors.Is(err, schema.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		mapping := &apimeta.RESTMapping{Resource: gvk.GroupVersion().WithResource(t.Resource), GroupVersionKind: gvk, Scope: apimeta.RESTScopeRoot}
		if t.Namespaced {
			mapping.Scope = apimeta.RESTScopeNamespace
		}
		return mapping, nil
	}
	return nil, &apimeta.NoKindMatchError{GroupKind: gk, SearchedVersions: versions}
}
