package dag

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSort(t *testing.T) {
	tests := map[string]struct {
		in    [][]int
		want  Order
		cycle []int
	}{
		"nothing":                           {want: Order{Nodes: []int{}, Waves: []int{}}},
		"the order of the source":           {in: [][]int{nil, nil, nil}, want: Order{Nodes: []int{0, 1, 2}, Waves: []int{0, 0, 0}}},
		"a chain backwards":                 {in: [][]int{{1}, {2}, nil}, want: Order{Nodes: []int{2, 1, 0}, Waves: []int{2, 1, 0}}},
		"a diamond":                         {in: [][]int{nil, {0}, {0}, {1, 2}}, want: Order{Nodes: []int{0, 1, 2, 3}, Waves: []int{0, 1, 1, 2}}},
		"the first written comes first":     {in: [][]int{{3}, nil, {3}, nil}, want: Order{Nodes: []int{1, 3, 0, 2}, Waves: []int{1, 0, 1, 0}}},
		"a wave is the longest path":        {in: [][]int{nil, {0}, {1}, {0, 2}}, want: Order{Nodes: []int{0, 1, 2, 3}, Waves: []int{0, 1, 2, 3}}},
		"a node on itself":                  {in: [][]int{nil, {1}}, cycle: []int{1, 1}},
		"two on each other":                 {in: [][]int{{1}, {0}}, cycle: []int{0, 1, 0}},
		"a cycle behind a tail":             {in: [][]int{{2}, {3}, {1}, {2}}, cycle: []int{1, 3, 2, 1}},
		"what depends on a cycle is not it": {in: [][]int{{1}, {2}, {3}, {2}, nil}, cycle: []int{2, 3, 2}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, cycle := Sort(test.in)
			if diff := cmp.Diff(test.cycle, cycle); diff != "" {
				t.Errorf("cycle (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("order (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSortAnyGraph holds for random graphs: each node comes after all that it
// depends on, or the cycle is one.
func TestSortAnyGraph(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		n := 1 + r.IntN(20)
		in := make([][]int, n)
		for i := range in {
			for range r.IntN(3) {
				if d := r.IntN(n); !slices.Contains(in[i], d) {
					in[i] = append(in[i], d)
				}
			}
		}
		order, cycle := Sort(in)
		if cycle != nil {
			if len(cycle) < 2 || cycle[0] != cycle[len(cycle)-1] {
				t.Fatalf("%v is no cycle", cycle)
			}
			for i := range cycle[1:] {
				if !slices.Contains(in[cycle[i]], cycle[i+1]) {
					t.Fatalf("%v is no cycle of %v", cycle, in)
				}
			}
			continue
		}
		position := make([]int, n)
		for p, node := range order.Nodes {
			position[node] = p
		}
		for node, deps := range in {
			for _, d := range deps {
				if position[d] >= position[node] || order.Waves[d] >= order.Waves[node] {
					t.Fatalf("%d does not come after %d: %+v", node, d, order)
				}
			}
		}
	}
}

func TestSortLongChain(t *testing.T) {
	const n = 10_000
	in := make([][]int, n)
	for i := 1; i < n; i++ {
		in[i] = []int{i - 1}
	}
	order, cycle := Sort(in)
	if cycle != nil || order.Waves[n-1] != n-1 {
		t.Errorf("wave of the last node %d, cycle %v", order.Waves[n-1], cycle)
	}
}
