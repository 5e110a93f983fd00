package rollout

import (
	"testing"
	"time"

	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/index"
)

// settle looks until there is nothing to do at this time.
func (s *stage) settle() {
	s.t.Helper()
	for range 100 {
		if wait := s.look(); !s.report() && wait != index.Later().RequeueAfter {
			return
		}
	}
	s.t.Fatal("it never comes to rest")
}

// drift says how many objects others changed on a cluster.
func (s *stage) drift(cluster string, objects int32) {
	s.t.Helper()
	for _, t := range s.targets() {
		if t.Namespace != cluster {
			continue
		}
		t.Status.Drift.Objects = objects
		if err := s.c.Status().Update(s.t.Context(), &t); err != nil {
			s.t.Fatal(err)
		}
	}
}

// gates of the one Target on a cluster, and whether it has passed.
func (s *stage) gates(cluster string) (gates *kronvoyv1alpha1.TargetGates, passed bool) {
	s.t.Helper()
	for _, t := range s.targets() {
		if t.Namespace == cluster {
			return t.Spec.Gates, t.Spec.PassedAt != nil
		}
	}
	return nil, false
}

// That others changed too much closes a gate of which no report has a time. Since
// when it is open again is stored, and a restarted hub goes on with it.
func TestASoakBeginsAnewWhenAnyGateOpensAgain(t *testing.T) {
	s := newStage(t, kronvoyv1alpha1.ScopeDistribution, func(r *kronvoyv1alpha1.RolloutStrategy) { r.Gate.MaxDrift = ptr.To[int32](0) })
	s.instance("web", "one")
	is := func(when string, open bool, since time.Time, passed bool) {
		t.Helper()
		gates, did := s.gates("us-1")
		if gates == nil || gates.Open != open || !gates.Since.Time.Equal(since) || did != passed {
			t.Fatalf("%s us-1 has gates %+v, passed %v; want open %v since %s, passed %v", when, gates, did, open, since, passed)
		}
	}
	s.settle()
	is("at first", true, noon, false)
	s.clock.Step(40 * time.Second)
	s.drift("us-1", 1)
	s.settle()
	is("while others changed something", false, noon.Add(40*time.Second), false)
	s.clock.Step(10 * time.Second)
	s.drift("us-1", 0)
	s.settle()
	opened := noon.Add(50 * time.Second)
	is("when all is well again", true, opened, false)
	s.clock.Step(30 * time.Second)
	s.restart()
	s.settle()
	is("for a restarted hub", true, opened, false)
	s.clock.Step(30*time.Second - time.Microsecond)
	s.settle()
	is("a moment before", true, opened, false)
	s.clock.Step(time.Microsecond)
	s.settle()
	is("in the end", true, opened, true)
	s.run()
	s.behaves["two"] = kronvoyv1alpha1.TargetProgressing
	s.instance("web", "two")
	s.settle()
	if gates, _ := s.gates("us-1"); gates != nil {
		t.Errorf("a move keeps what was found before it: %+v", gates)
	}
}

// Nothing of an earlier rollout soaks in a later one.
func TestWithoutAStrategyNothingIsKeptOfGates(t *testing.T) {
	s := newStage(t, kronvoyv1alpha1.ScopeDistribution)
	s.instance("web", "one")
	s.run()
	s.strategy(nil)
	s.unit = Unit{Instance: shopKind}
	s.run()
	var targets kronvoyv1alpha1.TargetList
	if err := s.c.List(t.Context(), &targets, client.InNamespace("us-1")); err != nil || len(targets.Items) != 1 {
		t.Fatalf("%d targets, %v", len(targets.Items), err)
	}
	if spec := targets.Items[0].Spec; spec.Gates != nil {
		t.Errorf("it has gates %+v", spec.Gates)
	}
}
