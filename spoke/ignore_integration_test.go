//go:build integration

package spoke_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// byHand makes a work as an OCM user writes it: no annotations, no finalizer,
// no hashes.
func (w *world) byHand(name string, configure func(*workv1.ManifestWork), manifests ...*manifest) *workv1.ManifestWork {
	w.t.Helper()
	work := w.handwritten(name, configure, manifests...)
	if err := w.client.Create(w.ctx, work); err != nil {
		w.t.Fatal(err)
	}
	return work
}

func (w *world) handwritten(name string, configure func(*workv1.ManifestWork), manifests ...*manifest) *workv1.ManifestWork {
	work := w.work(name, manifests...)
	work.Annotations, work.Finalizers, work.Spec.ManifestConfigs = nil, nil, nil
	for i, m := range manifests {
		work.Spec.Workload.Manifests[i].Raw = []byte(w.json(m.object.Object))
	}
	if configure != nil {
		configure(work)
	}
	return work
}

// rewrite changes a work by hand.
func (w *world) rewrite(name string, configure func(*workv1.ManifestWork), manifests ...*manifest) {
	w.t.Helper()
	w.replace(w.handwritten(name, configure, manifests...))
}

// replace brings a work to what another of its name says.
func (w *world) replace(next *workv1.ManifestWork) {
	w.t.Helper()
	work := w.getWork(next.Name)
	patch := client.MergeFrom(work.DeepCopy())
	work.Spec, work.Annotations = next.Spec, next.Annotations
	if err := w.client.Patch(w.ctx, work, patch); err != nil {
		w.t.Fatal(err)
	}
}

// data waits until a ConfigMap's data is exactly this.
func (w *world) data(m *manifest, want map[string]string) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("%s to hold %v", m.object.GetName(), want), func() error {
		obj := w.live(m)
		if obj == nil {
			return fmt.Errorf("it is not there")
		}
		got, _, _ := unstructured.NestedStringMap(obj.Object, "data")
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("(-want +got):\n%s", diff)
		}
		return nil
	})
}

// configured gives every ConfigMap of a work this strategy.
func configured(strategy workv1.UpdateStrategy) func(*workv1.ManifestWork) {
	return func(work *workv1.ManifestWork) {
		work.Spec.ManifestConfigs = []workv1.ManifestConfigOption{{
			ResourceIdentifier: workv1.ResourceIdentifier{Resource: "configmaps", Name: "*", Namespace: "*"}, UpdateStrategy: &strategy,
		}}
	}
}

func ignoring(force bool, fields ...workv1.IgnoreField) func(*workv1.ManifestWork) {
	return configured(workv1.UpdateStrategy{
		Type: workv1.UpdateStrategyTypeServerSideApply, ServerSideApply: &workv1.ServerSideApplyConfig{Force: force, IgnoreFields: fields},
	})
}

// Each language names the field "mine"; every other field is kept as the
// manifest says, also while the manifest stays the same.
func TestIgnoredFieldsAreOthersAndOnlyThose(t *testing.T) {
	t.Parallel()
	languages := map[string]workv1.IgnoreField{
		"path":    {JSONPaths: []string{".data.mine"}},
		"pointer": {JSONPointers: []string{"/data/mine"}},
		"jq":      {JQPathExpressions: []string{`.data | select(.color) | .mine`}},
	}
	w := newWorld(t)
	w.start()
	for language, field := range languages {
		for _, condition := range []workv1.IgnoreFieldsCondition{workv1.IgnoreFieldsConditionOnSpokePresent, workv1.IgnoreFieldsConditionOnSpokeChange} {
			for _, force := range []bool{false, true} {
				name := kebab(language, string(condition), fmt.Sprint(force))
				t.Run(name, func(t *testing.T) {
					w := w.in(t)
					field.Condition = condition
					strategy := ignoring(force, field)
					w.byHand(name, strategy, w.configMap(name, "color", "blue", "mine", "first"))
					m := w.configMap(name, "color", "blue", "mine", "second")
					w.settled(name)

					// Nobody touched the field: that it exists is enough for one of the
					// conditions, not for the other.
					w.rewrite(name, strategy, m)
					w.settled(name)
					mine := "second"
					if condition == workv1.IgnoreFieldsConditionOnSpokePresent {
						mine = "first"
					}
					w.data(m, map[string]string{"color": "blue", "mine": mine})

					// Somebody takes it, and a field that is not ignored.
					w.patch(m, "somebody", `{"data":{"mine":"theirs","color":"red"}}`)
					w.data(m, map[string]string{"color": "blue", "mine": "theirs"})
					w.patch(m, "somebody", `{"data":{"color":"red"}}`)
					w.data(m, map[string]string{"color": "blue", "mine": "theirs"})
					w.rewrite(name, strategy, w.configMap(name, "color", "green", "mine", "second"))
					w.settled(name)
					w.data(m, map[string]string{"color": "green", "mine": "theirs"})

					// A new agent does the same.
					w.patch(m, "somebody", `{"data":{"mine":"again"}}`)
					w.rewrite(name, strategy, w.configMap(name, "color", "white", "mine", "second"))
					w.settled(name)
					w.data(m, map[string]string{"color": "white", "mine": "again"})

					// No longer ignored: the manifest's word counts.
					w.rewrite(name, ignoring(true), w.configMap(name, "color", "white", "mine", "second"))
					w.data(m, map[string]string{"color": "white", "mine": "second"})
				})
			}
		}
	}
}

