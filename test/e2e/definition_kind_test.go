//go:build integration

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kronvoy/kronvoy/test/probe"
)

const (
	crds        = "customresourcedefinitions.apiextensions.k8s.io"
	definitions = "resourcegraphdefinitions.kro.run"
)

func (s *scene) crd(kind string) *probe.Object {
	s.Helper()
	return s.hub.Get(s, crds, probe.Resource(kind))
}

// judged waits until a condition of a definition, as it is now, has a status
// and reason, and returns it.
func (s *scene) judged(definition, kind, status, reason string) probe.Condition {
	s.Helper()
	var c probe.Condition
	probe.Eventually(s, fmt.Sprintf("%s of %s to be %s, %s", kind, definition, status, reason), func() error {
		rgd := s.definition(definition)
		c = rgd.Condition(kind)
		if c.Status != status || c.Reason != reason || c.ObservedGeneration != rgd.GetGeneration() {
			return fmt.Errorf("its status is %v", rgd.At("status"))
		}
		return nil
	})
	return c
}

// allowBreaking puts kro's annotation on a definition, or takes it off.
func (s *scene) allowBreaking(kind, value string) {
	s.Helper()
	s.hub.Patch(s, definitions, strings.ToLower(kind), `metadata: {annotations: {kro.run/allow-breaking-changes: `+value+`}}`)
}

// field is a definition of one kind with one field, and whatever else its
// schema has.
func field(declaration, more string) string {
	return fmt.Sprintf(`
schema:
  spec:
    field: '%s'
%s
resources:
- id: page
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.metadata.name}"}
    data: {text: "${string(schema.metadata.name)}"}`, declaration, probe.Indent(more, 2))
}

func TestABreakingChangeWaitsUntilItsAuthorAllowsIt(t *testing.T) {
	s := begin(t, "breaking")
	defer s.end()
	const before = `
schema:
  spec:
    text: string | default="one"
    count: integer | default=1
    mode: string | default="a" enum="a,b"
    size: integer | default=1 maximum=10
resources:
- id: page
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.metadata.name}"}
    data: {text: "${schema.spec.text}"}`
	after := strings.NewReplacer(
		"    count: integer | default=1\n", "", `enum="a,b"`, `enum="a"`, "maximum=10", "maximum=5", `${schema.spec.text}`, `${schema.spec.text}!`,
	).Replace(before)
	s.define("Breaking", before)
	s.create("Breaking", "one", euWest, "count: 2")
	s.ready("Breaking", "one", 1)
	generation := s.crd("Breaking").GetGeneration()

	s.submit("Breaking", after)
	message := s.judged("Breaking", "KindReady", "False", "Failed").Message
	for _, change := range []string{"spec.count", "spec.mode", "spec.size", "kro.run/allow-breaking-changes"} {
		if !strings.Contains(message, change) {
			t.Errorf("%q is not in %q", change, message)
		}
	}
	rgd := s.definition("Breaking")
	if accepted, serving := rgd.Condition("GraphAccepted").Status, rgd.Condition("ControllerReady").Status; accepted != "True" || serving != "True" {
		t.Errorf("GraphAccepted is %s, ControllerReady %s", accepted, serving)
	}
	if state := rgd.Text("status.state"); state != "Inactive" {
		t.Errorf("the state is %s", state)
	}
	if got := s.crd("Breaking").GetGeneration(); got != generation {
		t.Error("the CRD was changed")
	}
	// Instances are served as before, count and all.
	s.create("Breaking", "one", euWest, "{count: 3, text: two}")
	s.holds(euWest, "configmaps", "one", "data.text", "two")
	s.ready("Breaking", "one", 1)

	s.allowBreaking("Breaking", `"true"`)
	s.judged("Breaking", "Ready", "True", "Ready")
	s.holds(euWest, "configmaps", "one", "data.text", "two!")
	if got := s.crd("Breaking").At("spec", "versions", "0", "schema", "openAPIV3Schema", "properties", "spec", "properties", "count"); got != nil {
		t.Errorf("count is still there: %v", got)
	}
}

