package fields

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDifferencesAreNamedAsPoliciesNameFields(t *testing.T) {
	type object = map[string]any
	type list = []any
	for name, tc := range map[string]struct {
		old, changed, shown object
		want                []string
	}{
		"nothing":            {old: object{"a": int64(1)}, changed: object{"a": int64(1)}},
		"a field":            {old: object{"a": object{"b": "x"}}, changed: object{"a": object{"b": "y"}}, want: []string{"a.b: x -> y"}},
		"a field that comes": {old: object{"a": object{}}, changed: object{"a": object{"b": true}}, want: []string{"a.b: (none) -> true"}},
		"a name with dots":   {old: object{"example.com/a": "x"}, changed: object{}, want: []string{`["example.com/a"]: x -> (none)`}},
		"an item of a list with names": {
			old: object{"c": list{object{"name": "a", "v": "1"}, object{"name": "b", "v": "1"}}}, changed: object{"c": list{object{"name": "b", "v": "2"}}},
			want: []string{`c[name=a]: {"name":"a","v":"1"} -> (none)`, "c[name=b].v: 1 -> 2"},
		},
		"the order of a list with names": {
			old: object{"c": list{object{"name": "a"}, object{"name": "b"}}}, changed: object{"c": list{object{"name": "b"}, object{"name": "a"}}},
			want: []string{`c: [{"name":"a"},{"name":"b"}] -> [{"name":"b"},{"name":"a"}]`},
		},
		"an item of a list without": {old: object{"c": list{object{"p": "1"}}}, changed: object{"c": list{object{"p": "2"}}}, want: []string{"c[0].p: 1 -> 2"}},
		"a list of values":          {old: object{"c": list{"x"}}, changed: object{"c": list{"x", "y"}}, want: []string{`c: ["x"] -> ["x","y"]`}},
		"what must not be shown": {
			old: object{"data": object{"key": "swordfish"}}, changed: object{"data": object{"key": "sesame"}}, shown: object{"data": object{"key": "***"}},
			want: []string{"data.key: *** -> ***"},
		},
		"what is below something hidden": {
			old: object{"data": object{"key": "swordfish"}}, changed: object{"data": object{"key": "sesame"}}, shown: object{"data": "***"},
			want: []string{"data.key: *** -> ***"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := Side{true, tc.old, tc.old}, Side{true, tc.changed, tc.changed}
			if tc.shown != nil {
				a.Shown, b.Shown = tc.shown, tc.shown
			}
			var got []string
			for _, f := range Compare(a, b) {
				got = append(got, f.Path+": "+f.Old.Text()+" -> "+f.New.Text())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
