package rollout

import (
	"cmp"
	"slices"
	"time"
)

// oracle holds every step against what must always be so. It derives that from
// what the world knows, and from the words of the documentation, not from Next.
type oracle struct {
	w *world
	// approved questions.
	approved map[asked]bool
	// open is since when, in all steps, all gates of a target were open.
	open map[Key]opening
}

// opening of the gates, for one assignment.
type opening struct {
	of    string
	since time.Time
}

func newOracle(w *world) *oracle {
	return &oracle{w: w, approved: map[asked]bool{}, open: map[Key]opening{}}
}

func (o *oracle) check(in Input, step Step) {
	t := o.w.t
	stored := step.Record == in.Record && len(step.Instances) == 0
	if !stored && len(step.Moves) > 0 {
		t.Fatalf("%s: something is to be remembered, and clusters move at once: %+v", in.Now, step)
	}
	if in.Paused != "" && len(step.Moves) > 0 {
		t.Fatalf("%s: paused, and clusters move", in.Now)
	}
	if len(step.Clusters) != len(in.Clusters) {
		t.Fatalf("%s: %d clusters, and %d have a state", in.Now, len(in.Clusters), len(step.Clusters))
	}
	for _, c := range step.Clusters {
		if c.State != ClusterReady && c.State != ClusterMoving && (c.Reason == "" || c.Message == "") {
			t.Fatalf("%s: %+v has no reason", in.Now, c)
		}
	}
	o.concurrency(in, step)
	o.samples(in, step)
	o.direction(in, step)
	o.people(in, step)
}

// concurrency: after a move no more clusters of its group are in flight than may.
func (o *oracle) concurrency(in Input, step Step) {
	if len(step.Moves) == 0 {
		return
	}
	moved := map[string]bool{}
	for _, m := range step.Moves {
		moved[m.Cluster] = true
	}
	size, flying, some := map[GroupID]int{}, map[GroupID]int{}, map[GroupID]bool{}
	for i, c := range step.Clusters {
		size[c.Group]++
		some[c.Group] = some[c.Group] || moved[c.Cluster]
		if moved[c.Cluster] || c.State == ClusterInFlight || c.State == ClusterSoaking {
			flying[c.Group]++
		}
		if moved[c.Cluster] {
			at := slices.IndexFunc(in.Clusters, func(other Cluster) bool { return other.Name == c.Cluster })
			if cluster := in.Clusters[at]; !cluster.Reachable || cluster.Suspended != "" || cluster.Maintenance != "" {
				o.w.t.Fatalf("%s: %s is moved, which nobody can: %+v", in.Now, c.Cluster, step.Clusters[i])
			}
		}
	}
	for id, n := range flying {
		limit := size[id]
		if in.Strategy.Kind == ByGroup && in.Strategy.MaxConcurrency != (Amount{}) {
			limit = in.Strategy.MaxConcurrency.Value
			if in.Strategy.MaxConcurrency.Percent {
				limit = limit * size[id] / 100
			}
			limit = max(limit, 1)
		}
		if some[id] && n > limit {
			o.w.t.Fatalf("%s: %d clusters of group %s in flight, and %d may be:\n%s", in.Now, n, id, limit, o.w.log.String())
		}
	}
}

// samples: what passes is fresh, open and reachable, and has been so for the soak.
func (o *oracle) samples(in Input, step Step) {
	gates := in.Strategy.Gates
	for k, target := range o.w.targets {
		c, instance := o.w.clusters[k.Cluster], o.w.instances[k.Instance]
		if instance == nil {
			continue // it is leaving
		}
		open := func(asked bool, g Gate) bool { return !asked || g.Open && g.Of == target.Current }
		healthy := open(true, target.Gates.Ready) && open(gates.Health, target.Gates.Health) && c.Reachable
		if slices.Contains(step.Passed, k) && (!healthy || target.Moved.After(target.applied)) {
			o.w.t.Fatalf("%s: %v passes, with %+v", in.Now, k, target)
		}
		all := healthy && open(gates.Expressions, target.Gates.Expressions) && open(gates.Drift, target.Gates.Drift)
		if !all {
			delete(o.open, k)
		} else if o.open[k].of != target.Current {
			o.open[k] = opening{target.Current, in.Now}
		}
		forward := target.Revision == instance.Wanted && instance.Good != instance.Wanted && instance.Pinned == ""
		soaked := in.Strategy.Kind == All || in.Now.Sub(latest(o.open[k].since, c.Since)) >= in.Strategy.MinSuccessTime
		if slices.Contains(step.Passed, k) && forward && (!all || !soaked) {
			o.w.t.Fatalf("%s: %v passes, and has not soaked, open since %s: %+v", in.Now, k, o.open[k].since, target)
		}
	}
}

// direction: a cluster gets what is wanted, or what somebody ordered, or what was
// good before something was rejected; and nothing that is rejected.
func (o *oracle) direction(in Input, step Step) {
	for _, m := range step.Moves {
		i := o.w.instances[m.Instance]
		rejected := i.Rejected == i.Wanted && !i.RejectedAt.Before(in.Retry)
		switch {
		case i.Pinned != "" && i.Pinned != i.Wanted:
			if m.Revision != i.Pinned {
				o.w.t.Fatalf("%s: %+v, and %s is pinned", in.Now, m, i.Pinned)
			}
		case rejected && i.Good != "":
			if m.Revision != i.Good {
				o.w.t.Fatalf("%s: %+v, and %s is rejected and %s good", in.Now, m, i.Rejected, i.Good)
			}
		case m.Revision != i.Wanted:
			o.w.t.Fatalf("%s: %+v, and %s is wanted", in.Now, m, i.Wanted)
		}
	}
}

// people: no cluster gets another revision in a group that the rollout is at, and
// before which people are asked, unless they approved that.
func (o *oracle) people(in Input, step Step) {
	for _, m := range step.Moves {
		i := o.w.instances[m.Instance]
		at, _ := slices.BinarySearchFunc(step.Clusters, m.Cluster, func(c ClusterStep, name string) int { return cmp.Compare(c.Cluster, name) })
		group, target := step.Clusters[at].Group, o.w.targets[m.Key]
		if target == nil || target.Revision == m.Revision || m.Revision != i.Wanted || in.Record.Group != group || in.Record.Succeeded {
			continue
		}
		if slices.Contains(in.Strategy.ApprovalBefore, group.Name) && !o.approved[asked{in.Record.Plan, group}] {
			o.w.t.Fatalf("%s: %+v, and nobody approved that:\n%s", in.Now, m, o.w.log.String())
		}
	}
}

// asked is what was put before a group, in the rollout of a plan.
type asked struct {
	plan  string
	group GroupID
}
