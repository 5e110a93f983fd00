package policy_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/policy"
)

func distribution(name, kind string, selector *metav1.LabelSelector) kronvoyv1alpha1.Distribution {
	return kronvoyv1alpha1.Distribution{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop"},
		Spec:       kronvoyv1alpha1.DistributionSpec{Instances: kronvoyv1alpha1.InstanceSelector{APIVersion: "kro.run/v1alpha1", Kind: kind, Selector: selector}},
	}
}

func TestWhoOwnsAnInstance(t *testing.T) {
	broken := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Like"}}}
	web, other := labels("tier", "web"), labels("tier", "db")
	cases := map[string]struct {
		distributions []kronvoyv1alpha1.Distribution
		recorded      []string
		want          string
	}{
		"nobody": {},
		"whoever selects it": {
			distributions: []kronvoyv1alpha1.Distribution{distribution("a", "WebApp", other), distribution("b", "WebApp", web)}, want: "b",
		},
		"whoever is for its kind": {
			distributions: []kronvoyv1alpha1.Distribution{distribution("a", "Database", web), distribution("b", "WebApp", nil)}, want: "b",
		},
		"the first by name": {
			distributions: []kronvoyv1alpha1.Distribution{distribution("b", "WebApp", web), distribution("a", "WebApp", nil)}, want: "a",
		},
		"who owns it already": {
			distributions: []kronvoyv1alpha1.Distribution{distribution("a", "WebApp", web), distribution("b", "WebApp", web)}, recorded: []string{"b"}, want: "b",
		},
		"another, when who owned it selects it no more": {
			distributions: []kronvoyv1alpha1.Distribution{distribution("a", "WebApp", web), distribution("b", "WebApp", other)}, recorded: []string{"b"}, want: "a",
		},
		"nobody, when who owned it is gone": {recorded: []string{"b"}},
		"the first by name of two after a crash in between": {
			distributions: []kronvoyv1alpha1.Distribution{distribution("a", "WebApp", web), distribution("b", "WebApp", web), distribution("c", "WebApp", web)},
			recorded:      []string{"c", "b"}, want: "b",
		},
		"who owned it before his selector broke": {
			distributions: []kronvoyv1alpha1.Distribution{distribution("a", "WebApp", web), distribution("b", "WebApp", broken)}, recorded: []string{"b"}, want: "b",
		},
		"nobody with a selector that cannot be read": {
			distributions: []kronvoyv1alpha1.Distribution{distribution("b", "WebApp", broken)},
		},
	}
	instance := policy.Instance{Kind: schema.GroupKind{Group: "kro.run", Kind: "WebApp"}, Labels: map[string]string{"tier": "web"}}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := policy.Owner(instance, tc.distributions, tc.recorded); got != tc.want {
				t.Errorf("the owner is %q, want %q", got, tc.want)
			}
		})
	}
}

