package hash

import (
	"bytes"
	"math"
	"testing"

	utiljson "k8s.io/apimachinery/pkg/util/json"
)

func TestOf(t *testing.T) {
	tests := map[string]struct {
		a, b any
		same bool
	}{
		"key order does not matter": {
			a:    map[string]any{"a": int64(1), "b": "x"},
			b:    map[string]any{"b": "x", "a": int64(1)},
			same: true,
		},
		"whole floats are integers":     {a: int64(3), b: float64(3), same: true},
		"list order matters":            {a: []any{"a", "b"}, b: []any{"b", "a"}},
		"a number is not its text":      {a: int64(3), b: "3"},
		"absent is not null":            {a: map[string]any{}, b: map[string]any{"a": nil}},
		"NaN is no panic, and no empty": {a: math.NaN(), b: nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Of(test.a) == Of(test.b); got != test.same {
				t.Errorf("Of(%v) = %s, Of(%v) = %s: same is %v, want %v", test.a, Of(test.a), test.b, Of(test.b), got, test.same)
			}
		})
	}
}

// The hash of released content must never change under one Version.
func TestOfIsStable(t *testing.T) {
	const want = "v1-d459d33b3ad880da"
	got := Of(map[string]any{"kind": "ConfigMap", "data": map[string]any{"a": "<&>", "n": int64(1)}})
	if got != want {
		t.Errorf("Of(…) = %s, want %s: raise Version when the rules change", got, want)
	}
}

func TestVersionOf(t *testing.T) {
	tests := map[string]string{
		Of("x"):               "v1",
		"v2-0123456789abcdef": "v2",
		"":                    "",
		"v1-":                 "",
		"0123456789abcdef":    "",
	}
	for in, want := range tests {
		if got := VersionOf(in); got != want {
			t.Errorf("VersionOf(%q) = %q, want %q", in, got, want)
		}
	}
}

// FuzzCanonical holds that what is written directly is what encoding/json writes:
// another text would be another hash of the same content.
func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{`{"b":1,"a":[true,null,"x",1.5]}`, `"ä\u2028\u0000\"\\<&>"`, `[]`, `{}`, `-0`, `1e30`, `{"":{"":""}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var v any
		if utiljson.Unmarshal(raw, &v) != nil {
			return
		}
		if got, want := appendCanonical(nil, v), encode(v); !bytes.Equal(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	})
}
