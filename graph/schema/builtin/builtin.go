// Package builtin knows the schemas of Kubernetes' own kinds without asking a
// server: the OpenAPI documents of one Kubernetes version, reduced to types.
package builtin

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"

	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/kronvoy/kronvoy/graph/schema"
)

// KubernetesVersion is the version that the schemas are from.
const KubernetesVersion = "v1.36.3"

//go:generate go run ./internal/generate -version v1.36.3 -out data

//go:embed data/*.json.gz
var data embed.FS

// Resolver returns the resolver of Kubernetes' own kinds. Each group-version is
// decoded when it is first asked for and kept for the life of the process.
func Resolver() schema.Resolver { return shared }

var shared = &resolver{groups: map[runtimeschema.GroupVersion]*group{}}

type resolver struct {
	mu     sync.Mutex
	groups map[runtimeschema.GroupVersion]*group
}

// group is one decoded group-version.
type group struct {
	once  sync.Once
	err   error
	mu    sync.Mutex
	kinds map[string]kind
	types map[string]*schema.Type
	// schemas are the definitions as they stand, resolved those without refs.
	schemas  map[string]*spec.Schema
	resolved map[string]*spec.Schema
}

type kind struct {
	Schema     string `json:"schema"`
	Resource   string `json:"resource"`
	Namespaced bool   `json:"namespaced"`
}

// Resolve implements schema.Resolver.
func (r *resolver) Resolve(gvk runtimeschema.GroupVersionKind) (*schema.Type, error) {
	g := r.group(gvk.GroupVersion())
	g.once.Do(func() { g.err = g.load(gvk.GroupVersion()) })
	if g.err != nil {
		return nil, g.err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if t, found := g.types[gvk.Kind]; found {
		return t, nil
	}
	k, found := g.kinds[gvk.Kind]
	if !found {
		return nil, schema.NotFound(gvk)
	}
	t := &schema.Type{Schema: g.definition(k.Schema, nil, new(int)), Resource: k.Resource, Namespaced: k.Namespaced}
	g.types[gvk.Kind] = t
	return t, nil
}

func (r *resolver) group(gv runtimeschema.GroupVersion) *group {
	// A made-up group-version must not grow the map.
	if !known()[gv] {
		return &group{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	g, found := r.groups[gv]
	if !found {
		g = &group{}
		r.groups[gv] = g
	}
	return g
}

var known = sync.OnceValue(func() map[runtimeschema.GroupVersion]bool {
	entries, err := data.ReadDir("data")
	if err != nil {
		return nil
	}
	out := make(map[runtimeschema.GroupVersion]bool, len(entries))
	for _, e := range entries {
		out[fromFile(e.Name())] = true
	}
	return out
})

// GroupVersions lists what the resolver knows, sorted.
func GroupVersions() []runtimeschema.GroupVersion {
	out := make([]runtimeschema.GroupVersion, 0, len(known()))
	for gv := range known() {
		out = append(out, gv)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].String() < out[j].String() })
	return out
}

// Kinds lists the kinds of a group-version, sorted.
func Kinds(gv runtimeschema.GroupVersion) ([]string, error) {
	g := shared.group(gv)
	g.once.Do(func() { g.err = g.load(gv) })
	if g.err != nil {
		return nil, g.err
	}
	out := make([]string, 0, len(g.kinds))
	for k := range g.kinds {
		out = append(out, k)
	}
	sort.Strings(out)
	return out, nil
}

func fromFile(name string) runtimeschema.GroupVersion {
	name = strings.TrimSuffix(name, ".json.gz")
	group, version, found := strings.Cut(name, "_")
	if !found {
		return runtimeschema.GroupVersion{Version: name}
	}
	return runtimeschema.GroupVersion{Group: group, Version: version}
}

func (g *group) load(gv runtimeschema.GroupVersion) error {
	g.types = map[string]*schema.Type{}
	g.resolved = map[string]*spec.Schema{}
	if !known()[gv] {
		return nil
	}
	name := gv.Version
	if gv.Group != "" {
		name = gv.Group + "_" + gv.Version
	}
	compressed, err := data.ReadFile("data/" + name + ".json.gz")
	if err != nil {
		return fmt.Errorf("reading the built-in schemas of %s: %w", gv, err)
	}
	r, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return fmt.Errorf("reading the built-in schemas of %s: %w", gv, err)
	}
	var doc struct {
		Kinds   map[string]kind         `json:"kinds"`
		Schemas map[string]*spec.Schema `json:"schemas"`
	}
	if err := json.NewDecoder(r).Decode(&doc); err != nil {
		return fmt.Errorf("reading the built-in schemas of %s: %w", gv, err)
	}
	g.kinds, g.schemas = doc.Kinds, doc.Schemas
	return nil
}

const refPrefix = "#/components/schemas/"

// definition resolves a definition once; its uses share the result. A
// definition that contains itself (JSONSchemaProps) is anything at the second
// level. stack holds the definitions being resolved; outermost becomes the
// place in it of the outermost one that this result was cut off at.
func (g *group) definition(name string, stack []string, outermost *int) *spec.Schema {
	if s, found := g.resolved[name]; found {
		return s
	}
	if i := slices.Index(stack, name); i >= 0 {
		*outermost = min(*outermost, i)
		return anything()
	}
	source, found := g.schemas[name]
	if !found {
		return anything()
	}
	s, cut := *source, len(stack)
	g.resolve(&s, append(stack, name), &cut)
	if cut == len(stack) {
		g.resolved[name] = &s
	}
	// Cut off further out, the result is only good from where it was entered.
	*outermost = min(*outermost, cut)
	return &s
}

func (g *group) resolve(s *spec.Schema, stack []string, outermost *int) {
	if ref := s.Ref.String(); ref != "" {
		*s = *g.definition(strings.TrimPrefix(ref, refPrefix), stack, outermost)
		return
	}
	if s.Properties != nil {
		properties := make(map[string]spec.Schema, len(s.Properties))
		for name, property := range s.Properties {
			g.resolve(&property, stack, outermost)
			properties[name] = property
		}
		s.Properties = properties
	}
	if s.Items != nil && s.Items.Schema != nil {
		items := *s.Items.Schema
		g.resolve(&items, stack, outermost)
		s.Items = &spec.SchemaOrArray{Schema: &items}
	}
	if ap := s.AdditionalProperties; ap != nil && ap.Schema != nil {
		values := *ap.Schema
		g.resolve(&values, stack, outermost)
		s.AdditionalProperties = &spec.SchemaOrBool{Allows: true, Schema: &values}
	}
	for _, list := range []*[]spec.Schema{&s.AllOf, &s.OneOf, &s.AnyOf} {
		*list = slices.Clone(*list)
		for i := range *list {
			g.resolve(&(*list)[i], stack, outermost)
		}
	}
}

func anything() *spec.Schema {
	return &spec.Schema{
		SchemaProps:      spec.SchemaProps{Type: spec.StringOrArray{"object"}},
		VendorExtensible: spec.VendorExtensible{Extensions: spec.Extensions{"x-kubernetes-preserve-unknown-fields": true}},
	}
}
