package work

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
)

// ocmAgent plays OCM's own agent as far as the hub can tell: it applies works in
// any order, makes each an owner of its objects, deletes what no work owns any
// more without saying so, and looks at objects in a loop of its own. Works that
// are deleted are for yet another loop, which does not wait for a pass of the
// first. With it goes the cluster's garbage collector, which takes its time.
type ocmAgent struct {
	// owners of the objects on the cluster, by the objects' names.
	owners map[string]map[string]bool
	// listed are the objects that it knows of a work, by the work's name: of
	// others it does not let go.
	listed map[string]map[string]bool
	// refused are objects that are somebody else's: the agent applies them in no
	// work.
	refused map[string]bool
	// conflict makes a pass over a work end before it has listed and answered.
	conflict func() bool
	// idle leaves a work to the next time.
	idle func(*workv1.ManifestWork) bool
	// slow lets a pass over a work begin and not end; begun are the works as
	// those passes know them.
	slow  func(*workv1.ManifestWork) bool
	begun map[string]*workv1.ManifestWork
	// bare are works whose inventory Kronvoy's agent made: no finalizer keeps it.
	bare map[string]bool
	// collects is when the garbage collector looks at owners that are gone.
	collects func() bool
	// deleted are objects in the order of their deletion; terminating ones are
	// deleted and stuck.
	deleted     []string
	terminating map[string]bool
	// blind skips the loop that looks.
	blind bool
	// onDelete is told of every deletion as it is asked for.
	onDelete func(name string)
}

func newOCMWorld(t *testing.T, g *graph.Graph) *world {
	w := newWorld(t, g)
	w.agent, w.ocm = Capabilities{}, newOCMAgent()
	return w
}

func newOCMAgent() *ocmAgent {
	return &ocmAgent{
		owners: map[string]map[string]bool{}, listed: map[string]map[string]bool{}, terminating: map[string]bool{},
		conflict: no, idle: never, slow: never, collects: yes, onDelete: func(string) {},
		begun: map[string]*workv1.ManifestWork{}, bare: map[string]bool{},
	}
}

func never(*workv1.ManifestWork) bool { return false }
func no() bool                        { return false }
func yes() bool                       { return true }

// calm ends whatever is at random.
func (o *ocmAgent) calm() {
	o.blind, o.conflict, o.idle, o.slow, o.collects = false, no, never, never, yes
}

// takeOver gives the objects of Kronvoy's agent to OCM's, with the inventories of
// the works that own them.
func (w *world) takeOver(o *ocmAgent) {
	for work, names := range w.layout() {
		o.bare[work], o.listed[work] = true, map[string]bool{}
		for _, name := range names {
			if o.owners[name] == nil {
				o.owners[name] = map[string]bool{}
			}
			o.owners[name][work], o.listed[work][name] = true, true
		}
	}
	w.agent, w.ocm = Capabilities{}, o
}

func (o *ocmAgent) answer(w *world) {
	if o.collects() {
		o.collect(w)
	}
	for _, x := range w.works {
		if x.DeletionTimestamp != nil {
			continue
		}
		o.end(x.Name)
		if o.slow(x) {
			o.begun[x.Name] = x.DeepCopy()
			continue
		}
		if o.idle(x) {
			continue
		}
		o.apply(w, x)
		if !o.blind {
			o.look(w, x)
		}
	}
	w.works = slices.DeleteFunc(w.works, func(x *workv1.ManifestWork) bool {
		return x.DeletionTimestamp != nil && !o.finalize(w, x.Name)
	})
}

// end is that of a pass which began with a work as it was. It does not answer:
// its version of the work is too old for that.
func (o *ocmAgent) end(work string) {
	if begun := o.begun[work]; begun != nil {
		o.own(begun)
		delete(o.begun, work)
	}
}

