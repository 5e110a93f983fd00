package report

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/apply"
	"github.com/kronvoy/kronvoy/spoke/feedback"
)

// widget is an object with a condition Ready.
func widget(version string, ready metav1.ConditionStatus, reason, message string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "example.com/v1", "kind": "Widget",
		"metadata": map[string]any{"name": "a", "namespace": "app", "uid": "u", "resourceVersion": version},
		"status": map[string]any{"conditions": []any{map[string]any{
			"type": "Ready", "status": string(ready), "reason": reason, "message": message,
		}}},
	}}
}

func healthOf(status *workv1.ManifestWorkStatus) *metav1.Condition {
	return apimeta.FindStatusCondition(status.ResourceStatus.Manifests[0].Conditions, kronvoyv1alpha1.ConditionManifestHealthy)
}

func TestHealthIsToldWithTheGenerationOfTheWork(t *testing.T) {
	tests := map[string]struct {
		item *apply.Item
		live *unstructured.Unstructured
		work string
		want *metav1.Condition
	}{
		"an object that is well": {
			item: configMap("a"), live: widget("1", metav1.ConditionTrue, "Up", "it is up"), work: "h",
			want: &metav1.Condition{Type: "Healthy", Status: metav1.ConditionTrue, ObservedGeneration: 7, Reason: "Healthy"},
		},
		"one that is not yet": {
			item: configMap("a"), live: widget("1", metav1.ConditionFalse, "Starting", "1 of 3"), work: "h",
			want: &metav1.Condition{Type: "Healthy", Status: metav1.ConditionUnknown, ObservedGeneration: 7, Reason: "Starting", Message: "1 of 3"},
		},
		"one that does not exist":        {item: configMap("a"), work: "h"},
		"one that is only read":          {item: &apply.Item{Strategy: workv1.UpdateStrategyTypeReadOnly}, live: widget("1", metav1.ConditionFalse, "x", ""), work: "h"},
		"one in the work of another hub": {item: configMap("a"), live: widget("1", metav1.ConditionFalse, "x", "")},
		"one whose work has its own rule": {
			item: &apply.Item{Rules: []workv1.ConditionRule{{
				Condition: "Healthy", Type: workv1.CelConditionExpressionsType, CelExpressions: []string{"false"}, Message: "mine",
			}}},
			live: widget("1", metav1.ConditionTrue, "Up", ""), work: "h",
			want: &metav1.Condition{Type: "Healthy", Status: metav1.ConditionFalse, ObservedGeneration: 7, Reason: workv1.ConditionRuleEvaluated, Message: "mine"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			seen := changes(7, apply.Outcome{Item: test.item, Live: test.live, Applied: true})
			seen.Work.Hash = test.work
			status, _ := workStatus(NewObserver(feedback.NewEvaluator()).Observe(seen), &workv1.ManifestWorkStatus{}, now)
			if diff := cmp.Diff(test.want, healthOf(status), cmpopts.IgnoreFields(metav1.Condition{}, "LastTransitionTime")); diff != "" {
				t.Errorf("health (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatIsSaidOfTheSameHealthIsNoNews(t *testing.T) {
	observer, item := NewObserver(feedback.NewEvaluator()), configMap("a")
	look := func(had *workv1.ManifestWorkStatus, live *unstructured.Unstructured) (*workv1.ManifestWorkStatus, bool) {
		return workStatus(observer.Observe(changes(1, good(item, live))), had, now)
	}
	told, _ := look(&workv1.ManifestWorkStatus{}, widget("1", metav1.ConditionFalse, "Starting", "1 of 3"))
	if _, differs := look(told, widget("2", metav1.ConditionFalse, "Starting", "2 of 3")); differs {
		t.Error("another count is written")
	}
	if _, differs := look(told, widget("3", metav1.ConditionFalse, "Stuck", "2 of 3")); !differs {
		t.Error("another reason is not written")
	}
	if _, differs := look(told, widget("4", metav1.ConditionTrue, "Up", "")); !differs {
		t.Error("another health is not written")
	}
	blue := widget("5", metav1.ConditionFalse, "Starting", "3 of 3")
	blue.Object["data"] = map[string]any{"color": "blue"}
	after, differs := look(told, blue)
	if !differs || healthOf(after).Message != "3 of 3" {
		t.Errorf("what is written for another reason says %q (%t)", healthOf(after).Message, differs)
	}
}
