// Package kinds starts and stops the watches of generated kinds, which come
// and go with their definitions.
package kinds

import (
	"context"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/event"
)

// Request names one instance of a generated kind; it is the key of the
// controllers that look at an instance as a whole.
type Request struct {
	Group, Version, Kind, Namespace, Name string
}

// RequestFor is the key of obj.
func RequestFor(obj *unstructured.Unstructured) Request {
	gvk := obj.GroupVersionKind()
	return Request{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Namespace: obj.GetNamespace(), Name: obj.GetName()}
}

// GVK of the request's kind.
func (r Request) GVK() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: r.Group, Version: r.Version, Kind: r.Kind}
}

// Object is an empty object of a kind, as clients and caches want it.
func Object(gvk schema.GroupVersionKind) *unstructured.Unstructured {
	obj := &unstructured.Unstructured{}
	obj.SetGroupVersionKind(gvk)
	return obj
}

// Watch starts a controller's watch on a kind.
type Watch func(schema.GroupVersionKind) error

// Kinds holds which kinds are watched. It is safe for concurrent use.
type Kinds struct {
	cache cache.Cache

	mu      sync.Mutex
	watches []Watch
	started map[schema.GroupVersionKind]int
	changes chan event.TypedGenericEvent[schema.GroupVersionKind]
}

// New makes an empty set of kinds on top of a cache.
func New(c cache.Cache) *Kinds {
	return &Kinds{
		cache: c, started: map[schema.GroupVersionKind]int{},
		changes: make(chan event.TypedGenericEvent[schema.GroupVersionKind], 64),
	}
}

// Changed tells that the definition of a kind has a new revision, which all
// its instances must learn of.
func (k *Kinds) Changed(gvk schema.GroupVersionKind) {
	k.changes <- event.TypedGenericEvent[schema.GroupVersionKind]{Object: gvk}
}

// Changes is where one controller hears of Changed.
func (k *Kinds) Changes() <-chan event.TypedGenericEvent[schema.GroupVersionKind] { return k.changes }

// Subscribe adds a watch that is started for every kind.
func (k *Kinds) Subscribe(w Watch) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.watches = append(k.watches, w)
}

// Ensure starts the watches on gvk that are not running yet. Its API must be
// served already.
func (k *Kinds) Ensure(gvk schema.GroupVersionKind) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for k.started[gvk] < len(k.watches) {
		if err := k.watches[k.started[gvk]](gvk); err != nil {
			return fmt.Errorf("watching %s: %w", gvk, err)
		}
		k.started[gvk]++
	}
	return nil
}

// Remove ends the watches on gvk.
func (k *Kinds) Remove(ctx context.Context, gvk schema.GroupVersionKind) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.started[gvk] == 0 {
		return nil
	}
	delete(k.started, gvk)
	if err := k.cache.RemoveInformer(ctx, Object(gvk)); err != nil {
		return fmt.Errorf("ending the watch of %s: %w", gvk, err)
	}
	return nil
}

// Each calls a function with every kind that is watched; none of them ends before
// it returns.
func (k *Kinds) Each(do func(schema.GroupVersionKind)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for gvk := range k.started {
		do(gvk)
	}
}
