//go:build integration

package spoke_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

const (
	hold    = `{"metadata":{"annotations":{"kronvoy.io/reconcile":"suspended"}}}`
	letGo   = `{"metadata":{"annotations":{"kronvoy.io/reconcile":null}}}`
	heldBy  = `metadata.annotations["kronvoy.io/reconcile"] ->"suspended" (kubectl-annotate)`
	holding = "Reported ConfigMap/settings " + heldBy
)

func TestAnObjectThatSomebodyHoldsIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newKeptWorld(t)
	w.start()
	settings, other := w.configMap("settings", "color", "blue"), w.configMap("other", "color", "blue")
	w.ship("one", settings, other)
	w.settled("one")
	before := time.Now()
	w.patch(settings, "kubectl-annotate", hold)
	w.reported("one", holding)
	if since := w.getReport("one").Findings[0].FirstSeen; since.Time.Before(before.Add(-2*time.Second)) || since.After(time.Now()) {
		t.Errorf("held since %s, and it was at %s", since, before)
	}
	w.quiet()
	w.written()

	// Neither a change by hand nor a manifest is of any consequence to it.
	w.patch(settings, "kubectl-edit", `{"data":{"color":"red"}}`)
	w.reported("one", holding+` data.color "blue"->"red" (kubectl-edit)`)
	w.set(settings, "green", "data", "color")
	w.set(other, "green", "data", "color")
	w.update("one", settings, other)
	if message := w.applied("one", "settings", kronvoyv1alpha1.ReasonSuspended); !strings.Contains(message, "kronvoy.io/reconcile") {
		t.Errorf("the condition says %q", message)
	}
	w.data(other, map[string]string{"color": "green"})
	w.quiet()
	w.stop()
	w.start()
	w.quiet()
	for _, write := range w.written() {
		if strings.HasSuffix(write, " configmaps/settings") {
			t.Errorf("the agent wrote %s", write)
		}
	}
	w.data(settings, map[string]string{"color": "red"})
	if got := findings(w.getReport("one")); len(got) != 1 || !strings.HasPrefix(got[0], holding) {
		t.Errorf("the report says %q", got)
	}

	w.patch(settings, "kubectl-annotate", letGo)
	w.settled("one")
	w.data(settings, map[string]string{"color": "green"})
	w.eventually("nothing to differ", func() error {
		if got := w.getReport("one"); got.FindingCount != 0 {
			return fmt.Errorf("%d objects do: %v", got.FindingCount, findings(got))
		}
		return nil
	})
}

func TestAnObjectThatSomebodyHoldsOutlivesItsManifestAndItsWork(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"manifest", "work"} {
		t.Run(how, func(t *testing.T) {
			w := newWorld(t)
			w.start()
			settings, rest := w.configMap("settings", "color", "blue"), w.configMap("rest", "a", "1")
			work := w.ship("one", settings, rest)
			w.settled("one")
			w.patch(settings, "kubectl-annotate", hold)
			w.reported("one", holding)
			if how == "manifest" {
				w.update("one", rest)
			} else if err := w.client.Delete(w.ctx, work); err != nil {
				t.Fatal(err)
			}
			w.eventually("it to be told of as kept", func() error {
				deleting := w.getReport("one").Deleting
				if len(deleting) != 1 || deleting[0].Name != "settings" || !strings.Contains(deleting[0].Message, "kronvoy.io/reconcile") {
					return fmt.Errorf("the report says %v", deleting)
				}
				return nil
			})
			w.quiet()
			for _, write := range w.written() {
				if strings.HasPrefix(write, "DELETE") && strings.HasSuffix(write, "/settings") {
					t.Errorf("the agent wrote %s", write)
				}
			}
			if w.live(settings) == nil {
				t.Fatal("it is gone")
			}
			w.patch(settings, "kubectl-annotate", letGo)
			w.eventually("it to be gone", func() error {
				if w.live(settings) != nil {
					return fmt.Errorf("it is there")
				}
				return nil
			})
		})
	}
}

func TestAHeldObjectThatIsDeletedByHandIsMadeAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	settings := w.configMap("settings", "color", "blue")
	// A manifest's own hold is nobody's decision on the cluster.
	settings.object.SetAnnotations(map[string]string{kronvoyv1alpha1.AnnotationReconcile: "suspended", "own": "x"})
	w.ship("one", settings)
	w.settled("one")
	if got := w.live(settings).GetAnnotations(); got[kronvoyv1alpha1.AnnotationReconcile] != "" || got["own"] != "x" {
		t.Errorf("its annotations are %v", got)
	}
	w.patch(settings, "kubectl-annotate", hold)
	w.reported("one", holding)
	if err := w.client.Delete(w.ctx, w.live(settings)); err != nil {
		t.Fatal(err)
	}
	w.reported("one", "Corrected ConfigMap/settings missing")
	w.data(settings, map[string]string{"color": "blue"})
}

func TestAHeldObjectIsNotTakenOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	settings := w.configMap("settings", "color", "blue")
	there := w.configMap("settings", "color", "blue")
	there.object.SetAnnotations(map[string]string{kronvoyv1alpha1.AnnotationReconcile: "suspended"})
	w.exists(there)
	w.ship("one", settings)
	w.applied("one", "settings", kronvoyv1alpha1.ReasonSuspended)
	w.untouched()
	w.patch(settings, "kubectl-annotate", letGo)
	w.settled("one")
	if len(w.live(settings).GetOwnerReferences()) == 0 {
		t.Error("it was not taken over")
	}
}

func TestAHeldObjectThatLeftItsWorkComesBackAndLeavesAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	settings, rest := w.configMap("settings", "color", "blue"), w.configMap("rest", "a", "1")
	w.ship("one", settings, rest)
	w.settled("one")
	uid := w.live(settings).GetUID()
	w.patch(settings, "kubectl-annotate", hold)
	w.reported("one", holding)
	w.deleting("one", w.update("one", rest).Generation, "settings")
	w.deleting("one", w.update("one", settings, rest).Generation)
	w.inventoryLists("one", "rest", "settings")
	w.patch(settings, "kubectl-annotate", letGo)
	w.settled("one")
	if w.live(settings).GetUID() != uid {
		t.Error("it was made anew")
	}
	w.update("one", rest)
	w.eventually("it to be gone", func() error {
		if w.live(settings) != nil {
			return fmt.Errorf("it is there")
		}
		return nil
	})
}
