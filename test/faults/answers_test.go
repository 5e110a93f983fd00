//go:build integration

package faults

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kronvoy/kronvoy/test/budget"
	"github.com/kronvoy/kronvoy/test/proxy"
)

const (
	// totalPlans is what BUDGET=all runs; samplePlans without a budget.
	totalPlans  = 200
	samplePlans = 4
	// mostFaults bounds a plan.
	mostFaults = 16
)

// TestFailingAnswersLeaveNoTrace puts a proxy between Kronvoy's processes and
// their API servers, and lets it fail requests of a creation, an update, a move
// or a deletion: any of those that a life without faults makes, with any of the
// faults that it can meet. What must hold is what must hold after kills; see
// TestKillsLeaveNoTrace.
func TestFailingAnswersLeaveNoTrace(t *testing.T) {
	w := startBehindProxy(t)
	clean := w.live(t)

	b := budget.New(t, "plans", totalPlans, samplePlans)
	var life life
	for i := range b.Cases() {
		p := phase(i % int(phases))
		if p == creation {
			life = w.begin(&clean)
		}
		random := b.Rand(i)
		plan := proxy.Choose(random, clean.requests[p], 1+random.IntN(mostFaults))
		t.Logf("plan %d, in the %s:%s", i, p, plan)
		life.survive(t, p, plan)
	}
}

// survive runs a phase in which that goes wrong, and returns what did not come
// to pass.
func (l *life) survive(t *testing.T, p phase, plan proxy.Plan) (left proxy.Plan) {
	t.Helper()
	begin := time.Now()
	defer func() {
		if t.Failed() {
			l.explain(t, begin)
			l.explainFaults(t)
		}
	}()
	l.proxy.Run(plan)
	l.run(t, p, func(*record) {})
	if diff := cmp.Diff(l.clean.ends[p], l.end); diff != "" {
		t.Errorf("the %s ends differently from one without faults (-clean +faulty):\n%s", p, diff)
	}
	left = l.proxy.Left()
	l.proxy.Heal()
	t.Logf("converged after %d of %d faults in %s", len(plan)-len(left), len(plan), time.Since(begin).Round(time.Millisecond))
	return left
}

func (w *world) explainFaults(t *testing.T) {
	t.Helper()
	t.Logf("what has not happened:%s", w.proxy.Left())
	for _, entry := range w.proxy.Log() {
		t.Logf("asked: %s", entry)
	}
}

// The links of the proxy.
const (
	hub        = "kronvoy-hub"
	agent      = "eu-west-agent"
	agentOnHub = "eu-west-on-hub"
)

// written are the kinds of writes of a creation and of a deletion.
var written = map[phase][]proxy.Request{
	creation: {
		{Link: hub, Verb: "patch", Resource: "voyages"},
		{Link: hub, Verb: "patch", Resource: "voyages/status"},
		{Link: hub, Verb: "create", Resource: "controllerrevisions"},
		{Link: hub, Verb: "create", Resource: "targets"},
		{Link: hub, Verb: "patch", Resource: "targets"},
		{Link: hub, Verb: "patch", Resource: "targets/status"},
		{Link: hub, Verb: "create", Resource: "manifestworks"},
		{Link: hub, Verb: "update", Resource: "manifestworks"},
		{Link: hub, Verb: "create", Resource: "workreports"},
		{Link: agentOnHub, Verb: "patch", Resource: "manifestworks/status"},
		{Link: agent, Verb: "create", Resource: "appliedmanifestworks"},
		{Link: agent, Verb: "patch", Resource: "appliedmanifestworks/status"},
		{Link: agent, Verb: "create", Resource: "secrets"},
		{Link: agent, Verb: "apply", Resource: "configmaps"},
		{Link: agent, Verb: "apply", Resource: "deployments"},
	},
	deletion: {
		{Link: hub, Verb: "patch", Resource: "voyages"},
		{Link: hub, Verb: "delete", Resource: "targets"},
		{Link: hub, Verb: "patch", Resource: "targets"},
		{Link: hub, Verb: "update", Resource: "manifestworks"},
		{Link: hub, Verb: "delete", Resource: "manifestworks"},
		{Link: agentOnHub, Verb: "patch", Resource: "manifestworks"},
		{Link: agentOnHub, Verb: "patch", Resource: "manifestworks/status"},
		{Link: agentOnHub, Verb: "patch", Resource: "workreports/status"},
		{Link: agent, Verb: "delete", Resource: "appliedmanifestworks"},
		{Link: agent, Verb: "delete", Resource: "secrets"},
		{Link: agent, Verb: "delete", Resource: "configmaps"},
		{Link: agent, Verb: "delete", Resource: "deployments"},
	},
}

// TestEveryKindOfAnswerLeavesNoTrace fails the first request of every kind in a
// creation and in a deletion, all of them with the same fault; and then cuts
// watches and connections where most is at stake.
func TestEveryKindOfAnswerLeavesNoTrace(t *testing.T) {
	w := startBehindProxy(t)
	clean := w.live(t)

	first := func(kind proxy.Kind, requests ...proxy.Request) (plan proxy.Plan) {
		for _, r := range requests {
			plan = append(plan, proxy.Fault{Request: r, Nth: 1, Kind: kind, For: 2 * time.Second})
		}
		return plan
	}
	tests := map[string]map[phase]proxy.Plan{}
	for _, kind := range []proxy.Kind{
		proxy.Conflict, proxy.TooManyRequests, proxy.RetryAfter, proxy.InternalError, proxy.ErrorAfterCommit, proxy.LostAnswer,
	} {
		tests[string(kind)] = map[phase]proxy.Plan{
			creation: first(kind, written[creation]...),
			deletion: first(kind, written[deletion]...),
		}
	}
	// Each cut is followed by watches that cannot be resumed.
	watched := first(proxy.Gone,
		proxy.Request{Link: hub, Verb: "watch", Resource: "targets"},
		proxy.Request{Link: hub, Verb: "watch", Resource: "manifestworks"},
		proxy.Request{Link: agentOnHub, Verb: "watch", Resource: "manifestworks"},
		proxy.Request{Link: agent, Verb: "watch", Resource: "configmaps"},
	)
	made := []proxy.Request{
		{Link: hub, Verb: "create", Resource: "manifestworks"},
		{Link: agentOnHub, Verb: "patch", Resource: "manifestworks/status"},
		{Link: agent, Verb: "apply", Resource: "configmaps"},
	}
	removed := []proxy.Request{
		{Link: hub, Verb: "delete", Resource: "manifestworks"},
		{Link: agentOnHub, Verb: "patch", Resource: "workreports/status"},
		{Link: agent, Verb: "delete", Resource: "configmaps"},
	}
	tests[string(proxy.CutWatches)] = map[phase]proxy.Plan{
		creation: append(first(proxy.CutWatches, made...), watched...),
		deletion: append(first(proxy.CutWatches, removed...), watched...),
	}
	tests[string(proxy.Outage)] = map[phase]proxy.Plan{creation: first(proxy.Outage, made...), deletion: first(proxy.Outage, removed...)}

	for name, plans := range tests {
		t.Run(name, func(t *testing.T) {
			life := w.begin(&clean)
			for _, p := range []phase{creation, deletion} {
				if left := life.survive(t, p, plans[p]); len(left) > 0 {
					t.Errorf("in the %s these did not happen:%s", p, left)
				}
			}
		})
	}
}
