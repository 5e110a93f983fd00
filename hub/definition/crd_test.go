package definition

import (
	"fmt"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

// TestBreakingChanges: the message names every change, as far as a condition can
// hold them, and what to do.
func TestBreakingChanges(t *testing.T) {
	var many []string
	for i := range 2000 {
		many = append(many, fmt.Sprintf("field%d", i))
	}
	tests := map[string]struct {
		live, desired *apiextensionsv1.CustomResourceDefinition
		want          []string
	}{
		"none":            {live: crdWith("a"), desired: crdWith("a", "b")},
		"each of some":    {live: crdWith("a", "b", "c", "d"), desired: crdWith(), want: []string{"CRD apps.kro.run", "spec.a: ", "spec.b: ", "spec.c: ", "spec.d: ", annotationAllowBreaking}},
		"more than fit":   {live: crdWith(many...), desired: crdWith(), want: []string{"spec.field0: ", " more", annotationAllowBreaking}},
		"nothing changes": {live: crdWith("a"), desired: crdWith("a")},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := breakingChanges(test.live, test.desired)
			if (got == "") != (len(test.want) == 0) {
				t.Fatalf("message %q", got)
			}
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
