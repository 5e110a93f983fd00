package expr

import (
	"testing"

	"github.com/google/cel-go/common/types"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/kronvoy/kronvoy/graph/schema"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
)

func builtinDecl(t testing.TB, group, version, kind string) *schema.Decl {
	t.Helper()
	gvk := runtimeschema.GroupVersionKind{Group: group, Version: version, Kind: kind}
	typ, err := builtin.Resolver().Resolve(gvk)
	if err != nil {
		t.Fatal(err)
	}
	return typ.Decl(gvk)
}

type oneVar struct{ value any }

func (v oneVar) Get(string) (any, bool) { return v.value, true }

// TestOnObject compares the verdict on typed values with that of the rewritten
// rule on plain JSON.
func TestOnObject(t *testing.T) {
	secret := map[string]any{
		"apiVersion": "v1", "kind": "Secret",
		"metadata": map[string]any{"name": "a", "creationTimestamp": "2026-01-02T03:04:05Z", "labels": map[string]any{"object": "x"}},
		"data":     map[string]any{"token": "YWJj", "empty": ""},
	}
	hpa := map[string]any{
		"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": map[string]any{"name": "a"},
		"spec": map[string]any{"maxReplicas": int64(4), "minReplicas": int64(2)},
		"status": map[string]any{"currentReplicas": int64(3), "conditions": []any{
			map[string]any{"type": "ScalingActive", "status": "True", "lastTransitionTime": "2026-01-02T03:04:05Z"},
			map[string]any{"type": "AbleToScale", "status": "False", "lastTransitionTime": "2026-03-02T03:04:05Z"},
		}},
	}
	widget := map[string]any{"spec": map[string]any{"ratio": int64(2), "half": 0.5, "timeout": "1h30m", "ratios": []any{int64(1), 1.5}}}
	widgetDecl := func(t testing.TB) *schema.Decl {
		number := numberDecl("number", "")
		return schema.Object("Widget", map[string]*schema.Decl{"spec": schema.Object("Widget.spec", map[string]*schema.Decl{
			"ratio": number, "half": number, "timeout": numberDecl("string", "duration"), "ratios": listOf(number),
		})})
	}
	tests := map[string]struct {
		decl func(testing.TB) *schema.Decl
		// object is what the rule is judged on.
		object map[string]any
		id     string
		rule   string
		// want is the rewritten rule; empty when the rule has to stay on the hub.
		want string
	}{
		"a name":                  {decl: secretDecl, object: secret, id: "secret", rule: `secret.metadata.name == "a"`, want: `object.metadata.name == "a"`},
		"bytes":                   {decl: secretDecl, object: secret, id: "secret", rule: `string(secret.data.token) == 'abc'`, want: `string(base64.decode(object.data.token)) == "abc"`},
		"bytes by key":            {decl: secretDecl, object: secret, id: "secret", rule: `size(secret.data["token"]) == 3`, want: `size(base64.decode(object.data["token"])) == 3`},
		"bytes asked for":         {decl: secretDecl, object: secret, id: "secret", rule: `has(secret.data.token) && !has(secret.data.other)`, want: `has(object.data.token) && !has(object.data.other)`},
		"a key in a map of bytes": {decl: secretDecl, object: secret, id: "secret", rule: `"token" in secret.data`, want: `"token" in object.data`},
		"the size of a map":       {decl: secretDecl, object: secret, id: "secret", rule: `secret.data.size() == 2`, want: `object.data.size() == 2`},
		"an optional that holds":  {decl: secretDecl, object: secret, id: "secret", rule: `secret.?data.?token.hasValue()`, want: `object.?data.?token.hasValue()`},
		"an optional value":       {decl: secretDecl, object: secret, id: "secret", rule: `secret.?data.?token.orValue(b"") == b"abc"`},
		"every key":               {decl: secretDecl, object: secret, id: "secret", rule: `secret.data.all(k, k != "")`, want: `object.data.all(k, k != "")`},
		"every key's value":       {decl: secretDecl, object: secret, id: "secret", rule: `secret.data.exists(k, string(secret.data[k]) == "abc")`, want: `object.data.exists(k, string(base64.decode(object.data[k])) == "abc")`},
		"every value":             {decl: secretDecl, object: secret, id: "secret", rule: `secret.data.exists(k, v, string(v) == "abc")`},
		"a time": {decl: secretDecl, object: secret, id: "secret", rule: `secret.metadata.creationTimestamp < timestamp("2030-01-01T00:00:00Z")`,
			want: `timestamp(object.metadata.creationTimestamp) < timestamp("2030-01-01T00:00:00Z")`},
		"a field of a time":    {decl: secretDecl, object: secret, id: "secret", rule: `secret.metadata.creationTimestamp.getFullYear() == 2026`, want: `timestamp(object.metadata.creationTimestamp).getFullYear() == 2026`},
		"a macro's own object": {decl: secretDecl, object: secret, id: "secret", rule: `["x"].all(object, object == secret.metadata.labels.object)`},
		"a captured object":    {decl: secretDecl, object: secret, id: "secret", rule: `["x"].all(object, has(secret.metadata))`},
		"an escaped field":     {decl: secretDecl, object: secret, id: "secret", rule: `!has(secret.metadata.__namespace__)`},
		"a shadowed id":        {decl: secretDecl, object: secret, id: "secret", rule: `["x"].all(secret, secret == "x")`, want: `["x"].all(secret, secret == "x")`},
		"a time in a list": {decl: hpaDecl, object: hpa, id: "hpa",
			rule: `hpa.status.conditions.exists(c, c.type == "ScalingActive" && c.lastTransitionTime < timestamp("2030-01-01T00:00:00Z"))`,
			want: `object.status.conditions.exists(c, c.type == "ScalingActive" && timestamp(c.lastTransitionTime) < timestamp("2030-01-01T00:00:00Z"))`},
		"a nested macro": {decl: hpaDecl, object: hpa, id: "hpa",
			rule: `hpa.status.conditions.filter(c, c.status == "True").map(c, c.type) == ["ScalingActive"]`,
			want: `object.status.conditions.filter(c, c.status == "True").map(c, c.type) == ["ScalingActive"]`},
		"the newest time": {decl: hpaDecl, object: hpa, id: "hpa",
			rule: `hpa.status.conditions.map(c, c.lastTransitionTime)[1] > timestamp("2026-02-01T00:00:00Z")`},
		"an optional boolean": {decl: hpaDecl, object: hpa, id: "hpa", rule: `hpa.?status.?currentReplicas.optMap(n, n >= hpa.spec.minReplicas)`,
			want: `(object.?status.?currentReplicas.optMap(n, n >= object.spec.minReplicas)).orValue(false)`},
		"a bound value": {decl: hpaDecl, object: hpa, id: "hpa", rule: `cel.bind(n, hpa.status.currentReplicas, n > 1 && n < 4)`,
			want: `cel.bind(n, object.status.currentReplicas, n > 1 && n < 4)`},
		"a whole number in a float": {decl: widgetDecl, object: widget, id: "widget", rule: `widget.spec.ratio / 4.0 == widget.spec.half`,
			want: `double(object.spec.ratio) / 4.0 == double(object.spec.half)`},
		"a duration": {decl: widgetDecl, object: widget, id: "widget", rule: `widget.spec.timeout > duration("1h")`, want: `duration(object.spec.timeout) > duration("1h")`},
		"floats in a list by index": {decl: widgetDecl, object: widget, id: "widget", rule: `widget.spec.ratios[0] == 1.0`,
			want: `double(object.spec.ratios[0]) == 1.0`},
		"floats in a list": {decl: widgetDecl, object: widget, id: "widget", rule: `widget.spec.ratios.all(r, r > 0.5)`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d := test.decl(t)
			env, err := NewEnv(Variable{Name: test.id, Decl: d})
			if err != nil {
				t.Fatal(err)
			}
			x, faults := env.Compile(test.rule)
			if len(faults) > 0 {
				t.Fatal(faults)
			}
			typed, err := x.Eval(oneVar{d.Normalize(test.object)}, nil, NewBudget())
			if err != nil {
				t.Fatalf("typed: %v", err)
			}
			if o, ok := typed.(*types.Optional); ok {
				typed = o.GetValue()
			}
			got, ok := x.OnObject(test.id)
			if got != test.want || ok != (test.want != "") {
				t.Fatalf("OnObject = %q, %v\nwant %q", got, ok, test.want)
			}
			if !ok {
				return
			}
			if plain := evalOnJSON(t, got, test.object); plain != typed {
				t.Errorf("on plain JSON %v, on typed values %v", plain, typed)
			}
			if typed != types.True {
				t.Errorf("the rule is %v: it should hold, so that a wrong conversion shows", typed)
			}
		})
	}
}

