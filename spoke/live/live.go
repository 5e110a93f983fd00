// Package live knows the objects of one cluster as they are: it watches
// exactly the kinds (or single objects) that somebody asks for, starts a watch
// with its first user and stops it with its last, and reads an object live
// where a watch cannot answer.
//
// What it holds is light: no managed fields, nothing that carries no
// kronvoy.io/managed label unless it was asked for by name, and of what labels
// select only the fields that somebody asked for.
package live

import (
	"context"
	"fmt"
	"sync"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/dynamic"
)

// Key names one object.
type Key struct {
	Resource  schema.GroupVersionResource
	Namespace string
	Name      string
}

// String is resource.group/namespace/name.
func (k Key) String() string {
	text := k.Resource.GroupResource().String() + "/"
	if k.Namespace != "" {
		text += k.Namespace + "/"
	}
	return text + k.Name
}

// Watch names what to watch: all managed objects of a resource; where Name is
// set, that one object whatever its labels; where Selects is set, what its
// labels select, whoever manages it.
type Watch struct {
	Resource  schema.GroupVersionResource
	Namespace string
	Name      string
	// Selects makes it a list of the objects in the namespace, or in all, that
	// match Labels, a selector as the API takes it. Of each the fields at Paths
	// are held.
	Selects bool
	Labels  string
	Paths   Paths
}

// ByName watches one object.
func ByName(key Key) Watch {
	return Watch{Resource: key.Resource, Namespace: key.Namespace, Name: key.Name}
}

// Event says that an object changed; Owners are its owner references before
// and after the change. An event without a name says that a watch has its
// first complete list.
type Event struct {
	Key    Key
	Users  []string
	Owners []metav1.OwnerReference
}

// Cache is the live state of one cluster.
type Cache struct {
	client dynamic.Interface
	log    logr.Logger
	notify func(Event)

	mu      sync.Mutex
	ctx     context.Context //nolint:containedctx // the lifetime of the watches, set once by Start
	watches map[Watch]*watch
	uses    map[string]map[Watch]bool
	// fresh holds answers of the API server that are newer than the watch.
	fresh map[Key]*unstructured.Unstructured
}

// New gives a cache that tells every change to notify, which must not block.
func New(client dynamic.Interface, log logr.Logger, notify func(Event)) *Cache {
	return &Cache{
		client:  client,
		log:     log,
		notify:  notify,
		watches: map[Watch]*watch{},
		uses:    map[string]map[Watch]bool{},
		fresh:   map[Key]*unstructured.Unstructured{},
	}
}

// Start runs the watches until the context ends.
func (c *Cache) Start(ctx context.Context) error {
	c.mu.Lock()
	c.ctx = ctx
	for _, w := range c.watches {
		w.start(ctx)
	}
	c.mu.Unlock()
	<-ctx.Done()
	return nil
}

// Use says all that one user needs from now on; what nobody needs any more is
// no longer watched. No watches at all releases the user.
func (c *Cache) Use(user string, watches []Watch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wanted := make(map[Watch]bool, len(watches))
	for _, key := range watches {
		wanted[key] = true
		if c.watches[key] == nil {
			c.watches[key] = c.newWatch(key)
			if c.ctx != nil {
				c.watches[key].start(c.ctx)
			}
		}
		c.watches[key].users[user] = true
	}
	for key := range c.uses[user] {
		if wanted[key] {
			continue
		}
		w := c.watches[key]
		delete(w.users, user)
		if len(w.users) == 0 {
			w.stop()
			delete(c.watches, key)
			c.dropFresh(key)
		}
	}
	if len(wanted) == 0 {
		delete(c.uses, user)
		return
	}
	c.uses[user] = wanted
}

// Size is how many watches there are, and how many objects they show.
func (c *Cache) Size() (watches, objects int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.watches {
		objects += len(w.informer.GetStore().ListKeys())
	}
	return len(c.watches), objects
}

// dropFresh forgets answers that no watch will ever outdate.
func (c *Cache) dropFresh(gone Watch) {
	for key := range c.fresh {
		if key.Resource == gone.Resource && !gone.Selects && (gone.Name == "" || ByName(key) == gone) {
			delete(c.fresh, key)
		}
	}
}

// Problem says what keeps a watch from its first complete list, if that is
// known.
func (c *Cache) Problem(key Watch) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.watches[key]; w != nil && !w.synced() {
		return w.problem
	}
	return ""
}

// Synced says whether a watch has seen its first complete list.
func (c *Cache) Synced(key Watch) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.watches[key]
	return w != nil && w.synced()
}

// Get gives the newest known state of an object, without its managed fields.
// Nil means only that no watch shows it: Read decides whether it exists.
// The object is shared and must not be changed.
func (c *Cache) Get(key Key) *unstructured.Unstructured {
	c.mu.Lock()
	defer c.mu.Unlock()
	if obj := c.fresh[key]; obj != nil {
		return obj
	}
	for _, candidate := range []Watch{{Resource: key.Resource}, ByName(key)} {
		if w := c.watches[candidate]; w != nil {
			if obj := w.get(key); obj != nil {
				return obj
			}
		}
	}
	return nil
}

// Read asks the API server for an object, with its managed fields; nil when it
// does not exist.
func (c *Cache) Read(ctx context.Context, key Key) (*unstructured.Unstructured, error) {
	return c.ReadAs(ctx, c.client, key)
}

// ReadAs is Read with somebody else's rights.
func (c *Cache) ReadAs(ctx context.Context, client dynamic.Interface, key Key) (*unstructured.Unstructured, error) {
	obj, err := client.Resource(key.Resource).Namespace(key.Namespace).Get(ctx, key.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		c.forget(key)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", key, err)
	}
	c.Put(key, obj)
	return obj, nil
}

// Put records an answer of the API server, so that the next Get is not older
// than it. It gives the light form that Get will return.
func (c *Cache) Put(key Key, obj *unstructured.Unstructured) *unstructured.Unstructured {
	slim := lighten(obj)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, candidate := range []Watch{{Resource: key.Resource}, ByName(key)} {
		w := c.watches[candidate]
		if w == nil {
			continue
		}
		if known := w.get(key); known != nil && !older(known, slim) {
			delete(c.fresh, key)
			return known
		}
	}
	c.fresh[key] = slim
	return slim
}

// OwnedBy lists what the watch of a resource shows with an owner reference to
// the given UID.
func (c *Cache) OwnedBy(resource schema.GroupVersionResource, owner types.UID) []Key {
	c.mu.Lock()
	w := c.watches[Watch{Resource: resource}]
	c.mu.Unlock()
	if w == nil {
		return nil
	}
	return w.ownedBy(owner)
}

// forget drops an answer that the API server has outdated.
func (c *Cache) forget(key Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.fresh, key)
}

// seen is told every state a watch shows: an answer that is not newer has done
// its service.
func (c *Cache) seen(key Key, obj *unstructured.Unstructured) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.fresh[key]; known != nil && !older(obj, known) {
		delete(c.fresh, key)
	}
}

// older says whether a is certainly an earlier state than b.
func older(a, b *unstructured.Unstructured) bool {
	order, err := resourceversion.CompareResourceVersion(a.GetResourceVersion(), b.GetResourceVersion())
	return err == nil && order < 0
}
