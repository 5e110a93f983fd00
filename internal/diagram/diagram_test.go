package diagram_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kronvoy/kronvoy/internal/diagram"
)

func box(id string) diagram.Node { return diagram.Node{ID: id, Width: 100, Height: 40} }

func TestWhatDependsIsBelow(t *testing.T) {
	nodes := []diagram.Node{box("config"), box("deployment"), box(`"]});alert(1)//`), box("service")}
	edges := []diagram.Edge{{"config", "deployment"}, {"deployment", "service"}, {"config", "service"}, {"config", "deployment"}, {"nowhere", "service"}, {"service", "service"}}
	layout, err := diagram.Arrange(nodes, edges)
	if err != nil {
		t.Fatal(err)
	}
	if len(layout.Edges) != 3 {
		t.Errorf("%d edges are drawn: %v", len(layout.Edges), layout.Edges)
	}
	for _, line := range layout.Edges {
		if layout.Nodes[line.From].Y+40 >= layout.Nodes[line.To].Y || line.Path() == "" || line.Arrow() == "" {
			t.Errorf("%s at %v, %s at %v, way %s", line.From, layout.Nodes[line.From], line.To, layout.Nodes[line.To], line.Path())
		}
	}
	for id, at := range layout.Nodes {
		if at.X < 0 || at.Y < 0 || at.X+100 > layout.Width || at.Y+40 > layout.Height {
			t.Errorf("%s at %v is outside of %v x %v", id, at, layout.Width, layout.Height)
		}
		for other, place := range layout.Nodes {
			if id != other && at.X < place.X+100 && place.X < at.X+100 && at.Y < place.Y+40 && place.Y < at.Y+40 {
				t.Errorf("%s is on %s", id, other)
			}
		}
	}
	again, err := diagram.Arrange(nodes, edges)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(layout, again); diff != "" {
		t.Errorf("a second time it is another picture\n%s", diff)
	}
}

func TestAGraphIsBounded(t *testing.T) {
	var nodes []diagram.Node
	for i := range diagram.MaxNodes + 1 {
		nodes = append(nodes, box(fmt.Sprint(i)))
	}
	if _, err := diagram.Arrange(nodes, nil); !errors.Is(err, diagram.ErrTooLarge) {
		t.Errorf("the error is %v", err)
	}
	if layout, err := diagram.Arrange(nil, nil); err != nil || len(layout.Nodes) != 0 {
		t.Errorf("no graph gives %v, %v", layout, err)
	}
}

func BenchmarkArrange(b *testing.B) {
	var nodes []diagram.Node
	var edges []diagram.Edge
	for i := range 50 {
		nodes = append(nodes, box(fmt.Sprint(i)))
		if i > 0 {
			edges = append(edges, diagram.Edge{From: fmt.Sprint(i / 2), To: fmt.Sprint(i)}, diagram.Edge{From: fmt.Sprint(i / 3), To: fmt.Sprint(i)})
		}
	}
	for b.Loop() {
		if _, err := diagram.Arrange(nodes, edges); err != nil {
			b.Fatal(err)
		}
	}
}
