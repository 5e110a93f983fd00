package feedback_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/json"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/feedback"
)

const text = `{"apiVersion":"apps/v1","kind":"Deployment",
	"metadata":{"name":"web","annotations":{"kronvoy.io/hash":"h1-abc","other":"x"}},
	"spec":{"replicas":3,"paused":false,"ratio":0.5,"image":"a.b/c:1","nothing":null},
	"status":{"readyReplicas":2,"conditions":[{"type":"Available","status":"True"},{"type":"Progressing","status":"False"}]}}`

func object(t *testing.T) map[string]any {
	t.Helper()
	content := map[string]any{}
	if err := json.Unmarshal([]byte(text), &content); err != nil {
		t.Fatal(err)
	}
	return content
}

func TestValuesAreTypedAndAbsentWhereTheFieldIs(t *testing.T) {
	integer, boolean := func(i int64) *int64 { return &i }, func(b bool) *bool { return &b }
	str := func(s string) *string { return &s }
	tests := map[string]struct {
		path    string
		version string
		want    *workv1.FieldValue
		err     bool
	}{
		"an-integer":                  {path: ".spec.replicas", want: &workv1.FieldValue{Type: workv1.Integer, Integer: integer(3)}},
		"a-string":                    {path: ".spec.image", want: &workv1.FieldValue{Type: workv1.String, String: str("a.b/c:1")}},
		"a-boolean":                   {path: ".spec.paused", want: &workv1.FieldValue{Type: workv1.Boolean, Boolean: boolean(false)}},
		"an-escaped-name":             {path: kronvoyv1alpha1.FeedbackHashPath, want: &workv1.FieldValue{Type: workv1.String, String: str("h1-abc")}},
		"an-element-by-index":         {path: ".status.conditions[1].type", want: &workv1.FieldValue{Type: workv1.String, String: str("Progressing")}},
		"an-element-by-filter":        {path: `.status.conditions[?(@.type=="Available")].status`, want: &workv1.FieldValue{Type: workv1.String, String: str("True")}},
		"in-braces":                   {path: "{.spec.replicas}", want: &workv1.FieldValue{Type: workv1.Integer, Integer: integer(3)}},
		"a-missing-field":             {path: ".status.availableReplicas"},
		"below-a-missing-field":       {path: ".status.loadBalancer.ingress[0].ip"},
		"an-index-beyond-the-end":     {path: ".status.conditions[7].type"},
		"null-is-absent":              {path: ".spec.nothing"},
		"a-float-does-not-travel":     {path: ".spec.ratio", err: true},
		"a-list":                      {path: ".status.conditions", want: &workv1.FieldValue{Type: workv1.JsonRaw, JsonRaw: str(`[{"status":"True","type":"Available"},{"status":"False","type":"Progressing"}]`)}},
		"a-map":                       {path: ".metadata.annotations", want: &workv1.FieldValue{Type: workv1.JsonRaw, JsonRaw: str(`{"kronvoy.io/hash":"h1-abc","other":"x"}`)}},
		"another-version":             {path: ".spec.replicas", version: "v2", err: true},
		"the-same-version":            {path: ".spec.replicas", version: "v1", want: &workv1.FieldValue{Type: workv1.Integer, Integer: integer(3)}},
		"below-a-scalar":              {path: ".spec.replicas.x"},
		"a-path-that-cannot-be-read":  {path: ".spec[", err: true},
		"a-filter-that-finds-nothing": {path: `.status.conditions[?(@.type=="X")].status`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := feedback.Values(object(t), []workv1.FeedbackRule{{
				Type: workv1.JSONPathsType, JsonPaths: []workv1.JsonPath{{Name: "x", Path: tt.path, Version: tt.version}, {Name: "x", Path: ".spec.image"}},
			}})
			if (err != nil) != tt.err {
				t.Fatalf("error %v", err)
			}
			want := []workv1.FeedbackValue{{Name: "x", Value: workv1.FieldValue{Type: workv1.String, String: str("a.b/c:1")}}}
			if tt.want != nil { // the first of one name counts
				want[0].Value = *tt.want
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("values (-want +got):\n%s", diff)
			}
		})
	}
}

func TestALongValueDoesNotTravelInTheStatus(t *testing.T) {
	content := object(t)
	content["spec"].(map[string]any)["image"] = strings.Repeat("x", feedback.MaxString+1)
	for _, path := range []string{".spec.image", ".spec"} {
		got, err := feedback.Values(content, []workv1.FeedbackRule{{JsonPaths: []workv1.JsonPath{{Name: "x", Path: path}}}})
		if len(got) > 0 || err == nil || !strings.Contains(err.Error(), "more than the 1024") {
			t.Errorf("%s: got %v, %v", path, got, err)
		}
	}
	observed, err := feedback.Observed(content, []string{"spec.image"})
	if len(observed) != 1 || err != nil {
		t.Errorf("observed %v, %v", observed, err)
	}
}

