//go:build integration

package spoke_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke"
)

func TestOneBadManifestDoesNotHoldUpTheOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	bad := w.configMap("Not A Name", "a", "b")
	unknown := w.configMap("unknown")
	unknown.object.SetAPIVersion("example.com/v1")
	unknown.object.SetKind("Widget")
	good := w.configMap("good", "a", "b")
	w.ship("one", bad, unknown, good)
	w.applied("one", "good", workv1.AppliedManifestComplete)
	w.applied("one", "Not A Name", workv1.AppliedManifestFailed)
	w.applied("one", "unknown", kronvoyv1alpha1.ReasonNoSuchKind)
	work := w.getWork("one")
	if err := condition(work.Status.Conditions, workv1.WorkApplied, metav1.ConditionFalse, work.Generation); err != nil {
		t.Error(err)
	}
	// Nothing is pruned while a manifest is not applied.
	w.update("one", bad, unknown)
	w.applied("one", "Not A Name", workv1.AppliedManifestFailed)
	w.quiet()
	if w.live(good) == nil {
		t.Error("an object was pruned although a manifest failed")
	}
}

func TestAnImmutableFieldGetsAClearMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	web := w.deployment("web", 1)
	w.ship("one", web)
	w.settled("one")
	_ = unstructured.SetNestedField(web.object.Object, map[string]any{"app": "x"}, "spec", "selector", "matchLabels")
	_ = unstructured.SetNestedField(web.object.Object, map[string]any{"app": "x"}, "spec", "template", "metadata", "labels")
	w.update("one", web)
	if message := w.applied("one", "web", kronvoyv1alpha1.ReasonImmutableField); !strings.Contains(message, "spec.selector") {
		t.Errorf("message %q does not name the field", message)
	}
}

func TestAKindAndItsObjectInOneWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	group := w.ns + ".example.com"
	custom := &manifest{object: &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": group + "/v1", "kind": "Widget",
		"metadata": map[string]any{"name": "mine", "namespace": w.ns}, "spec": map[string]any{"size": "large"},
	}}}
	kind := &manifest{object: &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": "widgets." + group},
		"spec": map[string]any{
			"group": group, "scope": "Namespaced",
			"names": map[string]any{"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
			"versions": []any{map[string]any{
				"name": "v1", "served": true, "storage": true,
				"schema": map[string]any{"openAPIV3Schema": map[string]any{
					"type": "object", "properties": map[string]any{"spec": map[string]any{
						"type": "object", "properties": map[string]any{"size": map[string]any{"type": "string"}},
					}},
				}},
			}},
		},
	}}}
	w.ship("one", custom, kind)
	w.settled("one")
	if err := w.client.Delete(w.ctx, w.getWork("one")); err != nil {
		t.Fatal(err)
	}
	w.eventually("both to be gone", func() error {
		if w.live(kind) != nil {
			return fmt.Errorf("the kind is there")
		}
		return nil
	})
}

func TestANamespaceOfAnotherWorkComesInTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	m := w.configMap("settings", "a", "b")
	m.object.SetNamespace(w.ns + "-new")
	namespace := &manifest{
		object: &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": w.ns + "-new"},
		}},
		strategy: workv1.UpdateStrategyTypeCreateOnly,
		policy:   kronvoyv1alpha1.ManifestPolicy{Deletion: kronvoyv1alpha1.DeletionOrphan},
	}
	w.ship("one", m)
	w.ship("namespace", namespace)
	w.settled("one")
	w.settled("namespace")

	// It was made by nobody's leave and stays when the work goes.
	if err := w.client.Delete(w.ctx, w.getWork("namespace")); err != nil {
		t.Fatal(err)
	}
	w.workGone("namespace")
	got := w.live(namespace)
	if got == nil || got.GetDeletionTimestamp() != nil || len(got.GetOwnerReferences()) > 0 {
		t.Errorf("the namespace is %v", got)
	}
}

