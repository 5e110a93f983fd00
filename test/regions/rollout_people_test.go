//go:build integration

package regions

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kronvoy/kronvoy/test/probe"
)

// people are who steers and who answers, each with his role and no other right.
type people struct {
	*scene
	operator, approver string
}

// steers runs "kronvoy rollout" as the operator, in the scene's namespace.
func (p people) steers(args ...string) said {
	p.Helper()
	return p.kronvoy(p.operator, append([]string{"rollout", "-n", p.ns}, args...)...)
}

// answers runs "kronvoy rollout" as the approver.
func (p people) answers(args ...string) said {
	p.Helper()
	return p.kronvoy(p.approver, append([]string{"rollout", "-n", p.ns}, args...)...)
}

// steered has an instance "one" on a cluster of each region; the text is the rest
// of spec.rollout.
func steered(s *scene, kind, rollout string) people {
	s.Helper()
	s.waves = [][]string{{euWest1}, {usEast1}, {apSouth1}}
	s.define(kind, staged)
	s.distribute("calm", kind, `placement: {clusterSelector: {matchLabels: {tier: gold}}}
rollout: {groupBy: {label: region, order: [eu-west, us-east, ap-south]}, `+rollout+`}`)
	s.create(kind, "one", "", "")
	return people{s, s.person("operator", operator), s.person("approver", approver)}
}

// Whoever has the role stops a rollout, looks at what it changes, lets it go on and
// takes it back, and changes no spec.
func TestAnOperatorSteersARollout(t *testing.T) {
	t.Parallel()
	s := begin(t, "steered")
	defer s.end()
	p := steered(s, "Steered", "progressDeadline: 2s")
	s.phase("Succeeded", "")
	p.steers("status", "calm", "--wait").want(s, 0, "Succeeded", "eu-west")
	good := s.instance("Steered", "one").Text("status.fleet.revision")

	p.steers("pause", "calm", "--reason", "incident 4711").want(s, 0, "rollout calm: paused")
	s.create("Steered", "one", "", "text: two")
	s.phase("Paused", "paused by system:serviceaccount:steered:operator: incident 4711")
	p.steers("status", "calm", "--wait").want(s, 2, "Paused", "incident 4711")
	p.steers("status", "--exit-code").want(s, 2, "calm")
	if got := s.texts(); got != "one one one" {
		t.Errorf("while it is paused clusters have %s", got)
	}
	p.steers("diff", "calm").want(s, 2, "spec.text: *** -> ***", "that needs ClusterRole kronvoy-viewer in all namespaces")
	s.sees("operator")
	probe.Eventually(t, "the operator to see the values that a revision changes", func() error {
		if got := p.steers("diff", "calm"); got.code != 2 || !strings.Contains(got.out, "spec.text: one -> two") {
			return fmt.Errorf("diff says %+v", got)
		}
		return nil
	})
	p.steers("diff", "calm", "--instance", "other").want(s, 0)
	var revisions []struct {
		Instance, Revision, SucceededAt string
		Newest, Good                    bool
	}
	p.steers("history", "calm", "-o", "json").decode(s, &revisions)
	if len(revisions) != 2 || !revisions[0].Newest || revisions[0].SucceededAt != "" || revisions[1].Revision != good || !revisions[1].Good {
		t.Errorf("its history is %v", revisions)
	}
	if resumed := p.steers("resume", "calm", "-o", "json").object(s); resumed.GetName() != "calm" || resumed.At("spec.paused") != nil {
		t.Errorf("it is %v", resumed)
	}
	s.holds(euWest1, "configmaps", "one", "data.text", "two")
	p.steers("status", "calm", "--wait").want(s, 0, "Succeeded")
	p.steers("diff", "calm").want(s, 2, "spec.text: one -> two")

	undone := p.steers("undo", "calm", "--reason", "errors at checkout", "-o", "json").object(s)
	if undone.Text("spec.undo.by") != "system:serviceaccount:steered:operator" || undone.Text("spec.undo.instances", "0", "to") != "" {
		t.Errorf("it is %v", undone.At("spec"))
	}
	s.phase("RolledBack", "")
	p.steers("status", "calm", "--wait").want(s, 2, "RolledBack")
	if got := s.texts(); got != "one one one" || s.instance("Steered", "one").Text("spec.text") != "two" {
		t.Errorf("clusters have %s, and the spec says %v", got, s.instance("Steered", "one").At("spec"))
	}
	p.steers("undo", "calm", "--cancel").want(s, 0, "newest revisions again")
	probe.Eventually(t, "clusters to have the newest revision again", func() error {
		if got := s.texts(); got != "two two two" {
			return fmt.Errorf("they have %s", got)
		}
		return nil
	})
	p.steers("undo", "calm", "--to-revision", "9").want(s, 1, "has no revision 9", "kronvoy rollout history")
}

