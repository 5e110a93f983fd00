package rollout

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/placement/rollout"
)

// TestLookSaysWhatTheMoverDoes looks before each reconciliation of a rollout that
// waits for approval in its middle, and holds what the mover does against it.
func TestLookSaysWhatTheMoverDoes(t *testing.T) {
	t.Parallel()
	for _, scope := range []kronvoyv1alpha1.RolloutScope{kronvoyv1alpha1.ScopeDistribution, kronvoyv1alpha1.ScopeInstance} {
		t.Run(string(scope), func(t *testing.T) {
			t.Parallel()
			s := newStage(t, scope, func(how *kronvoyv1alpha1.RolloutStrategy) {
				how.Approval = &kronvoyv1alpha1.RolloutApproval{BeforeGroups: []string{"eu"}}
			})
			s.instance("web", "one")
			s.run()
			asked := s.rollout().Status
			found := s.see()
			if asked.Phase != kronvoyv1alpha1.RolloutWaitingForApproval || asked.ApprovalRequest == "" {
				t.Fatalf("it does not ask: %s", asked.Message)
			}
			want := []string{string(asked.Phase), asked.Message, asked.ApprovalRequest, s.rollout().Name, "calm"}
			got := []string{string(found.Step.Phase), found.Step.Message, found.ApprovalRequest, found.Name, found.Distribution.Name}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("a look says something else than the Rollout (-rollout +look):\n%s", diff)
			}
			// The first group begins again.
			s.instance("web", "two")
			moves := s.see().Step.Moves
			if len(moves) != 1 || moves[0].Cluster != "us-1" || s.texts[moves[0].Revision] != "two" {
				t.Fatalf("it is to move %v", moves)
			}
			before := versions(s)
			s.see()
			if diff := cmp.Diff(before, versions(s)); diff != "" {
				t.Errorf("a look writes:\n%s", diff)
			}
			for s.texts[s.targets()[0].Spec.Revision] != "two" {
				s.look()
			}
			if got := s.targets()[0]; got.Namespace != "us-1" || got.Spec.Revision != moves[0].Revision {
				t.Errorf("%s has %s", got.Namespace, got.Spec.Revision)
			}
		})
	}
}

func TestThereIsNothingToSeeWithoutAStrategy(t *testing.T) {
	t.Parallel()
	s := newStage(t, kronvoyv1alpha1.ScopeDistribution)
	if found, err := s.mover.Look(t.Context(), s.unit); err != nil || found != nil {
		t.Errorf("without instances it sees %v, %v", found, err)
	}
	s.instance("web", "one")
	var d kronvoyv1alpha1.Distribution
	if err := s.c.Get(t.Context(), s.unit.Distribution, &d); err != nil {
		t.Fatal(err)
	}
	d.Spec.Rollout = nil
	if err := s.c.Update(t.Context(), &d); err != nil {
		t.Fatal(err)
	}
	if found, err := s.mover.Look(t.Context(), s.unit); err != nil || found != nil {
		t.Errorf("without a strategy it sees %v, %v", found, err)
	}
}

// see is a look that there has to be something to see in.
func (s *stage) see() *Look {
	s.t.Helper()
	found, err := s.mover.Look(s.t.Context(), s.unit)
	if err != nil || found == nil {
		s.t.Fatalf("there is nothing to see: %v", err)
	}
	if rollout.Next(found.Input).Phase != found.Step.Phase {
		s.t.Fatal("the step does not follow from the input")
	}
	return found
}

func versions(s *stage) map[string]string {
	out := map[string]string{"rollout": s.rollout().ResourceVersion}
	for _, t := range s.targets() {
		out[t.Namespace] = t.ResourceVersion
	}
	return out
}
