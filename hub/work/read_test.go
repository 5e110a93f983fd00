package work

import (
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
)

// colored is a ConfigMap that a reader takes something from.
func colored(t *testing.T, reader string) *graph.Graph {
	t.Helper()
	source := configMap("a", "one")
	source["data"].(map[string]any)["color"] = "red"
	return compile(t, graph.NodeSource{ID: "a", Template: source}, graph.NodeSource{ID: "b", Template: configMap("b", reader)})
}

func TestAFieldThatWasNotAskedForIsNotAbsent(t *testing.T) {
	w := newWorld(t, colored(t, "${a.data.value}"))
	w.steps(3)
	want(t, "b", "one", w.value("b"))
	// A new definition reads another field of an object that stays as it is.
	w.graph = colored(t, `${a.data.?color.orValue("none")}`)
	w.steps(1)
	want(t, "b waits for it", graph.Held, stateOf(w.last, "b"))
	want(t, "b stays", "one", w.value("b"))
	w.steps(1)
	want(t, "b", "red", w.value("b"))
}

func TestAListOrObjectCountsOnlyInAReportOfTheWorkAsItStands(t *testing.T) {
	w := newWorld(t, colored(t, "${a.data.value}"))
	w.steps(3)
	w.graph = colored(t, `${"size " + string(size(a.data))}`)
	w.steps(1)
	want(t, "the object is asked for", []string{"data"}, observeOf(t, w).Fields[0])
	// The annotation changed; the agent has not answered it, though the spec and
	// its generation are what they were.
	report := w.reports[w.works[0].Name]
	report.Status.ObservedHash = "of the work before"
	w.mute = true
	w.steps(1)
	want(t, "b waits for it", graph.Held, stateOf(w.last, "b"))
	report.Status.ObservedHash = w.works[0].Annotations[kronvoyv1alpha1.AnnotationHash]
	report.Status.Values = []kronvoyv1alpha1.ReportedValue{{
		ObjectReference: kronvoyv1alpha1.ObjectReference{Resource: "configmaps", Namespace: "shop", Name: "a"},
		Path:            "data", Value: apiextensionsv1.JSON{Raw: []byte(`{"value":"one","color":"red"}`)},
	}}
	w.steps(1)
	want(t, "b", "size 2", w.value("b"))
}

func observeOf(t *testing.T, w *world) kronvoyv1alpha1.Observe {
	t.Helper()
	observe, err := kronvoyv1alpha1.ParseObserve(w.works[0].Annotations)
	if err != nil {
		t.Fatal(err)
	}
	return observe
}
