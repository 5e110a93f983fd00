package rollout

import (
	"slices"
	"time"
)

// Forecast is how a rollout goes at best: as if every cluster could be reached,
// became ready as soon as it is moved, and stayed so, and as if people approved at
// once.
type Forecast struct {
	// Groups in the order in which they move, those too in which nothing does.
	Groups []GroupForecast
	// Duration from now to the end: nothing makes it shorter.
	Duration time.Duration
	// Phase and Message in which it ends.
	Phase   Phase
	Message string
	// Complete is false where it has so many steps that they were not followed to
	// the end.
	Complete bool
}

// GroupForecast is how one group goes at best.
type GroupForecast struct {
	Group GroupID
	// Total clusters of it.
	Total int
	// Clusters that move, in this order, and Moves how many do at first, and then
	// each time that others have passed.
	Clusters []string
	Moves    []int
	// AtOnce is how many of them are in flight at most.
	AtOnce int
	// Approval is asked for before it.
	Approval bool
	// Begins and Ends are when its first cluster moves, and when it has passed, from
	// now on.
	Begins, Ends time.Duration
}

// maxForecast bounds a Forecast: so many clusters are looked at, each once in a
// step. It is reached by ten thousand clusters that move one by one.
const maxForecast = 4_000_000

// Foresee takes one step after the other, with a clock of its own, and plays
// caller, clusters and people. It says nothing about what is in the way now: Next
// does.
func Foresee(in Input) Forecast { return foresee(in, maxForecast) }

func foresee(in Input, most int) Forecast {
	f := newForesight(in)
	for looked := 0; looked < most; looked += len(f.in.Clusters) + 1 {
		step := Next(f.in)
		f.note(&step)
		if f.carryOut(&step) {
			f.Duration = f.in.Now.Sub(in.Now)
			continue
		}
		if step.RecheckAt.IsZero() {
			f.Phase, f.Message, f.Complete = step.Phase, step.Message, true
			break
		}
		f.in.Now = step.RecheckAt
	}
	return f.Forecast
}

// Wants are the revisions that instances are to have, by their names: the newest,
// unless that was rejected, or somebody ordered another one.
func Wants(in Input) map[string]string {
	p := &planner{Input: in}
	p.want()
	out := make(map[string]string, len(p.instances))
	for _, w := range p.instances {
		out[w.Name] = w.revision
	}
	return out
}

// foresight is a Forecast in the making.
type foresight struct {
	Forecast
	in      Input
	began   time.Time
	targets map[Key]int
	groups  map[GroupID]int
}

// newForesight takes everything for as good as it can be.
func newForesight(in Input) *foresight {
	f := &foresight{in: in, began: in.Now, targets: map[Key]int{}, groups: map[GroupID]int{}}
	f.in.Paused = ""
	f.in.Instances, f.in.Approvals = slices.Clone(in.Instances), slices.Clone(in.Approvals)
	f.in.Clusters = slices.Clone(in.Clusters)
	for i := range f.in.Clusters {
		c := &f.in.Clusters[i]
		c.Reachable, c.Suspended, c.Maintenance = true, "", ""
	}
	// What is being taken down is gone at once.
	f.in.Targets = slices.DeleteFunc(slices.Clone(in.Targets), func(t Target) bool { return t.Deleting })
	for i := range f.in.Targets {
		t := &f.in.Targets[i]
		f.targets[Key{Cluster: t.Cluster, Instance: t.Instance}] = i
		t.ready(in.Now)
	}
	return f
}

// ready opens all gates of a target. One that is open already has been so since
// then.
func (t *Target) ready(now time.Time) {
	const foreseen = "foreseen"
	if t.Current == "" {
		t.Current = foreseen
	}
	t.Failed = Failure{}
	for _, g := range []*Gate{&t.Gates.Ready, &t.Gates.Health, &t.Gates.Expressions, &t.Gates.Drift} {
		if !g.Open || g.Of != t.Current {
			*g = Gate{Of: t.Current, Open: true, Since: now}
		}
	}
}

// note what a step does in each group.
func (f *foresight) note(step *Step) {
	for i := range step.Groups {
		g := &step.Groups[i]
		at, known := f.groups[g.Group]
		if !known {
			at = len(f.Groups)
			f.groups[g.Group] = at
			f.Groups = append(f.Groups, GroupForecast{Group: g.Group, Total: g.Total})
		}
		own := &f.Groups[at]
		own.AtOnce = max(own.AtOnce, g.InFlight)
		if g.State != GroupPassed {
			own.Ends = -1
		} else if own.Ends < 0 {
			own.Ends = f.in.Now.Sub(f.began)
		}
	}
	moves := map[GroupID]int{}
	for _, c := range step.Clusters {
		if c.State != ClusterMoving {
			continue
		}
		own := &f.Groups[f.groups[c.Group]]
		if len(own.Clusters) == 0 {
			own.Begins = f.in.Now.Sub(f.began)
		}
		own.Clusters = append(own.Clusters, c.Cluster)
		moves[c.Group]++
	}
	for group, n := range moves {
		own := &f.Groups[f.groups[group]]
		own.Moves = append(own.Moves, n)
	}
}

// carryOut does what a step says, and says whether there was anything to do.
func (f *foresight) carryOut(step *Step) (done bool) {
	done = step.Record != f.in.Record || len(step.Instances)+len(step.Passed)+len(step.Moves) > 0
	f.in.Record = step.Record
	for _, r := range step.Instances {
		at := slices.IndexFunc(f.in.Instances, func(i Instance) bool { return i.Name == r.Instance })
		f.in.Instances[at].History = r.History
	}
	for _, key := range step.Passed {
		f.in.Targets[f.targets[key]].Passed = f.in.Now
	}
	for _, found := range step.Found {
		f.in.Targets[f.targets[found.Key]].Found = found.Finding // which changes nothing now
	}
	for _, move := range step.Moves {
		at, known := f.targets[move.Key]
		if !known {
			at = len(f.in.Targets)
			f.targets[move.Key] = at
			f.in.Targets = append(f.in.Targets, Target{Cluster: move.Cluster, Instance: move.Instance})
		}
		t := &f.in.Targets[at]
		t.Assignment, t.Moved, t.Passed, t.Found, t.Gates = move.Assignment, f.in.Now, time.Time{}, Finding{}, Gates{}
		t.ready(f.in.Now)
	}
	return f.approve(step.Question) || done
}

// approve gives an answer where there is none, or another one.
func (f *foresight) approve(q *Question) (asked bool) {
	if q == nil {
		return false
	}
	at := slices.IndexFunc(f.in.Approvals, func(a Approval) bool { return a.PlanHash == q.PlanHash })
	if at >= 0 && f.in.Approvals[at].Verdict == Approved {
		return false
	}
	if at >= 0 {
		f.in.Approvals = slices.Delete(f.in.Approvals, at, at+1)
	}
	f.in.Approvals = append(f.in.Approvals, Approval{PlanHash: q.PlanHash, Verdict: Approved})
	f.Groups[f.groups[q.Group]].Approval = true
	return true
}