func TestWhatADistributionComesTo(t *testing.T) {
	type summary struct {
		Instances int32
		Reasons   map[string]string
	}
	good := map[string]string{"Accepted": "True Accepted", "Resolved": "True Resolved", "Conflicted": "False NoConflict", "Ready": "True Resolved"}
	but := func(reasons ...string) map[string]string {
		changed := map[string]string{}
		for kind, reason := range good {
			changed[kind] = reason
		}
		for i := 0; i < len(reasons); i += 2 {
			changed[reasons[i]] = reasons[i+1]
		}
		return changed
	}
	nodes := map[string]bool{"web": true, "config": false}
	owned := []policy.Owned{{Name: "one", Owner: "calm"}, {Name: "two", Owner: "calm"}}
	cases := map[string]struct {
		view policy.View
		said []said
		want summary
		// message is that of Ready.
		message string
	}{
		"all is well": {
			view: policy.View{APIVersion: "kro.run/v1alpha1", Nodes: nodes, Instances: owned},
			said: []said{{Nodes: []string{"web"}, Drift: kronvoyv1alpha1.DriftReport}},
			want: summary{2, good},
		},
		"it selects nothing": {
			view: policy.View{APIVersion: "kro.run/v1alpha1"},
			want: summary{0, but("Resolved", "True NoInstances", "Ready", "True NoInstances")}, message: "no WebApp in this namespace is selected",
		},
		"nobody serves the kind": {
			want:    summary{0, but("Resolved", "False UnknownKind", "Ready", "False UnknownKind")},
			message: "no definition serves WebApp of kro.run/v1alpha1",
		},
		"the kind has another version": {
			view:    policy.View{APIVersion: "kro.run/v1", Instances: owned},
			want:    summary{2, but("Resolved", "False UnknownKind", "Ready", "False UnknownKind")},
			message: "WebApp is served as kro.run/v1, not as kro.run/v1alpha1",
		},
		"a placement that is not there, which comes before what policies name": {
			view: policy.View{
				APIVersion: "kro.run/v1alpha1", Nodes: nodes, Instances: owned,
				PlacementReason: kronvoyv1alpha1.ReasonPlacementNotFound, PlacementMessage: "there is no Placement prod in namespace shop",
			},
			said:    []said{{Nodes: []string{"wbe"}, Drift: kronvoyv1alpha1.DriftReport}},
			want:    summary{2, but("Resolved", "False PlacementNotFound", "Ready", "False PlacementNotFound")},
			message: "there is no Placement prod in namespace shop",
		},
		"a node that is not there": {
			view:    policy.View{APIVersion: "kro.run/v1alpha1", Nodes: nodes, Instances: owned},
			said:    []said{{Nodes: []string{"web", "wbe"}, Drift: kronvoyv1alpha1.DriftReport}},
			want:    summary{2, but("Resolved", "False UnknownNode", "Ready", "False UnknownNode")},
			message: `spec.policies[0].nodes[1]: the definition of WebApp has no resource with id "wbe", so this says nothing; all else is in force`,
		},
		"a node that takes none": {
			view:    policy.View{APIVersion: "kro.run/v1alpha1", Nodes: nodes, Instances: owned},
			said:    []said{{Nodes: []string{"config"}, Drift: kronvoyv1alpha1.DriftReport}},
			want:    summary{2, but("Resolved", "False NodeWithoutPolicies", "Ready", "False NodeWithoutPolicies")},
			message: `spec.policies[0].nodes[0]: "config" is an external reference or an instance of another definition, which takes no policies from here; all else is in force`,
		},
		"it cannot be used, which comes first": {
			view:    policy.View{Instances: owned},
			said:    []said{{Paths: []string{"spec..x"}, Drift: kronvoyv1alpha1.DriftReport}},
			want:    summary{2, but("Accepted", "False InvalidPath", "Resolved", "False UnknownKind", "Ready", "False InvalidPath")},
			message: `spec.policies[0].paths[0]: reading path "spec..x": an empty field name; what its instances have on their clusters stays as it is until this is mended`,
		},
		"people are asked about one of its instances, and have rejected another": {
			view: policy.View{APIVersion: "kro.run/v1alpha1", Nodes: nodes, Instances: owned, Approvals: []kronvoyv1alpha1.ApprovalRequest{
				question("two", kronvoyv1alpha1.Rejected), question("one", ""), question("of-others", ""),
			}},
			want: summary{2, but("RemovalHeld", "True NeedsApproval")},
		},
		"people have rejected it": {
			view: policy.View{APIVersion: "kro.run/v1alpha1", Nodes: nodes, Instances: owned, Approvals: []kronvoyv1alpha1.ApprovalRequest{
				question("two", kronvoyv1alpha1.Rejected), question("one", kronvoyv1alpha1.Approved),
			}},
			want: summary{2, but("RemovalHeld", "True ApprovalRejected")},
		},
		"others own what it selects": {
			view: policy.View{APIVersion: "kro.run/v1alpha1", Instances: []policy.Owned{
				{Name: "five", Owner: "b"}, {Name: "four", Owner: "a"}, {Name: "one", Owner: "calm"}, {Name: "three", Owner: "a"}, {Name: "two", Owner: "a"},
			}},
			want: summary{1, but("Conflicted", "True OwnedByAnother", "Ready", "False OwnedByAnother")},
			message: "WebApp five belongs to Distribution b, WebApp four belongs to Distribution a, WebApp three belongs to Distribution a and 1 more: " +
				"change one of the selectors so that they select different instances",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := distribution("calm", "WebApp", nil)
			d.Generation, d.Spec.Policies = 3, tc.said
			tc.view.Distribution = &d
			status := policy.Judge(tc.view)
			got, message := summary{status.Instances, map[string]string{}}, ""
			for _, c := range status.Conditions {
				got.Reasons[c.Type] = string(c.Status) + " " + c.Reason
				if c.ObservedGeneration != 3 {
					t.Errorf("condition %s speaks of generation %d", c.Type, c.ObservedGeneration)
				}
				if c.Type == "Ready" {
					message = c.Message
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.message, message); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
		})
	}
}

