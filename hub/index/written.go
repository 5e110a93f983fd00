package index

import (
	"sync"

	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Written remembers, by key, the last version of an object that this process
// wrote, until the cache shows it. A controller that does not look again at its
// own writes must not judge by a state from before them: what it would write
// now may equal what was there before, and the write be left out for ever.
type Written[K comparable] struct {
	mu       sync.Mutex
	versions map[K]string
}

// Note records a write; obj is as the API server answered.
func (w *Written[K]) Note(key K, obj client.Object) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.versions == nil {
		w.versions = map[K]string{}
	}
	w.versions[key] = obj.GetResourceVersion()
}

// Behind says whether obj, from the cache, is older than what was written.
func (w *Written[K]) Behind(key K, obj client.Object) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	version, known := w.versions[key]
	if !known {
		return false
	}
	if order, err := resourceversion.CompareResourceVersion(obj.GetResourceVersion(), version); err == nil && order < 0 {
		return true
	}
	delete(w.versions, key)
	return false
}

// Forget drops what is known of an object that is gone.
func (w *Written[K]) Forget(key K) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.versions, key)
}
