package target

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/work"
)

// healthy is a scope whose node web is ready, and well, at the revision that the
// Target wants and has had since noon.
func healthy(t *testing.T) *scope {
	s := judged(t)
	noon := metav1.NewTime(time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC))
	s.target.Spec.Revision = "r1"
	s.target.Status = kronvoyv1alpha1.TargetStatus{
		Revision: "r1", State: kronvoyv1alpha1.TargetReady, Health: kronvoyv1alpha1.Healthy,
		Clocks: kronvoyv1alpha1.Clocks{HealthySince: &noon, StateSince: &noon, RevisionSince: &noon},
	}
	s.in.Works = []*workv1.ManifestWork{{}}
	s.plan.Evaluation.Nodes = []graph.NodeResult{{ID: "web", State: graph.Ready, Applied: true}}
	s.plan.Feedback.Health = map[string]work.Health{"web": {State: kronvoyv1alpha1.Healthy}}
	return s
}

func TestSinceWhenATargetIsReadyAndHealthy(t *testing.T) {
	const noon, now = "12:00", "13:00"
	says := func(state kronvoyv1alpha1.Health) func(*scope) {
		return func(s *scope) { s.plan.Feedback.Health["web"] = work.Health{State: state, Message: "why"} }
	}
	for name, test := range map[string]struct {
		change func(*scope)
		state  kronvoyv1alpha1.TargetState
		health kronvoyv1alpha1.Health
		since  string
	}{
		"as before": {
			change: func(*scope) {}, state: kronvoyv1alpha1.TargetReady, health: kronvoyv1alpha1.Healthy, since: noon,
		},
		"for the first time": {
			change: func(s *scope) { s.target.Status = kronvoyv1alpha1.TargetStatus{} },
			state:  kronvoyv1alpha1.TargetReady, health: kronvoyv1alpha1.Healthy, since: now,
		},
		"of a revision that changes nothing here": {
			change: func(s *scope) { s.target.Spec.Revision = "r2" },
			state:  kronvoyv1alpha1.TargetReady, health: kronvoyv1alpha1.Healthy, since: now,
		},
		"a revision that is not shipped while nothing may be written": {
			change: func(s *scope) { s.target.Spec.Revision = "r2"; s.in.Suspended = true },
			state:  kronvoyv1alpha1.TargetReady, health: kronvoyv1alpha1.Healthy,
		},
		"suspended at the revision that it should have": {
			change: func(s *scope) { s.in.Suspended = true },
			state:  kronvoyv1alpha1.TargetReady, health: kronvoyv1alpha1.Healthy, since: noon,
		},
		"ready, and failing": {
			change: says(kronvoyv1alpha1.HealthFailed), state: kronvoyv1alpha1.TargetReady, health: kronvoyv1alpha1.HealthFailed,
		},
		"ready, and under way": {
			change: says(kronvoyv1alpha1.HealthProgressing), state: kronvoyv1alpha1.TargetReady, health: kronvoyv1alpha1.HealthProgressing,
		},
		"ready, and not judged": {
			change: says(kronvoyv1alpha1.HealthUnknown), state: kronvoyv1alpha1.TargetReady, health: kronvoyv1alpha1.HealthUnknown,
		},
		"healthy, and not ready": {
			change: func(s *scope) { s.plan.Evaluation.Nodes[0].State = graph.Progressing },
			state:  kronvoyv1alpha1.TargetProgressing, health: kronvoyv1alpha1.Healthy,
		},
		"healthy with the manifest before": {
			change: func(s *scope) { s.plan.Evaluation.Nodes[0] = graph.NodeResult{ID: "web", State: graph.Progressing} },
			state:  kronvoyv1alpha1.TargetProgressing, health: kronvoyv1alpha1.HealthUnknown,
		},
		"nothing is left to be judged": {
			change: func(s *scope) {
				s.plan.Evaluation.Nodes[0], s.plan.Feedback.Health = graph.NodeResult{ID: "web", State: graph.Excluded}, nil
			},
			state: kronvoyv1alpha1.TargetReady, health: kronvoyv1alpha1.Healthy, since: noon,
		},
		"an external object is there": {
			change: func(s *scope) { s.plan.Feedback.Health = nil },
			state:  kronvoyv1alpha1.TargetReady, health: kronvoyv1alpha1.Healthy, since: noon,
		},
		"a cluster that is silent": {
			change: func(s *scope) { s.unreachable = true },
			state:  kronvoyv1alpha1.TargetUnreachable, health: kronvoyv1alpha1.HealthUnknown,
		},
		"on its way out": {
			change: func(s *scope) { s.target.DeletionTimestamp = &metav1.Time{} },
			state:  kronvoyv1alpha1.TargetDeleting, health: kronvoyv1alpha1.HealthUnknown,
		},
		"nothing can be decided": {
			change: func(s *scope) { s.plan.Blocked = "no graph" },
			state:  kronvoyv1alpha1.TargetFailed, health: kronvoyv1alpha1.HealthUnknown,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := healthy(t)
			test.change(s)
			got := decideStatus(s, metav1.NewTime(time.Date(2026, 1, 2, 13, 0, 0, 0, time.UTC)))
			since := ""
			if at := got.Clocks.HealthySince; at != nil {
				since = at.UTC().Format("15:04")
			}
			if got.State != test.state || got.Health != test.health || since != test.since {
				t.Errorf("%s and %s since %q; want %s and %s since %q", got.State, got.Health, since, test.state, test.health, test.since)
			}
		})
	}
}

func TestATargetSaysWhichNodeIsNotHealthyAndWhy(t *testing.T) {
	s := healthy(t)
	s.plan.Evaluation.Nodes = append(s.plan.Evaluation.Nodes, graph.NodeResult{ID: "db", State: graph.Ready, Applied: true})
	s.plan.Feedback.Health["db"] = work.Health{State: kronvoyv1alpha1.HealthFailed, Message: "timed out"}
	got := decideStatus(s, metav1.Time{})
	want := []kronvoyv1alpha1.NodeStatus{
		{ID: "web", State: "Ready", Health: kronvoyv1alpha1.Healthy},
		{ID: "db", State: "Ready", Health: kronvoyv1alpha1.HealthFailed, HealthMessage: "timed out"},
	}
	if diff := cmp.Diff(want, got.Nodes); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
	if got.Message != "" {
		t.Errorf("the Target, which is ready, says %q", got.Message)
	}
}
