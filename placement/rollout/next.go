package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// planner is one run of Next.
type planner struct {
	Input
	step Step
	// instances by name, and what each is to have now.
	instances []wanted
	units     []unit
	groups    []group
	// reached is how many of the groups have been entered.
	reached int
	recheck earliest
}

// wanted is what one instance is to have on all its clusters.
type wanted struct {
	*Instance
	revision string
	// back: it returns to something that was good, or that somebody ordered.
	back bool
}

// unit is one cluster on its way through Next.
type unit struct {
	*Cluster
	// targets in the order of the instances; nil where there is none.
	targets []*Target
	group   int
	// back is about the instances that return, fore about the others.
	back, fore judgement
	flight     flight
	moving     bool
	// held is why it does not move although it could.
	held    Reason
	because string
}

// flight says whether a cluster takes one of its group's places.
type flight int

const (
	resting flight = iota
	// arriving: it has what is wanted of some instance, and is not ready with it.
	arriving
	// superseded: it is not ready with something that is not wanted any more.
	superseded
)

// Next decides the next step of a rollout.
//
// An instance is wanted at its newest revision. Instances that have been rejected
// or pinned return: they go first, and without groups, gates and approvals, but
// never more clusters at a time than a group may have in flight (rollback.go).
// The others go forward, group by group (forward.go).
func Next(in Input) Step {
	p := &planner{Input: in}
	p.want()
	p.divide()
	p.begin()
	for i := range p.units {
		p.judge(&p.units[i])
	}
	p.count()
	backing := p.rollback()
	p.forward(backing)
	p.report()
	return p.step
}

// PlanOf is the Plan of the Record that Next comes to: one that has another speaks of
// what was wanted before. It follows from the strategy, the instances and Retry alone.
func PlanOf(in Input) string {
	p := &planner{Input: in}
	p.want()
	return p.plan()
}

// nothingGood is why a rollout that fails does not go back.
const nothingGood = "there is nothing good to go back to"

// want finds out what each instance is to have, and forgets rejections that count
// no longer. What was rejected is not tried again, also where there is nothing to
// have in its place.
func (p *planner) want() {
	p.instances = make([]wanted, len(p.Instances))
	for i := range p.Instances {
		p.instances[i].Instance = &p.Instances[i]
	}
	slices.SortFunc(p.instances, func(a, b wanted) int { return cmp.Compare(a.Name, b.Name) })
	for i := range p.instances {
		w := &p.instances[i]
		rejected := w.Rejected != "" && w.Rejected == w.Wanted && !w.RejectedAt.Before(p.Retry)
		if w.Rejected != "" && !rejected {
			p.step.Instances = append(p.step.Instances, Remember{Instance: w.Name, History: History{Good: w.Good}})
		}
		switch {
		case w.Pinned != "" && w.Pinned != w.Wanted:
			w.revision, w.back = w.Pinned, true
		case rejected && w.Good != "":
			w.revision, w.back = w.Good, true
		case rejected:
			w.revision = w.Wanted
			p.Paused = cmp.Or(p.Paused, fmt.Sprintf("%s: %s was rejected, and %s: change it, or retry", w.Name, w.Wanted, cmp.Or(w.Lost, nothingGood)))
		default:
			w.revision = w.Wanted
		}
	}
}

// divide sorts clusters into groups, and targets to clusters.
func (p *planner) divide() {
	clusters := make([]*Cluster, len(p.Clusters))
	for i := range p.Clusters {
		clusters[i] = &p.Clusters[i]
	}
	slices.SortFunc(clusters, func(a, b *Cluster) int { return cmp.Compare(a.Name, b.Name) })
	p.groups = newGroups(&p.Strategy, clusters)

	index := make(map[string]int, len(p.instances))
	for i := range p.instances {
		index[p.instances[i].Name] = i
	}
	at := make(map[string]int, len(clusters))
	p.units = make([]unit, len(clusters))
	slots := make([]*Target, len(clusters)*len(p.instances))
	for i, c := range clusters {
		at[c.Name] = i
		p.units[i] = unit{Cluster: c, targets: slots[i*len(p.instances) : (i+1)*len(p.instances)]}
	}
	for g := range p.groups {
		for _, member := range p.groups[g].members {
			p.units[member].group = g
		}
	}
	for i := range p.Targets {
		t := &p.Targets[i]
		u, placed := at[t.Cluster]
		k, known := index[t.Instance]
		if placed && known {
			p.units[u].targets[k] = t
		}
	}
}

// begin starts the record anew when something else is wanted, or inputs changed
// after it had succeeded.
func (p *planner) begin() {
	p.step.Record = p.Record
	if plan := p.plan(); p.Record.Plan != plan {
		p.step.Record = Record{Plan: plan, Started: p.Now}
	} else if p.Record.Succeeded && p.inputsChanged() {
		p.step.Record = Record{Plan: plan, Started: p.Now}
	}
}

// plan stands for what is wanted and how it is divided.
func (p *planner) plan() string {
	words := []string{string(p.Strategy.Kind), p.Strategy.GroupBy.Label, fmt.Sprint(p.Strategy.GroupBy.Decisions, p.Strategy.Mandatory)}
	words = append(words, p.Strategy.GroupBy.Order...)
	for _, w := range p.instances {
		words = append(words, w.Name, w.revision, fmt.Sprint(w.back))
	}
	return planHash("plan", words)
}

// inputsChanged says whether a cluster has what is wanted but for its inputs. (A
// cluster that has something else is a late comer.)
func (p *planner) inputsChanged() bool {
	return slices.ContainsFunc(p.units, func(u unit) bool {
		changed := false
		for k, t := range u.targets {
			if t == nil || p.instances[k].back {
				continue
			}
			if t.Revision != p.instances[k].revision {
				return false
			}
			changed = changed || p.stale(&u, t)
		}
		return changed
	})
}

// stale says whether a target is evaluated with inputs that have changed, and is
// to move therefore.
func (p *planner) stale(u *unit, t *Target) bool {
	return p.Strategy.InputChanges != InputsImmediate && t.Inputs != u.Inputs
}

// here says whether an instance is placed on a cluster.
func (p *planner) here(u *unit, k int) bool {
	return u.Instances == nil || slices.Contains(u.Instances, p.instances[k].Name)
}

// stored says whether all that has to be remembered already is.
func (p *planner) stored() bool {
	return p.step.Record == p.Record && len(p.step.Instances) == 0
}

// listed joins what people read.
func listed(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "; ")
}