func (w *world) workGone(name string) {
	w.t.Helper()
	w.eventually("work "+name+" to be gone", func() error {
		work := &workv1.ManifestWork{}
		err := w.client.Get(w.ctx, types.NamespacedName{Namespace: w.cluster, Name: name}, work)
		if err == nil {
			return fmt.Errorf("it is there")
		}
		if !apierrors.IsNotFound(err) {
			return err
		}
		if w.inventory(name) != nil {
			return fmt.Errorf("its inventory is there")
		}
		return nil
	})
}

func TestWhatIsReadOnlyIsWatchedAndNeverTouched(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	external := w.configMap("external")
	delete(external.object.Object, "data")
	external.strategy = workv1.UpdateStrategyTypeReadOnly
	external.paths = []string{"data.color"}
	w.ship("one", external)
	work := w.settled("one")
	if err := condition(manifestStatus(work, "external").Conditions, workv1.ManifestAvailable, metav1.ConditionFalse, work.Generation); err != nil {
		t.Error(err)
	}
	there := w.exists(w.configMap("external", "color", "red"))
	w.feedsBack("one", "external", "data.color", "red")
	w.patch(external, "somebody", `{"data":{"color":"green"}}`)
	w.feedsBack("one", "external", "data.color", "green")
	if err := w.client.Delete(w.ctx, w.getWork("one")); err != nil {
		t.Fatal(err)
	}
	w.workGone("one")
	if got := w.live(external); got == nil || got.GetUID() != there.GetUID() || len(got.GetLabels()) > 0 {
		t.Errorf("the external object is %v", got)
	}
}

func (w *world) feedsBack(work, name, path, want string) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("%s of %s to be fed back as %q", path, name, want), func() error {
		if got := values(w.getWork(work), name)[path]; got != want {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
}

func TestCreateOnlyCreatesOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	m := w.configMap("settings", "color", "blue")
	m.strategy = workv1.UpdateStrategyTypeCreateOnly
	w.ship("one", m)
	w.settled("one")
	w.patch(m, "somebody", `{"data":{"color":"red"}}`)
	_ = unstructured.SetNestedField(m.object.Object, "green", "data", "color")
	w.update("one", m)
	w.settled("one")
	w.quiet()
	if color, _, _ := unstructured.NestedString(w.live(m).Object, "data", "color"); color != "red" {
		t.Errorf("color is %q", color)
	}
	if err := w.client.Delete(w.ctx, w.live(m)); err != nil {
		t.Fatal(err)
	}
	w.eventually("it to be created again", func() error {
		if got := w.live(m); got == nil {
			return fmt.Errorf("it is not")
		}
		return nil
	})
}

func TestWhatIsDeletedSlowlyIsListedUntilItIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	slow, other := w.configMap("slow", "a", "b"), w.configMap("other", "a", "b")
	w.ship("one", slow, other)
	w.settled("one")
	w.patch(slow, "somebody", `{"metadata":{"finalizers":["example.com/wait"]}}`)
	work := w.update("one", other)
	w.deleting("one", work.Generation, "slow")
	// It is listed as soon as it is to go, which may be before anything is done.
	w.eventually("it to be on its way out", func() error {
		if w.live(slow).GetDeletionTimestamp() == nil {
			return errors.New("nobody has deleted it")
		}
		return nil
	})

	// Back in the work while it is going: it is not applied until it is gone.
	w.update("one", slow, other)
	w.applied("one", "slow", kronvoyv1alpha1.ReasonTerminating)
	uid := w.live(slow).GetUID()
	w.patch(slow, "somebody", `{"metadata":{"finalizers":null}}`)
	work = w.settled("one")
	if w.live(slow).GetUID() == uid {
		t.Error("it was not created anew")
	}
	w.deleting("one", work.Generation)
	if got := findings(w.getReport("one")); len(got) > 0 {
		t.Errorf("findings %v", got)
	}
}

