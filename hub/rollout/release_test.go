package rollout

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// release is one of Kronvoy: another one made all that is stored, and texts of this
// one have a mark.
func (s *stage) release() {
	s.t.Helper()
	var list appsv1.ControllerRevisionList
	if err := s.c.List(s.t.Context(), &list); err != nil {
		s.t.Fatal(err)
	}
	for i := range list.Items {
		r := &list.Items[i]
		r.Annotations[kronvoyv1alpha1.AnnotationHash] = strings.Replace(r.Annotations[kronvoyv1alpha1.AnnotationHash], "v1-", "v0-", 1)
		if err := s.c.Update(s.t.Context(), r); err != nil {
			s.t.Fatal(err)
		}
	}
	s.mark += "+"
	s.graph = s.graph[:len(s.graph)-1] + string(rune('0'+len(s.mark)))
	s.define()
	s.restart()
	s.log = nil
}

// rests says whether nothing moves, and an event is waited for.
func (s *stage) rests(have string) {
	s.t.Helper()
	for range 3 {
		if wait := s.look(); wait != earlyRecheck {
			s.t.Errorf("it looks again in %s", wait)
		}
		s.note()
	}
	s.went(have)
}

func TestAReleaseGoesGroupByGroup(t *testing.T) {
	s := newStage(t, kronvoyv1alpha1.ScopeDistribution, rolledBack)
	s.instance("web", "one")
	s.instance("api", "one")
	s.run()
	s.release()
	before := "eu-1=one eu-1=one eu-2=one eu-2=one us-1=one us-1=one us-2=one us-2=one"
	s.rests(before)
	s.instance("web", "one")
	s.rests(before)
	s.instance("api", "one")
	s.run()
	s.is("Succeeded", strings.ReplaceAll(before, "one", "one+"))
	s.went(before,
		"eu-1=one eu-1=one eu-2=one eu-2=one us-1=one+* us-1=one+* us-2=one us-2=one",
		"eu-1=one eu-1=one eu-2=one eu-2=one us-1=one+ us-1=one+ us-2=one+* us-2=one+*",
		"eu-1=one+* eu-1=one+* eu-2=one eu-2=one us-1=one+ us-1=one+ us-2=one+ us-2=one+",
		"eu-1=one+ eu-1=one+ eu-2=one+* eu-2=one+* us-1=one+ us-1=one+ us-2=one+ us-2=one+",
		"eu-1=one+ eu-1=one+ eu-2=one+ eu-2=one+ us-1=one+ us-1=one+ us-2=one+ us-2=one+")

	s.behaves["one++ eu-1"] = kronvoyv1alpha1.TargetFailed
	s.release()
	s.instance("web", "one")
	s.instance("api", "one")
	s.run()
	s.is("Paused", "eu-1=one++* eu-1=one++* eu-2=one+ eu-2=one+ us-1=one++ us-1=one++ us-2=one++ us-2=one++")
	if got := s.rollout().Status.Message; !strings.Contains(got, "what was good before another release of Kronvoy rendered") {
		t.Errorf("it says %q", got)
	}
}

func TestWithoutAStrategyAReleaseMovesAllAtOnce(t *testing.T) {
	s := newStage(t, kronvoyv1alpha1.ScopeDistribution)
	s.strategy(nil)
	s.unit = Unit{Instance: shopKind}
	s.instance("web", "one")
	s.run()
	s.release()
	s.rests("eu-1=one* eu-2=one* us-1=one* us-2=one*")
	s.instance("web", "one")
	s.run()
	s.went("eu-1=one+* eu-2=one+* us-1=one+* us-2=one+*")
}

// What failed fails no better for a new release, and there is nothing to have in
// its place: clusters stay as they are.
func TestWhatWasRejectedIsNotTriedAgainByARelease(t *testing.T) {
	s := newStage(t, kronvoyv1alpha1.ScopeDistribution, rolledBack)
	s.instance("web", "one")
	s.run()
	s.behaves["bad us-1"] = kronvoyv1alpha1.TargetFailed
	s.instance("web", "bad")
	s.run()
	before := "eu-1=one eu-2=one us-1=one us-2=one"
	s.is("RolledBack", before)
	for range 2 {
		s.release()
		s.instance("web", "bad")
		s.run()
		s.is("Paused", before)
	}
	if got := s.rollout().Status.Message; !strings.Contains(got, "was rejected, and what was good before another release") {
		t.Errorf("it says %q", got)
	}
	s.order(func(spec *kronvoyv1alpha1.RolloutSpec) {
		spec.Retry = &kronvoyv1alpha1.RolloutOrder{At: metav1.NewTime(noon), By: "alice"}
	})
	s.run()
	s.is("Succeeded", "eu-1=bad++ eu-2=bad++ us-1=bad++ us-2=bad++")
}

func TestAnUndoIsNotLostWithARelease(t *testing.T) {
	s := newStage(t, kronvoyv1alpha1.ScopeDistribution)
	s.instance("web", "one")
	s.run()
	one := s.targets()[0].Spec.Revision
	s.instance("web", "two")
	s.run()
	two := s.targets()[0].Spec.Revision
	s.order(func(spec *kronvoyv1alpha1.RolloutSpec) {
		spec.Undo = &kronvoyv1alpha1.RolloutUndo{
			RolloutOrder: kronvoyv1alpha1.RolloutOrder{At: metav1.NewTime(noon), By: "alice"}, Instances: []kronvoyv1alpha1.RolloutPin{{Name: "web", From: two, To: one}},
		}
	})
	s.run()
	before := "eu-1=one eu-2=one us-1=one us-2=one"
	s.is("RolledBack", before)
	for range 2 {
		s.release()
		s.instance("web", "two")
		s.run()
		s.is("Paused", before)
	}
	if got := s.rollout().Status.Message; !strings.Contains(got, "as alice wants, and another release of Kronvoy rendered that") {
		t.Errorf("it says %q", got)
	}
	// What people want from now on is another spec, or the newest all the same.
	s.instance("web", "three")
	s.run()
	s.is("Succeeded", "eu-1=three++ eu-2=three++ us-1=three++ us-2=three++")
}
