package instance

import (
	"context"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
	"github.com/kronvoy/kronvoy/hub/definition"
	"github.com/kronvoy/kronvoy/hub/index"
	"github.com/kronvoy/kronvoy/hub/kinds"
	"github.com/kronvoy/kronvoy/hub/work"
)

// world is a reconciler with the revisions of one kind. Revisions that are hidden
// the cache does not show, and creates counts requests.
type world struct {
	*Reconciler
	graph   *graph.Graph
	clock   *testclock.FakeClock
	hidden  bool
	creates int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{appsv1.AddToScheme, kronvoyv1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	g, issues := graph.Compile(graph.Source{
		Name: "app", Schema: graph.SchemaSource{Group: "kro.run", Version: "v1alpha1", Kind: "App", Scope: graph.Namespaced},
	}, builtin.Resolver())
	if err := issues.Err(); err != nil {
		t.Fatal(err)
	}
	w := &world{graph: g, clock: testclock.NewFakeClock(time.Unix(0, 0))}
	c := fake.NewClientBuilder().WithScheme(scheme).WithIndex(&appsv1.ControllerRevision{}, index.Instance, func(o client.Object) []string {
		return []string{o.GetLabels()[kronvoyv1alpha1.LabelInstance]}
	}).WithIndex(&kronvoyv1alpha1.Target{}, index.Child, index.Children).WithInterceptorFuncs(interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if w.hidden {
				return nil
			}
			return c.List(ctx, list, opts...)
		},
		Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			w.creates++
			return c.Create(ctx, obj, opts...)
		},
	}).Build()
	w.Reconciler = &Reconciler{Client: c, Reader: c, Namespace: "kronvoy", Clock: w.clock}
	return w
}

// scope of instance shop/one with an UID.
func (w *world) scope(uid types.UID) *scope {
	instance := kinds.Object(schema.GroupVersionKind{Group: "kro.run", Version: "v1alpha1", Kind: "App"})
	instance.SetNamespace("shop")
	instance.SetName("one")
	instance.SetUID(uid)
	return &scope{
		identity: work.IdentityOfInstance(instance), instance: instance,
		serving: definition.Serving{Definition: "app", Revision: "app-1", Graph: w.graph},
	}
}

// TestAnInstanceThatIsMadeAnewOwnsItsRevision: the garbage collector deletes the
// revisions of an instance some time after it, when there is another one of the
// same name and content.
func TestAnInstanceThatIsMadeAnewOwnsItsRevision(t *testing.T) {
	w := newWorld(t)
	name := ""
	for _, uid := range []types.UID{"first", "second", "second"} {
		s := w.scope(uid)
		if err := w.ensureRevision(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if name != "" && s.newest.Name != name {
			t.Errorf("its name is %s, and was %s", s.newest.Name, name)
		}
		name = s.newest.Name
		live := &appsv1.ControllerRevision{}
		if err := w.Client.Get(t.Context(), client.ObjectKeyFromObject(s.newest), live); err != nil {
			t.Fatal(err)
		}
		if len(live.OwnerReferences) != 1 || !metav1.IsControlledBy(live, s.instance) {
			t.Errorf("instance %s: the owners are %v", uid, live.OwnerReferences)
		}
	}
}

// A revision that the cache does not show yet is not stored again, and one that
// it never shows is.
func TestARevisionIsStoredOnce(t *testing.T) {
	w := newWorld(t)
	ensure := func(uid types.UID) (*appsv1.ControllerRevision, error) {
		s := w.scope(uid)
		err := w.ensureRevision(t.Context(), s)
		return s.newest, err
	}
	stale := func() error { return w.ensureRevision(t.Context(), w.scope("first")) }
	if _, err := ensure("first"); err != nil {
		t.Fatal(err)
	}

	w.hidden = true
	for range 3 {
		if err := stale(); !apierrors.IsConflict(err) || w.creates != 1 {
			t.Fatalf("the cache is behind: error %v, and %d times stored", err, w.creates)
		}
		w.clock.Step(cacheLag / 4)
	}
	w.hidden = false
	stored, err := ensure("first")
	if err != nil || w.creates != 1 {
		t.Fatalf("the cache has caught up: error %v, and %d times stored", err, w.creates)
	}

	if err := w.Client.Delete(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	if err := stale(); !apierrors.IsConflict(err) || w.creates != 1 {
		t.Fatalf("somebody deleted it at once: error %v, and %d times stored", err, w.creates)
	}
	w.clock.Step(cacheLag)
	again, err := ensure("first")
	if err != nil || w.creates != 2 {
		t.Fatalf("somebody deleted it: error %v, and %d times stored", err, w.creates)
	}
	if again.Revision <= stored.Revision {
		t.Errorf("it has number %d, after %d", again.Revision, stored.Revision)
	}

	// Another instance of that name is waited for by nobody.
	if err := w.Client.Delete(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	if _, err := ensure("second"); err != nil || w.creates != 3 {
		t.Fatalf("made anew: error %v, and %d times stored", err, w.creates)
	}
}
