package schema

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

func TestSimpleDefaultsAreJSON(t *testing.T) {
	tests := map[string]string{
		`string | default=a`:                      `"a"`,
		`string | default="a \"b\""`:              `"a \"b\""`,
		`string | default=5`:                      `"5"`,
		`string | default=""`:                     `""`,
		`string | default=${schema.spec.x}`:       `"${schema.spec.x}"`,
		`integer | default=5`:                     `5`,
		`float | default=5`:                       `5`,
		`float | default=1.`:                      `1`,
		`float | default=.5`:                      `0.5`,
		`float | default=1.50`:                    `1.50`,
		`integer | default=+05`:                   `5`,
		`boolean | default=false`:                 `false`,
		`boolean | default=T`:                     `true`,
		`[]string | default=["a","b"]`:            `["a","b"]`,
		`[]string | default=[]`:                   `[]`,
		`map[string]integer | default={"a": 1}`:   `{"a":1}`,
		`object | default={"a": {"b": "x y"}}`:    `{"a":{"b":"x y"}}`,
		`string | description="a | b" default=x`:  `"x"`,
		"string | default=a\n  description=\"b\"": `"a"`,
	}
	for in, want := range tests {
		props, faults := Simple(map[string]any{"f": in}, nil, "spec", "types")
		if len(faults) > 0 {
			t.Errorf("%s: %v", in, faults)
			continue
		}
		d := props.Properties["f"].Default
		if d == nil || string(d.Raw) != want {
			t.Errorf("%s: default %v, want %s", in, d, want)
		}
	}
}

func TestApplyDefaults(t *testing.T) {
	props, faults := Simple(map[string]any{
		"a":     "string | default=x",
		"n":     map[string]any{"b": "integer | default=1", "c": "string"},
		"list":  "[]T",
		"byKey": "map[string]T",
	}, map[string]any{"T": map[string]any{"d": "boolean | default=true", "e": "string"}}, "spec", "types")
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	in := map[string]any{"a": nil, "list": []any{map[string]any{"e": "y"}}, "byKey": map[string]any{"k": map[string]any{}}}
	want := map[string]any{
		"a": "x", "n": map[string]any{"b": int64(1)},
		"list":  []any{map[string]any{"d": true, "e": "y"}},
		"byKey": map[string]any{"k": map[string]any{"d": true}},
	}
	before, _ := json.Marshal(in)
	if diff := cmp.Diff(any(want), ApplyDefaults(props, in)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if after, _ := json.Marshal(in); string(after) != string(before) {
		t.Errorf("the argument was changed to %s", after)
	}
}

func TestValidate(t *testing.T) {
	props, faults := Simple(map[string]any{
		"name": "string | required=true pattern=\"^[a-z]+$\" maxLength=5", "count": "integer | minimum=1 maximum=3",
		"ratio": "float", "mode": "string | enum=\"a,b\"", "list": "[]integer | maxItems=2", "free": "object", "flag": "boolean",
		"map": "map[string]integer",
	}, nil, "spec", "types")
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	tests := map[string]struct {
		in   map[string]any
		want []string
	}{
		"good": {in: map[string]any{"name": "abc", "count": int64(2), "ratio": int64(1), "mode": "a", "list": []any{int64(1)},
			"free": map[string]any{"x": nil}, "flag": true, "map": map[string]any{"k": int64(1)}}},
		"whole floats are integers": {in: map[string]any{"name": "abc", "count": 2.0}},
		"everything wrong": {
			in: map[string]any{"nam": "x", "count": int64(9), "ratio": "x", "mode": "c", "list": []any{int64(1), "b", int64(3)}, "flag": nil,
				"map": map[string]any{"k": "v"}, "free": []any{}},
			want: []string{"spec.count OutOfRange", "spec.flag TypeMismatch", "spec.free TypeMismatch", "spec.list OutOfRange", "spec.list[1] TypeMismatch",
				"spec.map.k TypeMismatch", "spec.mode InvalidValue", "spec.nam UnknownField", "spec.name MissingField", "spec.ratio TypeMismatch"},
		},
		"text that does not fit": {in: map[string]any{"name": "ABCDEF"}, want: []string{"spec.name OutOfRange", "spec.name InvalidValue"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, f := range Validate(props, test.in, "spec") {
				got = append(got, f.Path+" "+f.Reason)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestCustomTypesAreBounded: a type that doubles at every level must not be
// expanded without end.
func TestCustomTypesAreBounded(t *testing.T) {
	types := map[string]any{"T0": map[string]any{"x": "string"}}
	for i := 1; i < 30; i++ {
		inner := "T" + string(rune('0'+i-1))
		types["T"+string(rune('0'+i))] = map[string]any{"a": inner, "b": inner, "c": inner}
	}
	_, faults := Simple(map[string]any{"f": "T" + string(rune('0'+29))}, types, "spec", "types")
	if len(faults) == 0 {
		t.Error("a schema of 3^29 fields was accepted")
	}
}

// FuzzSimple holds that no text panics, that faults have a place inside of it,
// and that what is accepted is JSON.
func FuzzSimple(f *testing.F) {
	for _, seed := range []string{"string", "integer | default=1 minimum=0", `string | enum="a,b" default=a`, "[]map[string]T", "map[string", "|", "a|b|c",
		`string | default="`, `object | default={"a":[1,2}`, "[][][]string", "T | required=true", "string | validation=\"self != ''\"", "string | x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		props, faults := Simple(map[string]any{"f": s}, map[string]any{"T": s, "U": "T"}, "spec", "types")
		for _, fault := range faults {
			if fault.Offset > len(s) || fault.Message == "" || !strings.HasPrefix(fault.Path, "spec") && !strings.HasPrefix(fault.Path, "types") {
				t.Fatalf("Simple(%q): %+v", s, fault)
			}
		}
		if len(faults) > 0 {
			return
		}
		raw, err := json.Marshal(props)
		if err != nil {
			t.Fatalf("Simple(%q) is no JSON: %v", s, err)
		}
		var again apiextensionsv1.JSONSchemaProps
		if err := json.Unmarshal(raw, &again); err != nil {
			t.Fatal(err)
		}
		if _, err := FromProps(props); err != nil {
			t.Fatal(err)
		}
	})
}
