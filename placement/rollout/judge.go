package rollout

import (
	"fmt"
	"time"
)

// state is where a cluster stands with some of its instances.
type state int

const (
	// absent: none of these instances is placed there.
	absent state = iota
	// done: it has what is wanted, and has passed.
	done
	// soaking: it is ready, but not for long enough.
	soaking
	// fallen: it had passed in this rollout, and is not ready any more.
	fallen
	// flying: it was moved, and is not ready.
	flying
	// stalled: it was moved, and what it waits for is no fault of it.
	stalled
	// failed counts as a failure.
	failed
	// movable: it is to be moved, and can be.
	movable
	// waiting: it is to be moved, and its group waits until it can be.
	waiting
	// skipped: it is to be moved, and nobody waits until it can be.
	skipped
	numberOfStates
)

// inFlight says whether it takes a place.
func (s state) inFlight() bool { return s == soaking || s == flying || s == stalled }

// judgement is what was found about a cluster.
type judgement struct {
	state  state
	reason Reason
	// message says more, for people.
	message string
	// behind: it has something else than what is wanted.
	behind bool
	// superseded: and that had not passed either, so it is in flight already.
	superseded bool
	// ready: all gates are open.
	ready bool
	// soaked is when it will have been ready for long enough.
	soaked time.Time
}

// leaves says whether it is in flight with what it is to leave.
func (j *judgement) leaves() bool { return j.superseded && (j.state == movable || j.state == waiting) }

// judge finds out where a cluster stands.
func (p *planner) judge(u *unit) {
	u.back, u.fore = p.stand(u, true), p.stand(u, false)
}

// stand is where a cluster stands with the instances that return, or the others.
func (p *planner) stand(u *unit, back bool) judgement {
	var j judgement
	some, unpassed := false, false
	teardown := false
	for k := range p.instances {
		if p.instances[k].back != back || !p.here(u, k) {
			continue
		}
		some = true
		t := u.targets[k]
		if t == nil || t.Deleting || t.Revision != p.instances[k].revision || p.stale(u, t) {
			j.behind = true
		}
		teardown = teardown || t != nil && t.Deleting
		unpassed = unpassed || t != nil && !t.passed()
	}
	switch {
	case !some:
		return j
	case j.behind:
		j.superseded = unpassed
		p.hinder(u, &j, teardown)
		return j
	}
	j.state, j.ready = done, true
	for k := range p.instances {
		if p.instances[k].back == back && p.here(u, k) {
			p.worse(&j, p.look(u, u.targets[k], back))
		}
	}
	return j
}

// worse keeps the worse of what was found about targets that are not behind.
func (p *planner) worse(j *judgement, other judgement) {
	ready := j.ready && other.ready
	if other.state > j.state || other.state == soaking && j.state == soaking && other.soaked.After(j.soaked) {
		*j = other
	}
	j.ready = ready
}

// hinder finds out whether a cluster that is behind can be moved.
func (p *planner) hinder(u *unit, j *judgement, teardown bool) {
	switch {
	case u.Suspended != "":
		j.state, j.reason, j.message = skipped, ReasonSuspended, u.Suspended
	case u.Maintenance != "":
		j.state, j.reason, j.message = waiting, ReasonMaintenance, u.Maintenance
	case !u.Reachable:
		j.reason, j.message = ReasonUnreachable, "it cannot be reached"
		switch p.Strategy.Unreachable {
		case Wait:
			j.state = waiting
		case Fail:
			j.state = failed
		default:
			j.state = skipped
		}
	case teardown:
		j.state, j.reason, j.message = waiting, ReasonTeardown, "what was there before is being taken down"
	default:
		j.state = movable
	}
}

// passed says whether it had been ready for long enough since it was moved.
func (t *Target) passed() bool { return !t.Passed.IsZero() }