// finalize is one look at a work that is being deleted; it says whether any object
// of the inventory is not gone yet. What is not listed there any more is forgotten.
func (o *ocmAgent) finalize(w *world, work string) (pending bool) {
	if !o.bare[work] {
		pending = o.release(w, work, nil)
		maps.DeleteFunc(o.listed[work], func(name string, _ bool) bool { return !o.terminating[name] })
	}
	o.end(work)
	if pending {
		return true
	}
	for _, owners := range o.owners {
		if owners[work] {
			delete(owners, work)
			owners[work+gone] = true
		}
	}
	delete(o.listed, work)
	delete(o.bare, work)
	return false
}

// gone marks owners that are none any more.
const gone = " (gone)"

// collect is the garbage collector: it takes owners off that are gone, and deletes
// what has no other.
func (o *ocmAgent) collect(w *world) {
	for _, name := range slices.Sorted(maps.Keys(o.owners)) {
		maps.DeleteFunc(o.owners[name], func(owner string, _ bool) bool { return strings.HasSuffix(owner, gone) })
		if len(o.owners[name]) == 0 {
			o.delete(w, name)
		}
	}
}

// own makes a work an owner of the objects that it states.
func (o *ocmAgent) own(x *workv1.ManifestWork) {
	for _, config := range x.Spec.ManifestConfigs {
		id := config.ResourceIdentifier
		if orphan(x, id) {
			delete(o.owners, id.Name)
		} else if !o.terminating[id.Name] && !o.refused[id.Name] && !readOnly(config) {
			if o.owners[id.Name] == nil {
				o.owners[id.Name] = map[string]bool{}
			}
			o.owners[id.Name][x.Name] = true
		}
	}
}

// apply is one pass over a work; the conditions of the other loop stay.
func (o *ocmAgent) apply(w *world, x *workv1.ManifestWork) {
	o.own(x)
	stays, all := map[string]bool{}, metav1.ConditionTrue
	var manifests []workv1.ManifestCondition
	for _, config := range x.Spec.ManifestConfigs {
		id := config.ResourceIdentifier
		stays[id.Name] = true
		m := workv1.ManifestCondition{ResourceMeta: workv1.ManifestResourceMeta{Group: id.Group, Resource: id.Resource, Namespace: id.Namespace, Name: id.Name}}
		if before := statusOf(x, id); before != nil {
			m = *before
		}
		applied := metav1.ConditionTrue
		if o.refused[id.Name] {
			applied, all = metav1.ConditionFalse, metav1.ConditionFalse
		}
		m.Conditions = setCondition(m.Conditions, "Applied", applied, x.Generation)
		manifests = append(manifests, m)
	}
	o.release(w, x.Name, stays)
	if o.conflict() {
		return
	}
	pending := maps.Clone(stays)
	for name := range o.listed[x.Name] {
		pending[name] = pending[name] || o.terminating[name]
	}
	o.listed[x.Name] = pending
	x.Status.ResourceStatus.Manifests = manifests
	x.Status.Conditions = setCondition(x.Status.Conditions, "Applied", all, x.Generation)
}

func orphan(x *workv1.ManifestWork, id workv1.ResourceIdentifier) bool {
	return x.Spec.DeleteOption != nil && slices.ContainsFunc(x.Spec.DeleteOption.SelectivelyOrphan.OrphaningRules, func(rule workv1.OrphaningRule) bool {
		return rule.Name == id.Name && rule.Resource == id.Resource
	})
}

// release takes a work away from the owners of what it does not hold, deletes
// what nobody owns, and says whether any of that is not gone yet.
func (o *ocmAgent) release(w *world, work string, stays map[string]bool) (pending bool) {
	for _, name := range slices.Sorted(maps.Keys(o.owners)) {
		if !o.owners[name][work] || !o.listed[work][name] || stays[name] {
			continue
		}
		if len(o.owners[name]) > 1 {
			delete(o.owners[name], work)
			continue
		}
		pending = o.delete(w, name) || pending
	}
	return pending
}