func TestWellKnownStatus(t *testing.T) {
	got, err := feedback.Values(object(t), []workv1.FeedbackRule{{Type: workv1.WellKnownStatusType}})
	if err != nil || len(got) != 1 || got[0].Name != "ReadyReplicas" {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestObservedFieldsAreJSON(t *testing.T) {
	got, err := feedback.Observed(object(t), []string{"status.conditions", "spec.ratio", "metadata.annotations['kronvoy\\.io/hash']", "status.none"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"status.conditions": `[{"status":"True","type":"Available"},{"status":"False","type":"Progressing"}]`,
		"spec.ratio":        `0.5`,
		"metadata.annotations['kronvoy\\.io/hash']": `"h1-abc"`,
	}
	have := map[string]string{}
	for _, field := range got {
		have[field.Path] = string(field.JSON)
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("observed (-want +got):\n%s", diff)
	}
	content := object(t)
	content["spec"].(map[string]any)["image"] = strings.Repeat("x", feedback.MaxValue)
	if got, err := feedback.Observed(content, []string{"spec.image"}); len(got) > 0 || err == nil {
		t.Errorf("a value over the limit gives %d fields, %v", len(got), err)
	}
}

func TestTheEmptyPathIsTheWholeObject(t *testing.T) {
	content := map[string]any{"kind": "ConfigMap", "data": map[string]any{"color": "red"}}
	got, err := feedback.Observed(content, []string{""})
	if err != nil || len(got) != 1 || string(got[0].JSON) != `{"data":{"color":"red"},"kind":"ConfigMap"}` {
		t.Errorf("observed %v, %v", got, err)
	}
}

func TestRulesAreJudgedByWhatIsWrong(t *testing.T) {
	const (
		isTrue, isFalse = metav1.ConditionTrue, metav1.ConditionFalse
		evaluated       = workv1.ConditionRuleEvaluated
		waiting         = kronvoyv1alpha1.ReasonRuleWaiting
		invalid         = workv1.ConditionRuleInvalid
		stale           = kronvoyv1alpha1.ReasonRuleStale
	)
	tests := map[string]struct {
		expressions []string
		status      metav1.ConditionStatus
		reason      string
	}{
		"true":                          {[]string{"object.spec.replicas == 3"}, isTrue, evaluated},
		"false":                         {[]string{"object.spec.replicas == 4"}, isFalse, evaluated},
		"all-must-hold":                 {[]string{"true", "object.spec.replicas == 4", "true"}, isFalse, evaluated},
		"the-hash-is-checked":           {[]string{`object.metadata.annotations["kronvoy.io/hash"] == "h1-abc"`, "true"}, isTrue, evaluated},
		"the-hash-is-stale":             {[]string{`object.metadata.annotations['kronvoy.io/hash'] == 'h1-old'`, "true"}, isFalse, stale},
		"the-hash-with-guards":          {[]string{`has(object.metadata.annotations) && 'kronvoy.io/hash' in object.metadata.annotations && object.metadata.annotations['kronvoy.io/hash'] == 'h1-old'`}, isFalse, stale},
		"another-annotation":            {[]string{`object.metadata.annotations["other"] == "y"`}, isFalse, evaluated},
		"a-missing-field-waits":         {[]string{"object.status.availableReplicas == 3"}, isFalse, waiting},
		"a-missing-map-waits":           {[]string{"object.status.loadBalancer.ingress.size() > 0"}, isFalse, waiting},
		"a-missing-index-waits":         {[]string{"object.status.conditions[5].type == 'x'"}, isFalse, waiting},
		"a-missing-key-by-index-waits":  {[]string{"object.metadata.annotations['none'] == 'x'"}, isFalse, waiting},
		"an-empty-optional-waits":       {[]string{"object.?status.?none.value() == 3"}, isFalse, waiting},
		"an-optional-has-a-default":     {[]string{"object.?status.?none.orValue(3) == 3"}, isTrue, evaluated},
		"one-side-is-enough":            {[]string{"object.status.none == 1 || object.spec.replicas == 3"}, isTrue, evaluated},
		"a-wrong-type-is-invalid":       {[]string{"object.spec.image + 1 == 2"}, isFalse, invalid},
		"a-syntax-error-is-invalid":     {[]string{"object.spec.("}, isFalse, invalid},
		"an-unknown-name-is-invalid":    {[]string{"objekt.spec.replicas == 3"}, isFalse, invalid},
		"no-bool-is-invalid":            {[]string{"object.spec.replicas"}, isFalse, invalid},
		"a-division-by-zero-is-invalid": {[]string{"1 / (object.spec.replicas - 3) == 1"}, isFalse, invalid},
		"macros-and-libraries":          {[]string{`object.status.conditions.exists(c, c.type == "Available" && c.status == "True")`, `object.spec.image.split("/").size() == 2`, `quantity("1Gi").isGreaterThan(quantity("1Mi"))`, `math.greatest(1, 2) == 2`, `[1,2].exists(i, v, v == 2)`, `ip("10.0.0.1").family() == 4`, `semver("1.2.3").major() == 1`, `hasConditions(object.status)`, `!hasConditions(object.spec)`}, isTrue, evaluated},
		"a-bomb-is-stopped":             {[]string{bomb}, isFalse, invalid},
		"a-long-range-is-refused":       {[]string{"lists.range(100000000).size() > 0"}, isFalse, invalid},
		"a-computed-range-is-refused":   {[]string{"lists.range(object.spec.replicas).size() == 3"}, isFalse, invalid},
		"a-short-range-is-fine":         {[]string{"lists.range(3).size() == 3"}, isTrue, evaluated},
		"a-long-expression-is-refused":  {[]string{strings.Repeat("true && ", 3000) + "true"}, isFalse, invalid},
	}
	evaluator := feedback.NewEvaluator()
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for range 2 { // compiled, and from the cache
				got := evaluator.Judge(object(t), []workv1.ConditionRule{{Condition: "Ready", Type: workv1.CelConditionExpressionsType, CelExpressions: tt.expressions}})
				want := feedback.Verdict{Condition: "Ready", Status: tt.status, Reason: tt.reason}
				if len(got) != 1 || got[0].Condition != want.Condition || got[0].Status != want.Status || got[0].Reason != want.Reason {
					t.Errorf("got %+v, want %+v", got, want)
				}
			}
		})
	}
}

