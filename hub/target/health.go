package target

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/work"
)

// healthOf is how a node's objects are. What the agent said of earlier manifests,
// which stay on the cluster while the node waits, is no word on those that are
// wanted now.
func healthOf(s *scope, result graph.NodeResult) work.Health {
	switch {
	case result.State == graph.Excluded:
		return work.Health{}
	case !result.Applied && result.State != graph.Ready:
		return work.Health{State: kronvoyv1alpha1.HealthUnknown}
	}
	return s.plan.Feedback.Health[result.ID]
}

// worstHealth is that of a whole Target. Where nothing is to be judged, nothing is
// wrong.
func worstHealth(s *scope, nodes []kronvoyv1alpha1.NodeStatus) kronvoyv1alpha1.Health {
	if s.plan.Blocked != "" || s.unreachable || s.target.DeletionTimestamp != nil {
		return kronvoyv1alpha1.HealthUnknown // what the nodes say is what was known last
	}
	worst := work.Health{State: kronvoyv1alpha1.Healthy}
	for _, node := range nodes {
		worst = worst.Or(work.Health{State: node.Health})
	}
	return worst.State
}

// healthySince goes on while all is well without a break. It is of one revision:
// that another one is on its way ends it, before anything is shipped.
func healthySince(target *kronvoyv1alpha1.Target, now kronvoyv1alpha1.TargetStatus, at metav1.Time) *metav1.Time {
	old := target.Status
	switch {
	case now.State != kronvoyv1alpha1.TargetReady, now.Health != kronvoyv1alpha1.Healthy, now.Revision != target.Spec.Revision:
		return nil
	case old.Clocks.HealthySince == nil, old.Revision != now.Revision:
		return &at
	}
	return old.Clocks.HealthySince
}