func (w *world) deleting(work string, generation int64, want ...string) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("the report to list %v", want), func() error {
		report := w.getReport(work)
		var got []string
		for _, object := range report.Deleting {
			got = append(got, object.Name)
		}
		if !slices.Equal(got, want) || report.ObservedGeneration != generation {
			return fmt.Errorf("at %d it lists %v", report.ObservedGeneration, got)
		}
		return nil
	})
}

func TestAWorkIsDeletedInReverseWaves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	low, high := w.configMap("low", "a", "b"), w.configMap("high", "a", "b")
	high.policy.Wave = 1
	high.object.SetFinalizers([]string{"example.com/wait"})
	w.ship("one", low, high)
	work := w.settled("one")
	if err := w.client.Delete(w.ctx, work); err != nil {
		t.Fatal(err)
	}
	w.eventually("the report to list it", func() error {
		if report := w.getReport("one"); len(report.Deleting) != 1 || report.Deleting[0].Name != "high" {
			return fmt.Errorf("it lists %v", report.Deleting)
		}
		return nil
	})
	if got := w.live(low); got == nil || got.GetDeletionTimestamp() != nil {
		t.Error("the lower wave went first")
	}
	w.patch(high, "somebody", `{"metadata":{"finalizers":null}}`)
	w.workGone("one")
	if w.live(low) != nil {
		t.Error("the lower wave is still there")
	}
}

func TestAManifestMovesBetweenWorksWithoutDeletion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	m, rest := w.configMap("moving", "a", "b"), w.configMap("rest", "a", "b")
	w.ship("one", m, rest)
	w.settled("one")
	uid := w.live(m).GetUID()
	w.ship("two", m)
	w.settled("two")
	w.quiet()
	w.written()
	w.quiet()
	if got := w.written(); len(got) > 0 {
		t.Errorf("while both works have it the agent writes %v", got)
	}
	w.update("one", rest)
	w.settled("one")
	w.inventoryLists("one", "rest")
	w.quiet()
	got := w.live(m)
	if got == nil || got.GetUID() != uid || len(got.GetOwnerReferences()) != 1 {
		t.Fatalf("after the move it is %v", got)
	}
	if owner := got.GetOwnerReferences()[0]; owner.Name != w.hubHash+"-two" {
		t.Errorf("its owner is %s", owner.Name)
	}
	if err := w.client.Delete(w.ctx, w.getWork("two")); err != nil {
		t.Fatal(err)
	}
	w.workGone("two")
	if w.live(m) != nil {
		t.Error("its last work is gone, and it is not")
	}
}

func TestOrphansStay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	orphan, other := w.configMap("orphan", "a", "b"), w.configMap("other", "a", "b")
	orphan.policy.Deletion = kronvoyv1alpha1.DeletionOrphan
	w.ship("one", orphan, other)
	w.settled("one")
	w.update("one", other)
	w.settled("one")
	w.quiet()
	work := w.getWork("one")
	patch := client.MergeFrom(work.DeepCopy())
	work.Spec.DeleteOption = &workv1.DeleteOption{PropagationPolicy: workv1.DeletePropagationPolicyTypeOrphan}
	if err := w.client.Patch(w.ctx, work, patch); err != nil {
		t.Fatal(err)
	}
	if err := w.client.Delete(w.ctx, work); err != nil {
		t.Fatal(err)
	}
	w.workGone("one")
	for _, m := range []*manifest{orphan, other} {
		if got := w.live(m); got == nil || len(got.GetOwnerReferences()) > 0 {
			t.Errorf("%s is %v", m.object.GetName(), got)
		}
	}
}

