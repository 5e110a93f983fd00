package compact

import (
	"encoding/json"
	"reflect"
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
