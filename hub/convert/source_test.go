package convert

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
)

func raw(s string) runtime.RawExtension { return runtime.RawExtension{Raw: []byte(s)} }

func TestSource(t *testing.T) {
	rgd := &krov1alpha1.ResourceGraphDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "app", Annotations: map[string]string{kronvoyv1alpha1.AnnotationAggregate: `{"total": "${size(clusters)}"}`}},
		Spec: krov1alpha1.ResourceGraphDefinitionSpec{
			Schema: &krov1alpha1.Schema{
				Kind: "App", APIVersion: "v1alpha1", Spec: raw(`{"a": "integer"}`), Status: raw(`null`), ShortNames: []string{"a"},
				Metadata:                 &krov1alpha1.CRDMetadata{Labels: map[string]string{"l": "v"}},
				AdditionalPrinterColumns: []apiextensionsv1.CustomResourceColumnDefinition{{Name: "A", Type: "string", JSONPath: ".a", Priority: 1}},
			},
			Resources: []*krov1alpha1.Resource{
				{ID: "one", Template: raw(`{"n": 1, "f": 1.5, "big": 9007199254740993}`), ReadyWhen: []string{"${true}"},
					ForEach: []krov1alpha1.ForEachDimension{{"x": "${[]}"}}},
				{ID: "two", ExternalRef: &krov1alpha1.ExternalRef{APIVersion: "v1", Kind: "ConfigMap",
					Metadata: krov1alpha1.ExternalRefMetadata{Namespace: "n", Selector: raw(`{"matchLabels": {"a": "b"}}`)}}},
			},
		},
	}
	want := graph.Source{
		Name: "app", Aggregates: map[string]string{"total": "${size(clusters)}"},
		Schema: graph.SchemaSource{
			Group: "kro.run", Version: "v1alpha1", Kind: "App", Scope: graph.Namespaced, Spec: map[string]any{"a": "integer"},
			ShortNames: []string{"a"}, Labels: map[string]string{"l": "v"},
			PrinterColumns: []graph.PrinterColumn{{Name: "A", Type: "string", JSONPath: ".a", Priority: 1}},
		},
		Nodes: []graph.NodeSource{
			{ID: "one", Template: map[string]any{"n": int64(1), "f": 1.5, "big": int64(9007199254740993)}, ReadyWhen: []string{"${true}"},
				ForEach: []map[string]string{{"x": "${[]}"}}},
			{ID: "two", External: &graph.ExternalSource{APIVersion: "v1", Kind: "ConfigMap", Namespace: "n",
				Selector: map[string]any{"matchLabels": map[string]any{"a": "b"}}}},
		},
	}
	got, err := Source(rgd)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSourceRefuses(t *testing.T) {
	with := func(spec string, resources ...*krov1alpha1.Resource) *krov1alpha1.ResourceGraphDefinition {
		return &krov1alpha1.ResourceGraphDefinition{Spec: krov1alpha1.ResourceGraphDefinitionSpec{
			Schema: &krov1alpha1.Schema{Spec: raw(spec)}, Resources: resources}}
	}
	aggregating := func(text string) *krov1alpha1.ResourceGraphDefinition {
		rgd := with(`{}`)
		rgd.Annotations = map[string]string{kronvoyv1alpha1.AnnotationAggregate: text}
		return rgd
	}
	tests := map[string]struct {
		in   *krov1alpha1.ResourceGraphDefinition
		want string
	}{
		"nothing":         {nil, "spec.schema is missing"},
		"no schema":       {&krov1alpha1.ResourceGraphDefinition{}, "spec.schema is missing"},
		"a list":          {with(`["a"]`), "spec.schema.spec: expected an object, got a list"},
		"broken JSON":     {with(`{"a":`), "spec.schema.spec: "},
		"null":            {with(`{}`, nil), "spec.resources[0] is null"},
		"a text template": {with(`{}`, &krov1alpha1.Resource{Template: raw(`"x"`)}), "spec.resources[0].template: expected an object, got a string"},
		"aggregates that are no JSON": {
			aggregating(`{"total": }`), "metadata.annotations['kronvoy.io/aggregate']: at offset 11: invalid character",
		},
		"aggregates that are no text": {
			aggregating(`{"total": 1}`), "metadata.annotations['kronvoy.io/aggregate']: at offset 11: this must be a JSON object of texts",
		},
		"too deep":  {with(strings.Repeat(`{"a":`, 300) + "1" + strings.Repeat("}", 300)), "nested deeper than 200 levels"},
		"too large": {with(`{"a":"` + strings.Repeat("x", maxBytes) + `"}`), "larger than"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Source(test.in)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}
