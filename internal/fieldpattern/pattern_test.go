package fieldpattern_test

import (
	"testing"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/kronvoy/kronvoy/internal/fieldpattern"
)

func TestPatternsMatchAFieldAndAllBelow(t *testing.T) {
	image := fieldpath.MakePathOrDie("spec", "containers", fieldpath.KeyByFields("name", "web"), "image")
	note := fieldpath.MakePathOrDie("metadata", "annotations", "example.com/note")
	tests := map[string]struct {
		pattern string
		path    fieldpath.Path
		want    bool
	}{
		"the-field":               {"spec.replicas", fieldpath.MakePathOrDie("spec", "replicas"), true},
		"with-a-leading-dot":      {".spec.replicas", fieldpath.MakePathOrDie("spec", "replicas"), true},
		"all-below":               {"spec", image, true},
		"not-above":               {"spec.replicas.x", fieldpath.MakePathOrDie("spec", "replicas"), false},
		"another":                 {"spec.paused", fieldpath.MakePathOrDie("spec", "replicas"), false},
		"any-element":             {"spec.containers[*].image", image, true},
		"an-element-by-key":       {"spec.containers[name=web].image", image, true},
		"a-quoted-key":            {`spec.containers[name="web"]`, image, true},
		"another-element":         {"spec.containers[name=side].image", image, false},
		"a-name-with-dots":        {`metadata.annotations["example.com/note"]`, note, true},
		"in-single-quotes":        {`metadata.annotations['example.com/note']`, note, true},
		"a-star-for-any-field":    {"metadata.annotations.*", note, true},
		"element-as-field-is-not": {"spec.containers.image", image, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			pattern, err := fieldpattern.Parse(tt.pattern)
			if err != nil {
				t.Fatal(err)
			}
			if got := pattern.Matches(tt.path); got != tt.want {
				t.Errorf("%s matches %s: %t", tt.pattern, tt.path, got)
			}
		})
	}
	for _, bad := range []string{"", ".", "a..b", "a[", `a["b`, "a[b]", "a[=c]"} {
		if _, err := fieldpattern.Parse(bad); err == nil {
			t.Errorf("pattern %q is read without an error", bad)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"spec.replicas", `a["b"].c[*]`, "a[name=x]", "[", "a..", `['`} {
		f.Add(seed)
	}
	f.Fuzz(func(_ *testing.T, text string) {
		pattern, err := fieldpattern.Parse(text)
		if err == nil {
			pattern.Matches(fieldpath.MakePathOrDie("spec", fieldpath.KeyByFields("name", "x"), "y"))
		}
	})
}
