//go:build integration

package faults

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kronvoy/kronvoy/test/budget"
	"github.com/kronvoy/kronvoy/test/proxy"
)

const (
	// planVariable holds a part of the names of the plans that are to be run.
	planVariable = "PLAN"
	// samplePlans is how many crashes there are without a budget.
	samplePlans = 24
	// mostFailures is after how many failures there is no point in going on.
	mostFailures = 5
)

// TestACrashAtAnyWriteLeavesNoTrace counts the writes of a life without faults,
// and ends the process that makes it at each of them: once before the API
// server hears of it, and once when that has done what was asked and not yet
// said so. The process starts again with nothing in its memory. Whatever was
// interrupted where:
//   - the clusters, and everything on the hub, end up as in a life without
//     crashes, with the same objects;
//   - operations are those of that life, but for what operations.unexplained
//     explains;
//   - no object changes before what it depends on, and none is deleted before
//     what depends on it;
//   - once all is in place nothing is written;
//   - nothing is left of a deleted instance, on the hub or on any cluster.
//
// Heartbeats and events are no writes here, nor are dry runs.
func TestACrashAtAnyWriteLeavesNoTrace(t *testing.T) {
	w := start(t, plain)
	clean := w.live(t)
	plans := w.crashes(t, clean, proxy.Request.Writes)
	w.crash(t, clean, plans, budget.New(t, "crashes", len(plans), samplePlans))
}

// crash runs plans, one after the other, as far as the budget goes.
func (w *world) crash(t *testing.T, clean *outcome, plans []plan, b *budget.Budget) {
	t.Helper()
	b.GoOn()
	var s summary
	defer s.report(b)
	l := w.begin(clean)
	for i := range b.Cases() {
		plan := plans[(uint64(i)+b.Seed())%uint64(len(plans))]
		if l = l.survive(t, b, &s, plan); l == nil {
			return
		}
	}
}

// plan is what goes wrong in one phase.
type plan struct {
	name   string
	group  string
	phase  phase
	faults proxy.Plan
	// number is that of a mix.
	number int
}

// crashes are the plans that crash each process at each request that counts. Any
// run of them is an even sample of all.
func (w *world) crashes(t *testing.T, clean *outcome, counts func(proxy.Request) bool) []plan {
	t.Helper()
	var rounds [][]plan
	total := 0
	for _, p := range w.phases {
		var plans []plan
		seen := map[proxy.Request]int{}
		for _, r := range clean.requests[p] {
			if !counts(r) {
				continue
			}
			seen[r]++
			for _, kind := range []proxy.Kind{proxy.CrashBefore, proxy.CrashAfter} {
				fault := proxy.Fault{Request: r, Nth: seen[r], Kind: kind}
				made := plan{
					name:  fmt.Sprintf("%s: %s", p, hubHash.ReplaceAllString(fault.String(), "")),
					group: fmt.Sprintf("%s, %s", p, processOf(r.Link)), phase: p, faults: proxy.Plan{fault},
				}
				if chosen(made.name) {
					plans = append(plans, made)
				}
			}
		}
		total += len(plans)
		rounds = append(rounds, spread(plans))
	}
	if total == 0 {
		t.Fatalf("no plan's name contains %s=%s; not every life writes everything as often: leave out the number at its end", planVariable, os.Getenv(planVariable))
	}
	var plans []plan
	for len(plans) < total {
		for p, left := range rounds {
			if len(left) > 0 {
				plans, rounds[p] = append(plans, left[0]), left[1:]
			}
		}
	}
	return plans
}

// hubHash is in the names of what agents keep on their clusters, and depends on
// the hub's address.
var hubHash = regexp.MustCompile(`\b[0-9a-f]{64}-`)

// spread orders plans such that neighbours are far from each other in the
// order that they had: by steps of the golden section.
func spread(plans []plan) []plan {
	n := len(plans)
	step := int(0.618 * float64(n))
	for step > 1 && gcd(step, n) > 1 {
		step--
	}
	out := make([]plan, 0, n)
	for i := range n {
		out = append(out, plans[i*max(step, 1)%n])
	}
	return out
}

func gcd(a, b int) int {
	for b > 0 {
		a, b = b, a%b
	}
	return a
}

// chosen says whether PLAN names a plan, or no plan at all.
func chosen(name string) bool { return strings.Contains(name, os.Getenv(planVariable)) }

// survive runs the phase of a plan in a life that has come so far, and returns
// the life that the next plan is to be part of; nil where there is none.
func (l *life) survive(t *testing.T, b *budget.Budget, s *summary, plan plan) *life {
	t.Helper()
	if l = l.reach(t, plan.phase); l == nil {
		return nil
	}
	begin := time.Now()
	var why []string // what is known of a failure, for who sees no more than the summary
	converged := t.Run(plan.name, func(t *testing.T) {
		defer func() {
			if t.Failed() {
				l.explain(t, begin)
			}
		}()
		l.run(t, plan.phase, plan.faults)
		if diff := cmp.Diff(l.clean.ends[plan.phase], l.end); diff != "" {
			t.Errorf("the %s ends differently from one without faults (-clean +faulty):\n%s", plan.phase, diff)
			why = append(why, "it ends differently")
		}
		for _, operation := range l.operations(t, begin).unexplained(l.clean.made[plan.phase], len(plan.faults)) {
			t.Errorf("operations: %s", operation)
			why = append(why, operation)
		}
	})
	struck := l.proxy.Struck()
	l.proxy.Heal()
	s.add(plan.group, plan.name, !struck.IsZero(), converged, l.inPlace.Sub(struck))
	if converged {
		return l
	}
	again := fmt.Sprintf("make test-faults RUN='^%s$' SEED=%d PLAN='%s'", t.Name(), b.Seed(), plan.name)
	t.Logf("to run this plan alone: %s", again)
	if why == nil {
		why = []string{"it did not come to its end, or went there in a wrong way"}
	}
	b.Note("failed: %s (since %s)", again, strings.Join(why, "; "))
	if s.failures++; s.failures >= mostFailures {
		return nil
	}
	return l.giveUp(t)
}
