package target

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
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
			scope: scope{evaluation: graph.Evaluation{Nodes: []graph.NodeResult{waits, web}}},
			state: kronvoyv1alpha1.TargetProgressing, want: "db waits for db to be ready",
		},
		"an object that somebody deleted is told before what waits": {
			scope: scope{evaluation: graph.Evaluation{Nodes: []graph.NodeResult{waits, web}}, feedback: going},
			state: kronvoyv1alpha1.TargetProgressing, want: "web: Deployment shop/web is being deleted",
		},
		"a failure is told before that": {
			scope: scope{evaluation: graph.Evaluation{Nodes: []graph.NodeResult{waits, web}},
				feedback: work.Feedback{Terminating: going.Terminating, Failures: map[string]string{"db": "forbidden"}}},
			state: kronvoyv1alpha1.TargetFailed, want: "db: forbidden",
		},
		"an excluded node has no object to wait for": {
			scope: scope{evaluation: graph.Evaluation{Nodes: []graph.NodeResult{{ID: "web", State: graph.Excluded}}}, feedback: going},
			state: kronvoyv1alpha1.TargetReady,
		},
		"suspended before anything was shipped": {
			scope: scope{suspended: true, evaluation: graph.Evaluation{Nodes: []graph.NodeResult{web}}},
			state: kronvoyv1alpha1.TargetPending, want: "nothing is shipped while reconciliation is suspended",
		},
		"suspended later": {
			scope: scope{suspended: true, works: []*workv1.ManifestWork{{}}, evaluation: graph.Evaluation{Nodes: []graph.NodeResult{web}}},
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
		"another agent": {policies: policy.Policies{drift}, change: func(s *scope) { s.agent.Reports = true }},
		"unknown agent": {policies: policy.Policies{drift}, change: func(s *scope) { s.described = false }},
		"suspended":     {change: func(s *scope) { s.suspended = true }, want: "as it was"},
		"blocked":       {change: func(s *scope) { s.blocked = "no revision" }, want: "as it was"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := judged(t, mirror)
			s.described, s.agent, s.policies = true, work.Capabilities{}, tc.policies
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
	s.suspended = true
	s.target.Spec.Revision, s.target.Status.Revision = "r2", "r1"
	if got := decideStatus(s, metav1.Time{}).Revision; got != "r1" {
		t.Errorf("it says that it has %s", got)
	}
	s.suspended = false
	if got := decideStatus(s, metav1.Time{}).Revision; got != "r2" {
		t.Errorf("it says that it has %s", got)
	}
}
