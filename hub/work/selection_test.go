package work

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
)

// choice selects the ConfigMaps that a says, and counts them: a ── found ── b.
func choice(t *testing.T) *graph.Graph {
	t.Helper()
	return compile(t,
		graph.NodeSource{ID: "a", Template: configMap("a", "${schema.spec.value}")},
		selects("found", map[string]any{"matchLabels": map[string]any{"role": "${a.data.value}"}}, "${!schema.spec.short}"),
		graph.NodeSource{ID: "b", Template: configMap("b", "${string(size(found))}/${found.map(x, x.data.?color.orValue('none')).join(',')}")})
}

func selects(id string, selector any, includeWhen ...string) graph.NodeSource {
	return graph.NodeSource{ID: id, IncludeWhen: includeWhen, External: &graph.ExternalSource{
		APIVersion: "v1", Kind: "ConfigMap", Namespace: "shop", Selector: selector,
	}}
}

// selections are all that the works ask for.
func (w *world) selections() []kronvoyv1alpha1.Selection {
	w.t.Helper()
	var all []kronvoyv1alpha1.Selection
	for _, x := range w.works {
		observe, err := kronvoyv1alpha1.ParseObserve(x.Annotations)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, observe.Selections...)
	}
	return all
}

// list answers the selections as an agent does: with ConfigMaps of the given
// colors.
func (w *world) list(colors ...string) {
	w.t.Helper()
	w.tell(func(r *kronvoyv1alpha1.SelectionReport) {
		r.Listed = true
		for i, color := range colors {
			item := kronvoyv1alpha1.SelectedObject{Namespace: "shop", Name: fmt.Sprintf("found-%d", i)}
			if color != "" {
				item.Values = []kronvoyv1alpha1.SelectedValue{{Path: "data.color", Value: `"` + color + `"`}}
			}
			r.Items = append(r.Items, item)
		}
	})
}

func (w *world) tell(say func(*kronvoyv1alpha1.SelectionReport)) {
	w.t.Helper()
	for _, report := range w.reports {
		report.Status.Selections = nil
	}
	for _, s := range w.selections() {
		r := kronvoyv1alpha1.SelectionReport{Node: s.Node, Hash: s.Hash}
		say(&r)
		w.reports[w.works[0].Name].Status.Selections = append(w.reports[w.works[0].Name].Status.Selections, r)
	}
}

func (w *world) steps(n int) {
	w.t.Helper()
	for range n {
		w.step(false)
	}
}

func TestASelectionTravelsAndItsListComesBack(t *testing.T) {
	w := newWorld(t, choice(t))
	w.steps(2)
	want(t, "what needs the list waits", []string{"a", "kube-system"}, w.shipped())
	got := w.selections()
	if len(got) != 1 || got[0].Hash == "" {
		t.Fatalf("the work asks for %v", got)
	}
	got[0].Hash = ""
	want(t, "selection", kronvoyv1alpha1.Selection{
		Node: "found", Version: "v1", Resource: "configmaps", Namespace: "shop",
		Selector: metav1.LabelSelector{MatchLabels: map[string]string{"role": "one"}}, Paths: []string{"data.color"},
	}, got[0])

	for _, step := range []struct {
		colors []string
		want   string
	}{
		{nil, "0/"},
		{[]string{"red", ""}, "2/red,none"},
		{[]string{"blue"}, "1/blue"},
	} {
		w.list(step.colors...)
		w.steps(2)
		want(t, "b", step.want, w.value("b"))
	}
	want(t, "ready", true, w.last.Ready)
	hash := w.works[0].Annotations[kronvoyv1alpha1.AnnotationHash]
	w.steps(1)
	want(t, "a settled work does not change", hash, w.works[0].Annotations[kronvoyv1alpha1.AnnotationHash])
}

func TestAnAnswerToAnotherSelectionIsNone(t *testing.T) {
	w := newWorld(t, choice(t))
	w.steps(2)
	w.list("red")
	w.steps(2)
	want(t, "b", "1/red", w.value("b"))

	// a changes, and with it the selector.
	w.spec["value"] = "two"
	w.steps(1)
	want(t, "the selection stays while what it is made of is on its way", map[string]string{"role": "one"}, w.selections()[0].Selector.MatchLabels)
	w.steps(1)
	want(t, "the selection is new", map[string]string{"role": "two"}, w.selections()[0].Selector.MatchLabels)
	w.steps(2)
	want(t, "the old list is no answer", graph.Progressing, stateOf(w.last, "found"))
	want(t, "what was made of it stays", "1/red", w.value("b"))
	w.list("blue", "green")
	w.steps(2)
	want(t, "b", "2/blue,green", w.value("b"))
}

func TestAListSaysNothingOfFieldsThatWereNotAskedFor(t *testing.T) {
	w := newWorld(t, choice(t))
	w.steps(2)
	w.list("red")
	w.steps(2)
	// A new definition reads another field of the same objects.
	w.graph = compile(t,
		graph.NodeSource{ID: "a", Template: configMap("a", "${schema.spec.value}")},
		selects("found", map[string]any{"matchLabels": map[string]any{"role": "${a.data.value}"}}),
		graph.NodeSource{ID: "b", Template: configMap("b", "${found.map(x, x.data.?size.orValue('none')).join(',')}")})
	w.steps(1)
	want(t, "the list is no answer yet", graph.Progressing, stateOf(w.last, "found"))
	want(t, "b is as it was", "1/red", w.value("b"))
	want(t, "the new field is asked for", []string{"data.size"}, w.selections()[0].Paths)
}

