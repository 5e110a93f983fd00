package rollout

import "fmt"

// count sums up each group before anything is moved.
func (p *planner) count() {
	for i := range p.groups {
		g := &p.groups[i]
		for _, m := range g.members {
			u := &p.units[m]
			g.states[u.fore.state]++
			if u.fore.behind {
				g.behind++
			}
			switch {
			case u.back.state.inFlight() || u.fore.state.inFlight():
				u.flight = arriving
				g.flying++
			case u.back.leaves() || u.fore.leaves():
				u.flight = superseded
				g.superseded++
			}
		}
	}
}

// rollback moves instances that return: to what was good before the revision that
// was rejected, or to what somebody ordered. There is no order of groups, nothing
// soaks and nobody is asked, for the clusters go back to what is known; and a
// cluster that fails stops no other one, for it is worse to stay. It says whether
// that is under way: nothing goes forward meanwhile.
func (p *planner) rollback() (backing bool) {
	for i := range p.units {
		switch s := p.units[i].back.state; s {
		case movable, flying:
			backing = true
		case absent, done, soaking, fallen, stalled, failed, waiting, skipped:
		}
	}
	reason, message := p.mayNotMove()
	for i := range p.groups {
		p.move(&p.groups[i], true, reason, message)
	}
	p.remember(backing)
	return backing
}

// mayNotMove says why nothing may move at all.
func (p *planner) mayNotMove() (Reason, string) {
	switch {
	case p.Paused != "":
		return ReasonPaused, p.Paused
	case !p.stored():
		return ReasonStoring, "what was decided is stored first"
	default:
		return "", ""
	}
}

// remember that what somebody ordered is good, once all clusters have it.
func (p *planner) remember(backing bool) {
	reached := 0
	for i := range p.units {
		switch p.units[i].back.state {
		case done:
			reached++
		case failed, waiting, stalled:
			return
		case absent, soaking, fallen, flying, movable, skipped:
		}
	}
	if backing || reached == 0 {
		return
	}
	for _, w := range p.instances {
		if w.back && w.Good != w.revision {
			p.learn(w, History{Good: w.revision, Rejected: w.Rejected, RejectedAt: w.RejectedAt})
		}
	}
}

// learn is a new history of an instance.
func (p *planner) learn(w wanted, h History) {
	for i := range p.step.Instances {
		if r := &p.step.Instances[i]; r.Instance == w.Name {
			r.Good = h.Good
			return
		}
	}
	p.step.Instances = append(p.step.Instances, Remember{Instance: w.Name, History: h})
}

// move moves as many clusters of a group as its limit allows, unless there is a
// reason why none may. Those in flight already go first, for they are so no more
// than before. The others go by name (OCM), if those in flight leave room.
func (p *planner) move(g *group, back bool, reason Reason, message string) {
	for _, turn := range [...]flight{arriving, superseded, resting} {
		for _, m := range g.members {
			u := &p.units[m]
			if u.of(back).state != movable || u.flight != turn || u.moving {
				continue
			}
			switch {
			case reason != "":
				u.held, u.because = reason, message
			case !g.room(u, back):
				u.held, u.because = ReasonConcurrency, fmt.Sprintf("%d of the group's clusters are in flight, and %d may be", g.flying+g.superseded, g.limit)
			default:
				p.send(u, back)
			}
		}
	}
}

// room says whether a cluster may move. What returns does not wait for those that
// go forward after it.
func (g *group) room(u *unit, back bool) bool {
	switch {
	case u.flight == arriving:
		return g.flying <= g.limit
	case u.flight == superseded || back:
		return g.flying < g.limit
	default:
		return g.flying+g.superseded < g.limit
	}
}

// of is where a cluster stands with the instances that return, or the others.
func (u *unit) of(back bool) *judgement {
	if back {
		return &u.back
	}
	return &u.fore
}

// send moves all instances that a cluster has not got yet.
func (p *planner) send(u *unit, back bool) {
	g := &p.groups[u.group]
	switch u.flight {
	case arriving:
	case superseded:
		g.superseded--
		g.flying++
	case resting:
		g.flying++
	}
	u.moving, u.flight = true, arriving
	for k, w := range p.instances {
		if w.back != back || !p.here(u, k) {
			continue
		}
		t := u.targets[k]
		if t == nil || t.Revision != w.revision || p.stale(u, t) {
			p.step.Moves = append(p.step.Moves, Move{Key: Key{Cluster: u.Name, Instance: w.Name}, Assignment: Assignment{Revision: w.revision, Inputs: u.Inputs}})
		}
	}
}
