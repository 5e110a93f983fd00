package report

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/apply"
	"github.com/kronvoy/kronvoy/spoke/feedback"
	"github.com/kronvoy/kronvoy/spoke/live"
)

var (
	before = time.Unix(1000, 0)
	now    = time.Unix(2000, 0)
)

func configMap(name string) *apply.Item {
	item := &apply.Item{Key: live.Key{Name: name, Namespace: "app"}, Feedback: []workv1.FeedbackRule{{
		JsonPaths: []workv1.JsonPath{{Name: "color", Path: ".data.color"}},
	}}}
	item.GVK.Version, item.GVK.Kind = "v1", "ConfigMap"
	item.Key.Resource.Version, item.Key.Resource.Resource = "v1", "configmaps"
	return item
}

func object(name, version, color string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": name, "namespace": "app", "uid": "u", "resourceVersion": version},
		"data":     map[string]any{"color": color},
	}}
}

func changes(generation int64, outcomes ...apply.Outcome) *apply.ChangeSet {
	return &apply.ChangeSet{Work: &apply.Work{Name: "one", Generation: generation, Hash: "h"}, Outcomes: outcomes}
}

func good(item *apply.Item, obj *unstructured.Unstructured) apply.Outcome {
	return apply.Outcome{Item: item, Live: obj, Applied: true, Reason: workv1.AppliedManifestComplete, Message: "Apply manifest complete"}
}

func TestASecondLookAtTheSameWritesNothing(t *testing.T) {
	observer, item := NewObserver(feedback.NewEvaluator()), configMap("a")
	first, differs := workStatus(observer.Observe(changes(1, good(item, object("a", "1", "blue")))), &workv1.ManifestWorkStatus{}, before)
	if !differs {
		t.Fatal("the first status is no difference")
	}
	if _, differs := workStatus(observer.Observe(changes(1, good(item, object("a", "2", "blue")))), first, now); differs {
		t.Error("the same state is a difference")
	}
	second, differs := workStatus(observer.Observe(changes(1, good(item, object("a", "3", "red")))), first, now)
	if !differs || *second.ResourceStatus.Manifests[0].StatusFeedbacks.Values[0].Value.String != "red" {
		t.Errorf("another value gives %v, %t", second.ResourceStatus.Manifests[0].StatusFeedbacks, differs)
	}
}

func TestATransitionTimeChangesOnlyWithItsStatus(t *testing.T) {
	observer, item := NewObserver(feedback.NewEvaluator()), configMap("a")
	first, _ := workStatus(observer.Observe(changes(1, good(item, object("a", "1", "blue")))), &workv1.ManifestWorkStatus{}, before)
	failed := apply.Outcome{Item: item, Live: object("a", "1", "blue"), Reason: workv1.AppliedManifestFailed, Message: "no"}
	second, _ := workStatus(observer.Observe(changes(2, failed)), first, now)
	type row struct {
		Type       string
		Status     metav1.ConditionStatus
		Generation int64
		At         int64
	}
	rows := func(conditions []metav1.Condition) (rows []row) {
		for _, c := range conditions {
			rows = append(rows, row{c.Type, c.Status, c.ObservedGeneration, c.LastTransitionTime.Unix()})
		}
		return rows
	}
	want := []row{
		{workv1.ManifestApplied, metav1.ConditionFalse, 2, now.Unix()},
		{workv1.ManifestAvailable, metav1.ConditionTrue, 2, before.Unix()},
		{conditionFeedback, metav1.ConditionTrue, 2, before.Unix()},
		{kronvoyv1alpha1.ConditionManifestHealthy, metav1.ConditionTrue, 2, before.Unix()},
	}
	if diff := cmp.Diff(want, rows(second.ResourceStatus.Manifests[0].Conditions)); diff != "" {
		t.Errorf("conditions of the manifest (-want +got):\n%s", diff)
	}
	want = []row{
		{workv1.WorkApplied, metav1.ConditionFalse, 2, now.Unix()},
		{workv1.WorkAvailable, metav1.ConditionTrue, 2, before.Unix()},
	}
	if diff := cmp.Diff(want, rows(second.Conditions)); diff != "" {
		t.Errorf("conditions of the work (-want +got):\n%s", diff)
	}
}

func TestManifestsKeepTheirTimesWhenTheyChangePlaces(t *testing.T) {
	observer, a, b := NewObserver(feedback.NewEvaluator()), configMap("a"), configMap("b")
	first, _ := workStatus(observer.Observe(changes(1, good(a, object("a", "1", "x")), apply.Outcome{Item: b})), &workv1.ManifestWorkStatus{}, before)
	second, _ := workStatus(observer.Observe(changes(2, apply.Outcome{Item: b}, good(a, object("a", "1", "x")))), first, now)
	for _, manifest := range second.ResourceStatus.Manifests {
		for _, c := range manifest.Conditions {
			if !c.LastTransitionTime.Time.Equal(before) {
				t.Errorf("%s of %s changed at %s", c.Type, manifest.ResourceMeta.Name, c.LastTransitionTime)
			}
		}
	}
}

