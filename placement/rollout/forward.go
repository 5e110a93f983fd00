package rollout

import (
	"fmt"
	"slices"
)

// forward moves the instances that do not return, group by group:
//
//	not entered ──(approved, where people are asked)──► entered ──► passed
//
// A group passes when every cluster of it has what is wanted and has soaked,
// failed within the tolerance, or is skipped. From then on late comers wait for
// nothing in it. A rollout that passed all groups has succeeded, and from then on
// stops for nothing: a cluster that joins later is not kept from what is good
// everywhere else by one that broke.
func (p *planner) forward(backing bool) {
	if !slices.ContainsFunc(p.instances, func(w wanted) bool { return !w.back }) {
		p.reached = len(p.groups)
		return
	}
	stopped := p.stopped()
	if stopped != "" && p.Paused == "" && !backing && p.Strategy.OnFailure == Rollback && p.reject() {
		p.step.Phase, p.step.Message = RollingBack, stopped
	}
	rec := p.step.Record
	at := p.advance(&rec)
	p.reached = at
	if at < len(p.groups) && rec.Entered {
		p.reached++
	}
	reason, message := p.mayNotMove()
	switch {
	case reason != "":
	case backing:
		reason, message = ReasonRollingBack, "what goes back is moved first"
	case stopped != "":
		reason, message = ReasonTooManyFailures, stopped
	}
	if p.Paused == "" && !backing && stopped == "" {
		p.step.Record = rec
		if rec.Succeeded {
			p.good()
		}
		reason, message = p.mayNotMove()
	}
	for i := range p.groups {
		g := &p.groups[i]
		switch {
		case reason != "" || p.entered(i):
			p.move(g, false, reason, message)
		default:
			p.wait(i, i == at)
		}
	}
}

// entered says whether the clusters of a group may move.
func (p *planner) entered(i int) bool { return i < p.reached }

// stopped says why the rollout does not go on; empty if it does.
func (p *planner) stopped() string {
	if p.step.Record.Succeeded {
		return ""
	}
	for i := range p.groups {
		if g := &p.groups[i]; g.states[failed] > g.tolerance {
			var names []string
			for _, m := range g.members {
				if p.units[m].fore.state == failed {
					names = append(names, p.units[m].Name)
				}
			}
			return listed(fmt.Sprintf("%d failed in group %s, and %d may: %s", len(names), g.id, g.tolerance, named(names)), p.noReturn())
		}
	}
	return ""
}

// noReturn says why what failed is not rolled back although it should be; empty if
// it is, or should not.
func (p *planner) noReturn() string {
	if p.Strategy.OnFailure != Rollback || slices.ContainsFunc(p.instances, wanted.returns) {
		return ""
	}
	for _, w := range p.instances {
		if !w.back && w.Lost != "" {
			return w.Lost
		}
	}
	return nothingGood
}

// returns says whether there is something good to go back to.
func (w wanted) returns() bool { return !w.back && w.Good != "" && w.Good != w.revision }

// reject the revisions that are being rolled out, if there is something good to
// return to. A Distribution's instances move together, and return so.
func (p *planner) reject() bool {
	rejected := false
	for _, w := range p.instances {
		if w.returns() {
			p.step.Instances = slices.DeleteFunc(p.step.Instances, func(r Remember) bool { return r.Instance == w.Name })
			p.step.Instances = append(p.step.Instances, Remember{Instance: w.Name, History: History{Good: w.Good, Rejected: w.revision, RejectedAt: p.Now}})
			rejected = true
		}
	}
	return rejected
}

// good are the revisions with which all groups have passed.
func (p *planner) good() {
	for _, w := range p.instances {
		if !w.back && w.Good != w.revision {
			p.learn(w, History{Good: w.revision})
		}
	}
}

