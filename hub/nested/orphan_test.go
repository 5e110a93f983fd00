package nested

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestAbandoned(t *testing.T) {
	now := time.Date(2026, 9, 4, 12, 0, 0, 0, time.UTC)
	byHub := []metav1.ManagedFieldsEntry{
		{Manager: "kubectl", Operation: metav1.ManagedFieldsOperationApply}, {Manager: "kronvoy-hub", Operation: metav1.ManagedFieldsOperationApply}}
	// The hub adds its finalizer to every instance, which is no apply.
	byOthers := []metav1.ManagedFieldsEntry{
		{Manager: "kubectl", Operation: metav1.ManagedFieldsOperationApply}, {Manager: "kronvoy-hub", Operation: metav1.ManagedFieldsOperationUpdate}}
	type outcome struct {
		Remove bool
		Again  time.Duration
	}
	tests := map[string]struct {
		orphan Orphan
		want   outcome
	}{
		"its parent is gone for good":     {Orphan{Created: now.Add(-time.Hour), ManagedFields: byHub}, outcome{Remove: true}},
		"its parent may come a bit later": {Orphan{Created: now.Add(-4 * time.Minute), ManagedFields: byHub}, outcome{Again: 6 * time.Minute}},
		"its parent is there":             {Orphan{Created: now.Add(-time.Hour), ManagedFields: byHub, Parent: true}, outcome{Again: time.Minute}},
		"somebody has written its mark":   {Orphan{Created: now.Add(-time.Hour), ManagedFields: byOthers}, outcome{}},
		"nobody knows who has written it": {Orphan{Created: now.Add(-time.Hour)}, outcome{}},
		"the clocks differ":               {Orphan{Created: now.Add(time.Minute), ManagedFields: byHub}, outcome{Again: 11 * time.Minute}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			remove, again := Abandoned(test.orphan, now)
			want(t, "outcome", test.want, outcome{remove, again})
		})
	}
}
