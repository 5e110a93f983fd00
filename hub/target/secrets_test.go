package target

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
)

func TestValuesOfSecretsStayOnTheirCluster(t *testing.T) {
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
		kind, cluster string
		annotations   map[string]string
		suspended     bool
		blocked       bool
	}{
		"another cluster":               {kind: "Secret", cluster: "eu-west", blocked: true},
		"the hub's own":                 {kind: "Secret", cluster: kronvoyv1alpha1.LocalCluster},
		"no Secret":                     {kind: "ConfigMap", cluster: "eu-west"},
		"the definition allows it":      {kind: "Secret", cluster: "eu-west", annotations: map[string]string{key: kronvoyv1alpha1.SecretValuesTravel}},
		"the definition says something": {kind: "Secret", cluster: "eu-west", annotations: map[string]string{key: "true"}, blocked: true},
		"it is suspended":               {kind: "Secret", cluster: "eu-west", suspended: true},
	} {
		t.Run(name, func(t *testing.T) {
			rgd := &krov1alpha1.ResourceGraphDefinition{ObjectMeta: metav1.ObjectMeta{Name: "app", Annotations: tc.annotations}}
			r := &Reconciler{Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(rgd).Build()}
			s := &scope{graph: compiled(tc.kind), suspended: tc.suspended, target: &kronvoyv1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Namespace: tc.cluster}}}
			if err := r.keepSecrets(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			if blocked := s.blocked != ""; blocked != tc.blocked || blocked && s.reason != kronvoyv1alpha1.ReasonSecretValues {
				t.Errorf("blocked: %q, reason %q", s.blocked, s.reason)
			}
			if tc.blocked && !strings.Contains(s.blocked, "spec.resources[1].template.data.key reads it.data.key") {
				t.Errorf("it does not say where: %s", s.blocked)
			}
		})
	}
	// Without its definition, too.
	r := &Reconciler{Client: fake.NewClientBuilder().WithScheme(scheme).Build()}
	s := &scope{graph: compiled("Secret"), target: &kronvoyv1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Namespace: "eu-west"}}}
	if err := r.keepSecrets(t.Context(), s); err != nil || s.blocked == "" {
		t.Errorf("blocked: %q, %v", s.blocked, err)
	}
}
