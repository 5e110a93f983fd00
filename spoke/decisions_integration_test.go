//go:build integration

package spoke_test

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// answered waits until the report answers a work as it stands.
func (w *world) answered(name string) {
	w.t.Helper()
	w.eventually("the report to answer work "+name, func() error {
		if want, got := w.getWork(name).Annotations[kronvoyv1alpha1.AnnotationHash], w.getReport(name).ObservedHash; got != want {
			return fmt.Errorf("it answers %q, want %q", got, want)
		}
		return nil
	})
}

// holdsData waits until a ConfigMap has a value.
func (w *world) holdsData(m *manifest, key, want string) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("%s to have %s=%s", m.object.GetName(), key, want), func() error {
		if got, _, _ := unstructured.NestedString(w.live(m).Object, "data", key); got != want {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
}

func TestWhatIsAcceptedStaysAndTheRestIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	settings := w.configMap("settings", "color", "blue", "size", "large")
	w.ship("one", settings)
	w.settled("one")
	w.patch(settings, "kubectl-edit", `{"data":{"color":"red"}}`)
	w.reported("one", `Corrected ConfigMap/settings data.color "blue"->"red" (kubectl-edit)`)

	settings.policy.Accepted = []string{"data.color"}
	w.update("one", settings)
	w.reported("one")
	w.patch(settings, "kubectl-edit", `{"data":{"color":"red","size":"small"}}`)
	w.reported("one", `Corrected ConfigMap/settings data.size "large"->"small" (kubectl-edit)`)
	w.holdsData(settings, "size", "large")
	w.holdsData(settings, "color", "red")
	w.quiet()
	w.stop()
	w.start()
	w.quiet()
	w.holdsData(settings, "color", "red")

	settings.policy.Accepted = nil
	w.update("one", settings)
	w.holdsData(settings, "color", "blue")
}

func TestWhatIsOnlyReportedIsPutRightOnceWhenAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	settings := w.configMap("settings", "color", "blue", "size", "large")
	settings.policy.Drift = kronvoyv1alpha1.DriftReport
	w.ship("one", settings)
	w.settled("one")
	w.patch(settings, "kubectl-edit", `{"data":{"color":"red"}}`)
	first := w.finding("one", `"red"`)

	settings.policy.Correct = []string{"another", first.ID}
	w.update("one", settings)
	w.reported("one", `Corrected ConfigMap/settings data.color "blue"->"red" (kubectl-edit)`)
	w.holdsData(settings, "color", "blue")
	w.answered("one")

	// The hub may not have heard of it: the same ID does nothing more.
	w.patch(settings, "kubectl-edit", `{"data":{"color":"red"}}`)
	w.eventually("another finding", func() error {
		for _, f := range w.getReport("one").Findings {
			if f.Action == kronvoyv1alpha1.FindingReported && f.ID != first.ID {
				return nil
			}
		}
		return fmt.Errorf("the findings are %+v", w.getReport("one").Findings)
	})
	w.quiet()
	w.holdsData(settings, "color", "red")
	settings.policy.Correct = nil
	w.update("one", settings)
	w.quiet()
	w.holdsData(settings, "color", "red")
}

func TestAMissingObjectIsMadeAgainWhenAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	settings := w.configMap("settings", "color", "blue")
	settings.policy.Drift = kronvoyv1alpha1.DriftReport
	w.ship("one", settings)
	w.settled("one")
	if err := w.client.Delete(w.ctx, w.live(settings)); err != nil {
		t.Fatal(err)
	}
	w.reported("one", "Reported ConfigMap/settings missing")
	settings.policy.Correct = []string{w.getReport("one").Findings[0].ID}
	w.update("one", settings)
	w.reported("one", "Corrected ConfigMap/settings missing")
	w.holdsData(settings, "color", "blue")
}

func TestWhatAnAutoscalerSetIsTakenWhenAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	web := w.deployment("web", 2)
	w.ship("one", web)
	w.settled("one")
	w.patchSub(web, "scale", "kube-controller-manager", `{"spec":{"replicas":7}}`)
	w.reported("one", "Conflict Deployment/web spec.replicas 2->7 (kube-controller-manager (scale))")
	web.policy.Correct = []string{w.getReport("one").Findings[0].ID}
	w.update("one", web)
	w.hasReplicas(web, 2)
	w.answered("one")
}

func TestNothingIsPutRightWhileTheWorkIsSuspended(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	settings := w.configMap("settings", "color", "blue")
	settings.policy.Drift = kronvoyv1alpha1.DriftReport
	w.ship("one", settings)
	w.settled("one")
	w.patch(settings, "kubectl-edit", `{"data":{"color":"red"}}`)
	settings.policy.Correct = []string{w.finding("one", `"red"`).ID}
	w.suspended = true
	w.update("one", settings)
	w.answered("one")
	w.quiet()
	w.holdsData(settings, "color", "red")
	w.suspended = false
	w.update("one", settings)
	w.holdsData(settings, "color", "blue")
}
