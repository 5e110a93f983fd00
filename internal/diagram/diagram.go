// Package diagram says where the nodes and edges of a directed graph are drawn:
// on layers from top to bottom, with few crossings. The dashboard, the command
// line and the documentation get the same picture of the same graph.
//
// The layout is dagre's, as of package @dagrejs/dagre 3.1.3 (dagre/LICENSE),
// whose script goja runs: no process, no cgo, and nothing is loaded before the
// first graph is drawn.
package diagram

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dop251/goja"
)

//go:embed dagre/dagre.min.js
var script string

var compiled = sync.OnceValues(func() (*goja.Program, error) { return goja.Compile("dagre.min.js", script, true) })

// Node is a box to be placed.
type Node struct {
	ID            string
	Width, Height float64
}

// Edge goes from a box to one below it.
type Edge struct{ From, To string }

// Point of the picture, from its upper left corner.
type Point struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
}

// Layout is where everything is.
type Layout struct {
	Width, Height float64
	// Nodes are the upper left corners of the boxes.
	Nodes map[string]Point
	Edges []Line
}

// Line is the way of an edge, from box to box.
type Line struct {
	Edge
	Points []Point
}

// The bounds of a graph that is drawn: what a definition may have at most, and
// what an unlucky one may cost.
const (
	MaxNodes = 200
	MaxEdges = 1000
	patience = 10 * time.Second
)

// ErrTooLarge is that a graph has more than anybody would look at.
var ErrTooLarge = errors.New("the graph is too large to be drawn")

// lay is what is run for each graph. Nodes go by number: their ids stay out of
// it. structuredClone is the one thing that dagre takes from browsers, for plain
// data.
const lay = `(function (text) {
	globalThis.structuredClone = function (value) { return JSON.parse(JSON.stringify(value)); };
	var input = JSON.parse(text), g = new dagre.graphlib.Graph();
	g.setGraph({rankdir: "TB", nodesep: 24, ranksep: 44, marginx: 12, marginy: 12});
	g.setDefaultEdgeLabel(function () { return {}; });
	input.nodes.forEach(function (n, i) { g.setNode(String(i), {width: n[0], height: n[1]}); });
	input.edges.forEach(function (e) { g.setEdge(String(e[0]), String(e[1])); });
	dagre.layout(g);
	return JSON.stringify({
		width: g.graph().width || 0, height: g.graph().height || 0,
		nodes: input.nodes.map(function (n, i) { var at = g.node(String(i)); return {x: at.x, y: at.y}; }),
		edges: input.edges.map(function (e) { return g.edge(String(e[0]), String(e[1])).points; })
	});
})`

// Arrange lays a graph out. The same graph gives the same layout. Edges to
// unknown nodes, and second ones between the same two, are left out.
func Arrange(nodes []Node, edges []Edge) (Layout, error) {
	if len(nodes) > MaxNodes || len(edges) > MaxEdges {
		return Layout{}, fmt.Errorf("%w: it has %d nodes and %d edges, and %d and %d are allowed", ErrTooLarge, len(nodes), len(edges), MaxNodes, MaxEdges)
	}
	if len(nodes) == 0 {
		return Layout{}, nil
	}
	var input struct {
		Nodes [][2]float64 `json:"nodes"`
		Edges [][2]int     `json:"edges"`
	}
	number := map[string]int{}
	for i, n := range nodes {
		number[n.ID] = i
		input.Nodes = append(input.Nodes, [2]float64{n.Width, n.Height})
	}
	input.Edges = [][2]int{}
	drawn, seen := []Edge{}, map[Edge]bool{}
	for _, e := range edges {
		from, known := number[e.From]
		to, alsoKnown := number[e.To]
		if !known || !alsoKnown || from == to || seen[e] {
			continue
		}
		seen[e] = true
		drawn, input.Edges = append(drawn, e), append(input.Edges, [2]int{from, to})
	}
	text, err := json.Marshal(input)
	if err != nil {
		return Layout{}, fmt.Errorf("encoding a graph: %w", err)
	}
	answer, err := run(string(text))
	if err != nil {
		return Layout{}, fmt.Errorf("laying out a graph of %d nodes: %w", len(nodes), err)
	}
	return read(answer, nodes, drawn)
}

func run(input string) (string, error) {
	program, err := compiled()
	if err != nil {
		return "", err
	}
	vm := goja.New()
	timer := time.AfterFunc(patience, func() { vm.Interrupt("it takes too long") })
	defer timer.Stop()
	if _, err := vm.RunProgram(program); err != nil {
		return "", err
	}
	value, err := vm.RunString(lay)
	if err != nil {
		return "", err
	}
	call, ok := goja.AssertFunction(value)
	if !ok {
		return "", errors.New("the script gives no function")
	}
	out, err := call(goja.Undefined(), vm.ToValue(input))
	if err != nil {
		return "", err
	}
	return out.String(), nil
}

func read(answer string, nodes []Node, edges []Edge) (Layout, error) {
	var out struct {
		Width, Height float64
		Nodes         []Point
		Edges         [][]Point
	}
	if err := json.Unmarshal([]byte(answer), &out); err != nil {
		return Layout{}, fmt.Errorf("reading a layout: %w", err)
	}
	l := Layout{Width: round(out.Width), Height: round(out.Height), Nodes: map[string]Point{}}
	for i, n := range nodes {
		// dagre gives centres.
		l.Nodes[n.ID] = Point{round(out.Nodes[i].X - n.Width/2), round(out.Nodes[i].Y - n.Height/2)}
	}
	for i, e := range edges {
		line := Line{Edge: e}
		for _, p := range out.Edges[i] {
			line.Points = append(line.Points, Point{round(p.X), round(p.Y)})
		}
		l.Edges = append(l.Edges, line)
	}
	return l, nil
}

func round(x float64) float64 { return math.Round(x*10) / 10 }

// Path is a line as the d of an SVG path: straight to its end points, and round
// at the bends.
func (l Line) Path() string {
	if len(l.Points) == 0 {
		return ""
	}
	var out strings.Builder
	out.WriteString("M" + l.Points[0].String())
	for i := 1; i < len(l.Points)-1; i++ {
		bend, next := l.Points[i], l.Points[i+1]
		end := Point{round((bend.X + next.X) / 2), round((bend.Y + next.Y) / 2)}
		if i == len(l.Points)-2 {
			end = next
		}
		out.WriteString("Q" + bend.String() + " " + end.String())
	}
	if len(l.Points) == 2 {
		out.WriteString("L" + l.Points[1].String())
	}
	return out.String()
}

// Arrow is the head of a line, as the d of an SVG path.
func (l Line) Arrow() string {
	if len(l.Points) < 2 {
		return ""
	}
	tip, before := l.Points[len(l.Points)-1], l.Points[len(l.Points)-2]
	length := math.Hypot(tip.X-before.X, tip.Y-before.Y)
	if length == 0 {
		return ""
	}
	x, y := (tip.X-before.X)/length, (tip.Y-before.Y)/length
	const long, wide = 8, 4
	left := Point{round(tip.X - long*x + wide*y), round(tip.Y - long*y - wide*x)}
	right := Point{round(tip.X - long*x - wide*y), round(tip.Y - long*y + wide*x)}
	return "M" + tip.String() + "L" + left.String() + "L" + right.String() + "Z"
}

// String is the point as SVG has it.
func (p Point) String() string { return number(p.X) + "," + number(p.Y) }

func number(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }
