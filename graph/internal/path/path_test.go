package path

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	for text, want := range map[string][]string{
		"host":               {"host"},
		"ingress.host":       {"ingress", "host"},
		"limits['a.b/c']":    {"limits", "a.b/c"},
		`limits["it's"].x`:   {"limits", "it's", "x"},
		`['\\ and \'']['']`:  {`\ and '`, ""},
		"a_b.c-d":            {"a_b", "c-d"},
		"":                   nil,
		".a":                 nil,
		"a.":                 nil,
		"a..b":               nil,
		"a[0]":               nil,
		"a['b'":              nil,
		"a['b']c":            nil,
		"a b":                nil,
		"ports[name=web].x":  nil,
		"a[":                 nil,
		"metadata.labels.1a": nil,
	} {
		got, _, err := Parse(text)
		if diff := cmp.Diff(want, got); diff != "" || (err != nil) != (want == nil) {
			t.Errorf("%q: error %v (-want +got):\n%s", text, err, diff)
		}
	}
}

// FuzzParse holds that what Fields writes is read again as it was, and that
// Parse takes whatever it is given.
func FuzzParse(f *testing.F) {
	f.Add("a", "b.c")
	f.Add("it's", `\`)
	f.Add("['x']", "")
	f.Fuzz(func(t *testing.T, first, second string) {
		want := []string{first, second}
		got, _, err := Parse(Fields(want...))
		if err != nil || !slices.Equal(want, got) {
			t.Errorf("%q comes back as %q, error %v", want, got, err)
		}
		if fields, offset, err := Parse(first); err == nil && len(fields) == 0 || offset > len(first) {
			t.Errorf("%q gives %q at %d without an error", first, fields, offset)
		}
	})
}
