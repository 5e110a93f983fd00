package work

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	workv1 "open-cluster-management.io/api/work/v1"

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
		Path:            "data", Value: `{"value":"one","color":"red"}`,
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

// FuzzRead takes anything for a cluster's answer: it may be wrong, but it breaks
// nothing, and a list is one only as the answer to what was asked.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"report":{"selections":[{"node":"found","hash":"HASH","listed":true,"items":[{"name":"x","values":[{"path":"data.color","value":"\"red\""}]}]}]}}`))
	f.Add([]byte(`{"report":{"selections":[{"node":"found","hash":"HASH","listed":true,"items":[{"values":[{"path":"data.color","value":"{}"},{"path":"","value":"[1]"}]}]}]}}`))
	f.Add([]byte(`{"report":{"selections":[{"node":"found","hash":"HASH","message":"no"}],"values":[{"resource":"configmaps","namespace":"shop","name":"a","path":"data","value":"3"}]}}`))
	f.Add([]byte(`{"status":{"resourceStatus":{"manifests":[{"resourceMeta":{"resource":"configmaps","namespace":"shop","name":"a"},` +
		`"conditions":[{"type":"Applied","status":"True","observedGeneration":1}],"statusFeedback":{"values":[{"name":"data.value","fieldValue":{"type":"JsonRaw","jsonRaw":"{"}}]}}]}}}`))
	var once sync.Once
	var base *world
	f.Fuzz(func(t *testing.T, raw []byte) {
		once.Do(func() {
			base = newWorld(t, choice(t))
			base.steps(2)
		})
		asked := base.selections()[0]
		var answer struct {
			Status workv1.ManifestWorkStatus
			Report kronvoyv1alpha1.WorkReportStatus
		}
		if json.Unmarshal([]byte(strings.ReplaceAll(string(raw), "HASH", asked.Hash)), &answer) != nil {
			return
		}
		work := base.works[0].DeepCopy()
		work.Status = answer.Status
		feedback, err := Read(base.graph, []*workv1.ManifestWork{work}, map[string]*kronvoyv1alpha1.WorkReport{work.Name: {Status: answer.Report}}, kronvoys)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Read(base.graph, []*workv1.ManifestWork{work}, nil, Capabilities{}); err != nil {
			t.Fatal(err)
		}
		answered := false
		for _, s := range answer.Report.Selections {
			answered = answered || s.Hash == asked.Hash && s.Listed
		}
		if feedback.Observed["found"].Listed && !answered {
			t.Error("there is a list that is no answer")
		}
		base.graph.Evaluate(graph.Bindings{
			Instance: map[string]any{
				"apiVersion": "kro.run/v1alpha1", "kind": "Chain",
				"metadata": map[string]any{"name": "shop", "namespace": "shop"}, "spec": base.spec,
			},
			Cluster: graph.Cluster{Name: "c1"}, Observed: feedback.Observed,
		})
	})
}

// TestWhatAClusterSaysIsPlainAndBounded: no text of a cluster's reaches a status
// with escapes for a terminal in it, or in any length.
func TestWhatAClusterSaysIsPlainAndBounded(t *testing.T) {
	hostile := "\x1b[2J\u202e" + strings.Repeat("x", 10_000) + "\x1b]0;owned\a"
	w := settled(t)
	agents := w.works[0].DeepCopy()
	for i, reason := range []string{"AppliedManifestFailed", kronvoyv1alpha1.ReasonTerminating} {
		agents.Status.ResourceStatus.Manifests[i].Conditions = []metav1.Condition{
			{Type: workv1.ManifestApplied, Status: metav1.ConditionFalse, Reason: reason, Message: hostile, ObservedGeneration: agents.Generation},
		}
	}
	now := metav1.Now()
	report := &kronvoyv1alpha1.WorkReport{Status: kronvoyv1alpha1.WorkReportStatus{
		Deleting: []kronvoyv1alpha1.DeletingObject{{Message: hostile}},
		Findings: []kronvoyv1alpha1.Finding{{ObjectReference: kronvoyv1alpha1.ObjectReference{Kind: hostile}, LastSeen: now,
			Details: []kronvoyv1alpha1.FindingDetail{{Path: hostile, Desired: hostile, Observed: hostile, Manager: hostile}}}},
	}}
	feedback, err := Read(w.graph, []*workv1.ManifestWork{agents}, map[string]*kronvoyv1alpha1.WorkReport{agents.Name: report}, kronvoys)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{feedback.Failures["a"], feedback.Terminating["b"], feedback.Drift.Last, feedback.Deleting[0].Message, stillDeleting(agents, report)}
	for i, text := range texts {
		if text == "" || len(text) > 3*1024 || strings.ContainsAny(text, "\x1b\a\u202e") {
			t.Errorf("text %d is %.80q, of %d bytes", i, text, len(text))
		}
	}
	if report.Status.Deleting[0].Message != hostile {
		t.Error("the report itself was changed")
	}
}
