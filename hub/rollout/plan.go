package rollout

import (
	appsv1 "k8s.io/api/apps/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/convert"
	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/hub/work"
	"github.com/kronvoy/kronvoy/placement/rollout"
)

// Current says whether the status of a Rollout is about these revisions of its
// instances, by name and none without any, moved by this strategy: it may be of what
// was wanted before.
func Current(r *kronvoyv1alpha1.Rollout, how *kronvoyv1alpha1.RolloutStrategy, instances map[string][]appsv1.ControllerRevision) (bool, error) {
	strategy, err := convert.Strategy(how)
	if err != nil {
		return false, err
	}
	in := rollout.Input{Strategy: strategy}
	noted := r.Status.Retry
	if order := r.Spec.Retry; order != nil && (noted == nil || !noted.Order.Equal(&order.At)) {
		return false, nil
	}
	if noted != nil {
		in.Retry = noted.At.Time
	}
	for name, revisions := range instances {
		m := member{identity: work.Identity{Name: name}, revisions: revisions, newest: revision.Newest(revisions)}
		in.Instances = append(in.Instances, m.wanted(r.Spec.Undo))
	}
	return rollout.PlanOf(in) == r.Status.Plan, nil
}
