package work

import (
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// Suspend is the plan of a suspended instance: its works as they stand, with
// the mark that makes the agent leave their objects alone. Nothing comes and
// nothing leaves. A work that was edited by hand stays so: the agent applies
// nothing of it, and Build makes it anew when the mark goes.
func Suspend(previous []*workv1.ManifestWork) Plan {
	var plan Plan
	for _, w := range previous {
		if w.DeletionTimestamp != nil {
			continue
		}
		marked := w.DeepCopy()
		if marked.Annotations == nil {
			marked.Annotations = map[string]string{}
		}
		marked.Annotations[kronvoyv1alpha1.AnnotationReconcile] = kronvoyv1alpha1.ReconcileSuspended
		marked.Annotations[kronvoyv1alpha1.AnnotationHash] = HashOf(marked)
		plan.Works = append(plan.Works, marked)
	}
	return plan
}
