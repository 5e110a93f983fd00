package definition

import (
	"errors"
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
	"github.com/kronvoy/kronvoy/hub/revision"
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

// A graph of what another release of Kronvoy stored is for those who show it, and
// what that served becomes a revision of this one.
func TestWhatAnotherReleaseStoredIsNotRenderedAgain(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := appsv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	rgd := &krov1alpha1.ResourceGraphDefinition{ObjectMeta: metav1.ObjectMeta{Name: "app", UID: "uid"}}
	owner := *metav1.NewControllerRef(rgd, krov1alpha1.GroupVersion.WithKind("ResourceGraphDefinition"))
	stored, err := revision.Definition{Name: "app", Hash: "v0-0123456789abcdef", Spec: []byte(`{"schema":{"apiVersion":"v1alpha1","kind":"App"}}`)}.Object("kronvoy", 3, owner)
	if err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(stored).Build()
	r := &Reconciler{Client: c, Reader: c, Namespace: "kronvoy", Store: NewStore(c, "kronvoy", builtin.Resolver())}
	shown, err := r.Store.Shown(t.Context(), stored.Name)
	if err != nil {
		t.Fatal(err)
	}
	var unusable *UnusableError
	if _, err := r.Store.Graph(t.Context(), stored.Name); !errors.As(err, &unusable) || !errors.Is(err, ErrOtherRelease) {
		t.Errorf("it gives a graph to render with, or the error %v", err)
	}
	newest, err := r.ofThisRelease(t.Context(), rgd, stored, shown)
	if err != nil {
		t.Fatal(err)
	}
	if newest.Name == stored.Name || newest.Revision != 4 || !revision.OfThisRelease(newest) || revision.Hash(newest) != shown.Hash() {
		t.Errorf("it serves %s, number %d", newest.Name, newest.Revision)
	}
	again, err := r.ofThisRelease(t.Context(), rgd, newest, shown)
	if err != nil || again.Name != newest.Name {
		t.Errorf("then it serves %v: %v", again, err)
	}
}
