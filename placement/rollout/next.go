package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Input is all that Next looks at: one Distribution, or one instance that rolls
// by itself. Nothing in it is changed, and no order in it matters.
type Input struct {
	Strategy  Strategy
	Instances []Instance
	// Clusters that the instances are placed on, each once. While the placement is
	// undecided these are the ones with Targets.
	Clusters []Cluster
	// Undecided says why it is not known of an instance which clusters it is placed
	// on; empty if it is known of all. The rollout goes on, and has not succeeded.
	Undecided string
	// Targets that exist. Those of clusters or instances that are not here are
	// leaving, which is no matter of a rollout.
	Targets []Target
	// Record is what the last Step gave, as far as it was stored.
	Record Record
	// Approvals that people gave or refused.
	Approvals []Approval
	// Paused says why nothing may move: an operator paused it, the fleet is frozen.
	Paused string
	// Retry is when somebody last asked to try again: deadlines begin anew, and
	// revisions rejected before are no longer.
	Retry time.Time
	Now   time.Time
}

// Instance is what is wanted of one instance, and what is remembered of it. What
// is remembered belongs to the instance, not to the rollout: a Distribution's
// status cannot hold it for all.
type Instance struct {
	Name string
	// Wanted revision: the newest one.
	Wanted string
	// Pinned revision to have instead, as somebody ordered (undo).
	Pinned string
	History
	// Lost says why nothing is Good although something was; empty where there never
	// was anything.
	Lost string
}

// History is what the last Step gave for an instance.
type History struct {
	// Good is the last revision that all clusters had with success.
	Good string
	// Rejected revision, which failed and is not tried again until another one is
	// wanted.
	Rejected   string
	RejectedAt time.Time
}

// Cluster is what a rollout has to know of one.
type Cluster struct {
	Name string
	// Labels of the cluster, for GroupBy.
	Labels map[string]string
	// Group of the placement's decision, for strategies that go by them.
	Group GroupID
	// Instances placed on it, by name; nil for all.
	Instances []string
	// Inputs stands for its labels, claims and whatever else expressions read.
	Inputs string
	// Reachable is false when the agent is silent.
	Reachable bool
	// Suspended says why nothing is written there now.
	Suspended string
	// Maintenance says what is under way there, such as an upgrade of Talos.
	Maintenance string
	// Since is when it was last found to be reachable and neither suspended nor in
	// maintenance, by the hub's clock: soaking and deadlines do not begin before.
	Since time.Time
}

// Assignment is what a cluster has been told to have of an instance.
type Assignment struct {
	Revision string
	// Inputs of the cluster that it is evaluated with.
	Inputs string
}

// Target is one instance on one cluster.
type Target struct {
	Cluster, Instance string
	Assignment
	// Moved is when that was assigned.
	Moved time.Time
	// Passed is when it had been ready for long enough with this assignment, as a
	// Step said; zero when it has not been. A move erases it.
	Passed time.Time
	// Deleting targets are being taken down; the instance comes back after that.
	Deleting bool
	// Current stands for what a sample must be of to count: a generation or a hash.
	Current string
	// Found is what the last Step said of all gates together. A move erases it.
	Found Finding
	// Failed is set while something cannot be evaluated or applied.
	Failed Failure
	Gates  Gates
}

// Finding is whether all gates of a target are open, and when that was first
// found to be so. The zero value is that nothing was found since the move: they
// are closed until the target has passed, and open from then on.
type Finding struct {
	Open bool
	// Since is by the clock of the caller.
	Since time.Time
}

// Failure is a sample of something that failed.
type Failure struct {
	// Of is what it was found with; it counts only if that is Current.
	Of      string
	Since   time.Time
	Message string
}

// Gates are the samples that decide whether a target counts as ready.
type Gates struct {
	// Ready: every node is, by its readyWhen.
	Ready Gate
	// Health: every object is, by what its kind says of itself.
	Health Gate
	// Expressions of the strategy hold.
	Expressions Gate
	// Drift is within its budget.
	Drift Gate
}

// Gate is one sample.
type Gate struct {
	// Of is what it was taken of; a gate that is open for something else than
	// Current is closed.
	Of   string
	Open bool
	// Since is when it became so, as far as whoever took the sample knows; zero if
	// he does not. A gate may close and open again between two Steps.
	Since time.Time
	// Message says what it waits for.
	Message string
}

// Record is what a Step wants to be remembered. Everything else is derived.
type Record struct {
	// Plan stands for what is wanted, and how clusters are grouped: the rest is about
	// that alone.
	Plan string
	// Started is when that was first wanted.
	Started time.Time
	// Group that the rollout is at: all groups before it have passed, and late
	// comers in them wait for nothing.
	Group GroupID
	// Entered says that its clusters may move.
	Entered bool
	// Succeeded says that all groups have passed.
	Succeeded bool
}

// Phase of a rollout.
type Phase string

