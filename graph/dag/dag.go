// Package dag orders the nodes of a graph by their dependencies.
package dag

import "container/heap"

// Order is the result of Sort.
type Order struct {
	// Nodes in an order in which every node comes after all it depends on. The
	// order is the smallest by index: where the dependencies leave a choice, the
	// node that was written first comes first.
	Nodes []int
	// Waves holds, by node, the length of the longest path of dependencies
	// below it.
	Waves []int
}

// Sort orders the nodes 0…len(dependencies)-1. When they contain a cycle it
// returns the nodes on one, beginning and ending with its smallest node, each
// followed by one that it depends on.
func Sort(dependencies [][]int) (Order, []int) {
	n := len(dependencies)
	waiting := make([]int, n)
	dependents := make([][]int, n)
	for node, deps := range dependencies {
		for _, d := range deps {
			waiting[node]++
			dependents[d] = append(dependents[d], node)
		}
	}
	ready := &minHeap{}
	for node := range dependencies {
		if waiting[node] == 0 {
			heap.Push(ready, node)
		}
	}
	order := Order{Nodes: make([]int, 0, n), Waves: make([]int, n)}
	for ready.Len() > 0 {
		node := heap.Pop(ready).(int)
		order.Nodes = append(order.Nodes, node)
		for _, d := range dependents[node] {
			order.Waves[d] = max(order.Waves[d], order.Waves[node]+1)
			if waiting[d]--; waiting[d] == 0 {
				heap.Push(ready, d)
			}
		}
	}
	if len(order.Nodes) == n {
		return order, nil
	}
	return Order{}, cycle(dependencies, waiting)
}

// cycle walks from the first node that could not be ordered along the first of
// its dependencies that could not be either, until it meets its own track.
func cycle(dependencies [][]int, waiting []int) []int {
	node := 0
	for waiting[node] == 0 {
		node++
	}
	position := map[int]int{}
	var track []int
	for {
		if first, seen := position[node]; seen {
			return rotate(track[first:])
		}
		position[node] = len(track)
		track = append(track, node)
		for _, d := range dependencies[node] {
			if waiting[d] > 0 {
				node = d
				break
			}
		}
	}
}

// rotate makes a cycle begin, and end, with its smallest node.
func rotate(loop []int) []int {
	smallest := 0
	for i, node := range loop {
		if node < loop[smallest] {
			smallest = i
		}
	}
	out := make([]int, 0, len(loop)+1)
	out = append(out, loop[smallest:]...)
	out = append(out, loop[:smallest]...)
	return append(out, loop[smallest])
}

type minHeap []int

func (h minHeap) Len() int           { return len(h) }
func (h minHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h minHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *minHeap) Push(x any)        { *h = append(*h, x.(int)) }
func (h *minHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
