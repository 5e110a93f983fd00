package definition

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
)

// TestADefinitionThatIsMadeAnewOwnsItsRevision: the garbage collector deletes the
// revisions of a definition some time after it, when there is another one of the
// same name and content.
func TestADefinitionThatIsMadeAnewOwnsItsRevision(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := appsv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	g, issues := graph.Compile(graph.Source{
		Name: "app", Schema: graph.SchemaSource{Group: "kro.run", Version: "v1alpha1", Kind: "App", Scope: graph.Namespaced},
	}, builtin.Resolver())
	if err := issues.Err(); err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).Build()
	r := &Reconciler{Client: c, Reader: c, Namespace: "kronvoy"}
	name := ""
	for _, uid := range []types.UID{"first", "second", "second"} {
		rgd := &krov1alpha1.ResourceGraphDefinition{ObjectMeta: metav1.ObjectMeta{Name: "app", UID: uid}}
		stored, err := r.ensureRevision(t.Context(), rgd, g)
		if err != nil {
			t.Fatal(err)
		}
		if name != "" && stored.Name != name {
			t.Errorf("its name is %s, and was %s", stored.Name, name)
		}
		name = stored.Name
		live := &appsv1.ControllerRevision{}
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(stored), live); err != nil {
			t.Fatal(err)
		}
		if len(live.OwnerReferences) != 1 || !metav1.IsControlledBy(live, rgd) {
			t.Errorf("definition %s: the owners are %v", uid, live.OwnerReferences)
		}
	}
}
