package instance

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/revision"
)

// age makes a stored revision one of another release of Kronvoy.
func (w *world) age(t *testing.T, r *appsv1.ControllerRevision) {
	t.Helper()
	r.Annotations[kronvoyv1alpha1.AnnotationHash] = strings.Replace(r.Annotations[kronvoyv1alpha1.AnnotationHash], "v1-", "v0-", 1)
	if err := w.Client.Update(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

// define stores a revision of the definition.
func (w *world) define(t *testing.T, hash, spec string) (name string) {
	t.Helper()
	d, err := revision.Definition{Name: "app", Hash: hash, Spec: []byte(spec)}.Object("kronvoy", 1, metav1.OwnerReference{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Client.Create(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	return d.Name
}

func TestANewReleaseRestatesWhatIsThere(t *testing.T) {
	tests := map[string]struct {
		definition string
		spec       map[string]any
		restates   bool
	}{
		"nothing else changed":   {definition: `{"b":1,"a":2}`, spec: map[string]any{"n": int64(1)}, restates: true},
		"the definition changed": {definition: `{"a":3,"b":1}`, spec: map[string]any{"n": int64(1)}},
		"the instance changed":   {definition: `{"a":2,"b":1}`, spec: map[string]any{"n": int64(2)}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ensure := func(definition string, spec map[string]any) *appsv1.ControllerRevision {
				t.Helper()
				s := w.scope("uid")
				s.serving.Revision, s.instance.Object["spec"] = definition, spec
				if err := w.ensureRevision(t.Context(), s); err != nil {
					t.Fatal(err)
				}
				return s.newest
			}
			before := ensure(w.define(t, "v0-0123456789abcdef", `{"a":2,"b":1}`), map[string]any{"n": int64(1)})
			before.Annotations[kronvoyv1alpha1.AnnotationRejectedAt] = "then"
			before.Annotations[kronvoyv1alpha1.AnnotationSucceededAt] = "earlier"
			w.age(t, before)

			after := ensure(w.define(t, "v1-0123456789abcdef", test.definition), test.spec)
			if after.Name == before.Name || after.Revision != before.Revision+1 || !revision.OfThisRelease(after) {
				t.Errorf("after %s there is %s with number %d", before.Name, after.Name, after.Revision)
			}
			want := [3]string{}
			if test.restates {
				want = [3]string{before.Name, "then"}
			}
			got := [3]string{after.Annotations[kronvoyv1alpha1.AnnotationRestates], after.Annotations[kronvoyv1alpha1.AnnotationRejectedAt], after.Annotations[kronvoyv1alpha1.AnnotationSucceededAt]}
			if got != want {
				t.Errorf("restates, rejected and succeeded are %q, want %q", got, want)
			}
		})
	}
}

// What the hub made for a cluster on which everything stays as it is does so, too.
func TestWhatBelongsToAKeptTargetIsKept(t *testing.T) {
	w := newWorld(t)
	s := w.scope("uid")
	s.serving.Revision = w.define(t, "v0-0123456789abcdef", "{}")
	if err := w.ensureRevision(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	before := s.newest
	w.age(t, before)
	of := &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "parent", Annotations: map[string]string{kronvoyv1alpha1.AnnotationHash: "v0-0123456789abcdef"}}}
	parent := &kronvoyv1alpha1.Target{
		ObjectMeta: metav1.ObjectMeta{Namespace: "eu-west", Name: "parent"},
		Spec:       kronvoyv1alpha1.TargetSpec{Revision: "parent", Instance: kronvoyv1alpha1.InstanceReference{Namespace: "shop"}},
		Status:     kronvoyv1alpha1.TargetStatus{Children: []kronvoyv1alpha1.ChildReference{{APIVersion: "kro.run/v1alpha1", Kind: "App", Namespace: "shop", Name: "one"}}},
	}
	for _, obj := range []client.Object{of, parent} {
		if err := w.Client.Create(t.Context(), obj); err != nil {
			t.Fatal(err)
		}
	}
	moved := w.define(t, "v1-0123456789abcdef", "{}")
	for _, release := range []string{"v0", "v1"} {
		of.Annotations[kronvoyv1alpha1.AnnotationHash] = release + "-0123456789abcdef"
		if err := w.Client.Update(t.Context(), of); err != nil {
			t.Fatal(err)
		}
		s := w.scope("uid")
		s.serving.Revision = moved
		if err := w.ensureRevision(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if kept := s.newest.Name == before.Name; kept != (release == "v0") {
			t.Errorf("its parent has what %s rendered, and the newest revision is %s", release, s.newest.Name)
		}
	}
}