func TestAListThatCannotBeMadeFailsItsNodeAlone(t *testing.T) {
	w := newWorld(t, choice(t))
	w.steps(2)
	w.tell(func(r *kronvoyv1alpha1.SelectionReport) { r.Message = "listing configmaps: forbidden" })
	feedback, err := Read(w.graph, w.works, w.reports, kronvoys)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "failures", map[string]string{"found": "listing configmaps: forbidden"}, feedback.Failures)
	_, observed := feedback.Observed["found"]
	want(t, "observed", false, observed)
}

func TestAClusterCannotTellMoreThanIsTaken(t *testing.T) {
	for name, color := range map[string]string{
		"a value too large": strings.Repeat("x", maxValueBytes), "too many values": strings.Repeat("x", maxValueBytes/2),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, choice(t))
			w.steps(2)
			w.list(color, color, color, color, color, color, color, color, color, color, color, color, color)
			feedback, err := Read(w.graph, w.works, w.reports, kronvoys)
			if err != nil {
				t.Fatal(err)
			}
			want(t, "the list is refused", true, strings.Contains(feedback.Failures["found"], "more than is taken"))
			want(t, "and nothing is taken for absent", false, feedback.Observed["found"].Listed)
		})
	}
}

func TestAGraphThatOnlySelectsHasAWork(t *testing.T) {
	w := newWorld(t, compile(t, selects("found", map[string]any{})))
	w.steps(1)
	want(t, "the carrier", []string{"kube-system"}, w.shipped())
	want(t, "is only read", "ReadOnly", string(w.works[0].Spec.ManifestConfigs[0].UpdateStrategy.Type))
	w.list()
	w.steps(1)
	want(t, "nothing that matches is an answer", true, w.last.Ready)
	w.step(true)
	want(t, "teardown leaves no work", 0, len(w.works))
}

func TestTheCarrierIsTheManifestOfANodeThatLooksAtTheSameObject(t *testing.T) {
	w := newWorld(t, compile(t, selects("found", map[string]any{}),
		graph.NodeSource{ID: "system", External: &graph.ExternalSource{APIVersion: "v1", Kind: "Namespace", Name: "kube-system"}}))
	w.steps(1)
	want(t, "shipped once", []string{"kube-system"}, w.shipped())
	want(t, "selections", 1, len(w.selections()))
}

func TestASelectionLeavesWithItsNode(t *testing.T) {
	w := newWorld(t, choice(t))
	w.steps(2)
	w.list("red")
	w.steps(2)
	w.spec["short"] = true
	w.steps(4)
	want(t, "selections", 0, len(w.selections()))
	want(t, "b and the carrier leave, too", []string{"a"}, w.shipped())
	_, annotated := w.works[0].Annotations[kronvoyv1alpha1.AnnotationObserve]
	want(t, "the annotation is gone", false, annotated)
}

func TestASelectorThatIsTooLargeIsNamed(t *testing.T) {
	g := compile(t, selects("found", map[string]any{}), selects("small", map[string]any{}))
	values := make([]string, 3000)
	for i := range values {
		values[i] = fmt.Sprintf("a-value-of-some-length-%04d", i)
	}
	plan, err := Build(Input{Identity: shop, Cluster: "c1", Capabilities: kronvoys, Graph: g, Evaluation: graph.Evaluation{Nodes: []graph.NodeResult{
		{ID: "small", State: graph.Progressing, Selection: &graph.Selection{}},
		{ID: "found", State: graph.Progressing, Selection: &graph.Selection{Selector: metav1.LabelSelector{
			MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: metav1.LabelSelectorOpIn, Values: values}},
		}}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.TooLarge) != 1 || plan.TooLarge[0].Node != "found" || !strings.Contains(plan.TooLarge[0].Error(), "65536") {
		t.Errorf("too large is %v", plan.TooLarge)
	}
	observe, err := kronvoyv1alpha1.ParseObserve(plan.Works[0].Annotations)
	if err != nil || len(observe.Selections) != 1 || observe.Selections[0].Node != "small" {
		t.Errorf("the work asks for %v, %v", observe.Selections, err)
	}
}

func TestPathsWithDotsInTheirNamesTravelAsJSONPath(t *testing.T) {
	g := compile(t, selects("found", map[string]any{}),
		graph.NodeSource{ID: "b", Template: configMap("b", `${found.map(x, x.metadata.labels['app.kubernetes.io/name']).join(',')}`)})
	s := newSelection(g.Node("found"), graph.Selection{})
	want(t, "paths", []string{`metadata.labels['app\.kubernetes\.io/name']`}, s.Paths)
	objects, err := selectedObjects(g.Node("found"), []kronvoyv1alpha1.SelectedObject{{Namespace: "shop", Name: "one",
		Values: []kronvoyv1alpha1.SelectedValue{{Path: s.Paths[0], Value: `"web"`}}}})
	if err != nil {
		t.Fatal(err)
	}
	want(t, "object", map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": "one", "namespace": "shop", "labels": map[string]any{"app.kubernetes.io/name": "web"}},
	}, objects[0].Object)
}
