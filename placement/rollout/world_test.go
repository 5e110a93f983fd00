package rollout

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// world plays the caller, the people and the clusters. Only what it stores
// survives: targets, the record, what is remembered of instances, and approvals.
type world struct {
	t        *testing.T
	now      time.Time
	strategy Strategy
	// instances and what is stored of them.
	instances map[string]*Instance
	clusters  map[string]*place
	targets   map[Key]*running
	record    Record
	approvals map[string]Approval
	// question that is put now.
	question  *Question
	paused    string
	undecided string
	retry     time.Time
	// lose makes the caller die after so many more writes; negative is never.
	lose int
	// behaves says what a revision does, by "<revision>" or "<revision> <cluster>".
	behaves map[string]behaviour
	shuffle func(n int, swap func(i, j int))
	// check looks at every step before it is carried out.
	check func(Input, Step)
	last  Step
	log   strings.Builder
	// deeds of this time, and what was logged last of each thing.
	deeds []string
	seen  map[string]string
}

type place struct {
	Cluster
	gone bool
}

// behaviour of a revision on a cluster.
type behaviour struct {
	what  string // ready, never, failing, unhealthy, wrong, drifting, stale
	after time.Duration
}

// running is a stored target, and what happens on the cluster.
type running struct {
	Target
	// applied is when the cluster got it; it reports that a little later.
	applied time.Time
	// broken since it broke by itself.
	broken time.Time
	// wrong and drifted, by itself.
	wrong, drifted bool
	gen            int
}

const reportDelay = 10 * time.Second

func newWorld(t *testing.T) *world {
	return &world{t: t, now: noon, instances: map[string]*Instance{}, clusters: map[string]*place{}, targets: map[Key]*running{},
		approvals: map[string]Approval{}, behaves: map[string]behaviour{}, seen: map[string]string{}, lose: -1}
}

func (w *world) join(name, group string) {
	w.clusters[name] = &place{Cluster: Cluster{Name: name, Labels: map[string]string{"region": group}, Reachable: true, Inputs: "i1", Since: w.now}}
}

func (w *world) behaviour(revision, cluster string) behaviour {
	if b, known := w.behaves[revision+" "+cluster]; known {
		return b
	}
	if b, known := w.behaves[revision]; known {
		return b
	}
	return behaviour{what: "ready", after: time.Minute}
}

// observe brings the samples of a target up to date, as hub and agent do, and
// says when they change next.
func (w *world) observe(t *running) (next time.Time) {
	c := w.clusters[t.Cluster]
	if c == nil || !c.Reachable {
		return time.Time{}
	}
	if c.Suspended != "" {
		return time.Time{} // nothing is written there
	}
	t.Current = fmt.Sprintf("%s/%s/%d", t.Revision, t.Inputs, t.gen)
	if t.applied.Before(t.Moved) {
		t.applied = w.now
	}
	b := w.behaviour(t.Revision, t.Cluster)
	heard, ready := t.applied.Add(reportDelay), t.applied.Add(b.after)
	if b.what == "stale" {
		return time.Time{}
	}
	if w.now.Before(heard) {
		return heard
	}
	set := func(g *Gate, open bool, message string) {
		if open != g.Open || g.Of != t.Current {
			*g = Gate{Of: t.Current, Open: open, Since: w.now, Message: message}
		}
	}
	// Nobody stores since when these are as they are.
	timeless := func(g *Gate, open bool, message string) { *g = Gate{Of: t.Current, Open: open, Message: message} }
	isReady := !w.now.Before(ready) && b.what != "never" && b.what != "failing" && t.broken.IsZero() && c.Maintenance == ""
	set(&t.Gates.Ready, isReady, "deployment is not available")
	set(&t.Gates.Health, isReady && b.what != "unhealthy", "1 of 3 pods crashes")
	timeless(&t.Gates.Expressions, isReady && b.what != "wrong" && !t.wrong, "values.errorRate < 0.01 is false")
	timeless(&t.Gates.Drift, isReady && b.what != "drifting" && !t.drifted, "3 objects were changed by others")
	if failing := b.what == "failing"; failing && t.Failed.Of != t.Current {
		t.Failed = Failure{Of: t.Current, Since: w.now, Message: "the API server refuses it"}
	} else if !failing {
		t.Failed = Failure{}
	}
	if w.now.Before(ready) {
		return ready
	}
	return time.Time{}
}

