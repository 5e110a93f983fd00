//go:build integration

package spoke_test

import (
	"fmt"
	"strings"
	"testing"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// applied waits until a manifest's Applied condition has a reason, and gives
// its message.
func (w *world) applied(work, name, reason string) string {
	w.t.Helper()
	var message string
	w.eventually(fmt.Sprintf("manifest %s to be %s", name, reason), func() error {
		got := w.getWork(work)
		c := apimeta.FindStatusCondition(manifestStatus(got, name).Conditions, workv1.ManifestApplied)
		if c == nil || c.Reason != reason || c.ObservedGeneration != got.Generation {
			return fmt.Errorf("its condition is %v", c)
		}
		message = c.Message
		return nil
	})
	return message
}

// exists creates an object as somebody else.
func (w *world) exists(m *manifest) *unstructured.Unstructured {
	w.t.Helper()
	obj := m.object.DeepCopy()
	if err := w.client.Create(w.ctx, obj); err != nil {
		w.t.Fatal(err)
	}
	return obj
}

func TestTakeoverOfWhatExists(t *testing.T) {
	t.Parallel()
	const adopted, refused = workv1.AppliedManifestComplete, kronvoyv1alpha1.ReasonTakeoverRefused
	tests := map[string]struct {
		policy      kronvoyv1alpha1.TakeoverPolicy
		there, want string
		reason      string
		message     string
	}{
		"always-takes-what-differs":     {policy: kronvoyv1alpha1.TakeoverAlways, there: "red", want: "blue", reason: adopted},
		"without-difference-it-is-ours": {policy: kronvoyv1alpha1.TakeoverIfNoDiff, there: "blue", want: "blue", reason: adopted},
		"a-difference-is-refused": {
			policy: kronvoyv1alpha1.TakeoverIfNoDiff, there: "red", want: "red", reason: refused, message: `data.color is "red", wanted "blue"`,
		},
		"the-default-is-if-no-diff":        {there: "red", want: "red", reason: refused, message: `data.color is "red", wanted "blue"`},
		"never-refuses-even-what-is-equal": {policy: kronvoyv1alpha1.TakeoverNever, there: "blue", want: "blue", reason: refused},
	}
	w := newWorld(t)
	w.start()
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			there := w.exists(w.configMap(name, "color", tt.there, "own", "mine"))
			m := w.configMap(name, "color", "blue")
			m.policy.Takeover = tt.policy
			w.ship(name, m)
			message := w.applied(name, name, tt.reason)
			if !strings.Contains(message, tt.message) {
				t.Errorf("message %q, want %q in it", message, tt.message)
			}
			got := w.live(m)
			color, _, _ := unstructured.NestedString(got.Object, "data", "color")
			own, _, _ := unstructured.NestedString(got.Object, "data", "own")
			if got.GetUID() != there.GetUID() || color != tt.want || own != "mine" {
				t.Errorf("color is %q, own %q, the same object %t", color, own, got.GetUID() == there.GetUID())
			}
			if owned := len(got.GetOwnerReferences()) > 0; owned != (tt.reason == adopted) {
				t.Errorf("owned by us: %t", owned)
			}
		})
	}
}

func TestARefusedObjectIsTakenWhenItIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	there := w.exists(w.configMap("settings", "color", "red"))
	m := w.configMap("settings", "color", "blue")
	w.ship("one", m)
	w.applied("one", "settings", kronvoyv1alpha1.ReasonTakeoverRefused)
	if err := w.client.Delete(w.ctx, there); err != nil {
		t.Fatal(err)
	}
	w.settled("one")
}

func TestObjectsOfTheSameKroInstanceAreOurs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	there := w.configMap("settings", "color", "red")
	there.object.SetLabels(map[string]string{"kro.run/instance-id": "abc"})
	uid := w.exists(there).GetUID()
	m := w.configMap("settings", "color", "blue")
	m.object.SetLabels(map[string]string{"kro.run/instance-id": "abc"})
	w.ship("one", m)
	w.settled("one")
	if w.live(m).GetUID() != uid {
		t.Error("the object was replaced")
	}
}