func evalOnJSON(t *testing.T, rule string, object map[string]any) any {
	t.Helper()
	env, err := objectEnv()
	if err != nil {
		t.Fatal(err)
	}
	checked, issues := env.Compile(rule)
	if issues.Err() != nil {
		t.Fatal(issues.Err())
	}
	program, err := env.Program(checked)
	if err != nil {
		t.Fatal(err)
	}
	out, _, err := program.Eval(map[string]any{ObjectVariable: object})
	if err != nil {
		t.Fatalf("on plain JSON: %v", err)
	}
	return out
}

func secretDecl(t testing.TB) *schema.Decl { return builtinDecl(t, "", "v1", "Secret") }

func hpaDecl(t testing.TB) *schema.Decl {
	return builtinDecl(t, "autoscaling", "v2", "HorizontalPodAutoscaler")
}

func numberDecl(typ, format string) *schema.Decl {
	return schema.NewDecl("x", &spec.Schema{SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{typ}, Format: format}})
}

func listOf(elem *schema.Decl) *schema.Decl {
	return schema.NewDecl("x", spec.ArrayProperty(elem.Schema()))
}

func TestOCMsAgentHasTheBasicFunctionsOnly(t *testing.T) {
	for rule, want := range map[string]bool{
		`object.status.conditions.exists(c, c.type == "Ready" && c.status == "True")`:      true,
		`object.?status.?ready.orValue(false)`:                                             true,
		`object.metadata.name.startsWith("a") && object.metadata.name.lowerAscii() == "a"`: true,
		`quantity(object.spec.storage).isGreaterThan(quantity("1Gi"))`:                     true,
		`timestamp(object.metadata.creationTimestamp) < timestamp("2026-01-02T03:04:05Z")`: true,
		`semver(object.status.version).major() == 1`:                                       true,
		`has(object.metadata.annotations) && "a" in object.metadata.annotations`:           true,
		`size(base64.decode(object.data.token)) > 0`:                                       false,
		`sets.contains(object.spec.modes, ["on"])`:                                         false,
		`math.greatest(object.status.ready, 1) == 1`:                                       false,
		`cel.bind(x, object.status.ready, x > 0 && x < 9)`:                                 false,
		`object.metadata.labels.all(key, value, key != value)`:                             false,
		`object.status.conditions.sortBy(c, c.type)[0].status == "True"`:                   false,
	} {
		if got := IsBasic(rule); got != want {
			t.Errorf("%s: %t, want %t", rule, got, want)
		}
	}
}