// question is about an instance on three clusters.
func question(instance string, decision kronvoyv1alpha1.ApprovalDecision) kronvoyv1alpha1.ApprovalRequest {
	return kronvoyv1alpha1.ApprovalRequest{
		ObjectMeta: metav1.ObjectMeta{Name: instance + "-1"},
		Spec: kronvoyv1alpha1.ApprovalRequestSpec{
			Action: kronvoyv1alpha1.ApprovalRemove, ClusterCount: 3,
			Instance: &kronvoyv1alpha1.InstanceReference{APIVersion: "kro.run/v1alpha1", Kind: "WebApp", Name: instance},
		},
		Status: kronvoyv1alpha1.ApprovalRequestStatus{Decision: decision},
	}
}

func TestARemovalThatIsHeldNamesItsInstancesAndGoesWithTheQuestion(t *testing.T) {
	d := distribution("calm", "WebApp", nil)
	view := policy.View{
		Distribution: &d, APIVersion: "kro.run/v1alpha1", Instances: []policy.Owned{{Name: "one", Owner: "calm"}},
		Approvals: []kronvoyv1alpha1.ApprovalRequest{question("one", "")}, Now: metav1.NewTime(time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)),
	}
	d.Status = policy.Judge(view)
	held := apimeta.FindStatusCondition(d.Status.Conditions, kronvoyv1alpha1.ConditionRemovalHeld)
	const want = "WebApp one on 3 clusters (ApprovalRequest one-1): kept until somebody approves; kronvoy rollout approvals -n shop lists what is asked"
	if held == nil || held.Message != want {
		t.Errorf("it says %v, want %q", held, want)
	}
	since := view.Now
	view.Now = metav1.NewTime(since.Add(time.Hour))
	again := apimeta.FindStatusCondition(policy.Judge(view).Conditions, kronvoyv1alpha1.ConditionRemovalHeld)
	if again == nil || !again.LastTransitionTime.Equal(&since) {
		t.Errorf("it began anew: %v", again)
	}
	view.Approvals = nil
	if gone := apimeta.FindStatusCondition(policy.Judge(view).Conditions, kronvoyv1alpha1.ConditionRemovalHeld); gone != nil {
		t.Errorf("it stays: %v", gone)
	}
}

func TestHowFarARolloutIsIsACondition(t *testing.T) {
	d := &kronvoyv1alpha1.Distribution{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "calm"}}
	rollout := func(phase kronvoyv1alpha1.RolloutPhase, request string) *kronvoyv1alpha1.Rollout {
		return &kronvoyv1alpha1.Rollout{Status: kronvoyv1alpha1.RolloutStatus{Phase: phase, Message: "2 of 4", ApprovalRequest: request}}
	}
	for name, tc := range map[string]struct {
		rollout *kronvoyv1alpha1.Rollout
		want    string
	}{
		"none":              {},
		"one not begun yet": {rollout: rollout("", "")},
		"under way":         {rollout: rollout(kronvoyv1alpha1.RolloutProgressing, ""), want: "False Progressing 2 of 4"},
		"done":              {rollout: rollout(kronvoyv1alpha1.RolloutSucceeded, ""), want: "True Succeeded 2 of 4"},
		"one that waits": {
			rollout: rollout(kronvoyv1alpha1.RolloutWaitingForApproval, "calm-1"), want: "False WaitingForApproval 2 of 4 (kronvoy rollout approve calm-1 -n shop)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if c := apimeta.FindStatusCondition(policy.Judge(policy.View{Distribution: d, Rollout: tc.rollout}).Conditions, kronvoyv1alpha1.ConditionRolledOut); c != nil {
				got = string(c.Status) + " " + c.Reason + " " + c.Message
			}
			if got != tc.want {
				t.Errorf("the condition is %q, want %q", got, tc.want)
			}
		})
	}
}
