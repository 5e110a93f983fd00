package spoke

import (
	"slices"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/internal/trace"
	"github.com/kronvoy/kronvoy/spoke/apply"
)

// trace tells of a run over a work, and gives what its report goes under.
func (r *reconciler) trace(work *workv1.ManifestWork, began time.Time, changes *apply.ChangeSet, err error) (traceparent string) {
	span := r.tracer.Start(untold(work), trace.Apply, began)
	if span == nil {
		return ""
	}
	span.Set(trace.Cluster, work.Namespace)
	span.Set(trace.Instance, work.Annotations[kronvoyv1alpha1.AnnotationInstance])
	span.Set(trace.Work, work.Name)
	result := "applied"
	if err != nil || slices.ContainsFunc(changes.Outcomes, func(o apply.Outcome) bool { return o.Action == apply.ActionFailed }) {
		result = "failed"
	}
	span.Set(trace.Result, result)
	span.End(r.clock.Now(), err)
	return span.Traceparent()
}

// untold is the trace of a work as long as the hub has no word on it as it stands:
// an agent that starts looks at all works, and traces none again.
func untold(work *workv1.ManifestWork) (traceparent string) {
	applied := apimeta.FindStatusCondition(work.Status.Conditions, workv1.WorkApplied)
	if applied != nil && applied.ObservedGeneration == work.Generation {
		return ""
	}
	return trace.Carried(work)
}
