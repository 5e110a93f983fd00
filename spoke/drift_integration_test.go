//go:build integration

package spoke_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// reported waits until the report's findings are exactly these.
func (w *world) reported(work string, want ...string) {
	w.t.Helper()
	w.eventually("the findings", func() error {
		if diff := cmp.Diff(want, findings(w.getReport(work))); diff != "" {
			return fmt.Errorf("findings (-want +got):\n%s", diff)
		}
		return nil
	})
}

func (w *world) hasReplicas(like *manifest, want int64) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("%d replicas", want), func() error {
		got, _, _ := unstructured.NestedInt64(w.live(like).Object, "spec", "replicas")
		if got != want {
			return fmt.Errorf("there are %d", got)
		}
		return nil
	})
}

func TestReplicasThatSomebodyScaledArePutBackAndReported(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	web := w.deployment("web", 2)
	w.ship("one", web)
	w.settled("one")

	w.patchSub(web, "scale", "kubectl", `{"spec":{"replicas":7}}`)
	w.reported("one", "Corrected Deployment/web spec.replicas 2->7 (kubectl (scale))")
	w.hasReplicas(web, 2)
	w.patch(web, "kubectl-edit", `{"spec":{"replicas":9}}`)
	w.reported("one", "Corrected Deployment/web spec.replicas 2->9 (kubectl-edit)")
	w.hasReplicas(web, 2)
	if got := w.getReport("one"); got.Corrections != 2 || got.FindingCount != 0 {
		t.Errorf("%d corrections and %d objects that differ, want 2 and 0", got.Corrections, got.FindingCount)
	}
}

func TestConfigMapDataIsPutBackFieldByField(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	settings := w.configMap("settings", "color", "blue", "size", "large")
	w.ship("one", settings)
	w.settled("one")

	w.patch(settings, "kubectl-edit", `{"data":{"color":"red","size":null,"own":"mine"}}`)
	w.reported("one", `Corrected ConfigMap/settings data.color "blue"->"red" (kubectl-edit) data.size "large"-> (kubectl-edit)`)
	w.eventually("the data to be back", func() error {
		got, _, _ := unstructured.NestedStringMap(w.live(settings).Object, "data")
		if diff := cmp.Diff(map[string]string{"color": "blue", "size": "large", "own": "mine"}, got); diff != "" {
			return fmt.Errorf("data (-want +got):\n%s", diff)
		}
		return nil
	})
}

func TestAnObjectDeletedByHandComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	settings := w.configMap("settings", "color", "blue")
	w.ship("one", settings)
	w.settled("one")
	if err := w.client.Delete(w.ctx, w.live(settings)); err != nil {
		t.Fatal(err)
	}
	w.reported("one", "Corrected ConfigMap/settings missing")
	if w.live(settings) == nil {
		t.Error("it did not come back")
	}
}

func TestAnObjectThatLostItsLabelIsNotTakenForDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	settings := w.configMap("settings", "color", "blue")
	w.ship("one", settings)
	w.settled("one")
	uid := w.live(settings).GetUID()
	w.patch(settings, "kubectl-label", `{"metadata":{"labels":{"kronvoy.io/managed":null}}}`)
	w.reported("one", `Corrected ConfigMap/settings metadata.labels["kronvoy.io/managed"] "true"-> ()`)
	if got := w.live(settings); got.GetUID() != uid || got.GetLabels()[kronvoyv1alpha1.LabelManaged] != "true" {
		t.Errorf("it is %s with labels %v", got.GetUID(), got.GetLabels())
	}
}

func TestPoliciesReportOrIgnoreDrift(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	reported, ignored, partly := w.configMap("reported", "color", "blue"), w.configMap("ignored", "color", "blue"), w.deployment("partly", 2)
	reported.policy.Drift = kronvoyv1alpha1.DriftReport
	ignored.policy.Drift = kronvoyv1alpha1.DriftIgnore
	partly.policy.Fields = []kronvoyv1alpha1.FieldPolicy{{Paths: []string{"spec.replicas"}, Drift: kronvoyv1alpha1.DriftIgnore}}
	w.ship("one", reported, ignored, partly)
	w.settled("one")

	w.patch(reported, "kubectl-edit", `{"data":{"color":"red"}}`)
	w.patch(ignored, "kubectl-edit", `{"data":{"color":"red"}}`)
	w.patchSub(partly, "scale", "kubectl", `{"spec":{"replicas":7}}`)
	w.reported("one", `Reported ConfigMap/reported data.color "blue"->"red" (kubectl-edit)`)
	if got := w.getReport("one").FindingCount; got != 1 {
		t.Errorf("%d objects differ, want 1", got)
	}
	w.quiet()

	// An update leaves all three fields as they are: the manifests want nothing
	// new of them.
	for _, m := range []*manifest{reported, ignored} {
		_ = unstructured.SetNestedField(m.object.Object, "x", "data", "more")
	}
	_ = unstructured.SetNestedField(partly.object.Object, int64(3), "spec", "revisionHistoryLimit")
	w.update("one", reported, ignored, partly)
	w.settled("one")
	w.quiet()
	for _, m := range []*manifest{reported, ignored} {
		got, _, _ := unstructured.NestedStringMap(w.live(m).Object, "data")
		if diff := cmp.Diff(map[string]string{"color": "red", "more": "x"}, got); diff != "" {
			t.Errorf("data of %s (-want +got):\n%s", m.object.GetName(), diff)
		}
	}
	w.hasReplicas(partly, 7)

	// Drift that was only reported ends when the field comes back.
	w.patch(reported, "kubectl-edit", `{"data":{"color":"blue"}}`)
	w.reported("one")
}

