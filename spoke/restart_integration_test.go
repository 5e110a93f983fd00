//go:build integration

package spoke_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kronvoy/kronvoy/spoke"
)

func TestARestartWithEmptyMemoryWritesNothing(t *testing.T) {
	w := newWorld(t)
	w.start()
	web, settings := w.deployment("web", 2), w.configMap("settings", "color", "blue")
	web.rules = []string{"object.status.availableReplicas == object.spec.replicas"}
	settings.observe = []string{"data"}
	w.ship("one", settings, web)
	w.settled("one")
	w.patch(settings, "kubectl-edit", `{"data":{"color":"red"}}`)
	w.reported("one", `Corrected ConfigMap/settings data.color "blue"->"red" (kubectl-edit)`)
	w.quiet()
	w.stop()
	w.written()
	w.start()
	w.quiet()
	if got := w.written(); len(got) > 0 {
		t.Errorf("the agent wrote %v", got)
	}
}

func TestDriftWhileTheAgentWasAwayIsPutRight(t *testing.T) {
	w := newWorld(t)
	w.start()
	web, settings := w.deployment("web", 2), w.configMap("settings", "color", "blue")
	w.ship("one", settings, web)
	w.settled("one")
	w.quiet()
	w.stop()
	w.patchSub(web, "scale", "kubectl", `{"spec":{"replicas":7}}`)
	if err := w.client.Delete(w.ctx, w.live(settings)); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.hasReplicas(web, 2)
	w.reported("one", "Corrected ConfigMap/settings missing", "Corrected Deployment/web spec.replicas 2->7 (kubectl (scale))")
}

func TestWhatLeftTheWorkWhileTheAgentWasAwayIsPruned(t *testing.T) {
	// The list of the inventory is never written: the successor finds the
	// object by its owner.
	w := newWorld(t, func(o *spoke.Options) { o.FlushDelay = time.Hour })
	w.start()
	web, settings := w.deployment("web", 2), w.configMap("settings", "color", "blue")
	w.ship("one", settings, web)
	w.settled("one")
	w.stop()
	work := w.update("one", web)
	w.start()
	w.settled("one")
	w.eventually("the object to be pruned and the hub to hear of it", func() error {
		if w.live(settings) != nil {
			return fmt.Errorf("it is there")
		}
		if report := w.getReport("one"); report.ObservedGeneration != work.Generation || len(report.Deleting) > 0 {
			return fmt.Errorf("the report is at %d, deleting %v", report.ObservedGeneration, report.Deleting)
		}
		return nil
	})
}

func TestAChainOfThreeCostsFewWrites(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.eventually("the agent to run", func() error { return nil })
	chain := []*manifest{w.configMap("first", "a", "1"), w.configMap("second", "b", "2"), w.configMap("third", "c", "3")}
	w.ship("one", chain[:1]...)
	w.settled("one")
	w.update("one", chain[:2]...)
	w.settled("one")
	w.update("one", chain...)
	w.settled("one")
	w.quiet()
	got := w.written()
	want := []string{
		"POST v1/appliedmanifestworks", "PATCH configmaps/first", "PATCH one/status",
		"PATCH configmaps/second", "PATCH one/status",
		"PATCH configmaps/third", "PATCH one/status",
		"PATCH " + w.hubHash + "-one/status",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	_ = unstructured.SetNestedField(chain[0].object.Object, "9", "data", "a")
	w.update("one", chain...)
	w.settled("one")
	w.quiet()
	if diff := cmp.Diff([]string{"PATCH configmaps/first", "PATCH one/status"}, w.written()); diff != "" {
		t.Errorf("writes of an update (-want +got):\n%s", diff)
	}
}
