package rollout

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	clusterv1 "open-cluster-management.io/api/cluster/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/hash"
	"github.com/kronvoy/kronvoy/hub/clusters"
	"github.com/kronvoy/kronvoy/hub/convert"
	hubplan "github.com/kronvoy/kronvoy/hub/plan"
	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/hub/work"
	"github.com/kronvoy/kronvoy/placement/rollout"
)

// member is an instance of a unit.
type member struct {
	identity work.Identity
	// owner is the Distribution that owns the instance; nil for none.
	owner     *kronvoyv1alpha1.Distribution
	decision  Decision
	targets   []kronvoyv1alpha1.Target
	revisions []appsv1.ControllerRevision
	newest    *appsv1.ControllerRevision
	// gate holds the expressions of the strategy; nil for none.
	gate *graph.Gate
}

// fleet is all that decides which revision the clusters of a unit should have.
type fleet struct {
	members  []member
	clusters map[string]*clusterv1.ManagedCluster
	// frozen says why nothing may be written to a cluster; empty if something may.
	frozen func(*clusterv1.ManagedCluster) string
	inputs func(revision, cluster string) (*graph.Inputs, error)
	now    time.Time
}

// change is a Target that is made, where from is nil, or given something else.
type change struct{ from, to *kronvoyv1alpha1.Target }

// atOnce moves every cluster that has an instance to its newest revision, those
// too that have left: they may come back; and gives it to those that are to have
// it. Expressions read of a cluster what it is now.
func (f *fleet) atOnce() []change {
	var changes []change
	for i := range f.members {
		m := &f.members[i]
		existing := map[string]bool{}
		for j := range m.targets {
			t := &m.targets[j]
			existing[t.Namespace] = true
			if t.DeletionTimestamp == nil && (t.Spec.Revision != m.newest.Name || t.Spec.Inputs != nil || t.Spec.Gates != nil) {
				changes = append(changes, change{t, f.assign(t, m.newest.Name, nil)})
			}
		}
		if !m.decision.Decided {
			continue
		}
		for _, cluster := range m.decision.Clusters {
			if !existing[cluster] {
				changes = append(changes, change{nil, f.assign(m.target(cluster), m.newest.Name, nil)})
			}
		}
	}
	return changes
}

// assign gives a copy of a Target that has something else from now on. No two
// assignments of it have one time, whatever the clock does: a status says by it of
// which it speaks.
func (f *fleet) assign(t *kronvoyv1alpha1.Target, revision string, inputs *kronvoyv1alpha1.TargetInputs) *kronvoyv1alpha1.Target {
	at := f.now
	if before := micro(t.Spec.AssignedAt); !at.After(before) {
		at = before.Add(time.Microsecond)
	}
	t = t.DeepCopy()
	t.Spec.Revision, t.Spec.Inputs = revision, inputs
	t.Spec.AssignedAt, t.Spec.PassedAt, t.Spec.Gates = &metav1.MicroTime{Time: at}, nil, nil
	return t
}

// target is a new one, with nothing assigned.
func (m *member) target(cluster string) *kronvoyv1alpha1.Target {
	distribution := ""
	if m.owner != nil {
		distribution = m.owner.Name
	}
	return &kronvoyv1alpha1.Target{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: cluster, Name: m.identity.TargetName(),
			Labels:     map[string]string{kronvoyv1alpha1.LabelInstance: m.identity.Hash()},
			Finalizers: []string{kronvoyv1alpha1.FinalizerTarget},
		},
		Spec: kronvoyv1alpha1.TargetSpec{Instance: m.identity.Reference(), Distribution: distribution},
	}
}

// adopt gives Targets that were assigned without a strategy what a strategy goes
// by: the inputs that they are evaluated with as it is, and a time from which on
// they are waited for. Neither changes what is on the cluster.
func (f *fleet) adopt(s rollout.Strategy) ([]change, error) {
	var changes []change
	for i := range f.members {
		m := &f.members[i]
		for j := range m.targets {
			t := &m.targets[j]
			if t.DeletionTimestamp != nil {
				continue
			}
			at, inputs := t.Spec.AssignedAt, t.Spec.Inputs
			if at == nil {
				at = &metav1.MicroTime{Time: f.now}
			}
			if s.InputChanges == rollout.InputsImmediate {
				inputs = nil
			} else if inputs == nil {
				// What cannot be read is the Target's to tell.
				now, _ := f.inputs(t.Spec.Revision, t.Namespace)
				var err error
				if inputs, err = convert.TargetInputs(now); err != nil {
					return nil, err
				}
			}
			if at != t.Spec.AssignedAt || inputs != t.Spec.Inputs {
				to := t.DeepCopy()
				to.Spec.AssignedAt, to.Spec.Inputs = at, inputs
				changes = append(changes, change{t, to})
			}
		}
	}
	return changes, nil
}

// orders are what people want of a rollout beside the Distribution, and what
// they have answered.
type orders struct {
	paused    string
	undo      *kronvoyv1alpha1.RolloutUndo
	retry     time.Time
	approvals []rollout.Approval
}

