// Package schemas finds the OpenAPI schemas that graphs are compiled against
// in the hub's own API.
package schemas

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/cel/openapi/resolver"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/openapi"
	"k8s.io/utils/clock"

	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema"
	"github.com/kronvoy/kronvoy/hub/metrics"
)

// indexTTL is how long the index of all schemas counts as fresh. Schemas
// themselves are named by their content and never expire.
const indexTTL = 2 * time.Second

// readTimeout bounds one read of the hub's API server; a Resolver has no context.
const readTimeout = 10 * time.Second

// Hub resolves kinds that the hub's API server serves. It is safe for
// concurrent use; a kind is fetched once per state of its schema.
type Hub struct {
	discovery discovery.DiscoveryInterface
	mapper    apimeta.RESTMapper
	clock     clock.PassiveClock
	// anonymous is true when definitions are not looked for.
	anonymous bool
	metrics   *metrics.Metrics

	mu      sync.Mutex
	index   map[string]openapi.GroupVersion
	fetched time.Time
	types   map[key]*schema.Type
}

// key names one state of one kind's schema.
type key struct {
	gvk runtimeschema.GroupVersionKind
	url string
}

// NewHub makes a resolver on a discovery client and a mapper of the hub.
func NewHub(d discovery.DiscoveryInterface, mapper apimeta.RESTMapper, c clock.PassiveClock) *Hub {
	return &Hub{discovery: d, mapper: mapper, clock: c, types: map[key]*schema.Type{}}
}

// WithoutDefinitions makes h leave out which definition a kind comes from, and
// returns h: to find that takes the right to read CustomResourceDefinitions,
// which somebody who only compiles may not have.
func (h *Hub) WithoutDefinitions() *Hub {
	h.anonymous = true
	return h
}

// Measured makes h count what is looked for, and returns h.
func (h *Hub) Measured(m *metrics.Metrics) *Hub {
	h.metrics = m
	return h
}

// Size is how many schemas are held.
func (h *Hub) Size() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.types)
}

// Resolve implements schema.Resolver.
func (h *Hub) Resolve(gvk runtimeschema.GroupVersionKind) (*schema.Type, error) {
	t, known, err := h.resolve(gvk)
	h.metrics.LookedUp(known, err)
	return t, err
}

func (h *Hub) resolve(gvk runtimeschema.GroupVersionKind) (t *schema.Type, known bool, err error) {
	url, err := h.urlOf(gvk.GroupVersion())
	if err != nil {
		return nil, false, err
	}
	k := key{gvk, url}
	h.mu.Lock()
	t = h.types[k]
	h.mu.Unlock()
	if t != nil {
		return t, true, nil
	}
	if t, err = h.fetch(gvk); err != nil {
		return nil, false, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for old := range h.types {
		if old.gvk == gvk {
			delete(h.types, old)
		}
	}
	h.types[k] = t
	return t, false, nil
}

// fetch reads the schema of a kind from the API server.
func (h *Hub) fetch(gvk runtimeschema.GroupVersionKind) (*schema.Type, error) {
	mapping, err := h.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if apimeta.IsNoMatchError(err) {
		return nil, fmt.Errorf("%s: %w", gvk, schema.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("looking up %s on the hub: %w", gvk, err)
	}
	found, err := (&resolver.ClientDiscoveryResolver{Discovery: h.discovery}).ResolveSchema(gvk)
	if errors.Is(err, resolver.ErrSchemaNotFound) {
		return nil, fmt.Errorf("%s: %w", gvk, schema.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the schema of %s: %w", gvk, err)
	}
	definition, err := h.definitionOf(mapping.Resource.GroupResource())
	if err != nil {
		return nil, err
	}
	return &schema.Type{
		Schema:     found,
		Resource:   mapping.Resource.Resource,
		Namespaced: mapping.Scope.Name() == apimeta.RESTScopeNameNamespace,
		Definition: definition,
	}, nil
}

// partialMetadata asks an API server for nothing but the metadata of an object.
const partialMetadata = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

// definitionOf is the definition that a kind was generated from, as its
// CustomResourceDefinition says; empty for any other kind.
func (h *Hub) definitionOf(resource runtimeschema.GroupResource) (string, error) {
	if h.anonymous || !strings.Contains(resource.Group, ".") {
		// The group of a CustomResourceDefinition is a domain.
		return "", nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	raw, err := h.discovery.RESTClient().Get().
		AbsPath("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", resource.String()).
		SetHeader("Accept", partialMetadata).DoRaw(ctx)
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("looking for the definition of %s: %w", resource, err)
	}
	var crd metav1.PartialObjectMetadata
	if err := json.Unmarshal(raw, &crd); err != nil {
		return "", fmt.Errorf("reading the metadata of CRD %s: %w", resource, err)
	}
	if crd.Labels[graph.LabelOwned] != "true" {
		return "", nil
	}
	return crd.Labels[graph.LabelDefinition], nil
}

// urlOf is the address of a group-version's document; it carries a hash of the
// content.
func (h *Hub) urlOf(gv runtimeschema.GroupVersion) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.index == nil || h.clock.Since(h.fetched) > indexTTL {
		index, err := h.discovery.OpenAPIV3().Paths()
		if err != nil {
			return "", fmt.Errorf("reading the hub's OpenAPI index: %w", err)
		}
		h.index, h.fetched = index, h.clock.Now()
	}
	path := "apis/" + gv.Group + "/" + gv.Version
	if gv.Group == "" {
		path = "api/" + gv.Version
	}
	document, served := h.index[path]
	if !served {
		return "", fmt.Errorf("the hub does not serve %s: %w", gv, schema.ErrNotFound)
	}
	return document.ServerRelativeURL(), nil
}
