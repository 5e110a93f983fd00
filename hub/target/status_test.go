package target

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/plan"
	"github.com/kronvoy/kronvoy/hub/policy"
	"github.com/kronvoy/kronvoy/hub/work"
)

func TestTheStateOfATargetAndItsSentence(t *testing.T) {
	waits := graph.NodeResult{ID: "db", State: graph.Progressing, WaitsFor: []graph.Wait{{Node: "db", Path: "db to be ready"}}}
	web := graph.NodeResult{ID: "web", State: graph.Progressing, WaitsFor: []graph.Wait{{Node: "web", Path: "web to be applied"}}}
	going := work.Feedback{Terminating: map[string]string{"web": "Deployment shop/web is being deleted"}}
	cases := map[string]struct {
		scope scope
		state kronvoyv1alpha1.TargetState
		want  string
	}{
		"the first node that waits": {
			scope: scope{plan: plan.Plan{Evaluation: graph.Evaluation{Nodes: []graph.NodeResult{waits, web}}}},
			state: kronvoyv1alpha1.TargetProgressing, want: "db waits for db to be ready",
		},
		"an object that somebody deleted is told before what waits": {
			scope: scope{plan: plan.Plan{Evaluation: graph.Evaluation{Nodes: []graph.NodeResult{waits, web}}, Feedback: going}},
			state: kronvoyv1alpha1.TargetProgressing, want: "web: Deployment shop/web is being deleted",
		},
		"a failure is told before that": {
			scope: scope{plan: plan.Plan{Evaluation: graph.Evaluation{Nodes: []graph.NodeResult{waits, web}},
				Feedback: work.Feedback{Terminating: going.Terminating, Failures: map[string]string{"db": "forbidden"}}}},
			state: kronvoyv1alpha1.TargetFailed, want: "db: forbidden",
		},
		"an excluded node has no object to wait for": {
			scope: scope{plan: plan.Plan{Evaluation: graph.Evaluation{Nodes: []graph.NodeResult{{ID: "web", State: graph.Excluded}}}, Feedback: going}},
			state: kronvoyv1alpha1.TargetReady,
		},
		"suspended before anything was shipped": {
			scope: scope{in: plan.Input{Suspended: true}, plan: plan.Plan{Evaluation: graph.Evaluation{Nodes: []graph.NodeResult{web}}}},
			state: kronvoyv1alpha1.TargetPending, want: "nothing is shipped while reconciliation is suspended",
		},
		"suspended later": {
			scope: scope{in: plan.Input{Suspended: true, Works: []*workv1.ManifestWork{{}}},
				plan: plan.Plan{Evaluation: graph.Evaluation{Nodes: []graph.NodeResult{web}}}},
			state: kronvoyv1alpha1.TargetProgressing, want: "web waits for web to be applied",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.scope.target = &kronvoyv1alpha1.Target{}
			state, message := summarize(&tc.scope, nodes(&tc.scope))
			if state != tc.state || message != tc.want {
				t.Errorf("%s: %q, want %s: %q", state, message, tc.state, tc.want)
			}
		})
	}
}

func TestATargetNamesThePoliciesThatItsAgentDoesNotFollow(t *testing.T) {
	drift, takeover := kronvoyv1alpha1.DistributionPolicy{Drift: kronvoyv1alpha1.DriftReport}, kronvoyv1alpha1.DistributionPolicy{Takeover: kronvoyv1alpha1.TakeoverNever}
	const why = " have no effect: the cluster's agent is OCM's, which puts right and takes over what belongs to nobody else"
	cases := map[string]struct {
		policies policy.Policies
		change   func(*scope)
		want     string
	}{
		"drift":         {policies: policy.Policies{drift}, want: "policies of Distribution web about drift" + why},
		"takeover":      {policies: policy.Policies{takeover}, want: "policies of Distribution web about takeover" + why},
		"both":          {policies: policy.Policies{takeover, drift, drift}, want: "policies of Distribution web about drift and takeover" + why},
		"deletion":      {policies: policy.Policies{{Deletion: kronvoyv1alpha1.DeletionOrphan}}},
		"another agent": {policies: policy.Policies{drift}, change: func(s *scope) { s.in.Agent.Reports = true }},
		"unknown agent": {policies: policy.Policies{drift}, change: func(s *scope) { s.in.Described = false }},
		"suspended":     {change: func(s *scope) { s.in.Suspended = true }, want: "as it was"},
		"blocked":       {change: func(s *scope) { s.plan.Blocked = "no revision" }, want: "as it was"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := judged(t, mirror)
			s.in.Described, s.in.Agent, s.plan.Policies = true, work.Capabilities{}, tc.policies
			s.target.Spec.Distribution, s.target.Status.Ineffective = "web", "as it was"
			if tc.change != nil {
				tc.change(s)
			}
			if got := decideStatus(s, metav1.Time{}).Ineffective; got != tc.want {
				t.Errorf("it says %q, want %q", got, tc.want)
			}
		})
	}
}

func TestASuspendedTargetHasTheRevisionThatItHad(t *testing.T) {
	s := judged(t, mirror)
	s.in.Suspended = true
	s.target.Spec.Revision, s.target.Status.Revision = "r2", "r1"
	if got := decideStatus(s, metav1.Time{}).Revision; got != "r1" {
		t.Errorf("it says that it has %s", got)
	}
	s.in.Suspended = false
	if got := decideStatus(s, metav1.Time{}).Revision; got != "r2" {
		t.Errorf("it says that it has %s", got)
	}
}

func TestDriftHasATimeFromItsBeginningToItsEnd(t *testing.T) {
	s := judged(t, mirror)
	start := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	at := func(minute int) metav1.Time { return metav1.NewTime(start.Add(time.Duration(minute) * time.Minute)) }
	steps := []struct {
		why     string
		objects int32
		change  func()
		want    int // minute; -1 for none
	}{
		{why: "nothing differs", want: -1},
		{why: "it begins", objects: 1, want: 1},
		{why: "more differs", objects: 3, want: 1},
		{why: "the cluster is silent", objects: 3, change: func() { s.unreachable = true }, want: 1},
		{why: "a revision that is missing: what was known stays", change: func() { s.unreachable, s.plan.Blocked = false, "no revision" }, want: 1},
		{why: "a hub that has only what is stored", objects: 2, change: func() {
			s.plan.Blocked = ""
			s.target = &kronvoyv1alpha1.Target{Status: *s.target.Status.DeepCopy()}
		}, want: 1},
		{why: "it ends", want: -1},
		{why: "it returns", objects: 1, want: 7},
	}
	for minute, step := range steps {
		if step.change != nil {
			step.change()
		}
		s.plan.Feedback.Drift = kronvoyv1alpha1.DriftSummary{Objects: step.objects}
		s.target.Status = decideStatus(s, at(minute))
		var want *metav1.Time
		if step.want >= 0 {
			since := at(step.want)
			want = &since
		}
		if got := s.target.Status.Clocks.DriftSince; !got.Equal(want) {
			t.Errorf("%s: since %v, want %v", step.why, got, want)
		}
	}
}
