//go:build integration

package spoke_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// cell is one update strategy, under one takeover policy where our hub gives
// one (none is a work by hand), and what is there when the work comes.
type cell struct {
	strategy string
	takeover kronvoyv1alpha1.TakeoverPolicy
	there    string
}

func (c cell) name() string {
	policy := string(c.takeover)
	if policy == "" {
		policy = "by-hand"
	}
	return kebab(c.strategy, policy, c.there)
}

// strategies are OCM's; what is there, a ConfigMap that is to be blue.
var (
	strategies = map[string]workv1.UpdateStrategy{
		"update":       {Type: workv1.UpdateStrategyTypeUpdate},
		"create-only":  {Type: workv1.UpdateStrategyTypeCreateOnly},
		"read-only":    {Type: workv1.UpdateStrategyTypeReadOnly},
		"apply":        {Type: workv1.UpdateStrategyTypeServerSideApply},
		"apply-forced": {Type: workv1.UpdateStrategyTypeServerSideApply, ServerSideApply: &workv1.ServerSideApplyConfig{Force: true}},
	}
	colors = map[string]string{
		"nothing": "", "ours": "green", "ours-immutable": "green", "the-same": "blue", "another": "red", "another-immutable": "red", "terminating": "red",
	}
)

// seen is what is to be seen of a cell.
type seen struct {
	Reason, Color string
	// Kept: it is the object that was there, with what others put into it.
	// Ours: the work owns it.
	Kept, Ours bool
}

// expect is the contract.
func (c cell) expect() seen {
	before := colors[c.there]
	ours := c.there == "ours" || c.there == "ours-immutable"
	was := func(reason string, ours bool) seen { return seen{reason, before, before != "", ours} }
	is := func(reason string) seen { return seen{reason, "blue", before != "", true} }
	forced := c.strategy == "update" || c.strategy == "apply-forced" || c.takeover == kronvoyv1alpha1.TakeoverAlways
	switch {
	case c.strategy == "read-only":
		return was(workv1.AppliedManifestComplete, false)
	case c.there == "terminating":
		return was(kronvoyv1alpha1.ReasonTerminating, false)
	case c.there == "nothing":
		return is(workv1.AppliedManifestComplete)
	case c.strategy == "create-only":
		return was(workv1.AppliedManifestComplete, ours)
	case c.there == "ours-immutable":
		return was(kronvoyv1alpha1.ReasonImmutableField, true)
	case ours:
		return is(workv1.AppliedManifestComplete)
	case forced && c.there == "another-immutable":
		return was(kronvoyv1alpha1.ReasonImmutableField, false)
	case forced:
		return is(workv1.AppliedManifestComplete)
	case c.takeover == kronvoyv1alpha1.TakeoverNever:
		return was(kronvoyv1alpha1.ReasonTakeoverRefused, false)
	case c.there == "the-same":
		return is(workv1.AppliedManifestComplete)
	case c.takeover == "":
		return was(kronvoyv1alpha1.ReasonApplyConflict, false)
	case c.there == "another-immutable":
		return was(kronvoyv1alpha1.ReasonImmutableField, false)
	}
	return was(kronvoyv1alpha1.ReasonTakeoverRefused, false)
}

// work writes the cell's work.
func (c cell) work(w *world, strategy, color string) *workv1.ManifestWork {
	m := w.configMap(c.name(), "color", color)
	if c.there == "ours-immutable" || c.there == "another-immutable" {
		m.object.Object["immutable"] = true
	}
	configure := configured(strategies[strategy])
	if c.takeover == "" {
		return w.handwritten(c.name(), configure, m)
	}
	m.policy.Takeover = c.takeover
	work := w.work(c.name(), m)
	configure(work)
	return work
}

// begin makes what is there before the work, and the work.
func (c cell) begin(w *world) {
	w.t.Helper()
	m := w.configMap(c.name(), "color", colors[c.there])
	switch c.there {
	case "nothing":
	case "ours", "ours-immutable":
		strategy := c.strategy
		if strategy == "read-only" {
			strategy = "apply"
		}
		if err := w.client.Create(w.ctx, c.work(w, strategy, colors[c.there])); err != nil {
			w.t.Fatal(err)
		}
		return
	case "terminating":
		m.object.SetFinalizers([]string{"example.com/wait"})
		if err := w.client.Delete(w.ctx, w.exists(m)); err != nil {
			w.t.Fatal(err)
		}
	case "another-immutable":
		m.object.Object["immutable"] = true
		fallthrough
	default:
		w.exists(m)
	}
	if err := w.client.Create(w.ctx, c.work(w, c.strategy, "blue")); err != nil {
		w.t.Fatal(err)
	}
}