// look finds out where a target stands that has what is wanted. A sample counts
// only if it is of what the target is now, and only while the cluster can be
// reached.
func (p *planner) look(u *unit, t *Target, back bool) judgement {
	passed := t.passed()
	unreachable := !u.Reachable && p.Strategy.Unreachable != Fail
	switch {
	case passed && (back || p.step.Record.Succeeded || t.Passed.Before(p.step.Record.Started)):
		// It passed in another rollout: what became of it since is no matter of this.
		return judgement{state: done, ready: true}
	case passed && (u.Suspended != "" || u.Maintenance != "" || unreachable):
		return judgement{state: done}
	}
	open, since, message := p.gates(u, t, back)
	soak := p.Strategy.soak()
	if back {
		// What returns to something that was good need not prove itself.
		soak = 0
	}
	since = latest(since, p.note(t, open, soak > 0))
	found := judgement{state: flying, reason: ReasonNotReady, message: message}
	if passed {
		found.state = fallen
	}
	switch {
	case u.Suspended != "":
		return judgement{state: stalled, reason: ReasonSuspended, message: u.Suspended}
	case u.Maintenance != "":
		return judgement{state: stalled, reason: ReasonMaintenance, message: u.Maintenance}
	case t.Failed.Of != "" && t.Failed.Of == t.Current:
		found.reason, found.message = ReasonFailing, t.Failed.Message
		if p.past(latest(t.Failed.Since, p.Retry, u.Since).Add(p.Strategy.FailureGrace)) {
			found.state = failed
		}
		return found
	case !u.Reachable:
		found.reason = ReasonUnreachable
		switch p.Strategy.Unreachable {
		case Fail:
			found.state = failed
			return found
		case Wait:
			found.state = stalled
			return found
		case Skip:
		}
	case open && passed:
		return judgement{state: done, ready: true}
	case open:
		found = p.soak(latest(since, p.known(t.Moved), u.Since).Add(soak))
		if found.state == done {
			p.step.Passed = append(p.step.Passed, Key{Cluster: t.Cluster, Instance: t.Instance})
		}
		found.ready = true
		return found
	}
	begun := latest(t.Moved, u.Since, p.Retry)
	if passed {
		begun = latest(begun, since)
	}
	if deadline := p.Strategy.ProgressDeadline; deadline > 0 && p.past(begun.Add(deadline)) {
		found.state, found.reason = failed, ReasonDeadlineExceeded
		found.message = fmt.Sprintf("not ready within %s: %s", deadline, message)
	}
	return found
}

// note says since when the gates of a target have been as they are, which is to be
// stored if it is new. Without a soak a target passes at once, and its pass says
// as much.
func (p *planner) note(t *Target, open, soaks bool) time.Time {
	before := t.Found
	if before.Since.IsZero() {
		before = Finding{Open: t.passed(), Since: t.Passed}
	}
	switch {
	case open && !before.Open && !t.passed() && !soaks:
		return time.Time{}
	case open == before.Open && !before.Since.After(p.Now):
		return before.Since
	}
	p.step.Found = append(p.step.Found, Found{Key: Key{Cluster: t.Cluster, Instance: t.Instance}, Finding: Finding{Open: open, Since: p.Now}})
	return p.Now
}

// soak finds out whether a target has been ready for long enough.
func (p *planner) soak(end time.Time) judgement {
	if p.past(end) {
		return judgement{state: done}
	}
	return judgement{state: soaking, reason: ReasonSoaking, soaked: end, message: "ready, and soaks until " + end.UTC().Format(time.RFC3339)}
}

// past says whether a point in time is over, and looks again when it will be.
func (p *planner) past(t time.Time) bool {
	if p.Now.Before(t) {
		p.recheck.note(t)
		return false
	}
	return true
}

// gates says whether all gates of a target are open, and since when at the
// earliest; or which is not, and why.
func (p *planner) gates(u *unit, t *Target, back bool) (open bool, since time.Time, message string) {
	if !u.Reachable {
		return false, time.Time{}, "it cannot be reached"
	}
	for _, g := range [...]struct {
		asked bool
		*Gate
		name string
	}{
		{true, &t.Gates.Ready, "ready"},
		{p.Strategy.Gates.Health, &t.Gates.Health, "healthy"},
		{p.Strategy.Gates.Expressions && !back, &t.Gates.Expressions, "as its gate's expressions demand"},
		{p.Strategy.Gates.Drift && !back, &t.Gates.Drift, "within its drift budget"},
	} {
		switch {
		case !g.asked:
		case g.Of == "" || g.Of != t.Current:
			return false, time.Time{}, "it is not known yet whether it is " + g.name
		case !g.Open:
			message := "it is not " + g.name
			if g.Message != "" {
				message = g.Message
			}
			return false, time.Time{}, message
		default:
			since = latest(since, p.known(g.Since))
		}
	}
	return true, since, ""
}

// known is a stored time, which is never one of the future: a clock was wrong.
func (p *planner) known(t time.Time) time.Time {
	if t.After(p.Now) {
		return p.Now
	}
	return t
}

// latest of some points in time.
func latest(times ...time.Time) time.Time {
	var last time.Time
	for _, t := range times {
		if t.After(last) {
			last = t
		}
	}
	return last
}
