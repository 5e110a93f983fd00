//go:build integration

package faults

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/kronvoy/kronvoy/test/budget"
	"github.com/kronvoy/kronvoy/test/probe"
	"github.com/kronvoy/kronvoy/test/proxy"
)

const (
	distributions    = "distributions.kronvoy.io"
	rollouts         = "rollouts.kronvoy.io"
	approvalRequests = "approvalrequests.kronvoy.io"
)

// sampleRollouts is how many crashes of rollouts there are without a budget.
const sampleRollouts = 10

// steers says of a write whether the hub stores in it how far a rollout has come:
// the Rollout itself, what clusters are to have and since when they have passed,
// which revision was good or rejected, what people are asked, and what is to leave.
func steers(r proxy.Request) bool {
	return r.Link == hub && r.Writes() &&
		slices.Contains([]string{"rollouts", "rollouts/status", "targets", "controllerrevisions", "approvalrequests"}, r.Resource)
}

// TestACrashInARolloutLeavesNoTrace ends the hub at each write by which it steers a
// rollout: one that succeeds, one that fails and goes back, one that is approved,
// and a removal that is. What must hold is what must hold without a strategy; see
// TestACrashAtAnyWriteLeavesNoTrace.
func TestACrashInARolloutLeavesNoTrace(t *testing.T) {
	w := start(t, rolling)
	clean := w.live(t)
	plans := w.crashes(t, clean, steers)
	w.crash(t, clean, plans, budget.New(t, "crashes in rollouts", len(plans), sampleRollouts))
}

// rolled waits until the rollout of a phase is over, and approves what the hub asks
// on the way.
func (l *life) rolled(t *testing.T, p phase) {
	t.Helper()
	want := "Succeeded"
	if p == relapse {
		want = "RolledBack"
	}
	probe.Within(t, patience, "the rollout to be "+want, func() error {
		l.approve(t)
		r := l.hub.Get(t, rollouts, namespace+"/voyage")
		if r.Text("status.phase") != want {
			return fmt.Errorf("it is %v", r.At("status"))
		}
		asked := l.hub.List(t, approvalRequests, namespace)
		for _, target := range l.hub.List(t, "targets.kronvoy.io", "") {
			if target.Text("spec.instance.kind") == "Voyage" && (target.Text("spec.passedAt") == "" || target.GetNamespace() != l.wishes[p].cluster) {
				return fmt.Errorf("a target on %s says %v", target.GetNamespace(), target.At("spec"))
			}
		}
		if len(asked) > 0 {
			return fmt.Errorf("the hub asks %v", asked[0].At("spec"))
		}
		return nil
	})
}

// approve says yes to all that the hub asks.
func (l *life) approve(t *testing.T) {
	t.Helper()
	for _, question := range l.hub.List(t, approvalRequests, namespace) {
		if question.Text("status.decision") == "" {
			l.hub.Patch(t, approvalRequests+"/status", namespace+"/"+question.GetName(), fmt.Sprintf(
				"{status: {decision: Approved, decidedBy: %q, decidedAt: %q}}", l.whoami(t), time.Now().UTC().Format(time.RFC3339)))
		}
	}
}

// whoami is the name by which the hub's API server knows the test.
func (w *world) whoami(t *testing.T) string {
	t.Helper()
	name, err := w.hub.Kubectl(t, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
	if err != nil {
		t.Fatal(name)
	}
	return name
}

// dissolve deletes the Distribution, and waits until its Rollout has gone with it.
func (l *life) dissolve(t *testing.T) {
	t.Helper()
	l.hub.Delete(t, distributions, namespace+"/voyage")
	probe.Within(t, patience, "the rollout to be gone", func() error {
		if r := l.hub.Get(t, rollouts, namespace+"/voyage"); r != nil {
			return fmt.Errorf("it is %v", r.At("status"))
		}
		return nil
	})
}