// delete asks for an object's deletion, once, and says whether it is not gone yet.
func (o *ocmAgent) delete(w *world, name string) (pending bool) {
	if !o.terminating[name] {
		o.onDelete(name)
		o.deleted = append(o.deleted, name)
	}
	if w.stuck[name] {
		o.terminating[name] = true
		return true
	}
	delete(o.terminating, name)
	delete(o.owners, name)
	return false
}

// look is one pass of the other loop over a work.
func (o *ocmAgent) look(w *world, x *workv1.ManifestWork) {
	for i, config := range x.Spec.ManifestConfigs {
		m := statusOf(x, config.ResourceIdentifier)
		if m == nil {
			continue
		}
		if w.missing[config.ResourceIdentifier.Name] {
			// What was said before stays.
			m.Conditions = setCondition(m.Conditions, "Available", "False", 0)
			continue
		}
		m.Conditions = setCondition(m.Conditions, "Available", "True", 0)
		m.StatusFeedbacks.Values = w.status(x, i, config, metav1.Condition{}).StatusFeedbacks.Values
		for _, rule := range config.ConditionRules {
			status := metav1.ConditionTrue
			if w.unready[config.ResourceIdentifier.Name] {
				status = metav1.ConditionFalse
			}
			m.Conditions = setCondition(m.Conditions, rule.Condition, status, x.Generation)
		}
	}
}

func setCondition(conditions []metav1.Condition, kind string, status metav1.ConditionStatus, generation int64) []metav1.Condition {
	conditions = slices.DeleteFunc(slices.Clone(conditions), func(c metav1.Condition) bool { return c.Type == kind })
	return append(conditions, metav1.Condition{Type: kind, Status: status, ObservedGeneration: generation})
}

// layout lists the names in every work that stays.
func (w *world) layout() map[string][]string {
	layout := map[string][]string{}
	for _, x := range w.works {
		for _, config := range x.Spec.ManifestConfigs {
			layout[x.Name] = append(layout[x.Name], config.ResourceIdentifier.Name)
		}
	}
	return layout
}

// settle steps until nothing changes any more.
func (w *world) settle(teardown bool) Plan {
	w.t.Helper()
	var plan Plan
	for range 40 {
		before := w.content()
		plan = w.step(teardown)
		if w.content() == before {
			return plan
		}
	}
	w.t.Fatalf("the works never settle: %v", w.layout())
	return plan
}

