//go:build integration

package regions

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kronvoy/kronvoy/test/probe"
)

const revisions = "controllerrevisions.apps"

// A hub is killed as soon as it has stored anything, again and again, so that each
// one takes a single step of a rollout; what is stored is all that the next one
// has. The stories run side by side, and one's kills are the others', too.
func TestARolloutGoesOnWhereverTheHubIsKilled(t *testing.T) {
	for name, story := range map[string]func(*testing.T){
		"when all goes well":            killedInEachStep,
		"when it fails and goes back":   killedInEachStepBack,
		"when it waits for an approval": killedWhileItWaits,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(t)
		})
	}
}

func killedInEachStep(t *testing.T) {
	s := begin(t, "killed")
	defer s.end()
	s.rolls("Killed", "")
	k := s.watch("Killed")
	s.create("Killed", "one", "", "text: two")
	steps := []string{"plan 1 enters eu-west", "plan 1 enters us-east", "plan 1 enters ap-south", "plan 1 succeeded", "change 1 is good"}
	for _, cluster := range everywhere {
		steps = append(steps, cluster+" got change 1", cluster+" passed change 1")
	}
	k.until("Succeeded", steps, nil)
	for _, cluster := range everywhere {
		k.changed(cluster, "two")
	}
	s.orderly(k.seen, "Killed", k.changes[0])
}

func killedInEachStepBack(t *testing.T) {
	s := begin(t, "killed-back")
	defer s.end()
	s.rolls("Rejected", "onFailure: Rollback\nprogressDeadline: 4s")
	k := s.watch("Rejected")
	s.create("Rejected", "one", "", "text: two\nbroken: us-east")
	steps := []string{"plan 1 enters eu-west", "plan 1 enters us-east", "change 1 is rejected"}
	tried := []string{euWest1, euWest2, usEast1}
	for _, cluster := range tried {
		steps = append(steps, cluster+" got change 1", cluster+" got change 0")
	}
	k.until("RolledBack", steps, nil)
	for _, cluster := range tried {
		k.changed(cluster, "two one")
	}
	for _, cluster := range []string{usEast2, apSouth1, apSouth2} {
		k.changed(cluster, "")
	}
	s.orderly(k.seen, "Rejected", k.changes[0])
}

// The first question is superseded by another change, the second one is answered.
func killedWhileItWaits(t *testing.T) {
	s := begin(t, "killed-asking")
	defer s.end()
	boss := s.person("boss", approver)
	s.waves = [][]string{{euWest1}, {usEast1}, {apSouth1}}
	s.rolls("Awaited", "approval: {beforeGroups: [us-east]}")
	k := s.watch("Awaited")
	s.create("Awaited", "one", "", "text: two")
	asked := 0
	k.until("Succeeded", []string{
		"plan 1 waits for us-east", "plan 2 waits for us-east", "somebody says Approved",
		"plan 2 enters us-east", "plan 2 enters ap-south", "plan 2 succeeded", "change 2 is good",
	}, func(step string) {
		name, question := strings.CutPrefix(step, "the hub asks ")
		if !question {
			return
		}
		if asked++; asked == 1 {
			s.create("Awaited", "one", "", "text: three")
			return
		}
		s.kronvoy(boss, "rollout", "approve", name, "-n", s.ns).want(s, 0)
	})
	if asked != 2 {
		t.Errorf("the hub asked %d times: %v", asked, k.steps)
	}
	k.changed(euWest1, "two three")
	k.changed(usEast1, "three")
	k.changed(apSouth1, "three")
	s.orderly(k.seen, "Awaited", k.changes[0])
}

// killer ends the hub whenever it has stored something of one rollout that was
// not stored before.
type killer struct {
	*scene
	kind string
	// seen is what was stored on the hub, and there what clusters had.
	seen  *probe.Recording
	there map[string]*probe.Recording
	// changes and plans are revisions and plans in the order in which they came; the
	// first of each were there before.
	changes, plans []string
	// moved are clusters that got something since.
	moved map[string]bool
	// steps in which the hub was killed, in their order.
	steps []string
}

// watch begins to look at what is stored of a rollout.
func (s *scene) watch(kind string) *killer {
	s.Helper()
	k := &killer{scene: s, kind: kind, there: map[string]*probe.Recording{}, moved: map[string]bool{}}
	k.changes = []string{s.instance(kind, "one").Text("status.fleet.revision")}
	k.plans = []string{s.hub.Get(s, rollouts, s.ns+"/calm").Text("status.plan")}
	k.seen = s.hub.Record(s, "", targets, rollouts, revisions, approvalRequests)
	for _, cluster := range slices.Concat(s.waves...) {
		k.there[cluster] = s.spokes[cluster].Record(s, s.ns, "configmaps")
	}
	return k
}

// killPatience is how long a rollout may take whose hub is killed in each step.
const killPatience = 3 * time.Minute

