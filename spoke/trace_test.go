package spoke

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

func TestAWorkIsTracedUntilTheHubHasBeenToldOfIt(t *testing.T) {
	const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	condition := func(kind string, generation int64) []metav1.Condition {
		return []metav1.Condition{{Type: kind, Status: metav1.ConditionFalse, ObservedGeneration: generation}}
	}
	tests := map[string]struct {
		conditions []metav1.Condition
		want       string
	}{
		"a new one":                         {nil, traceparent},
		"told of as it was":                 {condition(workv1.WorkApplied, 1), traceparent},
		"told of as it is":                  {condition(workv1.WorkApplied, 2), ""},
		"told of, but not of what it holds": {condition(workv1.WorkAvailable, 2), traceparent},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			work := &workv1.ManifestWork{ObjectMeta: metav1.ObjectMeta{Generation: 2, Annotations: map[string]string{kronvoyv1alpha1.AnnotationTraceparent: traceparent}}}
			work.Status.Conditions = test.conditions
			if got := untold(work); got != test.want {
				t.Errorf("it is traced under %q, want %q", got, test.want)
			}
		})
	}
}
