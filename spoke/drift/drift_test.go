package drift_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/drift"
)

const ours = "work-agent-test"

// parse reads an object from JSON as clients do.
func parse(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	content := map[string]any{}
	if err := utiljson.Unmarshal([]byte(text), &content); err != nil {
		t.Fatal(err)
	}
	return &unstructured.Unstructured{Object: content}
}

// managed gives an object managed fields: manager (or manager/subresource) and
// its field set; ours through apply, others through update.
func managed(t *testing.T, obj *unstructured.Unstructured, fields ...string) *unstructured.Unstructured {
	t.Helper()
	var entries []metav1.ManagedFieldsEntry
	for i := 0; i < len(fields); i += 2 {
		name, subresource, _ := strings.Cut(fields[i], "/")
		operation := metav1.ManagedFieldsOperationUpdate
		if name == ours {
			operation = metav1.ManagedFieldsOperationApply
		}
		at := metav1.NewTime(time.Unix(int64(i), 0))
		entries = append(entries, metav1.ManagedFieldsEntry{
			Manager: name, Operation: operation, Subresource: subresource, Time: &at,
			FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(fields[i+1]),
		})
	}
	obj.SetManagedFields(entries)
	return obj
}

const deployment = `{"apiVersion":"apps/v1","kind":"Deployment","spec":{
	"replicas":3,
	"template":{"spec":{"volumes":[],"containers":[
		{"name":"web","image":"a","ports":[{"containerPort":80,"protocol":"TCP"}],"securityContext":{}},
		{"name":"side","image":"s"}],
		"nodeSelector":{"disk":"ssd"}}}}}`

const deploymentFields = `{"f:spec":{"f:replicas":{},"f:template":{"f:spec":{
	"f:containers":{"k:{\"name\":\"web\"}":{".":{},"f:name":{},"f:image":{},"f:securityContext":{},
		"f:ports":{"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}}}},
	"f:nodeSelector":{}}}}}`

func TestABaselineIsLeftOnlyByOurFields(t *testing.T) {
	tests := map[string]struct {
		live string
		want []string
	}{
		"nothing-changed":                           {live: deployment},
		"a-default-was-added":                       {live: strings.Replace(deployment, `"replicas":3`, `"replicas":3,"paused":false`, 1)},
		"another-container-changed":                 {live: strings.Replace(deployment, `"image":"s"`, `"image":"t"`, 1)},
		"containers-changed-places":                 {live: swapContainers},
		"something-was-put-into-an-empty-map":       {live: strings.Replace(deployment, `"securityContext":{}`, `"securityContext":{"runAsUser":1}`, 1)},
		"a-scalar-changed":                          {live: strings.Replace(deployment, `"replicas":3`, `"replicas":4`, 1), want: []string{"spec.replicas"}},
		"a-field-of-our-list-element-changed":       {live: strings.Replace(deployment, `"image":"a"`, `"image":"b"`, 1), want: []string{`spec.template.spec.containers[name="web"].image`}},
		"an-atomic-map-got-a-key":                   {live: strings.Replace(deployment, `"disk":"ssd"`, `"disk":"ssd","x":"y"`, 1), want: []string{"spec.template.spec.nodeSelector"}},
		"our-list-element-is-gone":                  {live: strings.Replace(deployment, `"name":"web"`, `"name":"other"`, 1), want: []string{`spec.template.spec.containers[name="web"].image`, `spec.template.spec.containers[name="web"].name`, `spec.template.spec.containers[name="web"].securityContext`, `spec.template.spec.containers[name="web"].ports[containerPort=80,protocol="TCP"].containerPort`}},
		"an-empty-map-that-others-may-fill-is-gone": {live: strings.Replace(deployment, `,"securityContext":{}`, ``, 1), want: []string{`spec.template.spec.containers[name="web"].securityContext`}},
	}
	baseline, err := drift.Capture(managed(t, parse(t, deployment), ours, deploymentFields, "other", `{"f:spec":{"f:replicas":{}}}`), ours)
	if err != nil {
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
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for _, b := range []*drift.Baseline{baseline, restored} {
				if diff := cmp.Diff(tt.want, texts(b.Compare(parse(t, tt.live)))); diff != "" {
					t.Errorf("drift (-want +got):\n%s", diff)
				}
			}
		})
	}
}

const swapContainers = `{"apiVersion":"apps/v1","kind":"Deployment","spec":{"replicas":3,"template":{"spec":{"containers":[
		{"name":"side","image":"s"},
		{"name":"web","image":"a","ports":[{"containerPort":80,"protocol":"TCP"}],"securityContext":{}}],
		"nodeSelector":{"disk":"ssd"}}}}}`