func TestAVanishedWorkIsEvictedOnlyAfterTheGraceTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *spoke.Options) { o.EvictionGracePeriod = 2 * time.Second })
	w.start()
	m := w.configMap("settings", "a", "b")
	w.ship("one", m)
	work := w.settled("one")
	if err := w.client.Patch(w.ctx, work, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))); err != nil {
		t.Fatal(err)
	}
	w.stop() // or it would put the finalizer back
	work = w.getWork("one")
	work.Finalizers = nil
	if err := w.client.Update(w.ctx, work); err != nil {
		t.Fatal(err)
	}
	if err := w.client.Delete(w.ctx, work); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.eventually("the countdown", func() error {
		if applied := w.inventory("one"); applied.Status.EvictionStartTime == nil {
			return fmt.Errorf("it has not begun")
		}
		return nil
	})
	if w.live(m) == nil {
		t.Error("the object went at once")
	}
	w.eventually("the eviction", func() error {
		if w.live(m) != nil || w.inventory("one") != nil {
			return fmt.Errorf("it is still there")
		}
		return nil
	})
}

func TestAWorkWithoutKronvoysAnnotations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	m := w.configMap("plain", "color", "blue")
	work := w.work("one", m)
	work.Annotations, work.Finalizers, work.Spec.ManifestConfigs = nil, nil, nil
	w.exists(w.configMap("plain", "color", "red")) // OCM's default adopts
	if err := w.client.Create(w.ctx, work); err != nil {
		t.Fatal(err)
	}
	work = w.settled("one")
	if !slices.Contains(work.Finalizers, kronvoyv1alpha1.FinalizerWork) {
		t.Error("it has no finalizer")
	}
	if color, _, _ := unstructured.NestedString(w.live(m).Object, "data", "color"); color != "blue" {
		t.Errorf("color is %q", color)
	}
	w.patch(m, "somebody", `{"data":{"color":"red"}}`)
	w.eventually("the color to be back", func() error {
		if color, _, _ := unstructured.NestedString(w.live(m).Object, "data", "color"); color != "blue" {
			return fmt.Errorf("it is %q", color)
		}
		return nil
	})
	if err := w.client.Delete(w.ctx, work); err != nil {
		t.Fatal(err)
	}
	w.eventually("the work to say what it waits for", func() error {
		work := w.getWork("one")
		return condition(work.Status.Conditions, workv1.WorkDeleting, metav1.ConditionTrue, work.Generation)
	})
	w.collect(m)
	w.workGone("one")
	if w.live(m) != nil {
		t.Error("its object is still there")
	}
}

// collect plays the garbage collector, which the API server alone lacks: it ends
// the foreground deletion of an object.
func (w *world) collect(m *manifest) {
	w.t.Helper()
	w.eventually(m.object.GetName()+" to be deleted in the foreground", func() error {
		if obj := w.live(m); obj != nil && !slices.Contains(obj.GetFinalizers(), metav1.FinalizerDeleteDependents) {
			return fmt.Errorf("it has the finalizers %v", obj.GetFinalizers())
		}
		return nil
	})
	w.patch(m, "garbage-collector", `{"metadata":{"finalizers":null}}`)
}

// plainOCM is a hub that knows no WorkReports.
type plainOCM struct{ next http.RoundTripper }

func (p plainOCM) RoundTrip(req *http.Request) (*http.Response, error) {
	if strings.Contains(req.URL.Path, "/workreports") {
		return &http.Response{
			StatusCode: http.StatusNotFound, Header: http.Header{"Content-Type": {"text/plain"}},
			Body: io.NopCloser(strings.NewReader("404 page not found")), Request: req,
		}, nil
	}
	return p.next.RoundTrip(req)
}

func TestAHubWithoutReportsIsServed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *spoke.Options) {
		o.Hub = rest.CopyConfig(o.Hub)
		o.Hub.Wrap(func(next http.RoundTripper) http.RoundTripper { return plainOCM{next} })
	})
	w.start()
	m := w.configMap("settings", "color", "blue")
	m.observe = []string{"data"}
	work := w.work("one", m)
	if err := w.client.Create(w.ctx, work); err != nil {
		t.Fatal(err)
	}
	work = w.settled("one")
	if err := w.client.Delete(w.ctx, work); err != nil {
		t.Fatal(err)
	}
	w.workGone("one")
}
