package plan_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/plan"
)

func TestWhatIsForeseenGoesAsFarAsValuesAreKnown(t *testing.T) {
	in := input(t, "ConfigMap")
	first := plan.Evaluate(in)
	first.Build(in)
	last := first.Foresee(in)
	last.Build(in)
	want := map[string]graph.NodeState{"it": graph.Ready, "copy": graph.Pending, "own": graph.Ready}
	if diff := cmp.Diff(want, states(last.Evaluation)); diff != "" {
		t.Errorf("in the end (-want +got):\n%s", diff)
	}
	// The hub goes by the first, which is as it was.
	want = map[string]graph.NodeState{"it": graph.Progressing, "copy": graph.Held, "own": graph.Progressing}
	if diff := cmp.Diff(want, states(first.Evaluation)); diff != "" {
		t.Errorf("first (-want +got):\n%s", diff)
	}
	// With the value that it waits for, the last one comes too.
	in.Observed = map[string]graph.Observed{"it": {Objects: []graph.ObservedObject{{
		Object: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "it", "namespace": "shop"}, "data": map[string]any{"key": "value"},
		}, Current: true,
	}}}}
	p := plan.Evaluate(in).Foresee(in)
	p.Build(in)
	if diff := cmp.Diff(map[string]any{"key": "value"}, data(t, p.Works.Works)["copy"]); diff != "" {
		t.Errorf("copy (-want +got):\n%s", diff)
	}
}
