package drift_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kronvoy/kronvoy/spoke/drift"
)

const located = `{"metadata":{"annotations":{"example.com/note":"x","a~b":"y"}},"spec":{"replicas":3,"containers":[
	{"name":"web","image":"a","env":[{"name":"A","value":"1"}]},{"name":"side","image":"s"}]}}`

func TestLocatorsFindFields(t *testing.T) {
	tests := map[string]struct {
		read func(string) (*drift.Locator, error)
		text string
		want []string
	}{
		"a-path":                     {drift.JSONPath, ".spec.replicas", []string{".spec.replicas"}},
		"a-path-without-a-dot":       {drift.JSONPath, "spec.replicas", []string{".spec.replicas"}},
		"a-path-in-braces":           {drift.JSONPath, "{$.spec.replicas}", []string{".spec.replicas"}},
		"a-field-that-is-not-there":  {drift.JSONPath, ".spec.strategy.type", []string{".spec.strategy.type"}},
		"below-a-scalar-is-nothing":  {drift.JSONPath, ".spec.replicas.max", nil},
		"a-key-with-dots-in-quotes":  {drift.JSONPath, `.metadata.annotations["example.com/note"]`, []string{".metadata.annotations.example.com/note"}},
		"a-key-with-escaped-dots":    {drift.JSONPath, `.metadata.annotations['example\.com/note']`, []string{".metadata.annotations.example.com/note"}},
		"a-place":                    {drift.JSONPath, ".spec.containers[1].image", []string{".spec.containers[1].image"}},
		"the-last-place":             {drift.JSONPath, ".spec.containers[-1].image", []string{".spec.containers[-1].image"}},
		"all-places":                 {drift.JSONPath, ".spec.containers[*].image", []string{".spec.containers[0].image", ".spec.containers[1].image"}},
		"a-filter":                   {drift.JSONPath, `.spec.containers[?(@.name=="side")].image`, []string{".spec.containers[1].image"}},
		"a-filter-that-fits-nothing": {drift.JSONPath, `.spec.containers[?(@.name=="x")].image`, nil},
		"a-filter-for-being-there":   {drift.JSONPath, `.spec.containers[?(@.env)].name`, []string{".spec.containers[0].name"}},
		"anywhere": {drift.JSONPath, "..env[0].value", []string{
			".env[0].value", ".metadata.env[0].value", ".metadata.annotations.env[0].value", ".spec.env[0].value",
			".spec.containers[0].env[0].value", ".spec.containers[0].env[0].env[0].value", ".spec.containers[1].env[0].value",
		}},
		"a-pointer":                    {drift.JSONPointer, "/spec/replicas", []string{".spec.replicas"}},
		"a-pointer-into-a-list":        {drift.JSONPointer, "/spec/containers/1/image", []string{".spec.containers[1].image"}},
		"a-pointer-with-escapes":       {drift.JSONPointer, "/metadata/annotations/example.com~1note", []string{".metadata.annotations.example.com/note"}},
		"a-pointer-with-a-tilde":       {drift.JSONPointer, "/metadata/annotations/a~0b", []string{".metadata.annotations.a~b"}},
		"a-pointer-to-what-is-missing": {drift.JSONPointer, "/spec/strategy/type", []string{".spec.strategy.type"}},
		"jq":                           {drift.JQ, `.spec.containers[] | select(.name == "web") | .image`, []string{".spec.containers[0].image"}},
		"jq-with-a-test":               {drift.JQ, `.metadata.annotations | .["example.com/note", "a~b"]`, []string{".metadata.annotations.example.com/note", ".metadata.annotations.a~b"}},
		"jq-two-fields":                {drift.JQ, `.spec.replicas, .spec.paused`, []string{".spec.replicas", ".spec.paused"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			locator, err := tt.read(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			object := parse(t, located)
			paths, err := locator.Locate(object.Object)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, path := range paths {
				got = append(got, path.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("locations (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(parse(t, located).Object, object.Object); diff != "" {
				t.Errorf("to look changed the object:\n%s", diff)
			}
		})
	}
}

func TestLocatorsThatAreRefused(t *testing.T) {
	tests := map[string]struct {
		read func(string) (*drift.Locator, error)
		text string
	}{
		"a-broken-path":            {drift.JSONPath, ".spec["},
		"a-slice":                  {drift.JSONPath, ".spec.containers[0:1]"},
		"a-pointer-without-slash":  {drift.JSONPointer, "spec/replicas"},
		"a-broken-expression":      {drift.JQ, ".spec |"},
		"an-assignment":            {drift.JQ, ".spec = 1"},
		"a-sum":                    {drift.JQ, ".spec.replicas + 1"},
		"a-function-of-its-own":    {drift.JQ, "def f: f; f"},
		"a-loop":                   {drift.JQ, "repeat(.)"},
		"a-range":                  {drift.JQ, "select(range(1e9) == 1)"},
		"a-range-in-text":          {drift.JQ, `.["\(range(1e9))"]`},
		"a-reduction":              {drift.JQ, "reduce .[] as $x (0; 1)"},
		"a-new-list":               {drift.JQ, "[.spec]"},
		"an-expression-too-long":   {drift.JQ, strings.Repeat(".a|", 1000) + ".a"},
		"a-condition-with-a-range": {drift.JQ, "if range(3) then . else . end"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if locator, err := tt.read(tt.text); err == nil {
				t.Errorf("%q is taken as %v", tt.text, locator)
			}
		})
	}
}

func TestAnExpressionThatCannotBeEvaluatedIsAnError(t *testing.T) {
	for name, text := range map[string]string{
		"no-list":         ".spec.replicas[]",
		"no-field":        `"x"`,
		"all-with-all":    "select((.. | .. | ..) == (.. | .. | ..) and false)",
		"too-many-fields": "..,..,..,..",
	} {
		t.Run(name, func(t *testing.T) {
			object := parse(t, located)
			many := make([]any, 400)
			for i := range many {
				many[i] = int64(i)
			}
			object.Object["list"] = many
			locator, err := drift.JQ(text)
			if err != nil {
				t.Fatal(err)
			}
			if paths, err := locator.Locate(object.Object); err == nil {
				t.Errorf("it finds %v", paths)
			}
		})
	}
}

func TestAPathIsWithinALocation(t *testing.T) {
	object := parse(t, deployment)
	baselinePath := func(text string) *drift.Locator {
		locator, err := drift.JSONPath(text)
		if err != nil {
			t.Fatal(err)
		}
		return locator
	}
	captured, err := drift.Capture(managed(t, object, ours, deploymentFields), ours)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		text string
		want []string
	}{
		"the-field":        {".spec.replicas", []string{"spec.replicas"}},
		"all-below":        {`.spec.template.spec.containers[?(@.name=="web")].ports`, []string{`spec.template.spec.containers[name="web"].ports[containerPort=80,protocol="TCP"].containerPort`}},
		"another-element":  {`.spec.template.spec.containers[?(@.name=="side")]`, nil},
		"the-whole-object": {".spec.template.spec.nodeSelector", []string{"spec.template.spec.nodeSelector"}},
		"part-of-a-whole":  {".spec.template.spec.nodeSelector.disk", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			locations, err := baselinePath(tt.text).Locate(object.Object)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, path := range drift.Leaves(captured.Owned()) {
				for _, location := range locations {
					if drift.Within(object.Object, path, location) {
						got = append(got, drift.PathString(path))
					}
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("paths (-want +got):\n%s", diff)
			}
		})
	}
}