// goOn changes a work that has applied an object before.
func (c cell) goOn(w *world) {
	w.t.Helper()
	if c.there != "ours" && c.there != "ours-immutable" {
		return
	}
	w.settled(c.name())
	w.replace(c.work(w, c.strategy, "blue"))
}

// see looks at a cell; uid is that of the object which was there.
func (c cell) see(w *world, uid types.UID) seen {
	w.t.Helper()
	var got seen
	work := w.getWork(c.name())
	if applied := apimeta.FindStatusCondition(manifestStatus(work, c.name()).Conditions, workv1.ManifestApplied); applied != nil && applied.ObservedGeneration == work.Generation {
		got.Reason = applied.Reason
	}
	if obj := w.live(w.configMap(c.name())); obj != nil {
		got.Color, _, _ = unstructured.NestedString(obj.Object, "data", "color")
		got.Kept = obj.GetUID() == uid && obj.GetAnnotations()["example.com/own"] == "mine"
		got.Ours = len(obj.GetOwnerReferences()) > 0
	}
	return got
}

// TestEveryStrategyMeetsEveryObject runs the contract of update strategies cell
// by cell, all against one agent: what becomes of the object, what the work says
// of it, and whether it leaves with the work.
func TestEveryStrategyMeetsEveryObject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	var cells []cell
	for strategy := range strategies {
		policies := []kronvoyv1alpha1.TakeoverPolicy{""}
		if strategies[strategy].Type == workv1.UpdateStrategyTypeServerSideApply {
			policies = append(policies, kronvoyv1alpha1.TakeoverAlways, kronvoyv1alpha1.TakeoverIfNoDiff, kronvoyv1alpha1.TakeoverNever)
		}
		for _, policy := range policies {
			for there := range colors {
				cells = append(cells, cell{strategy, policy, there})
			}
		}
	}
	uids := map[cell]types.UID{}
	for _, c := range cells {
		c.begin(w)
	}
	for _, c := range cells {
		if c.there == "nothing" {
			continue
		}
		m := w.configMap(c.name())
		w.eventually(c.name()+" to be there", func() error {
			if w.live(m) == nil {
				return fmt.Errorf("it is not")
			}
			return nil
		})
		w.patch(m, "somebody", `{"metadata":{"annotations":{"example.com/own":"mine"}}}`)
		uids[c] = w.live(m).GetUID()
		c.goOn(w)
	}
	for _, c := range cells {
		t.Run(c.name(), func(t *testing.T) {
			w := w.in(t)
			w.eventually("the contract to hold", func() error {
				if diff := cmp.Diff(c.expect(), c.see(w, uids[c])); diff != "" {
					return fmt.Errorf("(-want +got):\n%s", diff)
				}
				return nil
			})
		})
	}
	// An agent that knows nothing comes to the same. What is asked of it last is
	// done when it has met all that was there.
	w.stop()
	w.start()
	w.byHand("last", nil, w.configMap("last"))
	w.settled("last")
	for _, c := range cells {
		if diff := cmp.Diff(c.expect(), c.see(w, uids[c])); diff != "" {
			t.Errorf("%s after a restart (-want +got):\n%s", c.name(), diff)
		}
		if err := w.client.Delete(w.ctx, w.getWork(c.name())); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range cells {
		m := w.configMap(c.name())
		if c.expect().Ours && c.takeover == "" {
			w.collect(m)
		}
		w.workGone(c.name())
		if gone := w.live(m) == nil; gone != (c.expect().Ours || c.there == "nothing") {
			t.Errorf("%s: after its work the object is gone: %t", c.name(), gone)
		}
	}
}