func texts(paths []fieldpath.Path) []string {
	var list []string
	for _, path := range paths {
		list = append(list, drift.PathString(path))
	}
	return list
}

func TestAnObjectThatTheManagerDoesNotOwnHasNoBaseline(t *testing.T) {
	baseline, err := drift.Capture(managed(t, parse(t, deployment), "kubectl", deploymentFields), ours)
	if baseline != nil || err != nil {
		t.Errorf("got %v, %v", baseline, err)
	}
	if _, err := drift.Capture(managed(t, parse(t, deployment), ours, `{"k:x":{}}`), ours); err == nil {
		t.Error("unreadable managed fields give no error")
	}
}

func TestDetailsSayWhatAndWho(t *testing.T) {
	manifest := `{"apiVersion":"v1","kind":"KIND","data":{"a":"1","gone":"2","same":"3"}}`
	live := `{"apiVersion":"v1","kind":"KIND","data":{"a":"x","extra":"y","same":"3"}}`
	fields := []string{
		"first", `{"f:metadata":{"f:labels":{}}}`, "kubectl", `{"f:data":{"f:a":{},"f:extra":{}}}`, "hpa/scale", `{"f:spec":{}}`,
	}
	paths := []fieldpath.Path{
		fieldpath.MakePathOrDie("data", "a"), fieldpath.MakePathOrDie("data", "extra"),
		fieldpath.MakePathOrDie("data", "gone"), fieldpath.MakePathOrDie("data", "same"),
	}
	tests := map[string]struct {
		kind string
		want []kronvoyv1alpha1.FindingDetail
	}{
		"values-are-shown-as-json": {kind: "ConfigMap", want: []kronvoyv1alpha1.FindingDetail{
			{Path: "data.a", Desired: `"1"`, Observed: `"x"`, Manager: "kubectl"},
			{Path: "data.extra", Observed: `"y"`, Manager: "kubectl"},
			{Path: "data.gone", Desired: `"2"`, Manager: "hpa (scale)"},
		}},
		"values-of-secrets-are-masked": {kind: "Secret", want: []kronvoyv1alpha1.FindingDetail{
			{Path: "data.a", Desired: `"***"`, Observed: `"***"`, Manager: "kubectl"},
			{Path: "data.extra", Observed: `"***"`, Manager: "kubectl"},
			{Path: "data.gone", Desired: `"***"`, Manager: "hpa (scale)"},
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			observed := managed(t, parse(t, strings.Replace(live, "KIND", tt.kind, 1)), fields...)
			got := drift.Details(parse(t, strings.Replace(manifest, "KIND", tt.kind, 1)), observed, paths, drift.OwnersOf(observed, ours))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("details (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLongValuesAreShortened(t *testing.T) {
	long := parse(t, `{"kind":"ConfigMap","data":{"a":"`+strings.Repeat("ä", 5000)+`"}}`)
	got := drift.Details(parse(t, `{"kind":"ConfigMap"}`), long, []fieldpath.Path{fieldpath.MakePathOrDie("data", "a")}, drift.Owners{})
	if n := len([]rune(got[0].Observed)); n != 256 {
		t.Errorf("%d characters, want 256", n)
	}
}

func TestTheServersSpellingIsNoDifference(t *testing.T) {
	tests := map[string]struct {
		desired, observed any
		want              bool
	}{
		"equal":                        {"a", "a", true},
		"a-quantity-in-canonical-form": {"1000m", "1", true},
		"a-float-as-quantity":          {0.5, "500m", true},
		"an-integer-as-float":          {int64(1), 1.0, true},
		"null-is-absent":               {nil, nil, true},
		"empty-is-absent":              {map[string]any{}, nil, true},
		"defaults-inside-a-map":        {map[string]any{"a": "b"}, map[string]any{"a": "b", "c": "d"}, true},
		"defaults-inside-a-list":       {[]any{map[string]any{"a": "b"}}, []any{map[string]any{"a": "b", "c": "d"}}, true},
		"another-string":               {"a", "b", false},
		"another-quantity":             {"1000m", "2", false},
		"a-shorter-list":               {[]any{"a", "b"}, []any{"a"}, false},
		"a-missing-key":                {map[string]any{"a": "b"}, map[string]any{}, false},
		"another-type":                 {map[string]any{"a": "b"}, "a", false},
		"a-bool-is-no-number":          {true, int64(1), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := drift.SameValue(tt.desired, tt.observed); got != tt.want {
				t.Errorf("SameValue(%v, %v) = %t", tt.desired, tt.observed, got)
			}
		})
	}
}

func TestUncoveredFieldsAreThoseWeLost(t *testing.T) {
	owned := fieldpath.NewSet()
	if err := owned.FromJSON(strings.NewReader(`{"f:spec":{"f:replicas":{},"f:template":{"f:spec":{
		"f:containers":{"k:{\"name\":\"web\"}":{".":{},"f:name":{},"f:image":{},
			"f:ports":{"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}}}},
		"f:nodeSelector":{}}}},"f:metadata":{"f:finalizers":{"v:\"a/b\"":{}}}}`)); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		manifest string
		want     []string
	}{
		"all-ours": {manifest: `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"a","namespace":"b","finalizers":["a/b"],"creationTimestamp":null,"annotations":{}},
			"spec":{"replicas":1,"template":{"spec":{"nodeSelector":{"x":"y"},"containers":[{"name":"web","image":"i","ports":[{"containerPort":80}]}]}}}}`},
		"a-scalar":            {manifest: `{"spec":{"replicas":1,"paused":true}}`, want: []string{"spec.paused"}},
		"in-our-list-element": {manifest: `{"spec":{"template":{"spec":{"containers":[{"name":"web","command":["x"]}]}}}}`, want: []string{`spec.template.spec.containers[name="web"].command`}},
		"a-list-element":      {manifest: `{"spec":{"template":{"spec":{"containers":[{"name":"web"},{"name":"new"}]}}}}`, want: []string{`spec.template.spec.containers[1]`}},
		"of-a-set":            {manifest: `{"metadata":{"finalizers":["a/b","c/d"]}}`, want: []string{`metadata.finalizers[1]`}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, texts(drift.Uncovered(parse(t, tt.manifest).Object, owned))); diff != "" {
				t.Errorf("uncovered (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMutatedFieldsAreThoseAdmissionChanged(t *testing.T) {
	answer := managed(t, parse(t, `{"kind":"ConfigMap","data":{"a":"mutated","b":"2"},"list":[{"x":1}],"metadata":{"labels":{"team":"x"}}}`), ours, `{"f:data":{"f:a":{},"f:b":{}},"f:zero":{},"f:list":{}}`)
	baseline, err := drift.Capture(answer, ours)
	if err != nil {
		t.Fatal(err)
	}
	// The server's own types leave out what is zero.
	got := texts(drift.Mutated(parse(t, `{"kind":"ConfigMap","data":{"a":"1","b":"2"},"zero":"","list":[{"zero":0,"no":false}]}`), answer, baseline.Owned()))
	if diff := cmp.Diff([]string{"data.a"}, got); diff != "" {
		t.Errorf("mutated (-want +got):\n%s", diff)
	}
}

func TestRemoveTakesOutOneField(t *testing.T) {
	tests := map[string]struct {
		path fieldpath.Path
		want string
	}{
		"a-field":            {path: fieldpath.MakePathOrDie("a"), want: `{"l":[{"name":"x","v":1},{"name":"y"}],"s":["p","q"]}`},
		"a-list-element":     {path: fieldpath.MakePathOrDie("l", fieldpath.KeyByFields("name", "x")), want: `{"a":{"b":1},"l":[{"name":"y"}],"s":["p","q"]}`},
		"inside-an-element":  {path: fieldpath.MakePathOrDie("l", fieldpath.KeyByFields("name", "x"), "v"), want: `{"a":{"b":1},"l":[{"name":"x"},{"name":"y"}],"s":["p","q"]}`},
		"what-is-not-there":  {path: fieldpath.MakePathOrDie("l", fieldpath.KeyByFields("name", "z"), "v"), want: `{"a":{"b":1},"l":[{"name":"x","v":1},{"name":"y"}],"s":["p","q"]}`},
		"a-map-may-be-empty": {path: fieldpath.MakePathOrDie("a", "b"), want: `{"a":{},"l":[{"name":"x","v":1},{"name":"y"}],"s":["p","q"]}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			obj := parse(t, `{"a":{"b":1},"l":[{"name":"x","v":1},{"name":"y"}],"s":["p","q"]}`)
			drift.Remove(obj.Object, tt.path)
			if diff := cmp.Diff(parse(t, tt.want).Object, obj.Object); diff != "" {
				t.Errorf("object (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnAutoscalerIsKnownByItsSubresource(t *testing.T) {
	tests := map[string]struct {
		owner drift.Owner
		want  bool
	}{
		"hpa":        {drift.Owner{Manager: "kube-controller-manager", Subresource: "scale"}, true},
		"a-person":   {drift.Owner{Manager: "kubectl", Subresource: "scale"}, false},
		"controller": {drift.Owner{Manager: "kube-controller-manager"}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tt.owner.Autoscaler(); got != tt.want {
				t.Errorf("%s: %t", tt.owner, got)
			}
		})
	}
}