func (w *world) content() string {
	text, err := json.Marshal(w.works)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

func TestWithOCMsAgentEveryWaveHasAWork(t *testing.T) {
	w := newOCMWorld(t, chain(t))
	w.settle(false)
	want(t, "works", map[string][]string{shop.WorkName(0): {"a"}, shop.WorkName(1): {"b"}, shop.WorkName(2): {"c"}}, w.layout())
	for _, x := range w.works {
		for _, absent := range []string{kronvoyv1alpha1.AnnotationObserve, kronvoyv1alpha1.AnnotationShrunk} {
			if value, there := x.Annotations[absent]; there {
				t.Errorf("%s carries %s: %s", x.Name, absent, value)
			}
		}
	}
	if !w.last.Ready {
		t.Errorf("it is not ready: %v", w.last.Nodes)
	}
	w.spec["value"] = "two"
	w.settle(false)
	want(t, "the last value", "two", w.value("c"))
	want(t, "deleted", nil, w.ocm.deleted)
}

func TestWithOCMsAgentNothingCountsBeforeItWasSeenAtThisGeneration(t *testing.T) {
	w := newOCMWorld(t, chain(t))
	w.ocm.blind = true
	w.settle(false)
	want(t, "shipped while the agent applies and does not look", []string{"a"}, w.shipped())
	w.ocm.blind = false
	w.settle(false)
	want(t, "shipped", []string{"a", "b", "c"}, w.shipped())

	// The loop that looks lags behind an update: its old values are of the old
	// object.
	w.ocm.blind = true
	w.spec["value"] = "two"
	w.settle(false)
	want(t, "b before a was seen", "one", w.value("b"))
	w.ocm.blind = false
	w.settle(false)
	want(t, "b", "two", w.value("b"))
}

func TestWithOCMsAgentWhatIsGoneIsNotReady(t *testing.T) {
	w := newOCMWorld(t, chain(t))
	w.settle(false)
	w.missing["b"] = true
	w.step(false)
	w.step(false)
	if w.last.Ready {
		t.Error("it is ready although b is gone")
	}
	want(t, "shipped", []string{"a", "b", "c"}, w.shipped())
}

func TestWithOCMsAgentTeardownWaitsForTheEndOfEachWork(t *testing.T) {
	w := newOCMWorld(t, chain(t))
	w.settle(false)
	w.stuck["c"] = true
	plan := w.settle(true)
	want(t, "deleted", []string{"c"}, w.ocm.deleted)
	if !strings.Contains(plan.Withheld, "still being deleted") {
		t.Errorf("it says %q", plan.Withheld)
	}
	w.stuck["c"] = false
	w.settle(true)
	want(t, "deleted", []string{"c", "b", "a"}, w.ocm.deleted)
	want(t, "works", map[string][]string{}, w.layout())
}

// lattice has two nodes in each of three waves; each flag leaves a node out, and
// with it what depends on it.
//
//	a1 ── b1 ── c1
//	a2 ── b2 ── c2
func lattice(t *testing.T) *graph.Graph {
	t.Helper()
	node := func(id, value, flag string) graph.NodeSource {
		return graph.NodeSource{ID: id, Template: configMap(id, value), IncludeWhen: []string{"${schema.spec." + flag + "}"}}
	}
	g, issues := graph.Compile(graph.Source{
		Name: "lattice",
		Schema: graph.SchemaSource{Group: "kro.run", Version: "v1alpha1", Kind: "Chain", Scope: graph.Namespaced, Spec: map[string]any{
			"value": "string | default=one", "one": "boolean | default=true", "two": "boolean | default=true", "three": "boolean | default=true",
		}},
		Nodes: []graph.NodeSource{
			node("a1", "${schema.spec.value}", "one"), node("b1", "${a1.data.value}", "one"), node("c1", "${b1.data.value}", "three"),
			node("a2", "${schema.spec.value}", "two"), node("b2", "${a2.data.value}", "two"), node("c2", "${b2.data.value}", "two"),
		},
	}, builtin.Resolver())
	if err := issues.Err(); err != nil {
		t.Fatal(err)
	}
	return g
}

func newLattice(t *testing.T) *world {
	w := newOCMWorld(t, lattice(t))
	w.spec = map[string]any{"value": "one", "one": true, "two": true, "three": true}
	return w
}

func TestWithOCMsAgentANodeOfAWaveLeavesWithAWorkOfItsOwn(t *testing.T) {
	w := newLattice(t)
	w.settle(false)
	before := w.layout()
	w.spec["two"] = false
	w.stuck["b2"] = true
	w.settle(false)
	want(t, "deleted while b2 is stuck", []string{"c2", "b2"}, w.ocm.deleted)
	w.stuck["b2"] = false
	w.settle(false)
	want(t, "deleted", []string{"c2", "b2", "a2"}, w.ocm.deleted)
	want(t, "works", map[string][]string{shop.WorkName(0): {"a1"}, shop.WorkName(1): {"b1"}, shop.WorkName(2): {"c1"}}, w.layout())
	want(t, "works before", map[string][]string{shop.WorkName(0): {"a1", "a2"}, shop.WorkName(1): {"b1", "b2"}, shop.WorkName(2): {"c1", "c2"}}, before)
}

func TestWithOCMsAgentAWorkGoesWhenTheOldOneHasLetGoOfItsObjects(t *testing.T) {
	w := newLattice(t)
	w.settle(false)
	slow := true
	w.ocm.idle = func(x *workv1.ManifestWork) bool {
		return slow && x.Name == shop.WorkName(2) && !statesManifest(x, "c2")
	}
	w.spec["two"], w.stuck["c2"] = false, true
	w.settle(false)
	want(t, "deleted while the old work is not answered", nil, w.ocm.deleted)
	slow = false
	w.settle(false)
	want(t, "deleted while c2 is stuck", []string{"c2"}, w.ocm.deleted)
	w.stuck["c2"] = false
	w.settle(false)
	want(t, "deleted", []string{"c2", "b2", "a2"}, w.ocm.deleted)
}

func TestAClusterThatChangesItsAgentLosesNothing(t *testing.T) {
	w := newLattice(t)
	w.agent, w.ocm = kronvoys, nil
	for range 6 {
		w.step(false)
	}
	together := map[string][]string{shop.WorkName(0): {"a1", "a2", "b1", "b2", "c1", "c2"}}
	want(t, "works of Kronvoy's agent", together, w.layout())

	// OCM's agent finds the objects owned by the works they are in.
	agent := newOCMAgent()
	w.takeOver(agent)
	w.settle(false)
	divided := map[string][]string{shop.WorkName(0): {"a1", "a2"}, shop.WorkName(1): {"b1", "b2"}, shop.WorkName(2): {"c1", "c2"}}
	want(t, "works of OCM's agent", divided, w.layout())
	if !w.last.Ready {
		t.Errorf("it is not ready: %v", w.last.Nodes)
	}

	w.agent, w.ocm = kronvoys, nil
	for range 6 {
		w.step(false)
	}
	want(t, "works after both", divided, w.layout())
	if !w.last.Ready {
		t.Errorf("it is not ready: %v", w.last.Nodes)
	}
	want(t, "deleted", nil, agent.deleted)
	for name, owners := range agent.owners {
		if len(owners) != 1 {
			t.Errorf("%s is owned by %v", name, owners)
		}
	}
}

func TestAnInstanceMayGoRightAfterItsClusterChangedItsAgent(t *testing.T) {
	w := newOCMWorld(t, chain(t))
	w.settle(false)
	w.agent, w.ocm = kronvoys, nil
	w.step(false)
	w.takeOver(newOCMAgent())
	// Whoever waits for the garbage collector waits for ever.
	w.ocm.collects = no
	w.settle(false)
	want(t, "works", map[string][]string{shop.WorkName(0): {"a"}, shop.WorkName(3): {"b"}, shop.WorkName(4): {"c"}}, w.layout())
	w.settle(true)
	want(t, "deleted", []string{"c", "b", "a"}, w.ocm.deleted)
	want(t, "owners", map[string]map[string]bool{}, w.ocm.owners)
}

func TestWithOCMsAgentAWorkOfSomebodyElseIsDeleted(t *testing.T) {
	w := newOCMWorld(t, chain(t))
	w.settle(false)
	stray := w.works[0].DeepCopy()
	stray.Name = "stray"
	w.works = append(w.works, stray)
	want(t, "to be deleted", []string{"stray"}, w.step(false).Delete)
}

func TestKronvoysAgentFinishesWhatOCMsHasBegunToRemove(t *testing.T) {
	w := newLattice(t)
	w.settle(false)
	// Every work of two waves is emptied, and nobody answers that.
	w.spec["two"], w.spec["three"] = false, false
	w.step(false)
	w.ocm.idle = func(x *workv1.ManifestWork) bool { return statesManifest(x, "kube-system") }
	w.settle(false)
	if !slices.Contains(w.shipped(), "kube-system") {
		t.Fatalf("no work is emptied: %v", w.layout())
	}
	w.agent, w.ocm = kronvoys, nil
	for range 6 {
		w.step(false)
	}
	want(t, "shipped", []string{"a1", "b1"}, w.shipped())
}

func TestWithOCMsAgentAPassThatHadBegunLeavesNoOwnerBehind(t *testing.T) {
	w := newLattice(t)
	w.settle(false)
	w.ocm.collects = no
	// c1 gets a work of its own to leave with, and is wanted again.
	w.spec["three"] = false
	w.step(false)
	want(t, "the work of what leaves", []string{"c1"}, w.layout()[shop.WorkName(3)])
	w.ocm.slow = func(x *workv1.ManifestWork) bool { return x.Name == shop.WorkName(3) }
	w.answer()
	w.ocm.slow = never
	w.spec["three"] = true
	w.settle(false)
	want(t, "works", map[string][]string{shop.WorkName(0): {"a1", "a2"}, shop.WorkName(1): {"b1", "b2"}, shop.WorkName(2): {"c1", "c2"}}, w.layout())
	want(t, "owners of c1", map[string]bool{shop.WorkName(2): true}, w.ocm.owners["c1"])
	want(t, "deleted", nil, w.ocm.deleted)
}

func TestWithOCMsAgentAPassThatHadBegunBringsNothingBack(t *testing.T) {
	w := newOCMWorld(t, chain(t))
	w.settle(false)
	w.ocm.collects = no
	w.ocm.slow = func(x *workv1.ManifestWork) bool { return statesManifest(x, "c") }
	w.answer()
	w.ocm.slow = never
	w.settle(true)
	want(t, "deleted", []string{"c", "b", "a"}, w.ocm.deleted)
	want(t, "owners", map[string]map[string]bool{}, w.ocm.owners)
}

func statesManifest(w *workv1.ManifestWork, name string) bool {
	return slices.ContainsFunc(w.Spec.ManifestConfigs, func(c workv1.ManifestConfigOption) bool { return c.ResourceIdentifier.Name == name })
}

// TestWithOCMsAgentTheOrderHoldsWhateverHappens changes what is wanted, the agent
// and what is stuck at random, and takes everything down at the end. Some clusters
// have had Kronvoy's agent before, and some of those OCM's even before that.
func TestWithOCMsAgentTheOrderHoldsWhateverHappens(t *testing.T) {
	for seed := range uint64(100) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			sometimes := func() bool { return random.IntN(4) == 0 }
			some := func(*workv1.ManifestWork) bool { return sometimes() }
			w := newLattice(t)
			if random.IntN(2) == 0 {
				if random.IntN(2) == 0 {
					w.settle(false)
				}
				w.agent, w.ocm = kronvoys, nil
				for range 1 + random.IntN(8) {
					w.step(false)
				}
				w.takeOver(newOCMAgent())
			}
			w.ocm.onDelete = func(name string) {
				for other := range w.ocm.owners {
					if slices.Contains(w.graph.Node(other).Dependencies, name) {
						t.Errorf("%s is deleted while %s is there", name, other)
					}
				}
			}
			w.ocm.conflict, w.ocm.idle, w.ocm.slow, w.ocm.collects = sometimes, some, some, sometimes
			names := []string{"a1", "a2", "b1", "b2", "c1", "c2"}
			disturb := func() {
				switch random.IntN(6) {
				case 0:
					flag := []string{"one", "two", "three"}[random.IntN(3)]
					w.spec[flag] = random.IntN(2) == 0
				case 1:
					w.spec["value"] = fmt.Sprint(random.IntN(3))
				case 2:
					w.ocm.blind = !w.ocm.blind
				case 3:
					name := names[random.IntN(len(names))]
					w.stuck[name] = !w.stuck[name]
				case 4:
					w.mute = !w.mute
				}
			}
			for range random.IntN(60) {
				disturb()
				before := w.shipped()
				w.step(false)
				for _, name := range before {
					at := slices.IndexFunc(w.last.Nodes, func(n graph.NodeResult) bool { return n.ID == name })
					if !slices.Contains(w.shipped(), name) && at >= 0 && w.last.Nodes[at].State != graph.Excluded {
						t.Errorf("%s leaves, and is %s", name, w.last.Nodes[at].State)
					}
				}
			}
			calm := func() {
				w.mute, w.stuck = false, map[string]bool{}
				w.ocm.calm()
			}
			if random.IntN(2) == 0 {
				calm()
				w.settle(false)
				var there, wanted []string
				for _, n := range w.last.Nodes {
					if n.State != graph.Excluded {
						wanted = append(wanted, n.ID)
					}
				}
				there = slices.Sorted(maps.Keys(w.ocm.owners))
				slices.Sort(wanted)
				want(t, "on the cluster", wanted, there)
				for name, owners := range w.ocm.owners {
					if len(owners) != 1 {
						t.Errorf("%s is owned by %v", name, owners)
					}
				}
				w.ocm.conflict, w.ocm.idle, w.ocm.slow, w.ocm.collects = sometimes, some, some, sometimes
			}
			if random.IntN(2) == 0 {
				w.ocm.refused = map[string]bool{names[random.IntN(len(names))]: true}
			}
			for range 60 {
				disturb()
				w.step(true)
			}
			calm()
			w.settle(true)
			if len(w.ocm.owners) > 0 || len(w.works) > 0 {
				t.Errorf("left over: %v in %v", w.ocm.owners, w.layout())
			}
		})
	}
}

