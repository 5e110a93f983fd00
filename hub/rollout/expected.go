package rollout

import (
	"context"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// expected are the Targets that this process wrote and the cache does not show
// yet. A plan that does not know of the last moves would make more of them than
// may be in flight; one that waits for them need not ask the server for all. The
// zero value is ready for use, by many goroutines.
type expected struct {
	mu      sync.Mutex
	targets map[Unit]map[client.ObjectKey]string
}

// note that a Target was written; it is as the API server answered.
func (e *expected) note(u Unit, t *kronvoyv1alpha1.Target) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.targets == nil {
		e.targets = map[Unit]map[client.ObjectKey]string{}
	}
	if e.targets[u] == nil {
		e.targets[u] = map[client.ObjectKey]string{}
	}
	e.targets[u][client.ObjectKeyFromObject(t)] = t.ResourceVersion
}

func (e *expected) forget(u Unit) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.targets, u)
}

// behind says whether the cache does not show all that was written. Only one
// goroutine at a time asks for a unit.
func (e *expected) behind(ctx context.Context, u Unit, cached, reader client.Reader) (bool, error) {
	e.mu.Lock()
	open := e.targets[u]
	e.mu.Unlock()
	for key, version := range open {
		var t kronvoyv1alpha1.Target
		err := cached.Get(ctx, key, &t, client.UnsafeDisableDeepCopy)
		if apierrors.IsNotFound(err) {
			// It is not there yet, or not any more.
			if err = reader.Get(ctx, key, &t); err == nil {
				return true, nil
			}
		}
		if client.IgnoreNotFound(err) != nil {
			return false, fmt.Errorf("reading target %s: %w", key, err)
		}
		if err == nil {
			if order, incomparable := resourceversion.CompareResourceVersion(t.ResourceVersion, version); incomparable == nil && order < 0 {
				return true, nil
			}
		}
		delete(open, key)
	}
	e.forget(u)
	return false, nil
}