// The phases.
const (
	Progressing        Phase = "Progressing"
	WaitingForApproval Phase = "WaitingForApproval"
	// Paused: somebody has to do something, as Message says.
	Paused      Phase = "Paused"
	RollingBack Phase = "RollingBack"
	RolledBack  Phase = "RolledBack"
	Succeeded   Phase = "Succeeded"
	// Failed: it was rolled back, and not every cluster became ready; or no cluster
	// is, and that is tolerated.
	Failed Phase = "Failed"
)

// Step is what to do now. A caller stores Record and Instances first: while they
// differ from what was given, Moves is empty, and the next Step has them. So what
// was decided is never forgotten after it was acted upon.
type Step struct {
	Phase Phase
	// Message is a sentence for people.
	Message string
	Record  Record
	// Instances of which something else is to be remembered.
	Instances []Remember
	// Passed targets are stored as such, since now.
	Passed []Key
	// Found is what is to be stored of targets' gates.
	Found []Found
	// Moves to make.
	Moves []Move
	// Clusters, by name, with what each of them does or waits for.
	Clusters []ClusterStep
	// Groups in order.
	Groups []GroupStep
	// Question to put to people, answered or not; one that was put before and is not
	// here any more is settled, and its answer needed no longer.
	Question *Question
	// RecheckAt is when there may be something to do with nothing changed but the
	// time; zero when there is not.
	RecheckAt time.Time
}

// Remember is the new History of an instance.
type Remember struct {
	Instance string
	History
}

// Key names a Target.
type Key struct{ Cluster, Instance string }

// Found is a new Finding about a target.
type Found struct {
	Key
	Finding
}

// Move tells a cluster to have something else of an instance.
type Move struct {
	Key
	Assignment
}

// ClusterStep is where one cluster stands.
type ClusterStep struct {
	Cluster string
	Group   GroupID
	State   ClusterState
	// Reason in PascalCase why it is not Ready, or does not move.
	Reason Reason
	// Message is a sentence for people.
	Message string
}

// ClusterState says in one word where a cluster stands.
type ClusterState string

// The states of a cluster.
const (
	// ClusterMoving: this Step moves it.
	ClusterMoving ClusterState = "Moving"
	// ClusterHeld: it is to be moved, and waits for what Reason says.
	ClusterHeld ClusterState = "Held"
	// ClusterSkipped: it is to be moved, and nobody waits for it.
	ClusterSkipped ClusterState = "Skipped"
	// ClusterInFlight: it was moved, and is not ready.
	ClusterInFlight ClusterState = "InFlight"
	// ClusterSoaking: it is ready, but not for long enough.
	ClusterSoaking ClusterState = "Soaking"
	// ClusterUnready: it had passed in this rollout, and is not ready any more.
	ClusterUnready ClusterState = "Unready"
	// ClusterFailed: it counts as a failure.
	ClusterFailed ClusterState = "Failed"
	// ClusterReady: it has what is wanted.
	ClusterReady ClusterState = "Ready"
)

// Reason is a cause in PascalCase.
type Reason string

// The reasons.
const (
	ReasonPaused           Reason = "Paused"
	ReasonStoring          Reason = "Storing"
	ReasonRollingBack      Reason = "RollingBack"
	ReasonTooManyFailures  Reason = "TooManyFailures"
	ReasonWaitsForGroup    Reason = "WaitsForGroup"
	ReasonNeedsApproval    Reason = "NeedsApproval"
	ReasonApprovalRejected Reason = "ApprovalRejected"
	ReasonConcurrency      Reason = "ConcurrencyReached"
	ReasonSuspended        Reason = "Suspended"
	ReasonMaintenance      Reason = "Maintenance"
	ReasonUnreachable      Reason = "Unreachable"
	ReasonTeardown         Reason = "Teardown"
	ReasonNotReady         Reason = "NotReady"
	ReasonDeadlineExceeded Reason = "DeadlineExceeded"
	ReasonFailing          Reason = "Failing"
	ReasonSoaking          Reason = "Soaking"
)

// GroupStep is where one group stands.
type GroupStep struct {
	Group GroupID
	State GroupState
	// Total clusters of it; Updated ones have what is wanted, Ready ones with all
	// gates open.
	Total, Updated, Ready, InFlight, Failed, Skipped int
	// SoakEndsAt is when the last of those that soak now will have; zero if none does.
	SoakEndsAt time.Time
	// Message says what it waits for.
	Message string
}

// GroupState says in one word where a group stands.
type GroupState string

// The states of a group.
const (
	GroupWaiting       GroupState = "Waiting"
	GroupNeedsApproval GroupState = "NeedsApproval"
	GroupProgressing   GroupState = "Progressing"
	GroupSoaking       GroupState = "Soaking"
	GroupStopped       GroupState = "Stopped"
	GroupPassed        GroupState = "Passed"
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