func TestConditionsOfOthersStay(t *testing.T) {
	had := &workv1.ManifestWorkStatus{Conditions: []metav1.Condition{
		{Type: "Foreign", Status: metav1.ConditionTrue, Reason: "Theirs"},
		{Type: workv1.WorkProgressing, Status: metav1.ConditionTrue, Reason: reasonAggregated},
	}}
	status, _ := workStatus(NewObserver(feedback.NewEvaluator()).Observe(changes(1)), had, now)
	var types []string
	for _, c := range status.Conditions {
		types = append(types, c.Type)
	}
	if diff := cmp.Diff([]string{workv1.WorkApplied, workv1.WorkAvailable, "Foreign"}, types); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
}

func TestConditionRulesAddUp(t *testing.T) {
	progressing := func(statuses ...metav1.ConditionStatus) (manifests []workv1.ManifestCondition) {
		for _, status := range statuses {
			manifests = append(manifests, workv1.ManifestCondition{Conditions: []metav1.Condition{
				{Type: workv1.WorkProgressing, Status: status}, {Type: workv1.WorkComplete, Status: status},
			}})
		}
		return manifests
	}
	tests := map[string]struct {
		manifests             []workv1.ManifestCondition
		progressing, complete metav1.ConditionStatus
	}{
		"all-true":  {progressing(metav1.ConditionTrue, metav1.ConditionTrue), metav1.ConditionTrue, metav1.ConditionTrue},
		"one-false": {progressing(metav1.ConditionTrue, metav1.ConditionFalse), metav1.ConditionTrue, metav1.ConditionFalse},
		"all-false": {progressing(metav1.ConditionFalse, metav1.ConditionFalse), metav1.ConditionFalse, metav1.ConditionFalse},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := map[string]metav1.ConditionStatus{}
			for _, c := range workConditions(1, tt.manifests) {
				got[c.Type] = c.Status
			}
			if got[workv1.WorkProgressing] != tt.progressing || got[workv1.WorkComplete] != tt.complete {
				t.Errorf("progressing %s, complete %s", got[workv1.WorkProgressing], got[workv1.WorkComplete])
			}
		})
	}
}

func TestAReportIsWrittenOnlyWhenThereIsSomethingToSay(t *testing.T) {
	value := func(raw string) []kronvoyv1alpha1.ReportedValue {
		return []kronvoyv1alpha1.ReportedValue{{Path: "data", Value: raw}}
	}
	tests := map[string]struct {
		had, have kronvoyv1alpha1.WorkReportStatus
		must      bool
		want      bool
	}{
		"nothing-to-say":              {have: kronvoyv1alpha1.WorkReportStatus{ObservedHash: "b"}},
		"nothing-but-the-hub-waits":   {have: kronvoyv1alpha1.WorkReportStatus{ObservedHash: "b"}, must: true, want: true},
		"the-hub-has-heard":           {had: kronvoyv1alpha1.WorkReportStatus{ObservedHash: "b"}, have: kronvoyv1alpha1.WorkReportStatus{ObservedHash: "b"}, must: true},
		"a-new-hash-alone":            {had: kronvoyv1alpha1.WorkReportStatus{ObservedHash: "a"}, have: kronvoyv1alpha1.WorkReportStatus{ObservedHash: "b"}},
		"a-new-value":                 {had: kronvoyv1alpha1.WorkReportStatus{Values: value(`1`)}, have: kronvoyv1alpha1.WorkReportStatus{Values: value(`2`)}, want: true},
		"the-same-value":              {had: kronvoyv1alpha1.WorkReportStatus{Values: value(`1`)}, have: kronvoyv1alpha1.WorkReportStatus{Values: value(`1`)}},
		"something-is-being-deleted":  {have: kronvoyv1alpha1.WorkReportStatus{Deleting: []kronvoyv1alpha1.DeletingObject{{}}}, want: true},
		"it-is-gone":                  {had: kronvoyv1alpha1.WorkReportStatus{Deleting: []kronvoyv1alpha1.DeletingObject{{}}}, want: true},
		"a-finding":                   {have: kronvoyv1alpha1.WorkReportStatus{Findings: []kronvoyv1alpha1.Finding{{}}}, want: true},
		"the-same-correction-counted": {had: kronvoyv1alpha1.WorkReportStatus{Corrections: 1}, have: kronvoyv1alpha1.WorkReportStatus{Corrections: 2}, want: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := reportStatus(&Observation{Report: tt.have, MustReport: tt.must}, &tt.had)
			if (got != nil) != tt.want {
				t.Errorf("to write: %v", got)
			}
		})
	}
}
