//go:build integration

package spoke_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"path"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"

	"github.com/kronvoy/kronvoy/spoke"
)

// openWatches are the watches that are open now: how many of each resource and
// what they select.
type openWatches struct {
	next http.RoundTripper
	mu   *sync.Mutex
	open map[string]int
}

func (w *openWatches) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := w.next.RoundTrip(req)
	query := req.URL.Query()
	if err != nil || resp.StatusCode != http.StatusOK || query.Get("watch") != "true" {
		return resp, err
	}
	what := path.Base(req.URL.Path) + " " + query.Get("labelSelector") + query.Get("fieldSelector")
	w.count(what, 1)
	closed := sync.OnceFunc(func() { w.count(what, -1) })
	resp.Body = &notifying{ReadCloser: resp.Body, closed: closed}
	return resp, nil
}

func (w *openWatches) count(what string, by int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open[what] += by; w.open[what] == 0 {
		delete(w.open, what)
	}
}

type notifying struct {
	io.ReadCloser
	closed func()
}

func (n *notifying) Close() error {
	n.closed()
	return n.ReadCloser.Close()
}

func TestWatchesComeAndGoWithTheKindsThatWorksHave(t *testing.T) {
	t.Parallel()
	watches := &openWatches{mu: &sync.Mutex{}, open: map[string]int{}}
	w := newWorld(t, func(o *spoke.Options) {
		o.Spoke = rest.CopyConfig(o.Spoke)
		o.Spoke.Wrap(func(next http.RoundTripper) http.RoundTripper {
			return &openWatches{next: next, mu: watches.mu, open: watches.open}
		})
	})
	w.start()
	watched := func(when string, want map[string]int) {
		t.Helper()
		want["appliedmanifestworks "] = 1
		w.eventually("the watches "+when, func() error {
			watches.mu.Lock()
			defer watches.mu.Unlock()
			if diff := cmp.Diff(want, maps.Clone(watches.open)); diff != "" {
				return fmt.Errorf("-want +got:\n%s", diff)
			}
			return nil
		})
	}
	const managed = " kronvoy.io/managed=true"
	watched("of an agent without works", map[string]int{})

	w.ship("one", w.configMap("a"), w.deployment("b", 1))
	w.ship("two", w.configMap("c"))
	w.settled("one")
	w.settled("two")
	watched("of two works with two kinds", map[string]int{"configmaps" + managed: 1, "deployments" + managed: 1})

	w.update("one", w.configMap("a"))
	watched("after the last Deployment left", map[string]int{"configmaps" + managed: 1})

	looked := w.configMap("looked-at")
	looked.strategy = "ReadOnly"
	w.update("one", w.configMap("a"), looked)
	watched("of an object that is only looked at", map[string]int{"configmaps" + managed: 1, "configmaps metadata.name=looked-at": 1})

	for _, name := range []string{"one", "two"} {
		if err := w.client.Delete(w.ctx, w.getWork(name)); err != nil {
			t.Fatal(err)
		}
	}
	watched("after the last work is gone", map[string]int{})
}
