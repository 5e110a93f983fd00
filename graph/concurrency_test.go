package graph_test

import (
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kronvoy/kronvoy/graph"
)

// TestOneGraphForManyClusters evaluates one compiled graph from many goroutines,
// as the hub does; with -race it shows that nothing is written.
func TestOneGraphForManyClusters(t *testing.T) {
	g, instance := webapp(t)
	bindings := func(size string) graph.Bindings {
		return graph.Bindings{Instance: instance, Observed: observedWebapp(),
			Cluster: graph.Cluster{Name: size, Labels: map[string]string{"region": "r", "size": size}}}
	}
	want := map[string]graph.Evaluation{}
	for _, size := range []string{"small", "medium", "large"} {
		want[size], _ = g.Evaluate(bindings(size))
	}
	var wg sync.WaitGroup
	for size, expected := range want {
		for range 4 {
			wg.Go(func() {
				for range 20 {
					got, _ := g.Evaluate(bindings(size))
					if diff := cmp.Diff(expected, got); diff != "" {
						t.Errorf("%s differs:\n%s", size, diff)
						return
					}
				}
			})
		}
	}
	wg.Wait()
}
