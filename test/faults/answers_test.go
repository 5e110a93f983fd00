//go:build integration

package faults

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/kronvoy/kronvoy/test/budget"
	"github.com/kronvoy/kronvoy/test/proxy"
)

const (
	// totalMixes is what BUDGET=all runs; sampleMixes without a budget.
	totalMixes  = 200
	sampleMixes = 4
	// mostFaults bounds a mix.
	mostFaults = 16
)

// TestManyFaultsLeaveNoTrace lets requests of one phase fail, any of those that
// a life without faults makes, with any of the faults that it can meet, crashes
// and outages among them. What must hold is what must hold after one crash; see
// TestACrashAtAnyWriteLeavesNoTrace.
func TestManyFaultsLeaveNoTrace(t *testing.T) {
	var plans []plan
	for i := range totalMixes {
		p := plain.phases[i%len(plain.phases)]
		if name := fmt.Sprintf("mix %d, in the %s", i, p); chosen(name) {
			plans = append(plans, plan{name: name, group: p.String(), phase: p, number: i})
		}
	}
	if len(plans) == 0 {
		t.Fatalf("no mix's name contains %s=%s", planVariable, os.Getenv(planVariable))
	}
	w := start(t, plain)
	clean := w.live(t)

	b := budget.New(t, "mixes", len(plans), sampleMixes)
	b.GoOn()
	var s summary
	defer s.report(b)
	l := w.begin(clean)
	for i := range b.Cases() {
		plan := plans[i]
		random := b.Rand(plan.number)
		plan.faults = proxy.Choose(random, clean.requests[plan.phase], 1+random.IntN(mostFaults))
		t.Logf("%s:%s", plan.name, plan.faults)
		if l = l.survive(t, b, &s, plan); l == nil {
			return
		}
	}
}

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
	w := start(t, plain)
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
			l := w.begin(clean)
			for _, p := range []phase{creation, deletion} {
				begin := time.Now()
				t.Cleanup(func() {
					if t.Failed() {
						w.explain(t, begin)
					}
				})
				l.run(t, p, plans[p])
				if left := w.proxy.Left(); len(left) > 0 {
					t.Errorf("in the %s these did not happen:%s", p, left)
				}
				w.proxy.Heal()
			}
		})
	}
}