func TestWithOCMsAgentAnOrphanIsToldBeforeItsWorkGoes(t *testing.T) {
	w := newOCMWorld(t, chain(t))
	w.settle(false)
	// c becomes an orphan as it leaves.
	w.policies, w.spec["short"] = orphans, true
	w.settle(false)
	want(t, "works", map[string][]string{shop.WorkName(0): {"a"}, shop.WorkName(1): {"b"}}, w.layout())
	want(t, "the delete option of a", &workv1.DeleteOption{
		PropagationPolicy: workv1.DeletePropagationPolicyTypeSelectivelyOrphan,
		SelectivelyOrphan: &workv1.SelectivelyOrphan{OrphaningRules: []workv1.OrphaningRule{{Resource: "configmaps", Namespace: "shop", Name: "a"}}},
	}, w.works[0].Spec.DeleteOption)
	w.settle(true)
	want(t, "works", map[string][]string{}, w.layout())
	want(t, "deleted", nil, w.ocm.deleted)
}

func TestWithOCMsAgentTeardownBeginsWithThePoliciesAsTheyAre(t *testing.T) {
	w := newOCMWorld(t, chain(t))
	w.settle(false)
	restated, err := Restate(w.works, orphans, w.agent)
	if err != nil {
		t.Fatal(err)
	}
	w.write(restated)
	w.mute = true
	plan := w.step(true)
	want(t, "withheld before the agent has let go", "the agent has not answered work "+shop.WorkName(0)+" yet", plan.Withheld)
	w.mute = false
	w.settle(true)
	want(t, "works", map[string][]string{}, w.layout())
	want(t, "deleted", nil, w.ocm.deleted)
}

// TestWithOCMsAgentTeardownGoesOnWithoutWhatCannotMove: an object that the agent
// applies in no work never gets a new owner; it is not waited for, and goes in its
// turn where it was applied before.
func TestWithOCMsAgentTeardownGoesOnWithoutWhatCannotMove(t *testing.T) {
	for name, ours := range map[string]bool{"somebody else's": false, "applied before": true} {
		t.Run(name, func(t *testing.T) {
			w := newLattice(t)
			w.agent, w.ocm = kronvoys, nil
			for range 6 {
				w.step(false)
			}
			w.takeOver(newOCMAgent())
			w.ocm.refused = map[string]bool{"b1": true}
			wanted := []string{"c1", "c2", "b1", "b2", "a1", "a2"}
			if !ours {
				delete(w.ocm.owners, "b1")
				delete(w.ocm.listed[shop.WorkName(0)], "b1")
				wanted = []string{"c1", "c2", "b2", "a1", "a2"}
			}
			plan := w.settle(true)
			if len(w.works) > 0 || len(w.ocm.owners) > 0 {
				t.Errorf("left over: %v in %v: %s", w.ocm.owners, w.layout(), plan.Withheld)
			}
			want(t, "deleted", wanted, w.ocm.deleted)
		})
	}
}
