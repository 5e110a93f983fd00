package work

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
)

// judges are the capabilities of an agent that judges health.
var judges = Capabilities{Reports: true, Health: true}

// judged has three ConfigMaps that are applied, each with a verdict on its health
// in the status of its work; c is one of two of its node.
func judged(t *testing.T) *world {
	t.Helper()
	collection := graph.NodeSource{
		ID: "c", Template: configMap("c-${name}", "x"), ForEach: []map[string]string{{"name": "${['one', 'two']}"}},
	}
	w := newWorld(t, compile(t, graph.NodeSource{ID: "a", Template: configMap("a", "${schema.spec.value}")},
		graph.NodeSource{ID: "b", External: &graph.ExternalSource{APIVersion: "v1", Kind: "ConfigMap", Name: "b"}}, collection))
	w.agent = judges
	w.steps(3)
	want(t, "ready", true, w.last.Ready)
	for _, name := range []string{"a", "b", "c-one", "c-two"} {
		w.finds(name, metav1.ConditionTrue, "Healthy", "")
	}
	return w
}

// finds is what the agent judges of an object of the work as it stands.
func (w *world) finds(name string, status metav1.ConditionStatus, reason, message string) *metav1.Condition {
	w.t.Helper()
	m := w.manifest(name)
	m.Conditions = append(m.Conditions, metav1.Condition{
		Type: kronvoyv1alpha1.ConditionManifestHealthy, Status: status, Reason: reason, Message: message, ObservedGeneration: w.works[0].Generation,
	})
	return &m.Conditions[len(m.Conditions)-1]
}

// manifest is the status of a manifest, without an earlier verdict.
func (w *world) manifest(name string) *workv1.ManifestCondition {
	w.t.Helper()
	for i := range w.works[0].Status.ResourceStatus.Manifests {
		m := &w.works[0].Status.ResourceStatus.Manifests[i]
		if m.ResourceMeta.Name != name {
			continue
		}
		kept := m.Conditions[:0]
		for _, c := range m.Conditions {
			if c.Type != kronvoyv1alpha1.ConditionManifestHealthy {
				kept = append(kept, c)
			}
		}
		m.Conditions = kept
		return m
	}
	w.t.Fatalf("the agent says nothing of %s", name)
	return nil
}

func TestHealthIsTheWorstOfANodesObjects(t *testing.T) {
	const notJudged = " has not been judged yet as it should be now"
	unknown := func(name string) Health {
		return Health{kronvoyv1alpha1.HealthUnknown, "configmaps shop/" + name + notJudged}
	}
	for name, test := range map[string]struct {
		change func(*world)
		// a and c are the nodes' health; Healthy where they are left out.
		a, c Health
	}{
		"all is well": {change: func(*world) {}},
		"an object has failed": {
			change: func(w *world) { w.finds("a", metav1.ConditionFalse, "DeadlineExceeded", "timed out") },
			a:      Health{kronvoyv1alpha1.HealthFailed, "configmaps shop/a: DeadlineExceeded: timed out"},
		},
		"one of several is under way": {
			change: func(w *world) { w.finds("c-two", metav1.ConditionUnknown, "InProgress", "not yet") },
			c:      Health{kronvoyv1alpha1.HealthProgressing, "configmaps shop/c-two: InProgress: not yet"},
		},
		"one is under way and one has failed": {
			change: func(w *world) {
				w.finds("c-one", metav1.ConditionUnknown, "InProgress", "not yet")
				w.finds("c-two", metav1.ConditionFalse, "Broken", "")
			},
			c: Health{kronvoyv1alpha1.HealthFailed, "configmaps shop/c-two: Broken: "},
		},
		"what has failed is told before what is not known": {
			change: func(w *world) { w.manifest("c-one"); w.finds("c-two", metav1.ConditionFalse, "Broken", "") },
			c:      Health{kronvoyv1alpha1.HealthFailed, "configmaps shop/c-two: Broken: "},
		},
		"a verdict of an earlier generation": {
			change: func(w *world) { w.finds("a", metav1.ConditionTrue, "Healthy", "").ObservedGeneration-- }, a: unknown("a"),
		},
		"a verdict of a generation that is not there yet": {
			change: func(w *world) { w.finds("a", metav1.ConditionTrue, "Healthy", "").ObservedGeneration++ }, a: unknown("a"),
		},
		"a verdict on an object that carries another manifest": {
			change: func(w *world) {
				other := "v1-0000000000000000"
				w.manifest("a").StatusFeedbacks.Values = []workv1.FeedbackValue{{Name: kronvoyv1alpha1.FeedbackHash, Value: workv1.FieldValue{Type: workv1.String, String: &other}}}
				w.finds("a", metav1.ConditionTrue, "Healthy", "")
			}, a: unknown("a"),
		},
		"a verdict on an object that does not say what it carries": {
			change: func(w *world) {
				w.manifest("a").StatusFeedbacks.Values = nil
				w.finds("a", metav1.ConditionTrue, "Healthy", "")
			}, a: unknown("a"),
		},
		"a verdict without the manifest being applied": {
			change: func(w *world) {
				m := w.manifest("a")
				m.Conditions[0].Status = metav1.ConditionFalse
				w.finds("a", metav1.ConditionTrue, "Healthy", "")
			}, a: unknown("a"),
		},
		"a verdict that is none": {
			change: func(w *world) { w.finds("a", "Perhaps", "Healthy", "") }, a: unknown("a"),
		},
		"an agent that says nothing of health": {
			change: func(w *world) { w.manifest("a") }, a: unknown("a"),
		},
		"an agent that says nothing at all of an object": {
			change: func(w *world) {
				w.works[0].Status.ResourceStatus.Manifests = w.works[0].Status.ResourceStatus.Manifests[1:]
			},
			a: unknown("a"),
		},
		"an agent that cannot judge, and says so all the same": {
			change: func(w *world) { w.agent = Capabilities{Reports: true} },
			a:      Health{kronvoyv1alpha1.HealthUnknown, "the cluster's agent does not judge health"},
			c:      Health{kronvoyv1alpha1.HealthUnknown, "the cluster's agent does not judge health"},
		},
		"what is somebody else's": {
			change: func(w *world) { w.finds("b", metav1.ConditionFalse, "Broken", "") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := judged(t)
			test.change(w)
			feedback, err := Read(w.graph, w.works, w.reports, w.agent)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]Health{"a": test.a, "c": test.c}
			for node, health := range want {
				if health == (Health{}) {
					want[node] = Health{State: kronvoyv1alpha1.Healthy}
				}
			}
			if diff := cmp.Diff(want, feedback.Health); diff != "" {
				t.Errorf("health (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHealthOfAManifestIsNoWordOnTheNext(t *testing.T) {
	w := judged(t)
	w.mute = true
	w.spec["value"] = "two"
	w.steps(1)
	feedback, err := Read(w.graph, w.works, w.reports, w.agent)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "health", kronvoyv1alpha1.HealthUnknown, feedback.Health["a"].State)
}

func TestWhatIsSaidOfHealthIsPlainAndBounded(t *testing.T) {
	w := judged(t)
	w.finds("a", metav1.ConditionFalse, "Broken", "\x1b[2J\u202e"+strings.Repeat("x", 10_000))
	feedback, err := Read(w.graph, w.works, w.reports, w.agent)
	if err != nil {
		t.Fatal(err)
	}
	if got := feedback.Health["a"].Message; len(got) > MaxHealthMessage || strings.ContainsAny(got, "\x1b\u202e") {
		t.Errorf("it says %q, of %d bytes", got, len(got))
	}
}