// What failed is tried again when somebody says so, and has its time anew.
func TestAnOperatorRetriesARolloutThatFailed(t *testing.T) {
	t.Parallel()
	s := begin(t, "retried")
	defer s.end()
	p := steered(s, "Retried", "onFailure: Rollback, progressDeadline: 2s")
	s.phase("Succeeded", "")
	s.label(usEast1, "retried", "no")
	s.define("Retried", strings.Replace(staged, "string(cluster.labels.region == schema.spec.broken)", "string(cluster.labels.?retried.orValue('yes') == schema.spec.broken)", 1))
	s.create("Retried", "one", "", "text: two\nbroken: \"no\"")
	s.phase("RolledBack", "")
	p.steers("status", "calm", "--wait").want(s, 2, "RolledBack")
	p.steers("history", "calm").want(s, 0, "newest, rejected")
	s.label(usEast1, "retried", "yes")
	p.steers("retry", "calm", "--reason", "the cluster is mended").want(s, 0, "tries again")
	s.phase("Succeeded", "")
	p.steers("status", "calm", "--wait").want(s, 0)
	if got := s.texts(); got != "two two two" {
		t.Errorf("clusters have %s", got)
	}
}

// Whoever has the role answers, and the answer of an operator is none.
func TestAnApproverAnswersARollout(t *testing.T) {
	t.Parallel()
	s := begin(t, "answered")
	defer s.end()
	p := steered(s, "Answered", "approval: {beforeGroups: [us-east, ap-south]}")
	s.phase("WaitingForApproval", "us-east")
	p.steers("status", "calm", "--wait").want(s, 2, "WaitingForApproval", "kronvoy rollout approve calm-")
	var asked []struct {
		Name, Action, Decision, DecidedBy, Reason string
		Clusters                                  []string
	}
	ask := p.answers("approvals", "--exit-code", "-o", "json")
	ask.want(s, 2)
	if ask.decode(s, &asked); len(asked) != 1 || asked[0].Action != "EnterGroup" || len(asked[0].Clusters) != 1 || asked[0].Clusters[0] != usEast1 {
		t.Fatalf("the hub asks %v", asked)
	}
	first := asked[0].Name
	p.steers("approve", first).want(s, 1, "ClusterRole kronvoy-approver in namespace answered")
	p.answers("approve", first, "--reason", "as announced", "-o", "json").decode(s, &asked)
	if len(asked) != 1 || asked[0].Decision != "Approved" || asked[0].DecidedBy != "system:serviceaccount:answered:approver" || asked[0].Reason != "as announced" {
		t.Errorf("it was answered %v", asked)
	}

	s.phase("WaitingForApproval", "ap-south")
	probe.Eventually(t, "the next question", func() error {
		if p.answers("approvals", "-o", "json").decode(s, &asked); len(asked) != 1 || asked[0].Name == first {
			return fmt.Errorf("the hub asks %v", asked)
		}
		return nil
	})
	p.answers("reject", asked[0].Name, "--reason", "not today").want(s, 0, "rejected by system:serviceaccount:answered:approver")
	s.phase("Paused", "system:serviceaccount:answered:approver")
	p.answers("approve", asked[0].Name).want(s, 1, "has rejected ApprovalRequest", "kubectl delete approvalrequests.kronvoy.io")
	p.answers("approvals", "--exit-code").want(s, 0, "Rejected")
	p.answers("pause", "calm").want(s, 1, "ClusterRole kronvoy-rollout-operator in namespace answered")
	if got := s.texts(); got != "one one " {
		t.Errorf("clusters have %q", got)
	}
}

// What is refused says which role allows it.
func TestNobodySteersARolloutWithoutTheRole(t *testing.T) {
	t.Parallel()
	s := begin(t, "unsteered")
	defer s.end()
	p := steered(s, "Unsteered", "approval: {beforeGroups: [us-east]}")
	s.phase("WaitingForApproval", "us-east")
	question := s.question(1).GetName()
	viewer, nobody := s.person("viewer", tenant), s.person("nobody")
	run := func(who string, args ...string) said {
		return p.kronvoy(who, append([]string{"rollout", "-n", s.ns}, args...)...)
	}
	const steer = "ClusterRole kronvoy-rollout-operator in namespace unsteered"
	const answer = "ClusterRole kronvoy-approver in namespace unsteered"
	before := s.hub.Get(t, rollouts, s.ns+"/calm").At("spec")
	for _, args := range [][]string{{"pause", "calm"}, {"resume", "calm"}, {"retry", "calm"}, {"undo", "calm"}, {"undo", "calm", "--cancel"}} {
		run(viewer, args...).want(s, 1, steer)
		run(nobody, args...).want(s, 1, steer)
	}
	for _, args := range [][]string{{"status"}, {"status", "calm"}, {"history", "calm"}, {"diff", "calm"}} {
		run(nobody, args...).want(s, 1, steer)
	}
	run(nobody, "status", "-A").want(s, 1, "ClusterRole kronvoy-rollout-operator in all namespaces")
	for _, verb := range []string{"approve", "reject"} {
		run(viewer, verb, question).want(s, 1, answer)
		run(nobody, verb, question).want(s, 1, answer)
	}
	run(nobody, "approvals").want(s, 1, answer)
	run(viewer, "status", "calm", "-o", "json").want(s, 0)
	if after := s.hub.Get(t, rollouts, s.ns+"/calm"); fmt.Sprint(after.At("spec")) != fmt.Sprint(before) || s.question(1).Text("status.decision") != "" {
		t.Errorf("it was %v, and is %v", before, after.At("spec"))
	}
}
