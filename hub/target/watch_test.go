package target

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

func TestATargetIsEvaluatedAnewOnlyForWhatAnEvaluationGoesBy(t *testing.T) {
	at := metav1.NewMicroTime(time.Unix(1000, 0))
	for name, tc := range map[string]struct {
		change func(*kronvoyv1alpha1.Target)
		want   bool
	}{
		"nothing":   {change: func(*kronvoyv1alpha1.Target) {}},
		"a status":  {change: func(t *kronvoyv1alpha1.Target) { t.Status.State = kronvoyv1alpha1.TargetReady }},
		"it passed": {change: func(t *kronvoyv1alpha1.Target) { t.Generation, t.Spec.PassedAt = 2, &at }},
		"gates opened": {change: func(t *kronvoyv1alpha1.Target) {
			t.Generation, t.Spec.Gates = 2, &kronvoyv1alpha1.TargetGates{Open: true, Since: at}
		}},
		"another revision":         {change: func(t *kronvoyv1alpha1.Target) { t.Generation, t.Spec.Revision = 2, "r2" }, want: true},
		"the same, assigned again": {change: func(t *kronvoyv1alpha1.Target) { t.Generation, t.Spec.AssignedAt = 2, &at }, want: true},
		"other inputs": {change: func(t *kronvoyv1alpha1.Target) {
			t.Generation, t.Spec.Inputs = 2, &kronvoyv1alpha1.TargetInputs{Hash: "b"}
		}, want: true},
		"another Distribution":   {change: func(t *kronvoyv1alpha1.Target) { t.Generation, t.Spec.Distribution = 2, "calm" }, want: true},
		"a decision about drift": {change: func(t *kronvoyv1alpha1.Target) { t.Annotations = map[string]string{"a": "b"} }, want: true},
		"it is deleted":          {change: func(t *kronvoyv1alpha1.Target) { t.DeletionTimestamp = &metav1.Time{Time: at.Time} }, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			before := &kronvoyv1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Generation: 1}, Spec: kronvoyv1alpha1.TargetSpec{Revision: "r1", Inputs: &kronvoyv1alpha1.TargetInputs{Hash: "a"}}}
			after := before.DeepCopy()
			tc.change(after)
			if got := decided().Update(event.TypedUpdateEvent[*kronvoyv1alpha1.Target]{ObjectOld: before, ObjectNew: after}); got != tc.want {
				t.Errorf("it is evaluated anew: %v, want %v", got, tc.want)
			}
		})
	}
}

// The watch of a kind ends with its definition, and may have kept from a Target
// that waits for an instance of it that this is gone.
func TestTheEndOfADefinitionIsTheBusinessOfWhoMadeInstancesOfIt(t *testing.T) {
	target := func(name string, children ...kronvoyv1alpha1.ChildReference) *kronvoyv1alpha1.Target {
		return &kronvoyv1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Namespace: "eu-west", Name: name}, Status: kronvoyv1alpha1.TargetStatus{Children: children}}
	}
	part := kronvoyv1alpha1.ChildReference{APIVersion: "kro.run/v1alpha1", Kind: "Part", Name: "one"}
	foreign := kronvoyv1alpha1.ChildReference{APIVersion: "example.com/v1", Kind: "Part", Name: "one"}
	other := kronvoyv1alpha1.ChildReference{APIVersion: "kro.run/v1alpha1", Kind: "Other", Name: "one"}
	made := target("made", other, part)
	r := &Reconciler{Client: hubWith(t, made, target("foreign", foreign), target("other", other), target("none"))}
	rgd := &krov1alpha1.ResourceGraphDefinition{Spec: krov1alpha1.ResourceGraphDefinitionSpec{Schema: &krov1alpha1.Schema{Group: "kro.run", Kind: "Part"}}}
	if diff := cmp.Diff(requests(made), r.ofDefinition(t.Context(), rgd)); diff != "" {
		t.Errorf("it concerns (-want +got):\n%s", diff)
	}
	if got := r.ofDefinition(t.Context(), &krov1alpha1.ResourceGraphDefinition{}); got != nil {
		t.Errorf("one without a kind concerns %v", got)
	}
	ends := gone()
	if !ends.Delete(event.TypedDeleteEvent[*krov1alpha1.ResourceGraphDefinition]{Object: rgd}) ||
		ends.Create(event.TypedCreateEvent[*krov1alpha1.ResourceGraphDefinition]{Object: rgd}) ||
		ends.Update(event.TypedUpdateEvent[*krov1alpha1.ResourceGraphDefinition]{ObjectOld: rgd, ObjectNew: rgd}) {
		t.Error("another event than the end of the definition counts")
	}
}