func TestEveryChangeOfAKindReachesItsCRD(t *testing.T) {
	s := begin(t, "reaching")
	defer s.end()
	schema := func(path ...string) []string {
		return append([]string{"spec", "versions", "0", "schema", "openAPIV3Schema", "properties", "spec", "properties", "field"}, path...)
	}
	// Each change is made to what the one before left. Breaking ones are allowed.
	changes := []struct {
		what, field, more string
		breaks            bool
		path              []string
		want              any
	}{
		{"a validation", `string | validation="self.size() < 9"`, "", true, schema("x-kubernetes-validations", "0", "rule"), "self.size() < 9"},
		{"no validation", `string`, "", false, schema("x-kubernetes-validations"), nil},
		{"immutable", `string | immutable=true`, "", true, schema("x-kubernetes-validations", "0", "rule"), "self == oldSelf"},
		{"no longer immutable", `string`, "", false, schema("x-kubernetes-validations"), nil},
		{"an enum", `string | enum="a,b"`, "", true, schema("enum"), []any{"a", "b"}},
		{"a value more", `string | enum="a,b,c"`, "", false, schema("enum"), []any{"a", "b", "c"}},
		{"no enum", `string`, "", false, schema("enum"), nil},
		{"a description", `string | description="what it is"`, "", false, schema("description"), "what it is"},
		{"a default", `string | default="a"`, "", false, schema("default"), "a"},
		{"a map", `map[string]string`, "", true, schema("additionalProperties", "type"), "string"},
		{"another type of its values", `map[string]integer`, "", true, schema("additionalProperties", "type"), "integer"},
		{"a list", `[]string`, "", true, schema("type"), "array"},
		{"a list that is a set", `[]string | listType=set`, "", true, schema("x-kubernetes-list-type"), "set"},
		{"an atomic list", `[]string | listType=atomic`, "", false, schema("x-kubernetes-list-type"), "atomic"},
		{"unique items", `[]string | uniqueItems=true`, "", true, schema("x-kubernetes-list-type"), "set"},
		{"a structure without one", `object`, "", true, schema("x-kubernetes-preserve-unknown-fields"), true},
		{"a short name", `object`, "shortNames: [rch]", false, []string{"spec", "names", "shortNames"}, []any{"rch"}},
		{"a category", `object`, "categories: [all]", false, []string{"spec", "names", "categories"}, []any{"all"}},
		{"neither", `object`, "", false, []string{"spec", "names", "shortNames"}, nil},
		{"a column", `object`, "additionalPrinterColumns: [{name: Field, type: string, jsonPath: .spec.field}]", false, []string{"spec", "versions", "0", "additionalPrinterColumns", "0", "name"}, "Field"},
		{"a status", `object`, `status: {text: "${page.data.text}"}`, false, []string{"spec", "versions", "0", "schema", "openAPIV3Schema", "properties", "status", "properties", "text", "type"}, "string"},
	}
	s.define("Reaching", field("string", ""))
	for _, change := range changes {
		t.Run(change.what, func(t *testing.T) {
			allow := "null"
			if change.breaks {
				allow = `"true"`
			}
			s.allowBreaking("Reaching", allow)
			s.define("Reaching", field(change.field, change.more))
			if diff := cmp.Diff(change.want, s.crd("Reaching").At(change.path...)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", strings.Join(change.path, "."), diff)
			}
		})
	}
}