func TestANewFieldThatSomebodyOwnsIsAConflict(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	m := w.configMap("settings", "color", "blue")
	w.ship("one", m)
	w.settled("one")
	w.patch(m, "other", `{"data":{"size":"small"}}`)
	_ = unstructured.SetNestedField(m.object.Object, "large", "data", "size")
	w.update("one", m)
	message := w.applied("one", "settings", kronvoyv1alpha1.ReasonApplyConflict)
	if !strings.Contains(message, `"other"`) || !strings.Contains(message, "data.size") {
		t.Errorf("message %q names neither manager nor field", message)
	}
	w.reported("one", `Conflict ConfigMap/settings data.size "large"->"small" (other)`)

	m.policy.Takeover = kronvoyv1alpha1.TakeoverAlways
	w.update("one", m)
	w.settled("one")
	size, _, _ := unstructured.NestedString(w.live(m).Object, "data", "size")
	if size != "large" {
		t.Errorf("with policy Always the field is %q", size)
	}
}

// applies is a server-side apply by somebody else.
func (w *world) applies(who string, object map[string]any) {
	w.t.Helper()
	obj := &unstructured.Unstructured{Object: object}
	if err := w.client.Apply(w.ctx, client.ApplyConfigurationFromUnstructured(obj), client.FieldOwner(who)); err != nil {
		w.t.Fatal(err)
	}
}

// Who applies labels: {} owns the map and nothing in it: no reason to keep anybody
// from putting something there.
func TestAnEmptyMapThatSomebodyAppliesIsNoConflict(t *testing.T) {
	t.Parallel()
	empty := func(m *manifest) map[string]any {
		object := m.object.DeepCopy()
		object.Object["metadata"].(map[string]any)["labels"] = map[string]any{}      //nolint:forcetypeassert // it is one
		object.Object["metadata"].(map[string]any)["annotations"] = map[string]any{} //nolint:forcetypeassert // it is one
		return object.Object
	}
	for name, strategy := range map[string]string{"of-the-hub": "", "by-hand": "apply"} {
		for _, when := range []string{"before", "after"} {
			t.Run(kebab(name, when), func(t *testing.T) {
				w := newWorld(t)
				w.start()
				m := w.configMap("settings", "color", "blue")
				ship := func(m *manifest) {
					if strategy == "" {
						w.ship("one", m)
					} else {
						w.byHand("one", configured(strategies[strategy]), m)
					}
				}
				if when == "before" {
					w.applies("other", empty(m))
					ship(m)
				} else {
					ship(m)
					w.settled("one")
					w.applies("other", empty(m))
					m.object.SetLabels(map[string]string{"new": "x"})
					m.object.SetAnnotations(map[string]string{"new": "x"})
					if strategy == "" {
						w.update("one", m)
					} else {
						w.rewrite("one", configured(strategies[strategy]), m)
					}
				}
				w.settled("one")
				if got := w.live(m).GetLabels(); got[kronvoyv1alpha1.LabelManaged] != "true" || got["new"] != m.object.GetLabels()["new"] {
					t.Errorf("the labels are %v", got)
				}
				w.quiet()
				w.written()
				w.patch(m, "somebody", `{"metadata":{"labels":{"own":"x"}}}`)
				w.untouched()
			})
		}
	}
}

// A new version that changes what somebody had changed and put back puts nothing
// right.
func TestAnUpdateOfWhatSomebodyPutBackIsNoCorrection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.configMap("settings", "color", "blue")
	w.start()
	w.ship("one", m)
	w.settled("one")
	w.quiet()
	w.written()
	w.stop()
	w.patch(m, "somebody", `{"data":{"color":"red"}}`)
	w.patch(m, "somebody", `{"data":{"color":"blue"}}`)
	w.start()
	w.untouched()
	w.set(m, "green", "data", "color")
	w.update("one", m)
	w.settled("one")
	w.data(m, map[string]string{"color": "green"})
	if got := w.getReport("one"); got.Corrections != 0 || len(got.Findings) > 0 {
		t.Errorf("%d corrections, findings %v", got.Corrections, findings(got))
	}
}
