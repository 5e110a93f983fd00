//go:build integration

package spoke_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kronvoy/kronvoy/spoke"
)

func TestARestartWithEmptyMemoryWritesNothing(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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

// kept makes the agent keep its state.
func kept(o *spoke.Options) { o.Namespace = "kept-by-" + o.ClusterName }

func newKeptWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, kept)
	if err := w.client.Create(w.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kept-by-" + w.cluster}}); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) secrets() int {
	w.t.Helper()
	list := &corev1.SecretList{}
	if err := w.client.List(w.ctx, list, client.InNamespace("kept-by-"+w.cluster)); err != nil {
		w.t.Fatal(err)
	}
	return len(list.Items)
}

func TestTheStateIsKeptInOneSecretThatGoesWithTheWork(t *testing.T) {
	t.Parallel()
	w := newKeptWorld(t)
	w.start()
	w.ship("one", w.configMap("settings", "color", "blue"))
	w.settled("one")
	w.quiet()
	if got := w.secrets(); got != 1 {
		t.Fatalf("%d Secrets, want 1", got)
	}
	w.stop()
	w.written()
	w.start()
	w.quiet()
	if got := w.written(); len(got) > 0 {
		t.Errorf("after a restart the agent wrote %v", got)
	}
	if err := w.client.Delete(w.ctx, w.getWork("one")); err != nil {
		t.Fatal(err)
	}
	w.workGone("one")
	w.eventually("the Secret to be gone", func() error {
		if got := w.secrets(); got != 0 {
			return fmt.Errorf("%d are there", got)
		}
		return nil
	})
}

// An agent that ends after it kept its state, and before it wrote the list of the
// inventory, has nothing left to apply. OCM's agent would take an object of another
// UID for somebody else's, and leave it behind.
func TestAListThatWasNotWrittenIsWrittenWithUIDs(t *testing.T) {
	t.Parallel()
	w := newKeptWorld(t)
	w.start()
	w.ship("one", w.configMap("settings", "color", "blue"), w.deployment("web", 2))
	w.settled("one")
	w.quiet()
	w.stop()
	applied := w.inventory("one")
	want := applied.Status.AppliedResources
	applied.Status.AppliedResources = want[:1:1]
	if err := w.client.Status().Update(w.ctx, applied); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.eventually("the list to be as it was", func() error {
		if diff := cmp.Diff(want, w.inventory("one").Status.AppliedResources); diff != "" {
			return fmt.Errorf("(-want +got):\n%s", diff)
		}
		return nil
	})
}

func TestDriftAndAnUpdateWhileTheAgentWasAwayConverge(t *testing.T) {
	t.Parallel()
	w := newKeptWorld(t)
	w.start()
	web := w.deployment("web", 2)
	w.ship("one", web)
	w.settled("one")
	w.quiet()
	w.stop()
	w.patchSub(web, "scale", "kubectl", `{"spec":{"replicas":7}}`)
	_ = unstructured.SetNestedField(web.object.Object, int64(3), "spec", "replicas")
	w.update("one", web)
	w.start()
	w.settled("one")
	w.hasReplicas(web, 3)
	w.reported("one", "Corrected Deployment/web spec.replicas 3->7 (kubectl (scale))")
}

func TestWithoutTheHubARestartedAgentGoesOnEnforcing(t *testing.T) {
	t.Parallel()
	w := newKeptWorld(t)
	w.start()
	web, settings := w.deployment("web", 2), w.configMap("settings", "color", "blue")
	w.ship("one", web, settings)
	w.settled("one")
	w.quiet()
	w.stop()
	w.patchSub(web, "scale", "kubectl", `{"spec":{"replicas":7}}`)

	gate := make(chan struct{})
	w.options = func(o *spoke.Options) {
		kept(o)
		o.Hub = rest.CopyConfig(o.Hub)
		o.Hub.Wrap(func(next http.RoundTripper) http.RoundTripper { return cut{next, gate} })
	}
	w.start()
	w.hasReplicas(web, 2)
	if err := w.client.Delete(w.ctx, w.live(settings)); err != nil {
		t.Fatal(err)
	}
	w.eventually("the object to come back", func() error {
		if w.live(settings) == nil {
			return fmt.Errorf("it is not there")
		}
		return nil
	})
	if got := findings(w.getReport("one")); len(got) > 0 {
		t.Errorf("the hub heard of %v while it could not be reached", got)
	}
	close(gate)
	w.reported("one", "Corrected ConfigMap/settings missing", "Corrected Deployment/web spec.replicas 2->7 (kubectl (scale))")
}

