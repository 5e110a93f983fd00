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
		plan.Works = append(plan.Works, marked(w, true))
	}
	return plan
}

// Keep is the plan of an instance that cannot be rendered as it was: its works as
// they stand. Nothing of them changes but the mark of Suspend, which comes and goes;
// and where that is as it should be, a work is the very one that was given.
func Keep(previous []*workv1.ManifestWork, suspended bool) Plan {
	var plan Plan
	for _, w := range previous {
		if w.DeletionTimestamp != nil {
			continue
		}
		if kronvoyv1alpha1.Suspended(w.Annotations[kronvoyv1alpha1.AnnotationReconcile]) != suspended {
			w = marked(w, suspended)
		}
		plan.Works = append(plan.Works, w)
	}
	return plan
}

// marked is a copy of a work with the mark that makes the agent leave its objects
// alone, or without.
func marked(w *workv1.ManifestWork, suspended bool) *workv1.ManifestWork {
	w = w.DeepCopy()
	if w.Annotations == nil {
		w.Annotations = map[string]string{}
	}
	if delete(w.Annotations, kronvoyv1alpha1.AnnotationReconcile); suspended {
		w.Annotations[kronvoyv1alpha1.AnnotationReconcile] = kronvoyv1alpha1.ReconcileSuspended
	}
	w.Annotations[kronvoyv1alpha1.AnnotationHash] = HashOf(w)
	return w
}
