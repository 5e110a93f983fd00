package override

import (
	"sync"

	"k8s.io/utils/lru"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/hash"
)

// maxCached is how many lists of overrides a Cache keeps: those of as many
// Distributions, and a few kilobytes each.
const maxCached = 1000

// Cache spares compiling the same overrides for each cluster: that takes several
// times as long as to apply them. The zero value is ready for use, by many
// goroutines.
type Cache struct {
	once sync.Once
	lru  *lru.Cache
}

type cacheKey struct {
	graph     *graph.Graph
	overrides string
}

type cached struct {
	overrides *List
	err       error
}

// Compile is Compile; a nil Cache keeps nothing.
func (c *Cache) Compile(g *graph.Graph, overrides []kronvoyv1alpha1.Override) (*List, error) {
	if c == nil || len(overrides) == 0 {
		return Compile(g, overrides)
	}
	c.once.Do(func() { c.lru = lru.New(maxCached) })
	key := cacheKey{g, hash.Of(overrides)}
	if found, ok := c.lru.Get(key); ok {
		if known, ok := found.(cached); ok {
			return known.overrides, known.err
		}
	}
	compiled, err := Compile(g, overrides)
	c.lru.Add(key, cached{compiled, err})
	return compiled, err
}
