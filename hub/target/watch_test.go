package target

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

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