func TestMetadataThatADefinitionGivesItsCRDComesChangesAndGoes(t *testing.T) {
	s := begin(t, "marked")
	defer s.end()
	holds := func(what string, labels, annotations map[string]string) {
		t.Helper()
		probe.Eventually(t, what, func() error {
			crd := s.crd("Marked")
			got := crd.GetLabels()
			for _, ours := range []string{"kro.run/owned", "kro.run/resource-graph-definition-name"} {
				if got[ours] == "" {
					return fmt.Errorf("label %s is missing", ours)
				}
				delete(got, ours)
			}
			if diff := cmp.Diff(labels, got); diff != "" {
				return fmt.Errorf("labels (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(annotations, crd.GetAnnotations()); diff != "" {
				return fmt.Errorf("annotations (-want +got):\n%s", diff)
			}
			return nil
		})
	}
	s.define("Marked", field("string", `metadata: {labels: {team: web, tier: gold}, annotations: {about: one}}`))
	holds("labels and annotations", map[string]string{"team": "web", "tier": "gold"}, map[string]string{"about": "one"})
	s.hub.Patch(t, crds, probe.Resource("Marked"), `metadata: {labels: {cost: high, team: shop}, annotations: {reviewed: by me}}`)
	holds("ours to be put right and what was added to stay", map[string]string{"team": "web", "tier": "gold", "cost": "high"}, map[string]string{"about": "one", "reviewed": "by me"})
	s.define("Marked", field("string", `metadata: {labels: {team: web2}}`))
	holds("what is gone from the definition to go", map[string]string{"team": "web2", "cost": "high"}, map[string]string{"reviewed": "by me"})
	s.define("Marked", field("string", ""))
	holds("all of ours to go", map[string]string{"cost": "high"}, map[string]string{"reviewed": "by me"})
}

func TestACRDThatIsEditedIsPutRight(t *testing.T) {
	s := begin(t, "tampered")
	defer s.end()
	s.define("Tampered", field("string", "shortNames: [edd]"))
	s.create("Tampered", "one", euWest, "")
	s.ready("Tampered", "one", 1)
	want := s.crd("Tampered").At("spec")
	edits := map[string]string{
		"a field is taken out": `spec: {versions: [{name: v1alpha1, served: true, storage: true, subresources: {status: {}}, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object}, status: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}}]}`,
		"another short name":   `spec: {names: {shortNames: [other]}}`,
		"another category":     `spec: {names: {categories: [all]}}`,
	}
	for what, edit := range edits {
		t.Run(what, func(t *testing.T) {
			edited := s.hub.Patch(t, crds, probe.Resource("Tampered"), edit)
			probe.Eventually(t, "the CRD to be as the definition says", func() error {
				crd := s.crd("Tampered")
				if diff := cmp.Diff(want, crd.At("spec")); diff != "" || crd.GetGeneration() == edited.GetGeneration() {
					return fmt.Errorf("its spec (-want +got):\n%s", diff)
				}
				return nil
			})
			s.judged("Tampered", "Ready", "True", "Ready")
		})
	}
	t.Run("but not where that may break instances", func(t *testing.T) {
		s.hub.Patch(t, crds, probe.Resource("Tampered"), `spec: {versions: [{name: v1alpha1, served: true, storage: true, subresources: {status: {}}, schema: {openAPIV3Schema: {type: object, properties: {
  spec: {type: object, properties: {field: {type: string}, added: {type: string}}}, status: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}}]}`)
		if message := s.judged("Tampered", "KindReady", "False", "Failed").Message; !strings.Contains(message, "spec.added") {
			t.Errorf("the message is %q", message)
		}
		s.create("Tampered", "one", euWest, "field: changed")
		s.ready("Tampered", "one", 1)
		s.allowBreaking("Tampered", `"true"`)
		s.judged("Tampered", "Ready", "True", "Ready")
		if diff := cmp.Diff(want, s.crd("Tampered").At("spec")); diff != "" {
			t.Errorf("its spec (-want +got):\n%s", diff)
		}
	})
}

// TestACRDThatIsDeletedComesBack: Kubernetes deletes the instances with their
// kind; the hub takes them down as if each had been deleted.
func TestACRDThatIsDeletedComesBack(t *testing.T) {
	s := begin(t, "returning")
	defer s.end()
	s.define("Returning", field("string", ""))
	s.create("Returning", "one", euWest, "")
	s.ready("Returning", "one", 1)
	before := s.crd("Returning").GetUID()
	s.hub.Delete(t, crds, probe.Resource("Returning"))
	s.goes(euWest, "configmaps", "one")
	probe.Eventually(t, "a new CRD", func() error {
		crd := s.crd("Returning")
		if crd == nil || crd.GetUID() == before {
			return fmt.Errorf("it is %v, the definition's status %v", crd.At("status"), s.definition("Returning").At("status"))
		}
		return nil
	})
	s.judged("Returning", "Ready", "True", "Ready")
	if left := s.hub.Instances(s, "Returning", s.ns); len(left) > 0 {
		t.Errorf("instances outlived their kind: %v", left)
	}
	// The watches are those of the new kind.
	s.create("Returning", "two", euWest, "")
	s.ready("Returning", "two", 1)
}

func TestACRDOfAnotherIsLeftAloneAndItsOwnerNamed(t *testing.T) {
	s := begin(t, "owned")
	defer s.end()
	t.Run("one that a person made", func(t *testing.T) {
		s.hub.Apply(t, `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: outsiders.kro.run}
spec:
  group: kro.run
  names: {kind: Outsider, plural: outsiders, singular: outsider, listKind: OutsiderList}
  scope: Namespaced
  versions: [{name: v1alpha1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]`)
		before := s.crd("Outsider").GetGeneration()
		s.submit("Outsider", field("string", ""))
		if message := s.judged("Outsider", "KindReady", "False", "Failed").Message; !strings.Contains(message, "outsiders.kro.run") || !strings.Contains(message, probe.Author) {
			t.Errorf("the message is %q, it should name the CRD and %s", message, probe.Author)
		}
		if got := s.crd("Outsider"); got.GetGeneration() != before || got.GetLabels() != nil {
			t.Error("the CRD was changed")
		}
		s.hub.Delete(t, crds, "outsiders.kro.run")
		s.judged("Outsider", "Ready", "True", "Ready")
	})
	t.Run("one of another definition", func(t *testing.T) {
		s.define("Twin", field("string", ""))
		s.hub.Apply(t, probe.Definition("usurper", "Twin", field("integer", "")))
		if message := s.judged("usurper", "KindReady", "False", "Failed").Message; !strings.Contains(message, "definition twin") {
			t.Errorf("the message is %q", message)
		}
		s.judged("Twin", "Ready", "True", "Ready")
		s.create("Twin", "one", euWest, "field: text")
		s.ready("Twin", "one", 1)
		s.hub.Delete(t, definitions, "usurper")
		probe.Eventually(t, "the usurper to go", func() error {
			if rgd := s.definition("usurper"); rgd != nil {
				return fmt.Errorf("its status is %v", rgd.At("status"))
			}
			return nil
		})
		s.create("Twin", "one", euWest, "field: other")
		s.ready("Twin", "one", 1)
	})
	t.Run("one that an earlier definition of the name has left", func(t *testing.T) {
		s.define("Heir", field("string", ""))
		uid := s.crd("Heir").GetUID()
		s.hub.Delete(t, definitions, "heir")
		probe.Eventually(t, "the definition to go", func() error {
			if rgd := s.definition("Heir"); rgd != nil {
				return fmt.Errorf("its status is %v", rgd.At("status"))
			}
			return nil
		})
		s.hub.Patch(t, crds, probe.Resource("Heir"), `metadata: {labels: {kro.run/resource-graph-definition-id: 11111111-2222-3333-4444-555555555555}}`)
		s.define("Heir", field("string", `metadata: {labels: {generation: second}}`))
		if crd := s.crd("Heir"); crd.GetUID() != uid || crd.GetLabels()["generation"] != "second" {
			t.Errorf("the CRD is %v", crd.Object["metadata"])
		}
		s.create("Heir", "two", euWest, "")
		s.ready("Heir", "two", 1)
	})
}

// TestADefinitionsStatusIsKros: conditions, reasons, state, order and
// revisions as `kubectl get rgd -o yaml` shows them with kro.
func TestADefinitionsStatusIsKros(t *testing.T) {
	s := begin(t, "stated")
	defer s.end()
	reasons := func() map[string]string {
		found := map[string]string{}
		for _, c := range s.definition("Stated").List("status.conditions") {
			found[c.Text("type")] = c.Text("status") + " " + c.Text("reason")
		}
		return found
	}
	s.defineBadly("Stated", written+"\n- "+faults["a cycle"].resource)
	want := map[string]string{
		"GraphRevisionsResolved": "Unknown AwaitingReconciliation", "GraphAccepted": "False InvalidResourceGraph",
		"KindReady": "Unknown AwaitingReconciliation", "ControllerReady": "Unknown AwaitingReconciliation", "Ready": "False InvalidResourceGraph",
	}
	if diff := cmp.Diff(want, reasons()); diff != "" {
		t.Errorf("conditions of what was never valid (-want +got):\n%s", diff)
	}
	const two = written + `
- id: before
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.metadata.name}-before"}
- id: after
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.metadata.name}-after"}
    data: {text: "${page.data.text}", name: "${before.metadata.name}"}`
	rgd := s.define("Stated", two)
	want = map[string]string{
		"GraphRevisionsResolved": "True Resolved", "GraphAccepted": "True Valid",
		"KindReady": "True Ready", "ControllerReady": "True Running", "Ready": "True Ready",
	}
	if diff := cmp.Diff(want, reasons()); diff != "" {
		t.Errorf("conditions of what is served (-want +got):\n%s", diff)
	}
	served := map[string]any{
		"state": "Active", "lastIssuedRevision": int64(1), "topologicalOrder": []any{"page", "before", "after"},
		"resources": []any{map[string]any{"id": "after", "dependencies": []any{map[string]any{"id": "before"}, map[string]any{"id": "page"}}}},
	}
	status := rgd.At("status").(map[string]any)
	delete(status, "conditions")
	if diff := cmp.Diff(served, status); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	s.defineBadly("Stated", written+"\n- "+faults["a cycle"].resource)
	want["GraphAccepted"], want["Ready"] = "False InvalidResourceGraph", "False InvalidResourceGraph"
	if diff := cmp.Diff(want, reasons()); diff != "" {
		t.Errorf("conditions of what is no longer valid (-want +got):\n%s", diff)
	}
	status = s.definition("Stated").At("status").(map[string]any)
	delete(status, "conditions")
	if diff := cmp.Diff(map[string]any{"state": "Inactive", "lastIssuedRevision": int64(1)}, status); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	if got := s.define("Stated", two).Int("status.lastIssuedRevision"); got != 1 {
		t.Errorf("the definition as it was has revision %d", got)
	}
	if got := s.define("Stated", written).Int("status.lastIssuedRevision"); got != 2 {
		t.Errorf("another definition has revision %d", got)
	}
}

func TestADefinitionUnderDeletionNamesTheInstancesItWaitsFor(t *testing.T) {
	s := begin(t, "lingering")
	defer s.end()
	s.define("Lingering", field("string", ""))
	for i := range 12 {
		s.create("Lingering", fmt.Sprintf("app-%02d", i), euWest, "")
	}
	for i := range 12 {
		s.ready("Lingering", fmt.Sprintf("app-%02d", i), 1)
	}
	s.hub.Delete(t, definitions, "lingering")
	message := s.judged("Lingering", "Ready", "False", "InstancesExist").Message
	for _, part := range []string{"lingering/app-00, ", "lingering/app-09 and 2 more"} {
		if !strings.Contains(message, part) {
			t.Errorf("%q is not in %q", part, message)
		}
	}
	for i := range 11 {
		s.hub.Delete(t, probe.Resource("Lingering"), fmt.Sprintf("lingering/app-%02d", i))
	}
	probe.Eventually(t, "the definition to wait for the last one", func() error {
		if got := s.definition("Lingering").Condition("Ready"); !strings.Contains(got.Message, "gone: lingering/app-11.") {
			return fmt.Errorf("Ready is %v", got)
		}
		return nil
	})
	s.hub.Delete(t, probe.Resource("Lingering"), "lingering/app-11")
	probe.Eventually(t, "the definition to go", func() error {
		if rgd := s.definition("Lingering"); rgd != nil {
			return fmt.Errorf("Ready is %v", rgd.Condition("Ready"))
		}
		return nil
	})
	s.goes(euWest, "configmaps", "app-11")
}
