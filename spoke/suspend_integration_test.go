//go:build integration

package spoke_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// untouched fails when the agent wrote to an object of a work.
func (w *world) untouched() {
	w.t.Helper()
	w.quiet()
	for _, write := range w.written() {
		if strings.Contains(write, " configmaps/") || strings.Contains(write, " deployments/") {
			w.t.Errorf("the agent wrote %s", write)
		}
	}
}

func TestASuspendedWorkIsLeftAsItIsUntilItGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	settings, leaving, web := w.configMap("settings", "color", "blue"), w.configMap("leaving", "a", "1"), w.deployment("web", 2)
	w.ship("one", settings, leaving, web)
	w.settled("one")
	fresh, theirs := w.configMap("fresh", "a", "1"), w.configMap("theirs", "a", "1")
	w.exists(theirs)
	w.quiet()
	w.written()

	w.suspended = true
	if err := unstructured.SetNestedField(settings.object.Object, "green", "data", "color"); err != nil {
		t.Fatal(err)
	}
	w.update("one", settings, web, fresh, theirs)
	for _, name := range []string{"settings", "fresh", "theirs"} {
		if message := w.applied("one", name, kronvoyv1alpha1.ReasonSuspended); !strings.Contains(message, "suspended") {
			t.Errorf("of %s it says %q", name, message)
		}
	}
	w.patchSub(web, "scale", "kubectl", `{"spec":{"replicas":7}}`)
	w.reported("one", "Reported Deployment/web spec.replicas 2->7 (kubectl (scale))")
	w.eventually("what left the work to be kept and told of", func() error {
		deleting := w.getReport("one").Deleting
		if len(deleting) != 1 || deleting[0].Name != "leaving" || !strings.Contains(deleting[0].Message, "suspended") {
			return fmt.Errorf("the report says %v", deleting)
		}
		return nil
	})
	w.untouched()

	// The next process finds the mark, and drift that it has not seen come.
	w.stop()
	w.start()
	w.untouched()
	if got := findings(w.getReport("one")); !slices.Contains(got, "Reported Deployment/web spec.replicas 2->7 (kubectl (scale))") {
		t.Errorf("the report says %q", got)
	}

	w.suspended = false
	w.update("one", settings, web, fresh, theirs)
	w.settled("one")
	w.hasReplicas(web, 2)
	w.eventually("everything to be as the work says", func() error {
		if color, _, _ := unstructured.NestedString(w.live(settings).Object, "data", "color"); color != "green" {
			return fmt.Errorf("the color is %q", color)
		}
		if w.live(leaving) != nil || w.live(fresh) == nil || len(w.live(theirs).GetOwnerReferences()) == 0 {
			return fmt.Errorf("left: %v, fresh: %v, taken over: %v", w.live(leaving), w.live(fresh), w.live(theirs))
		}
		return nil
	})
}

func TestASuspendedWorkIsTakenDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	settings := w.configMap("settings", "color", "blue")
	w.ship("one", settings)
	w.settled("one")
	w.suspended = true
	work := w.update("one", settings)
	if err := w.client.Delete(w.ctx, work); err != nil {
		t.Fatal(err)
	}
	w.eventually("its object to be gone", func() error {
		if obj := w.live(settings); obj != nil {
			return fmt.Errorf("it is there")
		}
		return nil
	})
}
