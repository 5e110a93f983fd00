package target

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
	"github.com/kronvoy/kronvoy/hub/plan"
)

func TestTheDefinitionSaysWhetherValuesOfSecretsTravel(t *testing.T) {
	object := func(kind string, data map[string]any) map[string]any {
		return map[string]any{"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"name": "copy"}, "data": data}
	}
	compiled := func(kind string) *graph.Graph {
		g, issues := graph.Compile(graph.Source{
			Name:   "app",
			Schema: graph.SchemaSource{Group: "kro.run", Version: "v1alpha1", Kind: "App", Scope: graph.Namespaced},
			Nodes: []graph.NodeSource{
				{ID: "it", External: &graph.ExternalSource{APIVersion: "v1", Kind: kind, Name: "it"}},
				{ID: "copy", Template: object("ConfigMap", map[string]any{"key": "${string(it.data.key)}"})},
			},
		}, builtin.Resolver())
		if g == nil {
			t.Fatal(issues.Err())
		}
		return g
	}
	const key = kronvoyv1alpha1.AnnotationSecretValues
	scheme := runtime.NewScheme()
	if err := krov1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		annotations map[string]string
		gone        bool
		want        bool
	}{
		"it says nothing":        {},
		"it allows it":           {annotations: map[string]string{key: kronvoyv1alpha1.SecretValuesTravel}, want: true},
		"it says something else": {annotations: map[string]string{key: "true"}},
		"it is gone":             {gone: true},
	} {
		t.Run(name, func(t *testing.T) {
			builder := fake.NewClientBuilder().WithScheme(scheme)
			if !tc.gone {
				builder.WithObjects(&krov1alpha1.ResourceGraphDefinition{ObjectMeta: metav1.ObjectMeta{Name: "app", Annotations: tc.annotations}})
			}
			got, err := (&Gatherer{Cached: builder.Build()}).secretValuesTravel(t.Context(), &scope{in: plan.Input{Graph: compiled("Secret"), ClusterName: "eu-west"}})
			if err != nil || got != tc.want {
				t.Errorf("%t, %v; want %t", got, err, tc.want)
			}
		})
	}
}