func TestAPresentObjectKeepsWhatIsIgnoredWhenItIsAdopted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	m := w.configMap("settings", "color", "blue", "mine", "ours")
	w.exists(w.configMap("settings", "mine", "theirs"))
	w.byHand("one", ignoring(false, workv1.IgnoreField{
		Condition: workv1.IgnoreFieldsConditionOnSpokePresent, JSONPaths: []string{".data.mine"},
	}), m)
	w.settled("one")
	w.data(m, map[string]string{"color": "blue", "mine": "theirs"})
}

func TestIgnoredFieldsAreKnownAfterARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	strategy := ignoring(true, workv1.IgnoreField{
		Condition: workv1.IgnoreFieldsConditionOnSpokePresent, JSONPaths: []string{".data.mine", ".data.kept"},
	})
	m := w.configMap("settings", "color", "blue", "mine", "first", "kept", "first")
	w.byHand("one", strategy, m)
	w.settled("one")
	w.patch(m, "somebody", `{"data":{"mine":"theirs"}}`)
	w.stop()
	w.rewrite("one", strategy, w.configMap("settings", "color", "green", "mine", "second", "kept", "second"))
	w.start()
	w.settled("one")
	w.data(m, map[string]string{"color": "green", "mine": "theirs", "kept": "first"})
}

func TestAnIgnoredContainerIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	web := w.deployment("web", 1)
	strategy := func(work *workv1.ManifestWork) {
		ignoring(false, workv1.IgnoreField{
			Condition:         workv1.IgnoreFieldsConditionOnSpokePresent,
			JQPathExpressions: []string{`.spec.template.spec.containers[] | select(.name == "side")`},
			JSONPaths:         []string{`.spec.template.spec.containers[?(@.name=="web")].resources`},
		})(work)
		work.Spec.ManifestConfigs[0].ResourceIdentifier = workv1.ResourceIdentifier{Group: "apps", Resource: "deployments", Name: "web", Namespace: w.ns}
	}
	containers := func(image, side, cpu string) {
		_ = unstructured.SetNestedSlice(web.object.Object, []any{
			map[string]any{"name": "side", "image": side},
			map[string]any{"name": "web", "image": image, "resources": map[string]any{"requests": map[string]any{"cpu": cpu}}},
		}, "spec", "template", "spec", "containers")
	}
	containers("nginx:1", "side:1", "1")
	w.byHand("one", strategy, web)
	w.settled("one")
	containers("nginx:2", "side:2", "2")
	w.rewrite("one", strategy, web)
	w.settled("one")
	w.patch(web, "somebody", `{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"nginx:3"}]}}}}`) // a merge patch: side is gone
	w.eventually("the image to be put right, and only that", func() error {
		got, _, _ := unstructured.NestedSlice(w.live(web).Object, "spec", "template", "spec", "containers")
		var images []string
		for _, container := range got {
			images = append(images, fmt.Sprint(container.(map[string]any)["name"], container.(map[string]any)["image"], container.(map[string]any)["resources"]))
		}
		if diff := cmp.Diff([]string{"webnginx:2map[]"}, images); diff != "" {
			return fmt.Errorf("(-want +got):\n%s", diff)
		}
		return nil
	})
}

func TestIgnoredFieldsThatCannotBeReadApplyNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	bad, runs := w.configMap("bad", "a", "b"), w.configMap("runs", "a", "b")
	w.byHand("bad", ignoring(false, workv1.IgnoreField{Condition: workv1.IgnoreFieldsConditionOnSpokeChange, JQPathExpressions: []string{"input"}}), bad)
	w.applied("bad", "bad", workv1.AppliedManifestSSAIgnoreFieldError)
	if w.live(bad) != nil {
		t.Error("it was applied")
	}
	w.exists(runs)
	w.byHand("runs", ignoring(false, workv1.IgnoreField{Condition: workv1.IgnoreFieldsConditionOnSpokePresent, JQPathExpressions: []string{".data.a[]"}}), runs)
	w.applied("runs", "runs", workv1.AppliedManifestSSAIgnoreFieldError)
	if labels := w.live(runs).GetLabels(); labels[kronvoyv1alpha1.LabelManaged] != "" {
		t.Error("it was taken over")
	}
}
