package rollout

import (
	"fmt"
	"math/rand"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// fleet of n targets c0, c1, …, all reachable and placed.
func fleet(n int, change ...func(*RemovalTarget)) []RemovalTarget {
	targets := make([]RemovalTarget, n)
	for i := range targets {
		targets[i] = RemovalTarget{Cluster: fmt.Sprintf("c%d", i), Reachable: true}
		if i < len(change) && change[i] != nil {
			change[i](&targets[i])
		}
	}
	return targets
}

func left(ago time.Duration) func(*RemovalTarget) {
	return func(t *RemovalTarget) { t.LeavingSince = noon.Add(-ago) }
}

func both(changes ...func(*RemovalTarget)) func(*RemovalTarget) {
	return func(t *RemovalTarget) {
		for _, change := range changes {
			change(t)
		}
	}
}

func deleting(t *RemovalTarget)    { t.Deleting = true }
func unreachable(t *RemovalTarget) { t.Reachable = false }
func approved(hash string) func(*RemovalTarget) {
	return func(t *RemovalTarget) { t.Approved = hash }
}

// names from c<first> up to c<last>.
func names(first, last int) []string {
	var names []string
	for i := first; i <= last; i++ {
		names = append(names, fmt.Sprintf("c%d", i))
	}
	return names
}

func waitsFor(reason RemovalReason, clusters ...string) []Waiting {
	var all []Waiting
	for _, cluster := range clusters {
		all = append(all, Waiting{Cluster: cluster, Reason: reason})
	}
	return all
}

func TestRemovals(t *testing.T) {
	policy := RemovalPolicy{GracePeriod: time.Minute, MaxPercent: 30}
	long := left(time.Hour)
	ask := func(clusters ...string) *Question {
		return &Question{PlanHash: planHash("delete", clusters), Clusters: clusters}
	}
	for name, test := range map[string]struct {
		in   RemovalInput
		want RemovalPlan
	}{
		"nobody leaves": {
			in: RemovalInput{Decided: true, Clusters: names(0, 9), Targets: fleet(10)},
		},
		"an undecided placement removes nothing, marks nothing and unmarks nothing": {
			in:   RemovalInput{Targets: fleet(3, long), Clusters: names(0, 0)},
			want: RemovalPlan{Waiting: waitsFor(PlacementUndecided, "c0")},
		},
		"a cluster that left is marked, and waits for the grace period": {
			in: RemovalInput{Decided: true, Clusters: names(1, 9), Targets: fleet(10)},
			want: RemovalPlan{Mark: names(0, 0), Waiting: waitsFor(InGracePeriod, "c0"),
				RecheckAt: noon.Add(time.Minute)},
		},
		"without a grace period the mark is stored first all the same": {
			in: RemovalInput{Decided: true, Clusters: names(1, 9), Targets: fleet(10), Policy: RemovalPolicy{MaxPercent: 30}},
			want: RemovalPlan{Mark: names(0, 0), Waiting: waitsFor(InGracePeriod, "c0"),
				RecheckAt: noon},
		},
		"the grace period counts from the stored mark": {
			in:   RemovalInput{Decided: true, Clusters: names(2, 9), Targets: fleet(10, left(59*time.Second), left(time.Minute))},
			want: RemovalPlan{Remove: names(1, 1), Waiting: waitsFor(InGracePeriod, "c0"), RecheckAt: noon.Add(time.Second)},
		},
		"a mark of the future is stamped anew": {
			in: RemovalInput{Decided: true, Clusters: names(1, 9), Targets: fleet(10, left(-time.Hour))},
			want: RemovalPlan{Mark: names(0, 0), Waiting: waitsFor(InGracePeriod, "c0"),
				RecheckAt: noon.Add(time.Minute)},
		},
		"one that returns is unmarked, and its approval is forgotten with it": {
			in:   RemovalInput{Decided: true, Clusters: names(0, 9), Targets: fleet(10, both(long, approved("delete-x")))},
			want: RemovalPlan{Unmark: names(0, 0)},
		},
		"a single cluster moves unasked": {
			in:   RemovalInput{Decided: true, Clusters: []string{"other"}, Targets: fleet(1, long)},
			want: RemovalPlan{Remove: names(0, 0)},
		},
		"a decision that empties is held": {
			in:   RemovalInput{Decided: true, Targets: fleet(1, long)},
			want: RemovalPlan{Question: ask("c0"), Waiting: waitsFor(NeedsApproval, "c0")},
		},
		"and held even if all may leave at a time": {
			in:   RemovalInput{Decided: true, Targets: fleet(2, long, long), Policy: RemovalPolicy{MaxPercent: 100}},
			want: RemovalPlan{Question: ask("c0", "c1"), Waiting: waitsFor(NeedsApproval, "c0", "c1")},
		},
		"what it placed nowhere empties nothing": {
			in: RemovalInput{Decided: true},
		},
		"as many as may leave do": {
			in:   RemovalInput{Decided: true, Clusters: names(3, 9), Targets: fleet(10, long, long, long)},
			want: RemovalPlan{Remove: names(0, 2)},
		},
		"one more is too many, and none leaves": {
			in:   RemovalInput{Decided: true, Clusters: names(4, 9), Targets: fleet(10, long, long, long, long)},
			want: RemovalPlan{Question: ask(names(0, 3)...), Waiting: waitsFor(NeedsApproval, names(0, 3)...)},
		},
		"the question is put while the grace period runs": {
			in: RemovalInput{Decided: true, Clusters: names(4, 9), Targets: fleet(10, long)},
			want: RemovalPlan{Mark: names(1, 3), Question: ask(names(0, 3)...),
				Waiting: waitsFor(NeedsApproval, names(0, 3)...)},
		},
		"the share is rounded down": {
			in:   RemovalInput{Decided: true, Clusters: names(2, 5), Targets: fleet(6, long, long)},
			want: RemovalPlan{Question: ask("c0", "c1"), Waiting: waitsFor(NeedsApproval, "c0", "c1")},
		},
		"one in teardown counts": {
			in: RemovalInput{Decided: true, Clusters: names(4, 9), Targets: fleet(10, both(long, deleting), long, long, long)},
			// c0 is not in the question: nothing can be decided about it any more.
			want: RemovalPlan{Question: ask("c1", "c2", "c3"), Waiting: waitsFor(NeedsApproval, "c1", "c2", "c3")},
		},
		"one in teardown counts although its cluster is wanted again": {
			in:   RemovalInput{Decided: true, Clusters: []string{"c0", "c4", "c5", "c6", "c7", "c8", "c9"}, Targets: fleet(10, deleting, long, long, long)},
			want: RemovalPlan{Question: ask("c1", "c2", "c3"), Waiting: waitsFor(NeedsApproval, "c1", "c2", "c3")},
		},
		"one in teardown takes room": {
			in:   RemovalInput{Decided: true, Clusters: names(3, 9), Targets: fleet(10, both(long, deleting), long, long)},
			want: RemovalPlan{Remove: names(1, 2)},
		},
		"one out of reach is kept, and counts as leaving": {
			in: RemovalInput{Decided: true, Clusters: names(4, 9), Targets: fleet(10, both(long, unreachable), long, long, long)},
			want: RemovalPlan{Question: ask(names(0, 3)...),
				Waiting: waitsFor(NeedsApproval, names(0, 3)...)},
		},
		"one out of reach takes no room": {
			in:   RemovalInput{Decided: true, Clusters: names(2, 5), Targets: fleet(6, both(long, unreachable, approved("delete-x")), both(long, approved("delete-x")))},
			want: RemovalPlan{Remove: names(1, 1), Waiting: waitsFor(ClusterUnreachable, "c0")},
		},
		"nor does one that got out of reach in teardown": {
			in: RemovalInput{Decided: true, Clusters: names(2, 5), Targets: fleet(6, both(long, unreachable, deleting, approved("delete-x")),
				both(long, approved("delete-x")))},
			want: RemovalPlan{Remove: names(1, 1)},
		},
		"those out of reach are removed in batches too where they are to be": {
			in: RemovalInput{Decided: true, Clusters: names(3, 5), Policy: RemovalPolicy{MaxPercent: 30, RemoveUnreachable: true},
				Targets: fleet(6, both(long, unreachable, approved("delete-x")), both(left(2*time.Hour), unreachable, approved("delete-x")), both(long, approved("delete-x")))},
			want: RemovalPlan{Remove: names(1, 1), Waiting: waitsFor(OthersInTeardown, "c0", "c2")},
		},
		"and take room there": {
			in: RemovalInput{Decided: true, Clusters: names(2, 5), Policy: RemovalPolicy{MaxPercent: 30, RemoveUnreachable: true},
				Targets: fleet(6, both(long, unreachable, deleting), both(long, approved("delete-x")))},
			want: RemovalPlan{Waiting: waitsFor(OthersInTeardown, "c1")},
		},
		"with 0 percent every removal is held": {
			in:   RemovalInput{Decided: true, Clusters: names(1, 99), Targets: fleet(100, long), Policy: RemovalPolicy{GracePeriod: time.Minute}},
			want: RemovalPlan{Question: ask("c0"), Waiting: waitsFor(NeedsApproval, "c0")},
		},
		"an approval is stored before anything is removed": {
			in: RemovalInput{Decided: true, Targets: fleet(2, long, both(long, approved(planHash("delete", names(0, 1))))),
				Approval: Approval{PlanHash: planHash("delete", names(0, 1)), Verdict: Approved}},
			want: RemovalPlan{Approve: names(0, 0), Question: ask("c0", "c1"),
				Waiting: []Waiting{{Cluster: "c0", Reason: NeedsApproval}, {Cluster: "c1", Reason: OthersInTeardown}}},
		},
		"what is approved goes in batches, the first to leave first": {
			in: RemovalInput{Decided: true, Targets: fleet(4, both(long, approved("delete-x")), both(left(3*time.Hour), approved("delete-x")),
				both(left(2*time.Hour), approved("delete-x")), both(long, approved("delete-x"))), Policy: RemovalPolicy{MaxPercent: 50}},
			want: RemovalPlan{Remove: []string{"c1", "c2"}, Waiting: waitsFor(OthersInTeardown, "c0", "c3")},
		},
		"one at a time with 0 percent": {
			in:   RemovalInput{Decided: true, Targets: fleet(2, both(long, approved("delete-x")), both(long, approved("delete-x"))), Policy: RemovalPolicy{GracePeriod: time.Minute}},
			want: RemovalPlan{Remove: []string{"c0"}, Waiting: waitsFor(OthersInTeardown, "c1")},
		},
		"an approval does not shorten the grace period": {
			in: RemovalInput{Decided: true, Targets: fleet(2, both(left(time.Second), approved("delete-x")), both(long, approved("delete-x")))},
			want: RemovalPlan{Remove: []string{"c1"}, Waiting: waitsFor(InGracePeriod, "c0"),
				RecheckAt: noon.Add(59 * time.Second)},
		},
		"an approval of another plan is none": {
			in:   RemovalInput{Decided: true, Targets: fleet(2, long, long), Approval: Approval{PlanHash: planHash("delete", names(0, 2)), Verdict: Approved}},
			want: RemovalPlan{Question: ask("c0", "c1"), Waiting: waitsFor(NeedsApproval, "c0", "c1")},
		},
		"who may leave objects behind may not delete them": {
			in: RemovalInput{Decided: true, Targets: fleet(2, both(long, approved("orphan-x")), long),
				Approval: Approval{PlanHash: planHash("orphan", names(0, 1)), Verdict: Approved}},
			want: RemovalPlan{Question: ask("c0", "c1"), Waiting: waitsFor(NeedsApproval, "c0", "c1")},
		},
		"one that leaves after the approval is asked for by itself": {
			in:   RemovalInput{Decided: true, Targets: fleet(3, both(long, approved("delete-x")), both(long, approved("delete-x"), deleting), long)},
			want: RemovalPlan{Question: ask("c2"), Waiting: []Waiting{{Cluster: "c0", Reason: OthersInTeardown}, {Cluster: "c2", Reason: NeedsApproval}}},
		},
		"what is rejected stays": {
			in:   RemovalInput{Decided: true, Targets: fleet(2, long, long), Approval: Approval{PlanHash: planHash("delete", names(0, 1)), Verdict: Rejected, By: "ada"}},
			want: RemovalPlan{Question: ask("c0", "c1"), Waiting: waitsFor(ApprovalRejected, "c0", "c1")},
		},
		"what is rejected stays even when it is no longer too much": {
			in:   RemovalInput{Decided: true, Clusters: names(1, 9), Targets: fleet(10, long), Approval: Approval{PlanHash: planHash("delete", names(0, 0)), Verdict: Rejected, By: "ada"}},
			want: RemovalPlan{Question: ask("c0"), Waiting: waitsFor(ApprovalRejected, "c0")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.in.Now = noon
			if test.in.Policy == (RemovalPolicy{}) {
				test.in.Policy = policy
			}
			got := Removals(test.in)
			if diff := cmp.Diff(test.want, got, cmpopts.IgnoreFields(Waiting{}, "Message"), cmpopts.IgnoreFields(Question{}, "Message")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestRemovalsSpeak(t *testing.T) {
	in := RemovalInput{Decided: true, Clusters: names(4, 9), Targets: fleet(10), Policy: RemovalPolicy{MaxPercent: 30}, Now: noon}
	plan := Removals(in)
	if got, want := plan.Question.Message, "remove the instance from c0, c1, c2 and 1 more? 4 of its 10 clusters are going, and 30% may without being asked for"; got != want {
		t.Errorf("question is %q, want %q", got, want)
	}
	in.Approval = Approval{PlanHash: plan.Question.PlanHash, Verdict: Rejected, By: "ada"}
	plan = Removals(in)
	if got, want := plan.Waiting[0].Message, "ada rejected its removal"; got != want {
		t.Errorf("rejected: %q, want %q", got, want)
	}
	if diff := cmp.Diff(names(0, 3), plan.Held()); diff != "" {
		t.Errorf("held (-want +got):\n%s", diff)
	}
	in.Clusters, in.Policy.Orphan = nil, true
	if got, want := Removals(in).Question.Message, "let go of the instance on c0, c1, c2 and 7 more? no cluster is left in its placement"; got != want {
		t.Errorf("question is %q, want %q", got, want)
	}
}

// removalWorld is a hub that stores what Removals asks for, with a caller that may
// die between any two writes, and a fleet that does what it likes.
type removalWorld struct {
	random  *rand.Rand
	in      RemovalInput
	allowed map[string]bool // what people allowed, by cluster, until it returns
}

func newRemovalWorld(seed int64) *removalWorld {
	random := rand.New(rand.NewSource(seed))
	w := &removalWorld{random: random, allowed: map[string]bool{}}
	w.in.Now = noon
	w.in.Targets = fleet(random.Intn(30))
	w.in.Decided = true
	for _, t := range w.in.Targets {
		w.in.Clusters = append(w.in.Clusters, t.Cluster)
	}
	w.in.Policy = RemovalPolicy{GracePeriod: time.Duration(random.Intn(3)) * time.Minute, MaxPercent: random.Intn(5) * 25,
		RemoveUnreachable: random.Intn(4) == 0, Orphan: random.Intn(4) == 0}
	return w
}

// happen changes something.
func (w *removalWorld) happen() {
	w.in.Now = w.in.Now.Add(time.Duration(w.random.Intn(60)) * time.Second)
	w.in.Targets = slices.DeleteFunc(w.in.Targets, func(t RemovalTarget) bool {
		return t.Deleting && t.Reachable && w.random.Intn(3) == 0
	})
	if len(w.in.Targets) == 0 {
		return
	}
	t := &w.in.Targets[w.random.Intn(len(w.in.Targets))]
	switch w.random.Intn(6) {
	case 0:
		t.Reachable = !t.Reachable
	case 1:
		w.in.Decided = w.random.Intn(4) > 0
	case 2: // leaves
		w.in.Clusters = slices.DeleteFunc(w.in.Clusters, func(c string) bool { return c == t.Cluster })
	case 3: // returns
		w.in.Clusters = append(w.in.Clusters, t.Cluster)
	case 4:
		w.in.Clusters = w.in.Clusters[:w.random.Intn(len(w.in.Clusters)+1)]
	}
}

// act is one pass of the caller; it may die after any write.
func (w *removalWorld) act(t *testing.T, dies bool) {
	t.Helper()
	plan := Removals(w.in)
	w.check(t, plan)
	if plan.Question != nil && plan.Question.PlanHash != w.in.Approval.PlanHash {
		w.in.Approval = Approval{PlanHash: plan.Question.PlanHash}
	}
	if plan.Question == nil && w.in.Decided {
		w.in.Approval = Approval{}
	}
	alive := func() bool { return !dies || w.random.Intn(8) > 0 }
	at := func(cluster string) *RemovalTarget {
		return &w.in.Targets[slices.IndexFunc(w.in.Targets, func(t RemovalTarget) bool { return t.Cluster == cluster })]
	}
	for _, c := range plan.Unmark {
		if !alive() {
			return
		}
		delete(w.allowed, c)
		at(c).LeavingSince, at(c).Approved = time.Time{}, ""
	}
	for _, c := range plan.Mark {
		if !alive() {
			return
		}
		at(c).LeavingSince = w.in.Now
	}
	for _, c := range plan.Approve {
		if !alive() {
			return
		}
		at(c).Approved = plan.Question.PlanHash
	}
	for _, c := range plan.Remove {
		if !alive() {
			return
		}
		at(c).Deleting = true
	}
}

// check holds a plan against what must always be so.
func (w *removalWorld) check(t *testing.T, plan RemovalPlan) {
	t.Helper()
	if again := Removals(w.in); !reflect.DeepEqual(plan, again) {
		t.Fatalf("the same input gives another plan:\n%s", cmp.Diff(plan, again))
	}
	shuffled := w.in
	shuffled.Clusters, shuffled.Targets = slices.Clone(w.in.Clusters), slices.Clone(w.in.Targets)
	w.random.Shuffle(len(shuffled.Clusters), func(i, j int) {
		shuffled.Clusters[i], shuffled.Clusters[j] = shuffled.Clusters[j], shuffled.Clusters[i]
	})
	w.random.Shuffle(len(shuffled.Targets), func(i, j int) {
		shuffled.Targets[i], shuffled.Targets[j] = shuffled.Targets[j], shuffled.Targets[i]
	})
	if other := Removals(shuffled); !reflect.DeepEqual(plan, other) {
		t.Fatalf("another order of the input gives another plan:\n%s", cmp.Diff(plan, other))
	}
	if !w.in.Decided && (len(plan.Mark)+len(plan.Unmark)+len(plan.Approve)+len(plan.Remove) > 0 || plan.Question != nil) {
		t.Fatalf("undecided, and yet: %+v", plan)
	}
	allowance, teardown, going := max(1, w.in.Policy.MaxPercent*len(w.in.Targets)/100), 0, 0
	for _, target := range w.in.Targets {
		placed := slices.Contains(w.in.Clusters, target.Cluster)
		removed := slices.Contains(plan.Remove, target.Cluster)
		if target.Deleting || !placed {
			going++
		}
		if (target.Deleting || removed) && (target.Reachable || w.in.Policy.RemoveUnreachable) {
			teardown++
		}
		if !removed {
			continue
		}
		switch {
		case target.Deleting || placed:
			t.Fatalf("%+v is removed, which is placed or in teardown", target)
		case target.LeavingSince.IsZero() || w.in.Now.Before(target.LeavingSince.Add(w.in.Policy.GracePeriod)):
			t.Fatalf("%+v is removed at %s, in its grace period", target, w.in.Now)
		case !target.Reachable && !w.in.Policy.RemoveUnreachable:
			t.Fatalf("%+v is removed, and cannot be reached", target)
		}
	}
	if len(plan.Remove) > 0 && teardown > allowance {
		t.Fatalf("%d in teardown, and %d may be: %+v", teardown, allowance, plan)
	}
	for _, cluster := range plan.Remove {
		if asked := going > allowance || len(w.in.Clusters) == 0 || w.in.Policy.MaxPercent == 0; asked && !w.allowed[cluster] {
			t.Fatalf("%s is removed with %d of %d going, and nobody allowed it", cluster, going, len(w.in.Targets))
		}
	}
	for _, target := range w.in.Targets {
		left := !slices.Contains(w.in.Clusters, target.Cluster)
		waits := slices.ContainsFunc(plan.Waiting, func(w Waiting) bool { return w.Cluster == target.Cluster && w.Message != "" })
		if w.in.Decided && left && !target.Deleting && waits == slices.Contains(plan.Remove, target.Cluster) {
			t.Fatalf("%+v left, and is neither removed nor waits for anything, or both", target)
		}
	}
}

// answer is given by somebody who allows everything, or nothing.
func (w *removalWorld) answer(verdict Verdict) {
	plan := Removals(w.in)
	if plan.Question == nil || plan.Question.PlanHash != w.in.Approval.PlanHash || w.in.Approval.Verdict != Unanswered {
		return
	}
	w.in.Approval.Verdict, w.in.Approval.By = verdict, "ada"
	for _, cluster := range plan.Question.Clusters {
		w.allowed[cluster] = verdict == Approved
	}
}

func TestRemovalsHold(t *testing.T) {
	for seed := range int64(500) {
		w := newRemovalWorld(seed)
		for range 60 {
			w.happen()
			w.act(t, true)
			switch w.random.Intn(8) {
			case 0:
				w.answer(Approved)
			case 1:
				w.answer(Rejected)
			}
		}
		// With nothing changing any more, and everything allowed, all that left are
		// removed as far as they can be reached.
		w.in.Decided = true
		if w.in.Approval.Verdict == Rejected {
			w.in.Approval = Approval{}
		}
		for range 200 {
			w.act(t, false)
			w.answer(Approved)
			w.in.Now = w.in.Now.Add(time.Minute)
			w.in.Targets = slices.DeleteFunc(w.in.Targets, func(t RemovalTarget) bool { return t.Deleting && (t.Reachable || w.in.Policy.RemoveUnreachable) })
		}
		for _, target := range w.in.Targets {
			if !slices.Contains(w.in.Clusters, target.Cluster) && target.Reachable {
				t.Fatalf("seed %d: %+v never leaves: %+v", seed, target, Removals(w.in))
			}
		}
	}
}
