package instance

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
	"github.com/kronvoy/kronvoy/hub/definition"
	"github.com/kronvoy/kronvoy/hub/index"
	"github.com/kronvoy/kronvoy/hub/kinds"
	"github.com/kronvoy/kronvoy/hub/work"
)

// TestAnInstanceThatIsMadeAnewOwnsItsRevision: the garbage collector deletes the
// revisions of an instance some time after it, when there is another one of the
// same name and content.
func TestAnInstanceThatIsMadeAnewOwnsItsRevision(t *testing.T) {
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
	c := fake.NewClientBuilder().WithScheme(scheme).WithIndex(&appsv1.ControllerRevision{}, index.Instance, func(o client.Object) []string {
		return []string{o.GetLabels()[kronvoyv1alpha1.LabelInstance]}
	}).Build()
	r := &Reconciler{Client: c, Namespace: "kronvoy"}
	name := ""
	for _, uid := range []types.UID{"first", "second", "second"} {
		instance := kinds.Object(schema.GroupVersionKind{Group: "kro.run", Version: "v1alpha1", Kind: "App"})
		instance.SetNamespace("shop")
		instance.SetName("one")
		instance.SetUID(uid)
		s := &scope{
			identity: work.IdentityOfInstance(instance), instance: instance,
			serving: definition.Serving{Definition: "app", Revision: "app-1", Graph: g},
		}
		if err := r.ensureRevision(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if name != "" && s.newest.Name != name {
			t.Errorf("its name is %s, and was %s", s.newest.Name, name)
		}
		name = s.newest.Name
		live := &appsv1.ControllerRevision{}
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(s.newest), live); err != nil {
			t.Fatal(err)
		}
		if len(live.OwnerReferences) != 1 || !metav1.IsControlledBy(live, instance) {
			t.Errorf("instance %s: the owners are %v", uid, live.OwnerReferences)
		}
	}
}