// input is what the caller reads.
func (w *world) input() Input {
	in := Input{Strategy: w.strategy, Record: w.record, Paused: w.paused, Retry: w.retry, Now: w.now}
	for _, i := range sortedValues(w.instances) {
		in.Instances = append(in.Instances, *i)
	}
	in.Undecided = w.undecided
	for _, c := range sortedValues(w.clusters) {
		if !c.gone && (w.undecided == "" || w.has(c.Name)) {
			in.Clusters = append(in.Clusters, c.Cluster)
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(w.targets), func(a, b Key) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Instance, b.Instance))
	}) {
		in.Targets = append(in.Targets, w.targets[k].Target)
	}
	in.Approvals = sortedValues(w.approvals)
	return in
}

// has says whether a cluster has anything.
func (w *world) has(cluster string) bool {
	for k := range w.targets {
		if k.Cluster == cluster {
			return true
		}
	}
	return false
}

func sortedValues[V any](m map[string]V) []V {
	values := make([]V, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		values = append(values, m[k])
	}
	return values
}

// survives says whether the caller is still there for another write.
func (w *world) survives() bool {
	if w.lose == 0 {
		w.lose = -1
		return false
	}
	if w.lose > 0 {
		w.lose--
	}
	return true
}

// settle lets the caller step until there is nothing to do at this time, and says
// when there is.
func (w *world) settle() time.Time {
	for range 200 {
		var next earliest
		for _, t := range w.targets {
			if at := w.observe(t); !at.IsZero() {
				next.note(at)
			}
		}
		in := w.input()
		step := Next(in)
		w.same(in, step)
		if w.check != nil {
			w.check(in, step)
		}
		w.last = step
		w.tell(step)
		if !w.carryOut(in, step) {
			w.rest(step)
			if !step.RecheckAt.IsZero() {
				if !step.RecheckAt.After(w.now) {
					w.t.Fatalf("%s: to look again at %s, and nothing is done", w.now, step.RecheckAt)
				}
				next.note(step.RecheckAt)
			}
			return next.at
		}
	}
	w.t.Fatalf("%s: it never comes to rest:\n%s", w.now, w.log.String())
	return time.Time{}
}

// same holds a step against one from the same input in another order.
func (w *world) same(in Input, step Step) {
	if w.shuffle == nil {
		return
	}
	other := in
	other.Clusters, other.Targets, other.Instances = slices.Clone(in.Clusters), slices.Clone(in.Targets), slices.Clone(in.Instances)
	w.shuffle(len(other.Clusters), func(i, j int) { other.Clusters[i], other.Clusters[j] = other.Clusters[j], other.Clusters[i] })
	w.shuffle(len(other.Targets), func(i, j int) { other.Targets[i], other.Targets[j] = other.Targets[j], other.Targets[i] })
	w.shuffle(len(other.Instances), func(i, j int) { other.Instances[i], other.Instances[j] = other.Instances[j], other.Instances[i] })
	if again := Next(other); !reflect.DeepEqual(step, again) {
		w.t.Fatalf("another order of the input gives another step:\n%+v\n%+v", step, again)
	}
}

// carryOut writes what a step says, in its order, and says whether that changed
// anything. The caller may die in between.
func (w *world) carryOut(in Input, step Step) (changed bool) {
	w.put(step.Question)
	if step.Record != in.Record {
		changed = true
		if !w.survives() {
			return
		}
		w.record = step.Record
	}
	for _, r := range step.Instances {
		changed = true
		if !w.survives() {
			return
		}
		w.instances[r.Instance].History = r.History
	}
	for _, k := range step.Passed {
		changed = true
		if !w.survives() {
			return
		}
		w.targets[k].Passed = w.now
	}
	for _, f := range step.Found {
		changed = true
		if !w.survives() {
			return
		}
		w.targets[f.Key].Found = f.Finding
	}
	for _, m := range step.Moves {
		changed = true
		if !w.survives() {
			return
		}
		t := w.targets[m.Key]
		if t == nil {
			t = &running{Target: Target{Cluster: m.Cluster, Instance: m.Instance}}
			w.targets[m.Key] = t
		}
		t.Assignment, t.Moved, t.Passed, t.Found = m.Assignment, w.now, time.Time{}, Finding{}
		t.applied, t.broken, t.wrong, t.drifted = time.Time{}, time.Time{}, false, false
		t.gen++
		t.Current = fmt.Sprintf("%s/%s/%d", t.Revision, t.Inputs, t.gen)
	}
	return changed
}