// advance goes on in the record as far as groups have passed, and finds the group
// that the rollout is at; len(p.groups) when all have passed.
func (p *planner) advance(rec *Record) int {
	if rec.Succeeded {
		return len(p.groups)
	}
	at := 0
	if *rec != (Record{Plan: rec.Plan, Started: rec.Started}) {
		reached := newGrouping(&p.Strategy).rank(rec.Group)
		at = slices.IndexFunc(p.groups, func(g group) bool { return g.rank.compare(reached) >= 0 })
		if at < 0 {
			at = len(p.groups)
		}
	}
	reached := 0
	for i := range p.groups {
		reached += p.groups[i].states[done] + p.groups[i].states[fallen]
	}
	for ; at < len(p.groups); at++ {
		g := &p.groups[at]
		if g.id != rec.Group {
			rec.Group, rec.Entered = g.id, false
		}
		if !rec.Entered && !p.allowed(g) {
			return at
		}
		if !rec.Entered && p.unready(at) != "" {
			return at
		}
		rec.Entered = true
		if !g.complete() {
			return at
		}
	}
	// Nothing has been learnt while no cluster was reached, and not all while others
	// may come.
	rec.Succeeded = reached > 0 && p.Undecided == ""
	return at
}

// unready is a cluster before a group that passed in this rollout and is not ready
// any more, where that is more than may fail. Whether it recovers or fails is
// waited for before the next group is entered. (That all are ready at once is not
// asked for: among thousands some cluster always is not.)
func (p *planner) unready(at int) string {
	for i := range at {
		g := &p.groups[i]
		if g.states[fallen] == 0 || g.states[fallen]+g.states[failed] <= g.tolerance {
			continue
		}
		first := slices.IndexFunc(g.members, func(m int) bool { return p.units[m].fore.state == fallen })
		return p.units[g.members[first]].Name
	}
	return ""
}

// complete says whether nothing is to be waited for in a group.
func (g *group) complete() bool {
	return g.states[movable]+g.states[waiting]+g.states[flying]+g.states[stalled]+g.states[soaking] == 0 && g.states[failed] <= g.tolerance
}

// allowed says whether the clusters of a group may move, and puts the question. It
// stands until it is stored that the group was entered, lest the answer is lost.
func (p *planner) allowed(g *group) bool {
	if !g.approval || g.behind == 0 {
		return true
	}
	words := []string{g.id.String()}
	for _, w := range p.instances {
		if !w.back {
			words = append(words, w.Name, w.revision)
		}
	}
	clusters := make([]string, 0, len(g.members))
	for _, m := range g.members {
		clusters = append(clusters, p.units[m].Name)
		words = append(words, p.units[m].Name)
		if p.Strategy.InputChanges != InputsImmediate {
			words = append(words, p.units[m].Inputs)
		}
	}
	hash := planHash("rollout", words)
	p.step.Question = &Question{PlanHash: hash, Group: g.id, Clusters: clusters,
		Message: fmt.Sprintf("go on with group %s (%s)?", g.id, named(clusters))}
	return p.answer().Verdict == Approved
}

// answer to the question; the zero value where there is none.
func (p *planner) answer() Approval {
	q := p.step.Question
	if q == nil {
		return Approval{}
	}
	i := slices.IndexFunc(p.Approvals, func(a Approval) bool { return a.PlanHash == q.PlanHash })
	if i < 0 {
		return Approval{}
	}
	return p.Approvals[i]
}

// asked says whether people are asked about a group, and have not approved it.
func (p *planner) asked(g *group) bool {
	return p.step.Question != nil && p.step.Question.Group == g.id && p.answer().Verdict != Approved
}

// wait holds the clusters of a group that is not entered, but for those that join
// and are to have the instances at once.
func (p *planner) wait(i int, next bool) {
	g := &p.groups[i]
	reason, message := ReasonWaitsForGroup, "the groups before it have not passed"
	switch name := p.unready(i); {
	case p.asked(g) && p.answer().Verdict == Rejected:
		reason, message = ReasonApprovalRejected, p.answer().By+" rejected to go on with group "+g.id.String()
	case p.asked(g):
		reason, message = ReasonNeedsApproval, "group "+g.id.String()+" waits for approval"
	case next && name != "":
		message = name + " had passed and is not ready any more"
	}
	for _, m := range g.members {
		u := &p.units[m]
		if u.fore.state != movable || u.moving {
			continue
		}
		joins := !slices.ContainsFunc(u.targets, func(t *Target) bool { return t != nil })
		if joins && p.Strategy.LateJoiners == Immediately {
			if g.room(u, false) {
				p.send(u, false)
				continue
			}
			u.held, u.because = ReasonConcurrency, "as many clusters of its group are in flight as may be"
			continue
		}
		u.held, u.because = reason, message
	}
}
