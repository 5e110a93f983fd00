package rollout

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

func TestItIsKnownWhetherARolloutSpeaksOfWhatIsWantedNow(t *testing.T) {
	s := newStage(t, kronvoyv1alpha1.ScopeDistribution, rolledBack)
	speaks := func(when string, want bool) {
		t.Helper()
		d := &kronvoyv1alpha1.Distribution{}
		if err := s.c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "calm"}, d); err != nil {
			t.Fatal(err)
		}
		var list appsv1.ControllerRevisionList
		if err := s.c.List(t.Context(), &list); err != nil {
			t.Fatal(err)
		}
		instances := map[string][]appsv1.ControllerRevision{}
		for _, r := range list.Items {
			if owner := metav1.GetControllerOf(&r); owner != nil && owner.Kind != "ResourceGraphDefinition" {
				instances[owner.Name] = append(instances[owner.Name], r)
			}
		}
		if got, err := Current(s.rollout(), d.Spec.Rollout, instances); err != nil || got != want {
			t.Errorf("%s: %v, %v, %s: %s", when, got, err, s.rollout().Status.Phase, s.rollout().Status.Message)
		}
	}
	s.instance("api", "one")
	s.instance("web", "one")
	s.run()
	speaks("when it has succeeded", true)
	s.behaves["bad eu-1"] = kronvoyv1alpha1.TargetFailed
	s.instance("web", "bad")
	speaks("before the hub has looked", false)
	s.look()
	speaks("when the hub has looked", true)
	s.run()
	speaks("when it has gone back", true)
	s.instance("web", "two")
	speaks("before the hub has looked again", false)
	s.run()
	speaks("when it has succeeded again", true)
	s.order(func(spec *kronvoyv1alpha1.RolloutSpec) {
		spec.Retry = &kronvoyv1alpha1.RolloutOrder{At: metav1.NewTime(noon), By: "alice"}
	})
	speaks("before the hub has noted an order", false)
	s.run()
	speaks("when it has tried again", true)
	s.strategy(&kronvoyv1alpha1.RolloutStrategy{GroupBy: &kronvoyv1alpha1.RolloutGroupBy{Label: "other"}})
	speaks("after a change of the groups", false)
}
