package expiry_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	workv1 "open-cluster-management.io/api/work/v1"

	"github.com/kronvoy/kronvoy/hub/expiry"
)

func TestAWorkExpiresSomeTimeAfterItBecameComplete(t *testing.T) {
	finished := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	work := func(change func(*workv1.ManifestWork)) *workv1.ManifestWork {
		hour := int64(3600)
		w := &workv1.ManifestWork{}
		w.Generation = 2
		w.Spec.DeleteOption = &workv1.DeleteOption{TTLSecondsAfterFinished: &hour}
		w.Status.Conditions = []metav1.Condition{{
			Type: workv1.WorkComplete, Status: metav1.ConditionTrue, ObservedGeneration: 2, LastTransitionTime: metav1.NewTime(finished),
		}}
		change(w)
		return w
	}
	zero := int64(0)
	tests := []struct {
		name   string
		change func(*workv1.ManifestWork)
		want   time.Time
		never  bool
	}{
		{name: "complete", change: func(*workv1.ManifestWork) {}, want: finished.Add(time.Hour)},
		{name: "complete, to go at once", change: func(w *workv1.ManifestWork) { w.Spec.DeleteOption.TTLSecondsAfterFinished = &zero }, want: finished},
		{name: "without a time to live", change: func(w *workv1.ManifestWork) { w.Spec.DeleteOption.TTLSecondsAfterFinished = nil }, never: true},
		{name: "without options", change: func(w *workv1.ManifestWork) { w.Spec.DeleteOption = nil }, never: true},
		{name: "not complete yet", change: func(w *workv1.ManifestWork) { w.Status.Conditions[0].Status = metav1.ConditionFalse }, never: true},
		{name: "complete before its last change", change: func(w *workv1.ManifestWork) { w.Generation = 3 }, never: true},
		{name: "never answered", change: func(w *workv1.ManifestWork) { w.Status.Conditions = nil }, never: true},
		{name: "on its way out", change: func(w *workv1.ManifestWork) { now := metav1.NewTime(finished); w.DeletionTimestamp = &now }, never: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, expires := expiry.Expires(work(tt.change))
			if diff := cmp.Diff(tt.want, got); diff != "" || expires == tt.never {
				t.Errorf("Expires = %v, %t, want %v, %t", got, expires, tt.want, !tt.never)
			}
		})
	}
}
