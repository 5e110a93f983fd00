package target

import (
	"time"

	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/internal/trace"
)

// followed is how long after its assignment a Target is traced at most: what is
// evaluated later is not because of the change.
const followed = time.Hour

// follow ends the trace where the Target is what its assignment asked for, or had
// its time. Only the revision says what the trace is, and never the work: an agent
// could give that another one.
func (s *scope) follow(now time.Time) {
	spec, status := &s.target.Spec, &s.target.Status
	if spec.AssignedAt == nil || now.Sub(spec.AssignedAt.Time) > followed ||
		status.State == kronvoyv1alpha1.TargetReady && status.Revision == spec.Revision && spec.AssignedAt.Equal(status.AssignedAt) {
		s.traceparent = ""
	}
}

// step begins a span about the Target.
func (r *Reconciler) step(s *scope, name string, began time.Time) *trace.Span {
	span := r.Tracer.Start(s.traceparent, name, began)
	if span != nil {
		span.Set(trace.Cluster, s.target.Namespace)
		span.Set(trace.Instance, s.in.Identity.String())
		span.Set(trace.Revision, s.target.Spec.Revision)
	}
	return span
}

// shipping begins the span of a write, which the work carries to its agent.
func (r *Reconciler) shipping(s *scope, w *workv1.ManifestWork) *trace.Span {
	span := r.step(s, trace.Write, r.Clock.Now())
	span.Set(trace.Work, w.Name)
	span.Mark(w)
	return span
}
