package rollout

import (
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/index"
	"github.com/kronvoy/kronvoy/hub/kinds"
	"github.com/kronvoy/kronvoy/hub/work"
)

// In these tests every unit that an instance may be in looks in turn, as after an
// event that tells all of them of a change.

func distributionUnit(name string) Unit {
	return Unit{Distribution: types.NamespacedName{Namespace: namespace, Name: name}}
}

func instanceUnit(name string) Unit {
	request := shopKind
	request.Name = name
	return Unit{Instance: request}
}

// once lets each unit look once, and clusters report. It says whether anything
// was done, or is to be now.
func (s *stage) once(units ...Unit) (busy bool) {
	s.t.Helper()
	before := s.versions()
	for _, u := range units {
		s.unit = u
		if s.look() == index.Later().RequeueAfter {
			busy = true
		}
		s.note()
	}
	return s.report() || busy || before != s.versions()
}

func (s *stage) versions() string {
	var out []string
	for _, t := range s.targets() {
		out = append(out, t.ResourceVersion)
	}
	return strings.Join(out, " ")
}

// all goes on with all of these units until nothing happens any more.
func (s *stage) all(units ...Unit) {
	s.t.Helper()
	for quiet := 0; quiet < 5; quiet++ {
		for range 100 {
			if !s.once(units...) {
				break
			}
			quiet = 0
		}
		s.clock.Step(20 * time.Second)
	}
}

// rollouts are those that there are, by their owners.
func (s *stage) rollouts() string {
	s.t.Helper()
	var list kronvoyv1alpha1.RolloutList
	if err := s.c.List(s.t.Context(), &list); err != nil {
		s.t.Fatal(err)
	}
	var names []string
	for i := range list.Items {
		names = append(names, metav1.GetControllerOf(&list.Items[i]).Name+":"+string(list.Items[i].Status.Phase))
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// inTurn checks that never more clusters were in flight than may be, and that the
// group us came first.
func (s *stage) inTurn(text string) {
	s.t.Helper()
	for _, line := range s.log {
		early := strings.Contains(line, "eu-1="+text) && !strings.Contains(line, "us-1="+text+" us-2="+text)
		if strings.Count(line, "*") > 1 || early {
			s.t.Errorf("what moved was not to move yet: %s\n%s", line, strings.Join(s.log, "\n"))
		}
	}
}

func (s *stage) distribution(name string, change func(*kronvoyv1alpha1.Distribution)) {
	s.t.Helper()
	var d kronvoyv1alpha1.Distribution
	if err := s.c.Get(s.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &d); err != nil {
		s.t.Fatal(err)
	}
	change(&d)
	if err := s.c.Update(s.t.Context(), &d); err != nil {
		s.t.Fatal(err)
	}
}

const halfWay = "eu-1=one eu-2=one us-1=two us-2=two*"

// goHalfWay goes on until us-1 has passed with two, and us-2 was moved and is not
// ready.
func (s *stage) goHalfWay(units ...Unit) {
	s.t.Helper()
	s.instance("web", "one")
	s.all(units...)
	s.log = nil
	s.behaves["two us-2"] = kronvoyv1alpha1.TargetProgressing
	s.instance("web", "two")
	s.all(units...)
	if got := s.log[len(s.log)-1]; got != halfWay {
		s.t.Fatalf("half way clusters have %s", got)
	}
}

func TestAnotherScopeInTheMiddleGoesOnWhereItWas(t *testing.T) {
	for from, to := range map[kronvoyv1alpha1.RolloutScope]kronvoyv1alpha1.RolloutScope{
		kronvoyv1alpha1.ScopeDistribution: kronvoyv1alpha1.ScopeInstance, kronvoyv1alpha1.ScopeInstance: kronvoyv1alpha1.ScopeDistribution,
	} {
		t.Run(string(from)+" to "+string(to), func(t *testing.T) {
			s := newStage(t, from)
			both := []Unit{distributionUnit("calm"), instanceUnit("web")}
			s.goHalfWay(both...)
			s.distribution("calm", func(d *kronvoyv1alpha1.Distribution) { d.Spec.Rollout.Scope = to })
			s.all(both...)
			if got := s.log[len(s.log)-1]; got != halfWay {
				t.Errorf("after the change clusters have %s", got)
			}
			s.behaves = map[string]kronvoyv1alpha1.TargetState{}
			s.all(both...)
			s.inTurn("two")
			want := "calm:Succeeded"
			if to == kronvoyv1alpha1.ScopeInstance {
				want = "web:Succeeded"
			}
			if got := s.rollouts(); got != want {
				t.Errorf("there are %q, want %q", got, want)
			}
		})
	}
}

func TestAnotherOwnerInTheMiddleGoesOnWhereItWas(t *testing.T) {
	s := newStage(t, kronvoyv1alpha1.ScopeDistribution)
	s.goHalfWay(distributionUnit("calm"), instanceUnit("web"))
	var d kronvoyv1alpha1.Distribution
	if err := s.c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "calm"}, &d); err != nil {
		t.Fatal(err)
	}
	d.ObjectMeta = metav1.ObjectMeta{Namespace: namespace, Name: "other", UID: "other"}
	s.put(&d)
	three := []Unit{distributionUnit("calm"), distributionUnit("other"), instanceUnit("web")}
	s.all(three...)
	if got := s.rollouts(); got != "calm:Progressing" {
		t.Errorf("the present owner keeps it, and there are %q", got)
	}
	s.distribution("calm", func(d *kronvoyv1alpha1.Distribution) {
		d.Spec.Instances.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "none"}}
	})
	s.all(three...)
	if got := s.log[len(s.log)-1]; got != halfWay {
		t.Errorf("after the change clusters have %s", got)
	}
	s.behaves = map[string]kronvoyv1alpha1.TargetState{}
	s.all(three...)
	s.inTurn("two")
	if got := s.rollouts(); !strings.Contains(got, "other:Succeeded") {
		t.Errorf("there are %q", got)
	}
}

