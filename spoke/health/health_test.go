package health

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// load reads testdata: every file is an object, and says in its first line what
// is to be found of it.
func load(t testing.TB) map[string]*unstructured.Unstructured {
	t.Helper()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no objects in testdata: %v", err)
	}
	objects := map[string]*unstructured.Unstructured{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		object := &unstructured.Unstructured{}
		// Through JSON, as from an API server: integers are int64.
		raw, err := yaml.YAMLToJSON(content)
		if err == nil {
			err = object.UnmarshalJSON(raw)
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		first, _, _ := strings.Cut(string(content), "\n")
		name := strings.ReplaceAll(strings.TrimSuffix(filepath.Base(file), ".yaml"), "-", " ")
		objects[name+": "+strings.TrimPrefix(first, "# ")] = object
	}
	return objects
}

func TestObjects(t *testing.T) {
	for what, object := range load(t) {
		name, want, _ := strings.Cut(what, ": ")
		t.Run(name, func(t *testing.T) {
			before := object.DeepCopy()
			v := Judge(object.Object)
			got := string(v.Status) + " " + v.Reason
			if v.Message != "" {
				got += ": " + v.Message
			}
			if got != want {
				t.Errorf("found %q, want %q", got, want)
			}
			if diff := cmp.Diff(before, object); diff != "" {
				t.Errorf("the object was changed (-before +after):\n%s", diff)
			}
		})
	}
}

func TestAStrangersWordsFitIntoACondition(t *testing.T) {
	object := map[string]any{
		"apiVersion": "example.com/v1", "kind": "Widget",
		"status": map[string]any{"conditions": []any{map[string]any{
			"type": "Stalled", "status": "True", "reason": strings.Repeat("R", 2000), "message": strings.Repeat("東", 2000),
		}}},
	}
	got := Judge(object)
	if got.Status != metav1.ConditionFalse || got.Reason != "Failed" || len(got.Message) > maxMessage || len(got.Message) < maxMessage-6 {
		t.Errorf("the verdict is %+v, with a message of %d bytes", got, len(got.Message))
	}
}

// FuzzJudge: whatever a custom resource's status is, the verdict is one that the
// API takes.
func FuzzJudge(f *testing.F) {
	for _, object := range load(f) {
		raw, err := object.MarshalJSON()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	pattern := regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$`)
	f.Fuzz(func(t *testing.T, raw []byte) {
		object := &unstructured.Unstructured{}
		if object.UnmarshalJSON(raw) != nil || object.GroupVersionKind().Group == "" {
			return // the API server has checked the built-in kinds
		}
		v := Judge(object.Object)
		known := v.Status == metav1.ConditionTrue || v.Status == metav1.ConditionFalse || v.Status == metav1.ConditionUnknown
		if !known || !pattern.MatchString(v.Reason) || len(v.Reason) > maxReason || len(v.Message) > maxMessage || strings.ContainsAny(v.Message, "\n\x1b") {
			t.Errorf("%s\ngives %+v", raw, v)
		}
	})
}

// BenchmarkJudge is what every change of an object costs beside its decoding.
func BenchmarkJudge(b *testing.B) {
	for _, name := range []string{"deployment that is available: True Healthy", "custom resource that is ready: True Healthy", "configmap: True Healthy"} {
		object := load(b)[name].Object
		kind, _, _ := strings.Cut(name, " ")
		b.Run(kind, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Judge(object)
			}
		})
	}
}
