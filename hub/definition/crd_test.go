package definition

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
)

func crdWith(properties ...string) *apiextensionsv1.CustomResourceDefinition {
	spec := apiextensionsv1.JSONSchemaProps{Type: "object", Properties: map[string]apiextensionsv1.JSONSchemaProps{}}
	for _, name := range properties {
		spec.Properties[name] = apiextensionsv1.JSONSchemaProps{Type: "string"}
	}
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "apps.kro.run"},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{Name: "v1alpha1",
			Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
				Type: "object", Properties: map[string]apiextensionsv1.JSONSchemaProps{"spec": spec}}}}}},
	}
}

// TestBlocked: the message names every change, as far as a condition can hold
// them, and what to do.
func TestBlocked(t *testing.T) {
	var many []string
	for i := range 2000 {
		many = append(many, fmt.Sprintf("field%d", i))
	}
	tests := map[string]struct {
		live, desired *apiextensionsv1.CustomResourceDefinition
		want          []string
	}{
		"none":            {live: crdWith("a"), desired: crdWith("a", "b")},
		"each of some":    {live: crdWith("a", "b", "c", "d"), desired: crdWith(), want: []string{"CRD apps.kro.run", "spec.a: ", "spec.b: ", "spec.c: ", "spec.d: ", AnnotationAllowBreaking}},
		"more than fit":   {live: crdWith(many...), desired: crdWith(), want: []string{"spec.field0: ", " more", AnnotationAllowBreaking}},
		"nothing changes": {live: crdWith("a"), desired: crdWith("a")},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			breaking := BreakingChanges(test.live, test.desired)
			if len(test.want) == 0 {
				if len(breaking) > 0 {
					t.Fatalf("breaking changes: %v", breaking)
				}
				return
			}
			got := blocked(test.desired.Name, breaking)
			if len(got) > 32<<10 {
				t.Errorf("the message has %d bytes, a condition holds 32 KiB", len(got))
			}
			for _, part := range test.want {
				if !strings.Contains(got, part) {
					t.Errorf("%q is not in %q", part, got)
				}
			}
		})
	}
}

func TestMetadataOfTheHubGoesAndThatOfOthersStays(t *testing.T) {
	fields := func(manager, fields string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: manager, FieldsV1: metav1.NewFieldsV1(fields)}
	}
	hub := kronvoyv1alpha1.FieldManagerHub
	tests := map[string]struct {
		live    map[string]string
		managed []metav1.ManagedFieldsEntry
		desired map[string]string
		want    map[string]string
	}{
		"ours that the definition no longer has goes": {
			live:    map[string]string{"old": "1", "kept": "1"},
			managed: []metav1.ManagedFieldsEntry{fields(hub, `{"f:metadata":{"f:labels":{".":{},"f:old":{},"f:kept":{}}}}`)},
			desired: map[string]string{"kept": "1"}, want: map[string]string{"kept": "1"},
		},
		"somebody else's stays": {
			live:    map[string]string{"theirs": "1"},
			managed: []metav1.ManagedFieldsEntry{fields("kubectl-label", `{"f:metadata":{"f:labels":{"f:theirs":{}}}}`)},
			desired: map[string]string{"ours": "1"}, want: map[string]string{"theirs": "1", "ours": "1"},
		},
		"what somebody else wants too stays": {
			live: map[string]string{"both": "1"},
			managed: []metav1.ManagedFieldsEntry{
				fields(hub, `{"f:metadata":{"f:labels":{"f:both":{}}}}`), fields("flux", `{"f:metadata":{"f:labels":{"f:both":{}}}}`)},
			want: map[string]string{"both": "1"},
		},
		"what was edited is put right": {
			live:    map[string]string{"ours": "2"},
			managed: []metav1.ManagedFieldsEntry{fields("kubectl-edit", `{"f:metadata":{"f:labels":{"f:ours":{}}}}`)},
			desired: map[string]string{"ours": "1"}, want: map[string]string{"ours": "1"},
		},
		"nothing is nothing": {},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			live, desired := crdWith(), crdWith()
			live.Labels, live.ManagedFields, desired.Labels = test.live, test.managed, test.desired
			before := live.DeepCopy()
			got, err := updatedCRD(live, desired)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got.Labels); diff != "" {
				t.Errorf("labels (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, live); diff != "" {
				t.Errorf("the live object was changed:\n%s", diff)
			}
		})
	}
}

func TestConflictNamesTheOwner(t *testing.T) {
	tests := map[string]struct {
		meta metav1.ObjectMeta
		want string
	}{
		"ours":            {metav1.ObjectMeta{Labels: map[string]string{graph.LabelOwned: "true", graph.LabelDefinition: "apps"}}, ""},
		"one of before":   {metav1.ObjectMeta{Labels: map[string]string{graph.LabelOwned: "true", graph.LabelDefinition: "apps", "kro.run/resource-graph-definition-id": "gone"}}, ""},
		"another's":       {metav1.ObjectMeta{Labels: map[string]string{graph.LabelOwned: "true", graph.LabelDefinition: "shop"}}, "definition shop"},
		"an operator's":   {metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{Kind: "Addon", Name: "db", Controller: ptr.To(true)}}}, "by Addon db"},
		"Helm's":          {metav1.ObjectMeta{Labels: map[string]string{"app.kubernetes.io/managed-by": "Helm"}}, "by Helm"},
		"one by hand":     {metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kube-apiserver", Subresource: "status"}, {Manager: "kubectl-create"}}}, "by kubectl-create"},
		"one of nobody's": {metav1.ObjectMeta{}, "by somebody else"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := Conflict(&apiextensionsv1.CustomResourceDefinition{ObjectMeta: test.meta}, "apps")
			if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
				t.Errorf("conflict %q, want %q in it", got, test.want)
			}
		})
	}
}
