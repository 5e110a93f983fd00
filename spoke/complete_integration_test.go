//go:build integration

package spoke_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kronvoy/kronvoy/spoke"
)

func (w *world) job(name string) *manifest {
	return &manifest{object: &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "batch/v1", "kind": "Job",
		"metadata": map[string]any{"name": name, "namespace": w.ns},
		"spec": map[string]any{"template": map[string]any{"spec": map[string]any{
			"restartPolicy": "Never", "containers": []any{map[string]any{"name": "run", "image": "run:1"}},
		}}},
	}}}
}

// finish is what the job controller writes in the end.
func (w *world) finish(m *manifest) {
	w.t.Helper()
	const now = `"2026-01-01T00:00:00Z"`
	w.patchSub(m, "status", "kube-controller-manager", `{"status":{"startTime":`+now+`,"completionTime":`+now+`,"succeeded":1,
		"uncountedTerminatedPods":{},"conditions":[
		{"type":"SuccessCriteriaMet","status":"True","lastTransitionTime":`+now+`},
		{"type":"Complete","status":"True","lastTransitionTime":`+now+`}]}}`)
}

// completing rules of every kind: OCM's own for a Job, the author's for the rest.
func (w *world) completing(work *workv1.ManifestWork) {
	work.Spec.ManifestConfigs = []workv1.ManifestConfigOption{
		{
			ResourceIdentifier: workv1.ResourceIdentifier{Group: "batch", Resource: "jobs", Name: "*", Namespace: "*"},
			ConditionRules:     []workv1.ConditionRule{{Condition: workv1.ManifestComplete, Type: workv1.WellKnownConditionsType}},
			FeedbackRules:      []workv1.FeedbackRule{{Type: workv1.WellKnownStatusType}},
		},
		{
			ResourceIdentifier: workv1.ResourceIdentifier{Resource: "configmaps", Name: "step", Namespace: "*"},
			ConditionRules: []workv1.ConditionRule{{
				Condition: workv1.ManifestComplete, Type: workv1.CelConditionExpressionsType, CelExpressions: []string{"object.data.?state.orValue('') == 'done'"},
			}},
		},
	}
}

func (w *world) complete(work string, status metav1.ConditionStatus) *workv1.ManifestWork {
	w.t.Helper()
	var got *workv1.ManifestWork
	w.eventually(fmt.Sprintf("work %s to have condition Complete %s", work, status), func() error {
		got = w.getWork(work)
		return condition(got.Status.Conditions, workv1.WorkComplete, status, got.Generation)
	})
	return got
}

func TestWhatIsCompleteIsOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	job, step, plain := w.job("job"), w.configMap("step", "state", "begun"), w.configMap("plain", "color", "blue")
	w.byHand("one", w.completing, job, step, plain)
	w.settled("one")
	w.complete("one", metav1.ConditionFalse)

	w.finish(job)
	w.eventually("the job to be complete", func() error {
		work := w.getWork("one")
		return condition(manifestStatus(work, "job").Conditions, workv1.ManifestComplete, metav1.ConditionTrue, work.Generation)
	})
	if diff := cmp.Diff(map[string]string{"JobComplete": "True", "JobSucceeded": "1"}, values(w.getWork("one"), "job")); diff != "" {
		t.Errorf("feedback (-want +got):\n%s", diff)
	}

	// The others go on, the job does not: its manifest may even change what
	// cannot change.
	changed := w.job("job")
	_ = unstructured.SetNestedSlice(changed.object.Object, []any{map[string]any{"name": "run", "image": "run:2"}}, "spec", "template", "spec", "containers")
	w.rewrite("one", w.completing, changed, step, w.configMap("plain", "color", "green"))
	w.settled("one")
	w.data(plain, map[string]string{"color": "green"})
	if err := w.client.Delete(w.ctx, w.live(job), client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil { // as its own time to live does
		t.Fatal(err)
	}
	w.eventually("it to be gone", func() error {
		work := w.getWork("one")
		return condition(manifestStatus(work, "job").Conditions, workv1.ManifestAvailable, metav1.ConditionFalse, work.Generation)
	})

	// Now all that can be complete is: nothing in the work is updated.
	w.patch(step, "somebody", `{"data":{"state":"done"}}`)
	work := w.complete("one", metav1.ConditionTrue)
	if reason := apimeta.FindStatusCondition(work.Status.Conditions, workv1.WorkComplete).Reason; reason != workv1.WorkManifestsComplete {
		t.Errorf("reason %s", reason)
	}
	still := func() {
		t.Helper()
		w.rewrite("one", w.completing, changed, step, w.configMap("plain", "color", "white"))
		w.settled("one")
		w.complete("one", metav1.ConditionTrue)
		w.data(plain, map[string]string{"color": "green"})
		w.data(step, map[string]string{"state": "done"})
		if w.live(job) != nil {
			t.Error("the job runs again")
		}
	}
	still()
	w.stop()
	w.start()
	still()
	w.quiet()
}

