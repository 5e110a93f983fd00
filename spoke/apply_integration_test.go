//go:build integration

package spoke_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

func TestAWorkIsAppliedUpdatedShrunkAndDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	web, settings := w.deployment("web", 2), w.configMap("settings", "color", "blue")
	web.rules = []string{"object.status.availableReplicas == object.spec.replicas"}
	settings.observe = []string{"data"}
	w.ship("one", settings, web)

	work := w.settled("one")
	if got, want := values(work, "web")["spec.replicas"], "2"; got != want {
		t.Errorf("replicas fed back as %q, want %q", got, want)
	}
	if err := condition(manifestStatus(work, "web").Conditions, "Ready", metav1.ConditionFalse, work.Generation); err != nil {
		t.Error(err)
	}
	w.patchSub(web, "status", "kube-controller-manager", `{"status":{"replicas":2,"readyReplicas":2,"availableReplicas":2}}`)
	w.eventually("readiness to be fed back", func() error {
		work = w.getWork("one")
		return condition(manifestStatus(work, "web").Conditions, "Ready", metav1.ConditionTrue, work.Generation)
	})
	if got, want := values(work, "web")["status.availableReplicas"], "2"; got != want {
		t.Errorf("available replicas fed back as %q, want %q", got, want)
	}
	report := w.getReport("one")
	if len(report.Values) != 1 || report.Values[0].Value != `{"color":"blue"}` {
		t.Errorf("reported values are %v", report.Values)
	}
	w.inventoryLists("one", "settings", "web")
	uid := w.live(web).GetUID()

	web.object.Object["spec"].(map[string]any)["replicas"] = int64(3)
	w.update("one", web)
	work = w.settled("one")
	if got, want := values(work, "web")["spec.replicas"], "3"; got != want {
		t.Errorf("after the update replicas are fed back as %q, want %q", got, want)
	}
	if w.live(web).GetUID() != uid {
		t.Error("the update replaced the object")
	}
	w.eventually("the report to say that nothing is being deleted", func() error {
		report := w.getReport("one")
		if report.ObservedHash != work.Annotations[kronvoyv1alpha1.AnnotationHash] || len(report.Deleting) > 0 {
			return fmt.Errorf("it is at %s, deleting %v", report.ObservedHash, report.Deleting)
		}
		return nil
	})
	if w.live(settings) != nil {
		t.Error("what left the work is still there")
	}
	w.inventoryLists("one", "web")

	if err := w.client.Delete(w.ctx, work); err != nil {
		t.Fatal(err)
	}
	w.eventually("the work to be gone", func() error {
		if w.live(web) != nil {
			return fmt.Errorf("its object is there")
		}
		if w.inventory("one") != nil {
			return fmt.Errorf("its inventory is there")
		}
		list := &workv1.ManifestWorkList{}
		if err := w.client.List(w.ctx, list); err != nil {
			return err
		}
		for _, other := range list.Items {
			if other.Namespace == w.cluster {
				return fmt.Errorf("it is there")
			}
		}
		return nil
	})
	if diff := cmp.Diff([]string(nil), findings(report)); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}