const bomb = `[0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9].all(a,
	[0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9].all(b,
	[0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9].all(c,
	[0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9].all(d, a+b+c+d >= 0))))`

func TestMessagesOfRules(t *testing.T) {
	tests := map[string]struct {
		rule workv1.ConditionRule
		want string
	}{
		"a-message":                        {workv1.ConditionRule{CelExpressions: []string{"true"}, Message: "fine"}, "fine"},
		"an-expression-wins":               {workv1.ConditionRule{CelExpressions: []string{"true"}, Message: "fine", MessageExpression: `result ? "good " + string(object.spec.replicas) : "bad"`}, "good 3"},
		"a-broken-expression-falls-back":   {workv1.ConditionRule{CelExpressions: []string{"true"}, Message: "fine", MessageExpression: `object.status.none`}, "fine"},
		"an-empty-one-falls-back":          {workv1.ConditionRule{CelExpressions: []string{"true"}, Message: "fine", MessageExpression: `""`}, "fine"},
		"a-waiting-rule-says-for-what":     {workv1.ConditionRule{CelExpressions: []string{"object.status.none == 1"}, Message: "fine"}, `waiting: no such key: none in "object.status.none == 1"`},
		"the-false-side-has-its-own-words": {workv1.ConditionRule{CelExpressions: []string{"false"}, MessageExpression: `result ? "good" : "bad"`}, "bad"},
	}
	evaluator := feedback.NewEvaluator()
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.rule.Type = workv1.CelConditionExpressionsType
			if got := evaluator.Judge(object(t), []workv1.ConditionRule{tt.rule})[0].Message; got != tt.want {
				t.Errorf("message %q, want %q", got, tt.want)
			}
		})
	}
}

func TestWellKnownConditions(t *testing.T) {
	evaluator := feedback.NewEvaluator()
	rules := []workv1.ConditionRule{{Condition: "Complete", Type: workv1.WellKnownConditionsType}}
	job := map[string]any{"apiVersion": "batch/v1", "kind": "Job", "status": map[string]any{
		"conditions": []any{map[string]any{"type": "Complete", "status": "True"}},
	}}
	got := evaluator.Judge(job, rules)
	if len(got) != 1 || got[0].Status != metav1.ConditionTrue || got[0].Condition != "Complete" {
		t.Errorf("a finished Job gives %+v", got)
	}
	if got := evaluator.Judge(object(t), rules); len(got) > 0 {
		t.Errorf("a Deployment gives %+v", got)
	}
}

func BenchmarkJudge(b *testing.B) {
	content := map[string]any{}
	if err := json.Unmarshal([]byte(text), &content); err != nil {
		b.Fatal(err)
	}
	evaluator := feedback.NewEvaluator()
	rules := []workv1.ConditionRule{{Condition: "Ready", Type: workv1.CelConditionExpressionsType, CelExpressions: []string{
		`object.metadata.annotations["kronvoy.io/hash"] == "h1-abc"`, "object.status.readyReplicas == object.spec.replicas - 1",
	}}}
	b.ReportAllocs()
	for b.Loop() {
		evaluator.Judge(content, rules)
	}
}

// TestAVerdictOnASecretDoesNotNameItsValues: CEL's errors do.
func TestAVerdictOnASecretDoesNotNameItsValues(t *testing.T) {
	for _, expression := range []string{"url(object.data.key).getHost() == ''", "object.data[object.data.key] == ''"} {
		said := map[string]string{}
		for _, kind := range []string{"ConfigMap", "Secret"} {
			object := map[string]any{"apiVersion": "v1", "kind": kind, "data": map[string]any{"key": "swordfish"}}
			verdicts := feedback.NewEvaluator().Judge(object, []workv1.ConditionRule{{Condition: "Ready", Type: workv1.CelConditionExpressionsType, CelExpressions: []string{expression}}})
			said[kind] = verdicts[0].Message
		}
		if !strings.Contains(said["ConfigMap"], "swordfish") || strings.Contains(said["Secret"], "swordfish") || said["Secret"] == "" {
			t.Errorf("of %s it says %q", expression, said)
		}
	}
}
