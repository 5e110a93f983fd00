package view

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/internal/diagram"
)

// The sizes of a drawn node, in the units of SVG.
const (
	boxWidth, boxHeight = 168, 56
	stripHeight         = 8
	maxLetters          = 20
)

// Graph is a drawn graph.
type Graph struct {
	Width, Height float64
	Nodes         []GraphNode
	Edges         []diagram.Line
}

// GraphNode is a box. Where states are known it carries them as a strip, and
// wears the worst.
type GraphNode struct {
	ID, Label, Kind string
	X, Y            float64
	State           State
	Strip           []Cell
	// Says is the node in words, for those who do not see the picture.
	Says    string
	Address string
	Current bool
}

// Cell is a stretch of a strip: how many of the clusters are in a state.
type Cell struct {
	State    State
	X, Width float64
	Count    int
}

// Boxes are a graph as diagram.Arrange wants it: what depends is below.
func Boxes(g *graph.Graph) ([]diagram.Node, []diagram.Edge) {
	var nodes []diagram.Node
	var edges []diagram.Edge
	for _, n := range g.Nodes() {
		nodes = append(nodes, diagram.Node{ID: n.ID, Width: boxWidth, Height: boxHeight})
		for _, d := range n.Dependencies {
			edges = append(edges, diagram.Edge{From: d, To: n.ID})
		}
	}
	return nodes, edges
}

// Draw puts a graph and the states of its nodes, by node and then by cluster,
// into a layout. With nil states there are none.
func Draw(g *graph.Graph, layout diagram.Layout, states map[string]map[string]State, current string, address func(node string) string) Graph {
	out := Graph{Width: layout.Width, Height: layout.Height, Edges: layout.Edges}
	for _, n := range g.Nodes() {
		at := layout.Nodes[n.ID]
		node := GraphNode{ID: n.ID, Label: shorten(n.ID), Kind: shorten(n.GVK.Kind), X: at.X, Y: at.Y, Current: n.ID == current, Says: n.ID + ", " + n.GVK.Kind}
		if address != nil {
			node.Address = address(n.ID)
		}
		if len(n.Dependencies) > 0 {
			node.Says += ", uses " + strings.Join(n.Dependencies, ", ")
		}
		if states != nil {
			node.State, node.Strip = strip(slices.Collect(maps.Values(states[n.ID])))
			for _, c := range node.Strip {
				node.Says += fmt.Sprintf("; %d %s", c.Count, c.State.Word())
			}
		}
		out.Nodes = append(out.Nodes, node)
	}
	return out
}

// strip divides the width of a box among states, the worst first.
func strip(states []State) (State, []Cell) {
	if len(states) == 0 {
		return Unknown, nil
	}
	count := map[State]int{}
	for _, s := range states {
		count[s]++
	}
	var cells []Cell
	x := 0.0
	for _, s := range slices.SortedFunc(maps.Keys(count), func(a, b State) int { return cmp.Compare(a.rank(), b.rank()) }) {
		width := float64(boxWidth-16) * float64(count[s]) / float64(len(states))
		cells = append(cells, Cell{s, x, width, count[s]})
		x += width
	}
	return cells[0].State, cells
}

// shorten makes a text fit into a box.
func shorten(text string) string {
	letters := []rune(text)
	if len(letters) <= maxLetters {
		return text
	}
	return string(letters[:maxLetters-1]) + "…"
}