// unhurried makes the agent keep its state, but not in the time of a test.
func unhurried(o *spoke.Options) {
	kept(o)
	o.FlushDelay = time.Hour
}

func TestWithoutTheHubARestartedAgentUndoesNothingNewerThanItKnows(t *testing.T) {
	t.Parallel()
	w := newKeptWorld(t)
	w.start()
	changed, same, added := w.configMap("changed", "color", "blue"), w.configMap("same", "color", "blue"), w.configMap("added", "color", "blue")
	w.ship("one", changed, same)
	w.settled("one")
	w.quiet()
	w.stop()

	w.options = unhurried
	w.start()
	_ = unstructured.SetNestedField(changed.object.Object, "red", "data", "color")
	w.update("one", changed, same, added)
	w.settled("one")
	before := w.live(added)
	w.stop()

	gate := make(chan struct{})
	w.options = func(o *spoke.Options) {
		kept(o)
		o.Hub = rest.CopyConfig(o.Hub)
		o.Hub.Wrap(func(next http.RoundTripper) http.RoundTripper { return cut{next, gate} })
	}
	w.start()
	if err := w.client.Delete(w.ctx, w.live(same)); err != nil {
		t.Fatal(err)
	}
	w.eventually("what is kept to be enforced", func() error {
		if w.live(same) == nil {
			return fmt.Errorf("the object is not back")
		}
		return nil
	})
	if got, _, _ := unstructured.NestedString(w.live(changed).Object, "data", "color"); got != "red" {
		t.Errorf("the older manifest was applied again: color is %s", got)
	}
	if after := w.live(added); after == nil || after.GetUID() != before.GetUID() {
		t.Errorf("what came later was taken away: %v", after)
	}
	close(gate)
	w.reported("one", "Corrected ConfigMap/same missing")
}

func TestWhatIsTakenAwayIsNotKept(t *testing.T) {
	t.Parallel()
	w := newKeptWorld(t)
	w.start()
	stays, leaves := w.configMap("stays", "color", "blue"), w.configMap("leaves", "color", "blue")
	w.ship("one", stays, leaves)
	w.settled("one")
	w.quiet()
	w.stop()
	w.options = unhurried
	w.start()
	w.update("one", stays)
	w.settled("one")
	w.eventually("the object to leave", func() error {
		if w.live(leaves) != nil {
			return fmt.Errorf("it is there")
		}
		return nil
	})
	if got := w.secrets(); got != 0 {
		t.Errorf("a state that names it is kept in %d Secrets", got)
	}
	w.stop()

	w.options = kept
	w.start()
	w.quiet()
	if got := w.secrets(); got != 1 {
		t.Fatalf("%d Secrets, want 1", got)
	}
	w.patch(stays, "holder", `{"metadata":{"finalizers":["example.com/hold"]}}`)
	if err := w.client.Delete(w.ctx, w.getWork("one")); err != nil {
		t.Fatal(err)
	}
	w.eventually("the object to be deleted, and the state not to be kept", func() error {
		if obj := w.live(stays); obj == nil || obj.GetDeletionTimestamp() == nil {
			return fmt.Errorf("the object is %v", obj)
		}
		if got := w.secrets(); got != 0 {
			return fmt.Errorf("%d Secrets are there", got)
		}
		return nil
	})
	w.patch(stays, "holder", `{"metadata":{"finalizers":null}}`)
	w.workGone("one")
}

// cut is a hub that does not answer until its gate is opened.
type cut struct {
	next http.RoundTripper
	gate chan struct{}
}

func (c cut) RoundTrip(req *http.Request) (*http.Response, error) {
	select {
	case <-c.gate:
		return c.next.RoundTrip(req)
	default:
		return nil, errors.New("the hub is cut off")
	}
}
