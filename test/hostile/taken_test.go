//go:build integration

package hostile

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kronvoy/kronvoy/test/probe"
)

// TestTakenObjects has an instance render an object of another's.
func TestTakenObjects(t *testing.T) {
	w := shared.Get(t)
	w.spoke.Apply(t, deployment)
	w.hub.Apply(t, placed("tenant-a", "deployer"))
	house := func(kind string) *scene {
		return &scene{kind: kind, in: "tenant-a", resource: "configmaps", object: "tenant-a/house", resources: fmt.Sprintf(
			`{id: it, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: house, namespace: tenant-a}, data: {owner: %s}}}`, strings.ToLower(kind))}
	}
	landlord, squatter := house("Landlord"), house("Squatter")
	const name = "take over the object of another instance"
	tally.note(tally.run, name)
	w.define(t, landlord)
	w.define(t, squatter)
	owner := func() any {
		if obj := w.spoke.Get(t, "configmaps", "tenant-a/house"); obj != nil {
			return obj.At("data", "owner")
		}
		return nil
	}
	owned := func(by string) {
		t.Helper()
		probe.Eventually(t, "the object to be the "+by+"'s", func() error {
			if now := owner(); now != by {
				return fmt.Errorf("it is %v's; the instance says %v", now, w.instance(t, squatter))
			}
			return nil
		})
	}
	w.instantiate(t, landlord)
	owned("landlord")

	w.instantiate(t, squatter)
	probe.Eventually(t, "the attack to be refused", func() error {
		if status := fmt.Sprint(w.instance(t, squatter).At("status")); !strings.Contains(status, "the object exists and is not ours, takeover policy IfNoDiff") {
			return fmt.Errorf("the instance says %s", status)
		}
		return nil
	})
	if now := owner(); now != "landlord" {
		t.Fatalf("the object is %v's", now)
	}
	gone := func(s *scene) {
		t.Helper()
		w.hub.Delete(t, s.plural(), s.in+"/it")
		probe.Eventually(t, "the instance to be gone", func() error {
			if instance := w.instance(t, s); instance != nil {
				return fmt.Errorf("it says %v", instance.At("status"))
			}
			return nil
		})
	}
	gone(squatter)
	if now := owner(); now != "landlord" {
		t.Fatalf("the object went with the one that did not get it: it is %v's", now)
	}
	tally.note(tally.denied, name)

	// The landlord would put it right at once.
	w.hub.Patch(t, landlord.plural(), "tenant-a/it", `{metadata: {annotations: {kro.run/reconcile: suspended}}}`)
	probe.Eventually(t, "the landlord to be suspended", func() error {
		if status := fmt.Sprint(w.instance(t, landlord).At("status")); !strings.Contains(status, "Suspended") {
			return fmt.Errorf("it says %s", status)
		}
		return nil
	})
	w.hub.Apply(t, `
apiVersion: kronvoy.io/v1alpha1
kind: Distribution
metadata: {name: squatters, namespace: tenant-a}
spec: {instances: {apiVersion: kro.run/v1alpha1, kind: Squatter}, serviceAccountName: deployer, policies: [{takeover: Always}]}`)
	w.instantiate(t, squatter)
	owned("squatter")
	tally.note(tally.unguarded, name)
	gone(squatter)
	w.hub.Delete(t, "distributions.kronvoy.io", "tenant-a/squatters")
	gone(landlord)
}

// TestTakenKinds has a definition generate a kind that is another's. Whose a
// CustomResourceDefinition is, is in its labels.
func TestTakenKinds(t *testing.T) {
	w := shared.Get(t)
	const crds = "customresourcedefinitions.apiextensions.k8s.io"
	for _, c := range []struct{ name, kind, labels, says string }{
		{"take over a kind that somebody else made", "Castle", `app.kubernetes.io/managed-by: somebody`, "was not made from a definition"},
		{"take over the kind of another definition", "Tower", `kro.run/owned: "true", kro.run/resource-graph-definition-name: another`, "belongs to definition another"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tally.note(tally.run, c.name)
			definition := strings.ToLower(c.kind)
			crd := definition + "s.kro.run"
			w.hub.Apply(t, fmt.Sprintf(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[1]ss.kro.run, labels: {%[3]s}}
spec:
  group: kro.run
  scope: Namespaced
  names: {kind: %[2]s, listKind: %[2]sList, plural: %[1]ss, singular: %[1]s}
  versions: [{name: v1alpha1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {stones: {type: integer}}}}}}}]`,
				definition, c.kind, c.labels))
			w.hub.Apply(t, fmt.Sprintf(`
apiVersion: kro.run/v1alpha1
kind: ResourceGraphDefinition
metadata: {name: %s, annotations: {kro.run/allow-breaking-changes: "true"}}
spec: {schema: {apiVersion: v1alpha1, kind: %s, spec: {doors: integer}}, resources: [{id: it, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: it}}}]}`, definition, c.kind))
			taken := func() bool { return strings.Contains(fmt.Sprint(w.hub.Get(t, crds, crd).At("spec")), "doors") }
			probe.Eventually(t, "the attack to be refused", func() error {
				if ready := w.hub.Get(t, definitions, definition).Condition("KindReady"); ready.Status != "False" || !strings.Contains(ready.Message, c.says) {
					return fmt.Errorf("KindReady is %v", ready)
				}
				return nil
			})
			if taken() {
				t.Fatal("the kind is the definition's")
			}
			tally.note(tally.denied, c.name)
			w.hub.Patch(t, crds, crd, fmt.Sprintf(`{metadata: {labels: {kro.run/owned: "true", kro.run/resource-graph-definition-name: %s}}}`, definition))
			probe.Eventually(t, "the attack to succeed without its guard", func() error {
				if !taken() {
					return fmt.Errorf("the definition says %v", w.hub.Get(t, definitions, definition).At("status"))
				}
				return nil
			})
			tally.note(tally.unguarded, c.name)
			w.hub.Delete(t, definitions, definition)
			w.hub.Delete(t, crds, crd)
		})
	}
}