func TestAFinishedJobIsNotRunAgainWithoutTheHub(t *testing.T) {
	t.Parallel()
	w := newKeptWorld(t)
	w.start()
	job, plain := w.job("job"), w.configMap("plain", "color", "blue")
	rules := func(work *workv1.ManifestWork) {
		w.completing(work)
		work.Spec.ManifestConfigs[1].ResourceIdentifier.Name = "plain" // never complete, so the work is not
	}
	w.byHand("one", rules, job, plain)
	w.settled("one")
	w.finish(job)
	w.eventually("the job to be complete", func() error {
		work := w.getWork("one")
		return condition(manifestStatus(work, "job").Conditions, workv1.ManifestComplete, metav1.ConditionTrue, work.Generation)
	})
	w.quiet()
	w.stop()
	for _, m := range []*manifest{job, plain} {
		if err := w.client.Delete(w.ctx, w.live(m), client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
			t.Fatal(err)
		}
	}
	gate := make(chan struct{})
	defer close(gate)
	w.options = func(o *spoke.Options) {
		kept(o)
		o.Hub = rest.CopyConfig(o.Hub)
		o.Hub.Wrap(func(next http.RoundTripper) http.RoundTripper { return cut{next, gate} })
	}
	w.start()
	w.data(plain, map[string]string{"color": "blue"})
	w.quiet()
	if w.live(job) != nil {
		t.Error("it runs again")
	}
}

// A rule may set any condition but those that are the agent's own, and one that
// a status cannot hold costs nobody else's.
func TestConditionRulesOfEveryKind(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	rule := func(condition, expression string) workv1.ConditionRule {
		return workv1.ConditionRule{Condition: condition, Type: workv1.CelConditionExpressionsType, CelExpressions: []string{expression}}
	}
	w.byHand("one", func(work *workv1.ManifestWork) {
		work.Spec.ManifestConfigs = []workv1.ManifestConfigOption{{
			ResourceIdentifier: workv1.ResourceIdentifier{Resource: "configmaps", Name: "settings", Namespace: w.ns},
			ConditionRules: []workv1.ConditionRule{
				rule(workv1.ManifestAvailable, "object.data.color == 'red'"), rule(workv1.ManifestDegraded, "object.data.color == 'blue'"),
				rule(workv1.ManifestProgressing, "hasConditions(object)"), rule("example.com/Blue", "object.data.color == 'blue'"),
				rule(workv1.ManifestApplied, "false"), rule("no condition", "true"), rule("Waiting", "object.data.size == 'x'"), rule("Broken", "object."),
			},
		}}
	}, w.configMap("settings", "color", "blue"))
	w.settled("one")
	work := w.getWork("one")
	got := map[string]string{}
	for _, c := range manifestStatus(work, "settings").Conditions {
		got[c.Type] = string(c.Status) + " " + c.Reason
	}
	want := map[string]string{
		"Applied": "True AppliedManifestComplete", "Available": "False ConditionRuleEvaluated", "Degraded": "True ConditionRuleEvaluated",
		"Progressing": "False ConditionRuleEvaluated", "example.com/Blue": "True ConditionRuleEvaluated",
		"Waiting": "False ConditionRuleWaiting", "Broken": "False ConditionRuleInvalid", "StatusFeedbackSynced": "False StatusFeedbackSyncFailed",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
	got = map[string]string{}
	for _, c := range work.Status.Conditions {
		got[c.Type] = string(c.Status)
	}
	if diff := cmp.Diff(map[string]string{"Applied": "True", "Available": "False", "Degraded": "True", "Progressing": "False"}, got); diff != "" {
		t.Errorf("conditions of the work (-want +got):\n%s", diff)
	}
}