// put makes a request of a question, and deletes what is settled.
func (w *world) put(q *Question) {
	w.question = q
	for hash := range w.approvals {
		if q == nil || hash != q.PlanHash {
			delete(w.approvals, hash)
		}
	}
}

// answer the question that is put.
func (w *world) answer(v Verdict) {
	if w.question == nil {
		w.t.Fatalf("%s: nobody asks", w.now)
	}
	w.approvals[w.question.PlanHash] = Approval{PlanHash: w.question.PlanHash, Verdict: v, By: "ada"}
}

// tell collects what a step does.
func (w *world) tell(step Step) {
	line := func(format string, args ...any) { w.deeds = append(w.deeds, "    "+fmt.Sprintf(format, args...)) }
	for _, r := range step.Instances {
		before := w.instances[r.Instance]
		switch {
		case r.Rejected != before.Rejected && r.Rejected != "":
			line("%s: %s is rejected", r.Instance, r.Rejected)
		case r.Rejected != before.Rejected:
			line("%s: %s is not rejected any more", r.Instance, before.Rejected)
		}
		if r.Good != before.Good {
			line("%s: %s is good", r.Instance, r.Good)
		}
	}
	for _, k := range step.Passed {
		line("%s: %s passed", k.Cluster, k.Instance)
	}
	for _, m := range step.Moves {
		note := ""
		if m.Inputs != "i1" {
			note = " with " + m.Inputs
		}
		line("%s: %s moves to %s%s", m.Cluster, m.Instance, m.Revision, note)
	}
}

// rest logs what was done at this time, and what came of it.
func (w *world) rest(step Step) {
	lines := w.deeds
	w.deeds = nil
	line := func(format string, args ...any) { lines = append(lines, "    "+fmt.Sprintf(format, args...)) }
	differs := func(key, value string) bool {
		defer func() { w.seen[key] = value }()
		return w.seen[key] != value
	}
	for _, c := range step.Clusters {
		was := string(c.State) + string(c.Reason)
		if differs("cluster "+c.Cluster, was) && c.State != ClusterReady && c.Reason != ReasonWaitsForGroup && c.Reason != ReasonConcurrency {
			line("%s: %s, %s: %s", c.Cluster, c.State, c.Reason, dateless(c.Message))
		}
	}
	for _, g := range step.Groups {
		text := fmt.Sprintf("%s, %d of %d updated, %d ready", g.State, g.Updated, g.Total, g.Ready)
		for _, n := range []struct {
			count int
			name  string
		}{{g.InFlight, "in flight"}, {g.Failed, "failed"}, {g.Skipped, "skipped"}} {
			if n.count > 0 {
				text += fmt.Sprintf(", %d %s", n.count, n.name)
			}
		}
		if differs("group "+g.Group.String(), text) {
			line("group %s: %s", g.Group, text)
		}
	}
	if q := step.Question; q != nil && differs("question", q.PlanHash) {
		line("asks: %s", q.Message)
	} else if q == nil {
		w.seen["question"] = ""
	}
	phase := string(step.Phase) + ": " + dateless(step.Message)
	if differs("phase", phase) || len(lines) > 0 {
		fmt.Fprintf(&w.log, "%s %s\n%s", w.clock(), phase, strings.Join(append(lines, ""), "\n"))
	}
}

func dateless(message string) string {
	return strings.ReplaceAll(message, noon.Format("2006-01-02T"), "")
}

func (w *world) clock() string { return w.now.Sub(noon).String() }