// input is what the planner has to know.
func (f *fleet) input(s rollout.Strategy, gate kronvoyv1alpha1.RolloutGate, record rollout.Record, o orders) rollout.Input {
	in := rollout.Input{Strategy: s, Record: record, Paused: o.paused, Retry: o.retry, Approvals: o.approvals, Now: f.now}
	placed := map[string]*rollout.Cluster{}
	inputs := map[string][]string{}
	for i := range f.members {
		m := &f.members[i]
		in.Instances = append(in.Instances, m.wanted(o.undo))
		if !m.decision.Decided && in.Undecided == "" {
			in.Undecided = cmp.Or(m.decision.Message, "it is not decided where "+m.identity.String()+" runs")
		}
		for _, name := range m.clusters() {
			c, known := placed[name]
			if !known {
				c = f.cluster(name)
				if place, selected := m.decision.Places[name]; selected {
					c.Group = rollout.GroupID{Name: place.Group, Index: place.GroupIndex}
				}
				placed[name] = c
			}
			c.Instances = append(c.Instances, m.identity.Name)
			inputs[name] = append(inputs[name], m.identity.Name, f.inputsHash(m.newest.Name, name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(placed)) {
		c := placed[name]
		if c.Inputs = hash.Of(inputs[name]); len(c.Instances) == len(f.members) {
			c.Instances = nil
		}
	}
	for i := range f.members {
		m := &f.members[i]
		for j := range m.targets {
			t := &m.targets[j]
			c, known := placed[t.Namespace]
			if !known {
				continue
			}
			out := sample(t, gate)
			out.Gates.Health = f.health(t, out.Gates.Health)
			out.Gates.Expressions = f.expressions(m.gate, t, out.Gates.Ready)
			out.Inputs = f.same(t, c.Inputs)
			c.Since = f.hindered(c, t)
			in.Targets = append(in.Targets, out)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(placed)) {
		in.Clusters = append(in.Clusters, *placed[name])
	}
	return in
}

// wanted is the instance as the planner takes it.
func (m *member) wanted(undo *kronvoyv1alpha1.RolloutUndo) rollout.Instance {
	out := rollout.Instance{Name: m.identity.Name, Wanted: m.newest.Name, History: history(m.revisions, m.newest), Lost: lost(m.revisions, m.newest)}
	if to := m.undone(undo); to != nil && revision.OfThisRelease(to) {
		out.Pinned = to.Name
	}
	return out
}

// undone is the revision that somebody wants instead of the newest one; nil for
// none. That another release of Kronvoy restates the newest takes nothing back.
func (m *member) undone(undo *kronvoyv1alpha1.RolloutUndo) *appsv1.ControllerRevision {
	if undo == nil {
		return nil
	}
	for _, pin := range undo.Instances {
		if pin.Name == m.identity.Name && restates(m.revisions, m.newest, pin.From) {
			return find(m.revisions, pin.To)
		}
	}
	return nil
}

// unrenderable says why nothing moves: somebody wants what another release of
// Kronvoy rendered. It is empty where nobody does.
func (f *fleet) unrenderable(undo *kronvoyv1alpha1.RolloutUndo) string {
	for i := range f.members {
		m := &f.members[i]
		if to := m.undone(undo); to != nil && !revision.OfThisRelease(to) {
			return fmt.Sprintf("%s is to go back to revision %s, as %s wants, and another release of Kronvoy rendered that: state its spec again, or cancel that with kronvoy rollout undo --cancel",
				m.identity.Name, to.Name, undo.By)
		}
	}
	return ""
}

// clusters that the instance is placed on; while that is not decided those that
// have it.
func (m *member) clusters() []string {
	if m.decision.Decided {
		return m.decision.Clusters
	}
	names := make([]string, 0, len(m.targets))
	for i := range m.targets {
		names = append(names, m.targets[i].Namespace)
	}
	return names
}

// cluster is what a rollout has to know of one. One that cannot be read, or is
// denied, cannot be reached.
func (f *fleet) cluster(name string) *rollout.Cluster {
	out := &rollout.Cluster{Name: name}
	if c, known := f.clusters[name]; known {
		out.Labels, out.Suspended = c.Labels, f.frozen(c)
		out.Maintenance = clusters.Maintenance(c)
		out.Reachable = c.Spec.HubAcceptsClient && !clusters.Unreachable(c)
	}
	return out
}

// hindered is until when the cluster was kept from its work, as its Targets tell:
// one that has not found yet that it is over begins now. A cluster that is silent
// is not kept from anything: its time goes on.
func (f *fleet) hindered(c *rollout.Cluster, t *kronvoyv1alpha1.Target) time.Time {
	since := t.Status.Clocks.WritableSince
	switch {
	case t.Status.ObservedGeneration == 0, since == nil && !c.Reachable:
		return c.Since
	case since == nil:
		return f.now
	case since.After(c.Since):
		return since.Time
	}
	return c.Since
}

// health says what to do where the gate of that name never opens: OCM's own agent
// does not judge health.
func (f *fleet) health(t *kronvoyv1alpha1.Target, gate rollout.Gate) rollout.Gate {
	c, known := f.clusters[t.Namespace]
	if !known || t.Status.Health != kronvoyv1alpha1.HealthUnknown {
		return gate
	}
	if agent, described := hubplan.Meet(c, nil); described && !agent.Health && gate.Of != "" {
		gate.Message = "the cluster's agent does not judge health, as OCM's own: set spec.rollout.gate.builtinHealth of the Distribution to false, or join the cluster with Kronvoy's agent"
	}
	return gate
}

// expressions samples those of the strategy, where it can make a difference: on
// what is ready.
func (f *fleet) expressions(gate *graph.Gate, t *kronvoyv1alpha1.Target, ready rollout.Gate) rollout.Gate {
	c, known := f.clusters[t.Namespace]
	if gate == nil || !known || !ready.Open {
		return rollout.Gate{Of: ready.Of}
	}
	var values map[string]any
	if t.Status.Values != nil {
		if err := utiljson.Unmarshal(t.Status.Values.Raw, &values); err != nil {
			return rollout.Gate{Of: ready.Of, Message: "its values cannot be read: " + err.Error()}
		}
	}
	closed, _ := gate.Evaluate(values, convert.GraphCluster(c))
	return rollout.Gate{Of: ready.Of, Open: closed == "", Message: closed}
}

// same is the hash that stands for all inputs of a cluster if this Target has
// those that it would be assigned now, and else another. What cannot be read
// changes nothing.
func (f *fleet) same(t *kronvoyv1alpha1.Target, all string) string {
	assigned := ""
	if t.Spec.Inputs != nil {
		assigned = t.Spec.Inputs.Hash
	}
	now, err := f.inputs(t.Spec.Revision, t.Namespace)
	if err != nil || now == nil && assigned == "" || now != nil && now.Hash == assigned {
		return all
	}
	return "other " + assigned
}

func (f *fleet) inputsHash(revision, cluster string) string {
	inputs, err := f.inputs(revision, cluster)
	if err != nil || inputs == nil {
		return ""
	}
	return inputs.Hash
}

// moved are the Targets that a Step moves.
func (f *fleet) moved(s rollout.Strategy, moves []rollout.Move) ([]change, error) {
	changes := make([]change, 0, len(moves))
	for _, move := range moves {
		m, t := f.find(move.Key)
		to := t
		if to == nil {
			to = m.target(move.Cluster)
		}
		var inputs *kronvoyv1alpha1.TargetInputs
		if s.InputChanges != rollout.InputsImmediate {
			// Of a cluster that cannot be read, or has too much that is, it counts what is
			// there now.
			now, _ := f.inputs(move.Revision, move.Cluster)
			var err error
			if inputs, err = convert.TargetInputs(now); err != nil {
				return nil, fmt.Errorf("moving %s on cluster %s: %w", m.identity, move.Cluster, err)
			}
		}
		changes = append(changes, change{t, f.assign(to, move.Revision, inputs)})
	}
	return changes, nil
}

// passed are the Targets that a Step says have been ready for long enough.
func (f *fleet) passed(keys []rollout.Key) []change {
	changes := make([]change, 0, len(keys))
	for _, key := range keys {
		_, t := f.find(key)
		to := t.DeepCopy()
		to.Spec.PassedAt = &metav1.MicroTime{Time: f.now}
		if to.Spec.PassedAt.Before(to.Spec.AssignedAt) {
			to.Spec.PassedAt = to.Spec.AssignedAt.DeepCopy()
		}
		changes = append(changes, change{t, to})
	}
	return changes
}

// found are the Targets of whose gates a Step has something to be remembered.
func (f *fleet) found(findings []rollout.Found) []change {
	changes := make([]change, 0, len(findings))
	for _, finding := range findings {
		_, t := f.find(finding.Key)
		to := t.DeepCopy()
		to.Spec.Gates = &kronvoyv1alpha1.TargetGates{Open: finding.Open, Since: metav1.MicroTime{Time: finding.Since}}
		changes = append(changes, change{t, to})
	}
	return changes
}

func (f *fleet) find(key rollout.Key) (*member, *kronvoyv1alpha1.Target) {
	i := slices.IndexFunc(f.members, func(m member) bool { return m.identity.Name == key.Instance })
	m := &f.members[i]
	j, found := m.on(key.Cluster)
	if !found {
		return m, nil
	}
	return m, &m.targets[j]
}

// on finds the Target of a cluster.
func (m *member) on(cluster string) (int, bool) {
	return slices.BinarySearchFunc(m.targets, cluster, func(t kronvoyv1alpha1.Target, cluster string) int {
		return cmp.Compare(t.Namespace, cluster)
	})
}

// pausedBy says in a sentence who paused a rollout; empty if nobody did.
func pausedBy(order *kronvoyv1alpha1.RolloutOrder) string {
	if order == nil {
		return ""
	}
	text := "paused by " + order.By
	if order.Reason != "" {
		text += ": " + order.Reason
	}
	return text
}