func TestNothingMovesWithADistributionThatGoes(t *testing.T) {
	for _, scope := range []kronvoyv1alpha1.RolloutScope{kronvoyv1alpha1.ScopeDistribution, kronvoyv1alpha1.ScopeInstance} {
		t.Run(string(scope), func(t *testing.T) {
			s := newStage(t, scope)
			both := []Unit{distributionUnit("calm"), instanceUnit("web")}
			s.goHalfWay(both...)
			s.distribution("calm", func(d *kronvoyv1alpha1.Distribution) { d.Finalizers = []string{"example.com/foreground"} })
			if err := s.c.Delete(t.Context(), &kronvoyv1alpha1.Distribution{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "calm"}}); err != nil {
				t.Fatal(err)
			}
			// What it owns goes first, and with that the order of somebody who paused it.
			if err := s.c.Delete(t.Context(), s.rollout()); err != nil {
				t.Fatal(err)
			}
			s.behaves = map[string]kronvoyv1alpha1.TargetState{}
			s.all(both...)
			if got := s.log[len(s.log)-1]; got != halfWay || s.rollouts() != "" {
				t.Errorf("while it goes clusters have %s, and there are %q", got, s.rollouts())
			}
			s.distribution("calm", func(d *kronvoyv1alpha1.Distribution) { d.Finalizers = nil })
			s.all(both...)
			if got := strings.ReplaceAll(s.log[len(s.log)-1], "*", ""); got != "eu-1=two eu-2=two us-1=two us-2=two" {
				t.Errorf("without it clusters have %s", got)
			}
		})
	}
}

func TestInstancesComeAndGoInTheMiddle(t *testing.T) {
	s := newStage(t, kronvoyv1alpha1.ScopeDistribution)
	units := []Unit{distributionUnit("calm"), instanceUnit("web"), instanceUnit("api")}
	s.goHalfWay(units...)
	s.log = nil
	s.instance("api", "two")
	s.all(units...)
	for _, line := range s.log {
		if strings.Contains(line, "eu-1=two") {
			t.Errorf("what is new does not wait for its group: %s", line)
		}
	}
	api := kinds.Object(shopKind.GVK())
	api.SetNamespace(namespace)
	api.SetName("api")
	if err := s.c.Delete(t.Context(), api); err != nil {
		t.Fatal(err)
	}
	// hub/instance takes its Targets down.
	for _, target := range s.targets() {
		if target.Spec.Instance.Name != "api" {
			continue
		}
		target.Finalizers = nil
		if err := s.c.Update(t.Context(), &target); err != nil {
			t.Fatal(err)
		}
		if err := s.c.Delete(t.Context(), &target); err != nil {
			t.Fatal(err)
		}
	}
	s.log, s.behaves = nil, map[string]kronvoyv1alpha1.TargetState{}
	s.all(units...)
	s.inTurn("two")
	if got := s.log[len(s.log)-1] + " " + s.rollouts(); got != "eu-1=two eu-2=two us-1=two us-2=two calm:Succeeded" {
		t.Errorf("in the end clusters have %s", got)
	}
}

// Whoever makes a Rollout of a unit's name keeps nothing from instances that do
// not roll.
func TestARolloutOfSomebodyElseIsNoMatterWithoutAStrategy(t *testing.T) {
	s := newStage(t, kronvoyv1alpha1.ScopeDistribution)
	s.strategy(nil)
	s.instance("web", "one")
	name := work.Identity{Group: shopKind.Group, Version: shopKind.Version, Kind: shopKind.Kind, Namespace: namespace, Name: "web"}.TargetName()
	s.put(&kronvoyv1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}})
	s.unit = instanceUnit("web")
	s.run()
	s.went("eu-1=one* eu-2=one* us-1=one* us-2=one*")
}
