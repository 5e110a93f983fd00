package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// report says where everything stands.
func (p *planner) report() {
	byInstance := func(a, b Key) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Instance, b.Instance))
	}
	slices.SortFunc(p.step.Passed, byInstance)
	slices.SortFunc(p.step.Found, func(a, b Found) int { return byInstance(a.Key, b.Key) })
	slices.SortFunc(p.step.Moves, func(a, b Move) int { return byInstance(a.Key, b.Key) })
	slices.SortFunc(p.step.Instances, func(a, b Remember) int { return cmp.Compare(a.Instance, b.Instance) })

	p.step.Clusters = make([]ClusterStep, len(p.units))
	p.step.Groups = make([]GroupStep, len(p.groups))
	for i := range p.groups {
		p.step.Groups[i] = GroupStep{Group: p.groups[i].id, Total: len(p.groups[i].members)}
	}
	for i := range p.units {
		u := &p.units[i]
		p.step.Clusters[i] = p.clusterStep(u)
		p.step.Groups[u.group].add(u, &p.step.Clusters[i])
	}
	for i := range p.groups {
		p.groupState(i)
	}
	p.phase()
	if !p.stored() {
		p.recheck.note(p.Now)
	}
	p.step.RecheckAt = p.recheck.at
}

// whole is where a cluster stands: with the instances that return as long as
// something is to be done about them, else with the others.
func (u *unit) whole() *judgement {
	if b, f := u.back.state, u.fore.state; f == absent || b > done && (f == done || b != failed) {
		return &u.back
	}
	return &u.fore
}

// clusterStep is where a cluster stands.
func (p *planner) clusterStep(u *unit) ClusterStep {
	j := u.whole()
	step := ClusterStep{Cluster: u.Name, Group: p.groups[u.group].id, Reason: j.reason, Message: j.message}
	switch j.state {
	case absent, done:
		step.State = ClusterReady
	case soaking:
		step.State = ClusterSoaking
	case fallen:
		step.State = ClusterUnready
	case flying, stalled:
		step.State = ClusterInFlight
	case failed:
		step.State = ClusterFailed
	case waiting:
		step.State = ClusterHeld
	case skipped:
		step.State = ClusterSkipped
	case movable:
		step.State, step.Reason, step.Message = ClusterHeld, u.held, u.because
	}
	if u.moving {
		step.State, step.Reason, step.Message = ClusterMoving, "", ""
	}
	return step
}

// add counts a cluster.
func (g *GroupStep) add(u *unit, c *ClusterStep) {
	j := u.whole()
	switch c.State {
	case ClusterMoving, ClusterInFlight, ClusterSoaking:
		g.InFlight++
	case ClusterFailed:
		g.Failed++
	case ClusterSkipped:
		g.Skipped++
	case ClusterHeld, ClusterUnready, ClusterReady:
	}
	if !j.behind && !u.back.behind && !u.fore.behind {
		g.Updated++
		if (u.back.state == absent || u.back.ready) && (u.fore.state == absent || u.fore.ready) {
			g.Ready++
		}
	}
	if c.State == ClusterSoaking && j.soaked.After(g.SoakEndsAt) {
		g.SoakEndsAt = j.soaked
	}
	if g.Message == "" && c.State != ClusterReady && c.State != ClusterMoving {
		g.Message = c.Cluster + ": " + c.Message
	}
}

// groupState says in one word where a group stands.
func (p *planner) groupState(i int) {
	g, step := &p.groups[i], &p.step.Groups[i]
	soaks := 0
	busy := false
	for _, m := range g.members {
		switch p.step.Clusters[m].State {
		case ClusterSoaking:
			soaks++
		case ClusterMoving, ClusterInFlight:
			busy = true
		case ClusterHeld, ClusterSkipped, ClusterFailed, ClusterUnready, ClusterReady:
		}
	}
	held := step.Total > step.Updated+step.Skipped
	switch {
	case busy:
		step.State = GroupProgressing
	case p.asked(g):
		step.State, step.Message = GroupNeedsApproval, p.step.Question.Message
	case step.Failed > g.tolerance:
		step.State = GroupStopped
	case soaks > 0 && !held:
		step.State = GroupSoaking
		step.Message = fmt.Sprintf("%d soak until %s", soaks, step.SoakEndsAt.UTC().Format(time.RFC3339))
	case held && !p.entered(i):
		step.State = GroupWaiting
	case held || soaks > 0:
		step.State = GroupProgressing
	default:
		step.State = GroupPassed
	}
}

// phase says where the rollout stands as a whole.
func (p *planner) phase() {
	var back, fore [numberOfStates]int
	for i := range p.units {
		back[p.units[i].back.state]++
		fore[p.units[i].fore.state]++
	}
	returning := back[movable] + back[flying] + back[stalled] + back[waiting]
	question := p.step.Question
	switch stopped := p.stopped(); {
	case p.Paused != "":
		p.step.Phase, p.step.Message = Paused, p.Paused
	case p.step.Phase != "":
	case returning > 0:
		p.step.Phase = RollingBack
		p.step.Message = fmt.Sprintf("%d of %d clusters are back", back[done], len(p.units)-back[absent])
	case stopped != "":
		p.step.Phase, p.step.Message = Paused, stopped
	case question != nil && p.answer().Verdict == Rejected:
		p.step.Phase, p.step.Message = Paused, fmt.Sprintf("%s rejected: %s", p.answer().By, question.Message)
	case question != nil && p.answer().Verdict != Approved:
		p.step.Phase, p.step.Message = WaitingForApproval, question.Message
	case !p.finished(fore):
		p.step.Phase = Progressing
		p.step.Message = fmt.Sprintf("%d of %d clusters have what is wanted", fore[done]+fore[fallen], len(p.units)-fore[absent])
	case fore[done]+fore[fallen]+back[done] == 0 && fore[skipped]+back[skipped] > 0:
		p.step.Phase, p.step.Message = Paused, fmt.Sprintf("none of %d clusters can be moved now", fore[skipped]+back[skipped])
	case fore[done]+fore[fallen]+back[done] == 0 && fore[failed] > 0:
		p.step.Phase, p.step.Message = Failed, fmt.Sprintf("all %d clusters failed", fore[failed])
	case back[failed] > 0:
		p.step.Phase, p.step.Message = Failed, fmt.Sprintf("%d of %d clusters are not ready with what they went back to", back[failed], len(p.units)-back[absent])
	case p.Undecided != "" && !p.step.Record.Succeeded:
		p.step.Phase = Progressing
		p.step.Message = fmt.Sprintf("all %d clusters that have it have what is wanted; %s", len(p.units)-fore[absent], p.Undecided)
	case slices.ContainsFunc(p.instances, func(w wanted) bool { return w.back }):
		p.step.Phase, p.step.Message = RolledBack, listed("all clusters are back", counted(back[skipped], "skipped"))
	default:
		p.step.Phase, p.step.Message = Succeeded, listed("all groups have passed", counted(fore[skipped], "skipped"), counted(fore[failed], "failed"))
	}
}

// finished says whether nothing goes forward any more.
func (p *planner) finished(fore [numberOfStates]int) bool {
	return p.step.Record.Succeeded || fore[movable]+fore[waiting]+fore[flying]+fore[stalled]+fore[soaking] == 0
}

func counted(n int, what string) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d %s", n, what)
}