// What an OCM user writes about deletion, in works without any annotation.
func TestDeleteOptionsOfWorksByHand(t *testing.T) {
	t.Parallel()
	option := func(policy workv1.DeletePropagationPolicyType, orphans ...string) *workv1.DeleteOption {
		option := &workv1.DeleteOption{PropagationPolicy: policy}
		for _, name := range orphans {
			if option.SelectivelyOrphan == nil {
				option.SelectivelyOrphan = &workv1.SelectivelyOrphan{}
			}
			option.SelectivelyOrphan.OrphaningRules = append(option.SelectivelyOrphan.OrphaningRules, workv1.OrphaningRule{Resource: "configmaps", Name: name})
		}
		return option
	}
	tests := map[string]struct {
		option *workv1.DeleteOption
		stays  map[string]bool
	}{
		"default":     {nil, map[string]bool{}},
		"foreground":  {option(workv1.DeletePropagationPolicyTypeForeground), map[string]bool{}},
		"orphan":      {option(workv1.DeletePropagationPolicyTypeOrphan), map[string]bool{"one": true, "two": true}},
		"selectively": {option(workv1.DeletePropagationPolicyTypeSelectivelyOrphan, "selectively-one"), map[string]bool{"one": true}},
		"nothing":     {option(workv1.DeletePropagationPolicyTypeSelectivelyOrphan), map[string]bool{}},
	}
	w := newWorld(t)
	w.start()
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := w.in(t)
			objects := map[string]*manifest{"one": w.configMap(name+"-one", "a", "b"), "two": w.configMap(name+"-two", "a", "b")}
			w.byHand(name, func(work *workv1.ManifestWork) {
				if work.Spec.DeleteOption = tt.option; tt.option != nil && tt.option.SelectivelyOrphan != nil {
					for i := range tt.option.SelectivelyOrphan.OrphaningRules {
						tt.option.SelectivelyOrphan.OrphaningRules[i].Namespace = w.ns
					}
				}
			}, objects["one"], objects["two"])
			w.settled(name)
			if err := w.client.Delete(w.ctx, w.getWork(name)); err != nil {
				t.Fatal(err)
			}
			for which, m := range objects {
				if tt.stays[which] || (name == "selectively" && which == "one") {
					continue
				}
				if tt.option == nil || tt.option.PropagationPolicy == workv1.DeletePropagationPolicyTypeForeground {
					w.collect(m)
				}
			}
			w.workGone(name)
			for which, m := range objects {
				obj := w.live(m)
				if (obj != nil) != tt.stays[which] {
					t.Errorf("%s: it is there: %t", which, obj != nil)
				}
				if obj != nil && len(obj.GetOwnerReferences()) > 0 {
					t.Errorf("%s: it still has an owner", which)
				}
			}
		})
	}
}

// The three steps of OCM's documentation move an object to another work, as do
// works that only say the same; either way it is never deleted.
func TestAnObjectMovesBetweenWorksByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	for _, how := range []string{"selectively-orphaned", "plainly"} {
		t.Run(how, func(t *testing.T) {
			w := w.in(t)
			moving, rest := w.configMap(how, "a", "b"), w.configMap(how+"-rest", "a", "b")
			from, to := how+"-from", how+"-to"
			orphaning := func(work *workv1.ManifestWork) {
				if how == "selectively-orphaned" {
					work.Spec.DeleteOption = &workv1.DeleteOption{
						PropagationPolicy: workv1.DeletePropagationPolicyTypeSelectivelyOrphan,
						SelectivelyOrphan: &workv1.SelectivelyOrphan{OrphaningRules: []workv1.OrphaningRule{{Resource: "configmaps", Namespace: w.ns, Name: how}}},
					}
				}
			}
			w.byHand(from, nil, moving, rest)
			w.settled(from)
			uid := w.live(moving).GetUID()
			w.byHand(to, nil, moving)
			w.rewrite(from, orphaning, moving, rest)
			w.rewrite(from, orphaning, rest) // before either work is known to be applied
			w.settled(to)
			w.settled(from)
			w.inventoryLists(from, how+"-rest")
			w.eventually("one owner to be left", func() error {
				obj := w.live(moving)
				if obj == nil || obj.GetUID() != uid || len(obj.GetOwnerReferences()) != 1 || obj.GetOwnerReferences()[0].Name != w.hubHash+"-"+to {
					return fmt.Errorf("it is %v", obj)
				}
				return nil
			})
		})
	}
}
