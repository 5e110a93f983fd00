package work

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// chained is a world in which the whole chain was shipped.
func chained(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, chain(t))
	for range 4 {
		w.step(false)
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, w.shipped()); diff != "" {
		t.Fatalf("shipped (-want +got):\n%s", diff)
	}
	return w
}

// specs are the specs of all works, and marked whether all of them tell the
// agent to leave their objects alone.
func (w *world) specs() (specs []workv1.ManifestWorkSpec, marked bool) {
	marked = len(w.works) > 0
	for _, x := range w.works {
		specs = append(specs, x.Spec)
		marked = marked && kronvoyv1alpha1.Suspended(x.Annotations[kronvoyv1alpha1.AnnotationReconcile])
		if hash := HashOf(x); hash != x.Annotations[kronvoyv1alpha1.AnnotationHash] {
			w.t.Errorf("work %s says hash %s and has %s", x.Name, x.Annotations[kronvoyv1alpha1.AnnotationHash], hash)
		}
	}
	return specs, marked
}

// What cannot be rendered as it was stays as it is, but for the mark; what agents
// say of it is known without the graph.
func TestKeptWorksAreTheVeryOnesButForTheMark(t *testing.T) {
	w := chained(t)
	before, _ := w.specs()
	for _, suspended := range []bool{false, true, true, false} {
		plan := Keep(w.works, suspended)
		for i, x := range plan.Works {
			if same := kronvoyv1alpha1.Suspended(w.works[i].Annotations[kronvoyv1alpha1.AnnotationReconcile]) == suspended; (x == w.works[i]) != same {
				t.Errorf("suspended %t: work %s is another one: %t", suspended, x.Name, same)
			}
		}
		w.write(plan)
		w.answer()
		if after, marked := w.specs(); marked != suspended || !cmp.Equal(before, after) {
			t.Errorf("marked is %t, want %t; specs (-before +after):\n%s", marked, suspended, cmp.Diff(before, after))
		}
	}
	withGraph, err := Read(w.graph, w.works, w.reports, w.agent)
	if err != nil {
		t.Fatal(err)
	}
	without, err := Read(nil, w.works, w.reports, w.agent)
	if err != nil {
		t.Fatal(err)
	}
	clear(withGraph.Observed)
	if diff := cmp.Diff(withGraph, without); diff != "" || len(without.Health) == 0 {
		t.Errorf("without the graph (-with +without):\n%s", diff)
	}
}

func TestSuspendedWorksStayAsTheyAreAndSaySo(t *testing.T) {
	w := chained(t)
	before, _ := w.specs()
	w.suspended = true
	w.spec = map[string]any{"value": "two", "short": true}
	for range 3 {
		if plan := w.step(false); len(plan.Delete) > 0 {
			t.Fatalf("works are deleted: %v", plan.Delete)
		}
		after, marked := w.specs()
		if diff := cmp.Diff(before, after); diff != "" || !marked {
			t.Fatalf("marked is %v; specs (-before +after):\n%s", marked, diff)
		}
	}
	w.suspended = false
	for range 4 {
		w.step(false)
	}
	if diff := cmp.Diff([]string{"a", "b"}, w.shipped()); diff != "" {
		t.Errorf("shipped when it goes on (-want +got):\n%s", diff)
	}
	if _, marked := w.specs(); marked {
		t.Error("the mark stays")
	}
}

func TestASuspendedInstanceShipsNothingNew(t *testing.T) {
	w := newWorld(t, chain(t))
	w.suspended = true
	if plan := w.step(false); len(plan.Works) > 0 {
		t.Errorf("it ships %d works", len(plan.Works))
	}
}

func TestTeardownOfASuspendedInstanceGoesOnAndPutsNothingRight(t *testing.T) {
	w := chained(t)
	w.suspended = true
	w.step(false)
	for _, want := range [][]string{{"a", "b"}, {"a"}, nil} {
		w.step(true)
		if diff := cmp.Diff(want, w.shipped()); diff != "" {
			t.Fatalf("left (-want +got):\n%s", diff)
		}
		if _, marked := w.specs(); !marked && len(w.works) > 0 {
			t.Error("what waits for its wave would be put right before it goes")
		}
	}
}

func TestTheMarkIsPartOfTheHashOfAWorkThatHasIt(t *testing.T) {
	w := &workv1.ManifestWork{}
	without := HashOf(w)
	w.Annotations = map[string]string{kronvoyv1alpha1.AnnotationReconcile: kronvoyv1alpha1.ReconcileSuspended}
	if HashOf(w) == without {
		t.Error("a mark that somebody takes off by hand would not be missed")
	}
}

func TestToWaitIsNoFailure(t *testing.T) {
	cases := map[string]struct {
		reason string
		want   Feedback
	}{
		"an object that somebody deleted": {
			reason: kronvoyv1alpha1.ReasonTerminating,
			want:   Feedback{Failures: map[string]string{}, Terminating: map[string]string{"a": "why"}},
		},
		"a suspended manifest": {
			reason: kronvoyv1alpha1.ReasonSuspended,
			want:   Feedback{Failures: map[string]string{}, Terminating: map[string]string{}},
		},
		"a manifest that was refused": {
			reason: kronvoyv1alpha1.ReasonForbidden,
			want:   Feedback{Failures: map[string]string{"a": "configmaps shop/a: Forbidden: why"}, Terminating: map[string]string{}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := chained(t)
			w.works[0].Status.ResourceStatus.Manifests[0].Conditions = []metav1.Condition{{
				Type: workv1.ManifestApplied, Status: metav1.ConditionFalse, ObservedGeneration: w.works[0].Generation, Reason: tc.reason, Message: "why",
			}}
			feedback, err := Read(w.graph, w.works, w.reports, kronvoys)
			if err != nil {
				t.Fatal(err)
			}
			got := Feedback{Failures: feedback.Failures, Terminating: feedback.Terminating}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
