package drift_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/kronvoy/kronvoy/spoke/drift"
)

// leaving gives the baseline of a manifest that has left its replicas and a
// volume to others; the server keeps its memory in another form.
func leaving(t *testing.T) (*drift.Baseline, *unstructured.Unstructured) {
	t.Helper()
	manifest := parse(t, `{"apiVersion":"apps/v1","kind":"Deployment","spec":{"replicas":3,"paused":true,"memory":"1024Mi","volumes":[{"name":"tmp"}]}}`)
	answer := managed(t, parse(t, `{"apiVersion":"apps/v1","kind":"Deployment","spec":{"replicas":7,"paused":true,"memory":"1Gi"}}`),
		ours, `{"f:spec":{"f:paused":{},"f:memory":{}}}`)
	baseline, err := drift.Capture(answer, ours)
	if err != nil {
		t.Fatal(err)
	}
	if err := baseline.Want(manifest, []fieldpath.Path{
		fieldpath.MakePathOrDie("spec", "replicas"), fieldpath.MakePathOrDie("spec", "volumes", fieldpath.KeyByFields("name", "tmp")),
	}); err != nil {
		t.Fatal(err)
	}
	stored, err := json.Marshal(baseline)
	if err != nil {
		t.Fatal(err)
	}
	restored := &drift.Baseline{}
	if err := json.Unmarshal(stored, restored); err != nil {
		t.Fatal(err)
	}
	return restored, manifest
}

func TestWhatIsLeftToOthersDiffersUntilItIsAsTheManifestSays(t *testing.T) {
	baseline, manifest := leaving(t)
	for name, tt := range map[string]struct {
		spec string
		want []string
	}{
		"both-taken":               {`{"replicas":7}`, []string{"spec.replicas", `spec.volumes[name="tmp"]`}},
		"one-came-back":            {`{"replicas":3}`, []string{`spec.volumes[name="tmp"]`}},
		"both-came-back":           {`{"replicas":3,"volumes":[{"name":"other"},{"name":"tmp","emptyDir":{}}]}`, nil},
		"what-we-have-is-not-here": {`{"replicas":3,"paused":false,"volumes":[{"name":"tmp"}]}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, texts(baseline.Taken(manifest, parse(t, `{"spec":`+tt.spec+`}`)))); diff != "" {
				t.Errorf("taken (-want +got):\n%s", diff)
			}
		})
	}
}

func TestABaselineKnowsWhatTheLastManifestWanted(t *testing.T) {
	baseline, _ := leaving(t)
	for name, tt := range map[string]struct {
		field  string
		value  any
		holds  bool
		claims bool
	}{
		"left-and-the-same":       {"replicas", int64(3), true, true},
		"left-as-others-have-it":  {"replicas", int64(7), false, true},
		"ours-and-the-same":       {"paused", true, true, true},
		"ours-and-another":        {"paused", false, false, true},
		"as-the-manifest-has-it":  {"memory", "1024Mi", true, true},
		"as-the-server-keeps-it":  {"memory", "1Gi", false, true},
		"never-in-the-manifest":   {"minReadySeconds", int64(1), false, false},
		"part-of-what-is-another": {"volumes", []any{}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			path := fieldpath.MakePathOrDie("spec", tt.field)
			if got := baseline.Holds(path, tt.value, true); got != tt.holds {
				t.Errorf("the manifest wanted this: %t", got)
			}
			if got := baseline.Claims(path); got != tt.claims {
				t.Errorf("it was ours: %t", got)
			}
		})
	}
	for live, want := range map[string]string{
		`{"replicas":3,"paused":true,"memory":"1Gi"}`: "", `{"replicas":7,"paused":true,"memory":"2Gi"}`: "memory replicas", `{"replicas":3,"memory":"1Gi"}`: "paused",
	} {
		var changed []string
		for _, field := range []string{"memory", "paused", "replicas"} {
			if baseline.Changed(parse(t, `{"spec":`+live+`}`), fieldpath.MakePathOrDie("spec", field)) {
				changed = append(changed, field)
			}
		}
		if got := strings.Join(changed, " "); got != want {
			t.Errorf("of %s somebody changed %q, want %q", live, got, want)
		}
	}
	if below := fieldpath.MakePathOrDie("spec", "volumes", fieldpath.KeyByFields("name", "tmp"), "emptyDir"); !baseline.Claims(below) {
		t.Errorf("%s was never ours", below)
	}
}

func TestLostFieldsAreNamedAsOthersOwnThem(t *testing.T) {
	manifest := parse(t, `{"data":{"a":"1","b":"2"},"selector":{"app":"x","tier":"web"},"list":[{"name":"one","image":"i"}],"gone":{"x":{"y":1}}}`)
	owners := drift.OwnersOf(managed(t, parse(t, `{}`), "kubectl-edit",
		`{"f:data":{"f:a":{},"f:b":{}},"f:selector":{},"f:list":{"k:{\"name\":\"one\"}":{"f:image":{}}}}`), ours)
	for field, want := range map[string]string{
		"data":     "data.a data.b",
		"selector": "selector", // a whole: to leave a part of it would cut it
		"list":     `list[name="one"].image list[name="one"].name`,
		"gone":     "gone",
	} {
		got := strings.Join(texts(owners.Parts(manifest.Object, fieldpath.MakePathOrDie(field))), " ")
		if got != want {
			t.Errorf("%s is %s, want %s", field, got, want)
		}
	}
}
