package probe

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
)

// Event is one change that a watch has shown.
type Event struct {
	// Type is ADDED, MODIFIED or DELETED.
	Type string
	*Object
	// Seen is when the test learnt of it.
	Seen time.Time
}

// String is as in "ADDED ConfigMap settings".
func (e Event) String() string { return e.Type + " " + e.GetKind() + " " + e.GetName() }

// Recording is everything that watches have shown since they began.
type Recording struct {
	mu     sync.Mutex
	events []Event
	broken error
}

// Record watches resources in a namespace, or everywhere when it is empty,
// from now until the test ends. What exists already is not recorded.
func (c *Cluster) Record(t testing.TB, namespace string, resources ...string) *Recording {
	t.Helper()
	r := &Recording{}
	for _, resource := range resources {
		client, _, err := c.client(resource, namespace+"/")
		if err != nil {
			t.Fatal(err)
		}
		list, err := client.List(t.Context(), metav1.ListOptions{Limit: 1})
		if err != nil {
			t.Fatalf("listing %s on %s: %v", resource, c.Name, err)
		}
		watcher, err := client.Watch(t.Context(), metav1.ListOptions{ResourceVersion: list.GetResourceVersion()})
		if err != nil {
			t.Fatalf("watching %s on %s: %v", resource, c.Name, err)
		}
		t.Cleanup(watcher.Stop)
		go r.follow(t.Context(), c.Name+"/"+resource, client, watcher, list.GetResourceVersion())
	}
	return r
}

// follow records until the context ends; a watch that the server closes is
// resumed where it stopped.
func (r *Recording) follow(ctx context.Context, name string, client dynamic.ResourceInterface, watcher watch.Interface, version string) {
	for {
		for event := range watcher.ResultChan() {
			obj, ok := event.Object.(*unstructured.Unstructured)
			if !ok || event.Type == watch.Error {
				r.fail(fmt.Errorf("watching %s: %v", name, event.Object))
				return
			}
			version = obj.GetResourceVersion()
			r.add(Event{Type: string(event.Type), Object: &Object{obj}, Seen: time.Now()})
		}
		var err error
		for watcher = nil; watcher == nil; {
			if ctx.Err() != nil {
				return
			}
			if watcher, err = client.Watch(ctx, metav1.ListOptions{ResourceVersion: version}); err != nil {
				watcher = nil
				wait(ctx, 100*time.Millisecond)
			}
		}
	}
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (r *Recording) add(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *Recording) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken = err
}

// Events are all so far, in the order in which they happened.
func (r *Recording) Events(t testing.TB) []Event {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken != nil {
		t.Fatal(r.broken)
	}
	return append([]Event(nil), r.events...)
}

// Of are the events of one type about objects of one name.
func (r *Recording) Of(t testing.TB, eventType, name string) []Event {
	t.Helper()
	var found []Event
	for _, e := range r.Events(t) {
		if e.Type == eventType && e.GetName() == name {
			found = append(found, e)
		}
	}
	return found
}

// Await waits for the first event of a type about an object of a name.
func (r *Recording) Await(t testing.TB, eventType, name string) Event {
	t.Helper()
	var event Event
	Eventually(t, eventType+" "+name, func() error {
		found := r.Of(t, eventType, name)
		if len(found) == 0 {
			return fmt.Errorf("seen so far: %s", r.Summary(t))
		}
		event = found[0]
		return nil
	})
	return event
}

// Summary lists all events in a line.
func (r *Recording) Summary(t testing.TB) string {
	t.Helper()
	var parts []string
	for _, e := range r.Events(t) {
		parts = append(parts, e.String()+" @"+e.GetResourceVersion())
	}
	return strings.Join(parts, ", ")
}
