package compact

import (
	"encoding/json"
	"reflect"
	goruntime "runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	toolscache "k8s.io/client-go/tools/cache"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// decoded is a Target as a cache gets it.
func decoded(t testing.TB) *kronvoyv1alpha1.Target {
	t.Helper()
	var target kronvoyv1alpha1.Target
	text := `{"metadata":{"name":"a","namespace":"b","labels":{"k":"v"},"creationTimestamp":"2026-11-22T12:00:00Z","managedFields":[{"manager":"m"}]},
		"status":{"state":"Ready","nodes":[{"id":"one","state":"Ready"},{"id":"two","state":"Ready"},{"id":"three","state":"Ready"}]}}`
	if err := json.Unmarshal([]byte(text), &target); err != nil {
		t.Fatal(err)
	}
	return &target
}

func TestTheValueStaysTheSame(t *testing.T) {
	for name, object := range map[string]runtime.Object{
		"a Target": decoded(t),
		"a work":   &workv1.ManifestWork{Spec: workv1.ManifestWorkSpec{Workload: workv1.ManifestsTemplate{Manifests: []workv1.Manifest{{RawExtension: runtime.RawExtension{Raw: []byte(`{"a":1}`)}}}}}},
		"a pod": &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &metav1.Time{Time: time.Unix(1, 0)}, Labels: map[string]string{}, Finalizers: []string{}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"cpu": resource.MustParse("1500m")}}}}},
		},
		"one of any kind": &unstructured.Unstructured{Object: map[string]any{"kind": "A", "metadata": map[string]any{"name": "n"}, "spec": []any{"x", int64(1)}}},
		"nothing":         (*corev1.Pod)(nil),
	} {
		t.Run(name, func(t *testing.T) {
			want := object.DeepCopyObject()
			if accessor, is := want.(metav1.Object); is && name != "nothing" {
				accessor.SetManagedFields(nil)
			}
			if name == "nothing" {
				compact(reflect.ValueOf(object))
				return
			}
			got, err := Transform(object)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatIsDeletedAndNotKnownPassesThrough(t *testing.T) {
	gone := toolscache.DeletedFinalStateUnknown{Key: "a/b"}
	if got, err := Transform(gone); err != nil || got != any(gone) {
		t.Errorf("it becomes %v, %v", got, err)
	}
}

func TestTextsAreSharedAndSlicesHaveNoRoom(t *testing.T) {
	a, b := decoded(t), decoded(t)
	for _, target := range []*kronvoyv1alpha1.Target{a, b} {
		if _, err := Transform(target); err != nil {
			t.Fatal(err)
		}
	}
	for name, pair := range map[string][2]string{
		"a field": {a.Name, b.Name}, "a label": {a.Labels["k"], b.Labels["k"]}, "an entry": {a.Status.Nodes[2].ID, b.Status.Nodes[2].ID},
		"a field of another": {string(a.Status.State), b.Status.Nodes[0].State},
	} {
		if unsafe.StringData(pair[0]) != unsafe.StringData(pair[1]) {
			t.Errorf("%s is there twice", name)
		}
	}
	if nodes := a.Status.Nodes; cap(nodes) != len(nodes) {
		t.Errorf("%d nodes have room for %d", len(nodes), cap(nodes))
	}
}

func BenchmarkTransform(b *testing.B) {
	target := decoded(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Transform(target); err != nil {
			b.Fatal(err)
		}
	}
}

// manifest is a work's, as a cache gets it.
func manifest(t testing.TB, annotations map[string]string) *workv1.ManifestWork {
	t.Helper()
	raw := append(make([]byte, 0, 64), `{"kind":"ConfigMap"}`...)
	return &workv1.ManifestWork{
		ObjectMeta: metav1.ObjectMeta{Annotations: annotations},
		Spec:       workv1.ManifestWorkSpec{Workload: workv1.ManifestsTemplate{Manifests: []workv1.Manifest{{RawExtension: runtime.RawExtension{Raw: raw}}}}},
	}
}

func TestManifestsAndAnnotationsAreSharedAlsoAfterACollection(t *testing.T) {
	a, b := manifest(t, map[string]string{"a": "1", "b": "2"}), manifest(t, map[string]string{"b": "2", "a": "1"})
	for _, work := range []*workv1.ManifestWork{a, b} {
		if _, err := Transform(work); err != nil {
			t.Fatal(err)
		}
		goruntime.GC()
		goruntime.GC()
	}
	if a, b := raw(a), raw(b); unsafe.SliceData(a) != unsafe.SliceData(b) || cap(a) != len(a) {
		t.Errorf("a manifest is there twice, or has room to grow: %d of %d bytes", len(a), cap(a))
	}
	if reflect.ValueOf(a.Annotations).Pointer() != reflect.ValueOf(b.Annotations).Pointer() {
		t.Error("annotations are there twice")
	}
	other := manifest(t, map[string]string{"a": "2", "b": "1"})
	if _, err := Transform(other); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"a": "2", "b": "1"}, other.Annotations); diff != "" {
		t.Errorf("other annotations are taken for the same: %s", diff)
	}
}

func raw(w *workv1.ManifestWork) []byte { return w.Spec.Workload.Manifests[0].Raw }

func TestAnotherValueInTheSamePlaceIsNotTakenForTheSame(t *testing.T) {
	values := recent[string]{
		hash:  func(string) uint64 { return 1 },
		equal: texts.equal, size: texts.size, small: texts.small,
	}
	for _, text := range []string{"a", "b", "a", "", strings.Repeat("a", maxShared+1)} {
		if got := values.same(text); got != text {
			t.Errorf("%.10q becomes %.10q", text, got)
		}
	}
	if values.values[1] != "a" {
		t.Errorf("%.10q is remembered: it is too long, or nothing", values.values[1])
	}
}

func TestTransformsMayRunAtTheSameTime(t *testing.T) {
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			for n := range 1000 {
				target := decoded(t)
				target.Labels = map[string]string{"n": strconv.Itoa((n + i) % 10)}
				if _, err := Transform(target); err != nil || target.Labels["n"] != strconv.Itoa((n+i)%10) {
					t.Errorf("labels become %v, %v", target.Labels, err)
				}
			}
		})
	}
	group.Wait()
}