// until kills the hub in each step until the rollout is in a phase, and these steps
// were among them; then is told each step after that.
func (k *killer) until(phase string, steps []string, then func(step string)) {
	k.Helper()
	var last *probe.Object
	read := 0
	probe.Within(k, killPatience, "the rollout to be "+phase, func() error {
		events := k.seen.Events(k)
		for ; read < len(events); read++ {
			if e := events[read]; e.GetKind() == "Rollout" && e.GetNamespace() == k.ns {
				last = e.Object
			}
			for _, step := range k.stored(events[read]) {
				if slices.Contains(k.steps, step) {
					continue
				}
				k.steps = append(k.steps, step)
				k.kill(events[read].Seen)
				if then != nil {
					then(step)
				}
			}
		}
		missing := slices.DeleteFunc(slices.Clone(steps), func(step string) bool { return slices.Contains(k.steps, step) })
		if last.Text("status.phase") != phase || len(missing) > 0 {
			return fmt.Errorf("it is %v; steps so far: %s; missing: %s", last.At("status"), strings.Join(k.steps, "; "), strings.Join(missing, "; "))
		}
		return nil
	})
	k.Logf("the hub was killed in each of these steps: %s", strings.Join(k.steps, "; "))
	k.continues()
}

// kill ends the hub at once and starts another, unless somebody has done so since
// then.
func (k *killer) kill(since time.Time) {
	k.Helper()
	k.hubs.Lock()
	defer k.hubs.Unlock()
	if k.killed.After(since) {
		return
	}
	k.killed = time.Now()
	if err := k.stack.Hub.Kill(); err != nil {
		k.Fatal(err)
	}
	if err := k.stack.Hub.Start(); err != nil {
		k.Fatal(err)
	}
}

// stored says in words what an event tells of the rollout.
func (k *killer) stored(e probe.Event) []string {
	switch {
	case e.GetKind() == "Target" && e.Text("spec.instance.kind") == k.kind:
		change := number(&k.changes, e.Text("spec.revision"))
		if change == 0 && !k.moved[e.GetNamespace()] {
			return nil
		}
		k.moved[e.GetNamespace()] = true
		steps := []string{fmt.Sprintf("%s got change %d", e.GetNamespace(), change)}
		if e.Text("spec.passedAt") != "" {
			steps = append(steps, fmt.Sprintf("%s passed change %d", e.GetNamespace(), change))
		}
		return steps
	case e.GetNamespace() != k.ns:
	case e.GetKind() == "Rollout":
		return k.progress(e)
	case e.GetKind() == "ControllerRevision":
		change := number(&k.changes, e.GetName())
		switch {
		case change > 0 && e.GetAnnotations()["kronvoy.io/rejected-at"] != "":
			return []string{fmt.Sprintf("change %d is rejected", change)}
		case change > 0 && e.GetAnnotations()["kronvoy.io/succeeded-at"] != "":
			return []string{fmt.Sprintf("change %d is good", change)}
		}
	case e.GetKind() == "ApprovalRequest" && e.Type != "DELETED":
		if decision := e.Text("status.decision"); decision != "" {
			return []string{"somebody says " + decision}
		}
		return []string{"the hub asks " + e.GetName()}
	}
	return nil
}

// progress is what the hub remembers of a rollout.
func (k *killer) progress(e probe.Event) (steps []string) {
	plan := number(&k.plans, e.Text("status.plan"))
	if plan == 0 && len(k.plans) == 1 {
		return nil
	}
	say := func(what, group string) { steps = append(steps, fmt.Sprintf("plan %d %s%s", plan, what, group)) }
	group := e.Text("status.group")
	switch {
	case e.At("status.succeeded") == true:
		say("succeeded", "")
	case e.At("status.entered") == true:
		say("enters ", group)
	case group != "":
		say("comes to ", group)
	}
	if e.Text("status.phase") == "WaitingForApproval" {
		say("waits for ", group)
	}
	return steps
}

// number of a text among those that came before.
func number(known *[]string, text string) int {
	if i := slices.Index(*known, text); i >= 0 {
		return i
	}
	*known = append(*known, text)
	return len(*known) - 1
}

// continues fails the test if a rollout began anew, or lost its way.
func (k *killer) continues() {
	k.Helper()
	started, at := map[string]string{}, map[string]int{}
	for _, e := range k.seen.Events(k) {
		plan := e.Text("status.plan")
		if e.GetKind() != "Rollout" || e.GetNamespace() != k.ns || plan == "" || e.Text("status.group") == "" {
			continue
		}
		if begun := e.Text("status.startedAt"); started[plan] == "" {
			started[plan] = begun
		} else if started[plan] != begun {
			k.Errorf("plan %s began at %s, and again at %s", plan, started[plan], begun)
		}
		step := 2 * slices.IndexFunc(k.waves, func(w []string) bool { return region(w[0]) == e.Text("status.group") })
		if e.At("status.entered") == true {
			step++
		}
		if step < at[plan] {
			k.Errorf("plan %s is at step %d after step %d: %v", plan, step, at[plan], e.At("status"))
		}
		at[plan] = step
	}
}

// changed waits until a cluster has had these texts, one after the other, and
// fails the test if it has had others.
func (k *killer) changed(cluster, want string) {
	k.Helper()
	probe.Eventually(k, cluster+" to have had "+want, func() error {
		texts := []string{"one"}
		for _, e := range k.there[cluster].Events(k) {
			if e.GetName() == "one" {
				texts = append(texts, e.Text("data.text"))
			}
		}
		if got := strings.Join(slices.Compact(texts)[1:], " "); got != want {
			return fmt.Errorf("it had %q", got)
		}
		return nil
	})
}