func TestAnAutoscalerIsNotFought(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	web := w.deployment("web", 2)
	w.ship("one", web)
	w.settled("one")
	w.patchSub(web, "scale", "kube-controller-manager", `{"spec":{"replicas":7}}`)
	w.reported("one", "Conflict Deployment/web spec.replicas 2->7 (kube-controller-manager (scale))")
	w.quiet()
	w.hasReplicas(web, 7)
	_ = unstructured.SetNestedField(web.object.Object, int64(3), "spec", "revisionHistoryLimit")
	w.update("one", web)
	w.settled("one")
	w.quiet()
	w.hasReplicas(web, 7)
}

func TestTwoManagersWithOneFieldEachDoNotStripOneAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	settings := w.configMap("settings", "color", "blue")
	w.ship("one", settings)
	w.settled("one")
	w.patch(settings, "other", `{"data":{"own":"mine"},"metadata":{"labels":{"team":"a"}}}`)
	w.quiet()
	w.written()
	_ = unstructured.SetNestedField(settings.object.Object, "green", "data", "color")
	w.update("one", settings)
	w.settled("one")
	w.patch(settings, "other", `{"data":{"own":null}}`)
	w.quiet()
	got, _, _ := unstructured.NestedStringMap(w.live(settings).Object, "data")
	if diff := cmp.Diff(map[string]string{"color": "green"}, got); diff != "" {
		t.Errorf("data (-want +got):\n%s", diff)
	}
	if got := findings(w.getReport("one")); len(got) > 0 {
		t.Errorf("findings %v, want none", got)
	}
	if got := w.written(); !slices.Equal(got, []string{"PATCH configmaps/settings", "PATCH one/status"}) {
		t.Errorf("the agent wrote %v, want one apply and one status", got)
	}
}

func TestAMutatingAdmissionPolicyCausesNoDrift(t *testing.T) {
	w := newWorld(t)
	w.admission(`object.metadata.namespace == "`+w.ns+`"`,
		`Object{metadata: Object.metadata{labels: {"team": "platform"}}, data: {"added": "by-admission", "color": "mutated"}}`)
	w.start()
	settings := w.configMap("settings", "color", "blue")
	w.ship("one", settings)
	w.settled("one")
	w.quiet()
	for _, line := range findings(w.getReport("one")) {
		if !strings.HasPrefix(line, "MutatedOnAdmission") {
			t.Errorf("finding %q", line)
		}
	}
	before := w.getReport("one")
	if before.FindingCount != 0 || before.Corrections != 0 {
		t.Errorf("%d objects differ after %d corrections, want none", before.FindingCount, before.Corrections)
	}
	w.written()
	w.stop()
	w.start()
	w.quiet()
	if got := w.written(); len(got) > 0 {
		t.Errorf("after a restart the agent wrote %v", got)
	}
	w.patch(settings, "kubectl-edit", `{"metadata":{"annotations":{"note":"x"}}}`)
	w.quiet()
	if got := w.written(); len(got) > 0 {
		t.Errorf("after a change by somebody else the agent wrote %v", got)
	}
}

// admission installs a mutating policy for ConfigMaps and waits until it acts.
func (w *world) admission(condition, expression string) {
	w.t.Helper()
	w.admissionOf("", "v1", "configmaps", condition, expression)
}

// admissionOf installs a mutating policy for a resource, or for all, that gives
// ConfigMaps the label team, and waits until it acts.
func (w *world) admissionOf(group, version, resource, condition, expression string) {
	w.t.Helper()
	name := "mutate-" + w.ns
	policy := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy",
		"metadata": map[string]any{"name": name},
		"spec": map[string]any{
			"matchConstraints": map[string]any{"resourceRules": []any{map[string]any{
				"apiGroups": []any{group}, "apiVersions": []any{version}, "operations": []any{"CREATE", "UPDATE"}, "resources": []any{resource},
			}}},
			"matchConditions":    []any{map[string]any{"name": "here", "expression": condition}},
			"failurePolicy":      "Fail",
			"reinvocationPolicy": "Never",
			"mutations": []any{map[string]any{
				"patchType": "ApplyConfiguration", "applyConfiguration": map[string]any{"expression": expression},
			}},
		},
	}}
	binding := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicyBinding",
		"metadata": map[string]any{"name": name},
		"spec":     map[string]any{"policyName": name},
	}}
	for _, obj := range []*unstructured.Unstructured{policy, binding} {
		if err := w.client.Create(w.ctx, obj); err != nil {
			w.t.Fatal(err)
		}
	}
	w.t.Cleanup(func() { _ = w.client.Delete(w.t.Context(), policy) })
	probe := w.configMap("probe", "a", "b")
	w.eventually("the policy to act", func() error {
		obj := probe.object.DeepCopy()
		if err := w.client.Create(w.ctx, obj); err != nil {
			return err
		}
		if err := w.client.Delete(w.ctx, obj); err != nil {
			return err
		}
		if obj.GetLabels()["team"] == "" {
			return fmt.Errorf("it does not yet")
		}
		return nil
	})
}
