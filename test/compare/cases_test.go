package compare

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"

	"github.com/kronvoy/kronvoy/graph/schema"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
)

var update = flag.Bool("update", false, "rewrite what deviations differ in")

// wantCases is how many cases there are at least.
const wantCases = 150

// deviation declares where a case differs from kro on purpose.
type deviation struct {
	// Difference is the heading in the docs that tells users of it.
	Difference string                `json:"difference"`
	Why        string                `json:"why"`
	Differs    map[string]Difference `json:"differs"`
}

// document tells users what differs from kro.
const document = "../../docs/differences-from-kro.md"

// verdict is what became of one case.
type verdict struct {
	rule  int
	fails bool
	// waits is true when nothing fails, but something never becomes ready.
	waits bool
}

// TestCases runs every directory of cases, whose name says what it shows and
// begins with the number of the rule it is about:
//
//	rgd.yaml         the definition
//	crds.yaml        further kinds, optional
//	instance.yaml    without it only compilation is compared
//	live.yaml        what the cluster adds to the objects, by node id; with it three
//	                 observations are made: none, part (half of the nodes), all
//	observed-X.yaml  a further observation X: whole objects, by node id
//	deviation.yaml   where our engine differs on purpose; -update rewrites the values
func TestCases(t *testing.T) {
	verdicts := map[string]verdict{}
	for _, dir := range caseDirs(t) {
		name := filepath.Base(dir)
		t.Run(name, func(t *testing.T) {
			kro, ours, err := newEngines(t, dir).Run(readCase(t, dir))
			if err != nil {
				t.Fatal(err)
			}
			differences, err := Compare(kro, ours)
			if err != nil {
				t.Fatal(err)
			}
			judge(t, dir, differences, kro, ours)
			verdicts[name] = verdict{rule: ruleOf(t, name), fails: kro.fails() || ours.fails(), waits: neverReady(kro)}
		})
	}
	if len(verdicts) == len(caseDirs(t)) {
		everyRuleIsCovered(t, verdicts)
	}
}

// judge compares the differences of a case with what is said about it: nothing, or
// a deviation on purpose.
func judge(t *testing.T, dir string, differences map[string]Difference, kro, ours Outcome) {
	t.Helper()
	file := filepath.Join(dir, "deviation.yaml")
	d, declared := readDeviation(t, file)
	switch {
	case declared && *update:
		d.Differs = differences
		writeDeviation(t, file, d)
	case declared:
		if d.Why == "" || !documented(t, d.Difference) {
			t.Errorf("deviation.yaml: why must be given, and difference be a heading of %s with a scenario", document)
		}
		if diff := cmp.Diff(d.Differs, differences); diff != "" || len(differences) == 0 {
			t.Errorf("the engines differ in another way than declared (-declared +found):\n%s%s", diff, reasons(kro, ours))
		}
	case len(differences) > 0:
		t.Errorf("the engines differ:\n%s%s", list(differences), reasons(kro, ours))
	}
	if testing.Verbose() {
		t.Log(reasons(kro, ours))
	}
}

// documented tells whether the page has a section of that heading, which shows a
// scenario of the engine.
func documented(t testing.TB, heading string) bool {
	t.Helper()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n### "+heading+"\n")
	section, _, _ = strings.Cut(section, "\n##")
	return heading != "" && found && scenario.MatchString(section)
}

// scenario is how the page refers to a scenario, whose existence the engine's own
// tests hold.
var scenario = regexp.MustCompile(`\*[a-zA-Z]+_[a-zA-Z_, \n]+\*`)

func list(differences map[string]Difference) string {
	var b strings.Builder
	for _, path := range slices.Sorted(maps.Keys(differences)) {
		fmt.Fprintf(&b, "  %s: kro %v, ours %v\n", path, differences[path].Kro, differences[path].Ours)
	}
	return b.String()
}

func reasons(kro, ours Outcome) string {
	return "  kro:  " + strings.Join(kro.explain(), "\n        ") + "\n  ours: " + strings.Join(ours.explain(), "\n        ")
}

func neverReady(o Outcome) bool {
	p, found := o.Passes["all"]
	return found && !p.Ready
}

func caseDirs(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("cases", "*", "rgd.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range files {
		files[i] = filepath.Dir(files[i])
	}
	return files
}

func ruleOf(t testing.TB, name string) int {
	t.Helper()
	number, _, _ := strings.Cut(name, "-")
	rule, err := strconv.Atoi(number)
	if err != nil || len(number) != 2 {
		t.Fatalf("%s does not begin with the two digits of a rule", name)
	}
	return rule
}

func newEngines(t testing.TB, dir string) *Engines {
	t.Helper()
	types := builtin.Resolver()
	if text, err := os.ReadFile(filepath.Join(dir, "crds.yaml")); err == nil {
		var crds []*apiextensionsv1.CustomResourceDefinition
		for _, document := range strings.Split(string(text), "\n---\n") {
			var crd apiextensionsv1.CustomResourceDefinition
			if err := yaml.UnmarshalStrict([]byte(document), &crd); err != nil {
				t.Fatal(err)
			}
			crds = append(crds, &crd)
		}
		further, err := schema.FromCRDs(crds...)
		if err != nil {
			t.Fatal(err)
		}
		types = schema.Chain(further, types)
	}
	engines, err := NewEngines(types)
	if err != nil {
		t.Fatal(err)
	}
	return engines
}

func readCase(t testing.TB, dir string) Input {
	t.Helper()
	in := Input{Observed: map[string]Objects{}}
	var err error
	if in.RGD, err = os.ReadFile(filepath.Join(dir, "rgd.yaml")); err != nil {
		t.Fatal(err)
	}
	readJSON(t, filepath.Join(dir, "instance.yaml"), &in.Instance)
	readJSON(t, filepath.Join(dir, "live.yaml"), &in.Live)
	files, err := filepath.Glob(filepath.Join(dir, "observed-*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		var objects Objects
		readJSON(t, file, &objects)
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "observed-"), ".yaml")
		in.Observed[name] = objects
	}
	return in
}

// readJSON decodes YAML with whole numbers as int64, as the API machinery does;
// a file that does not exist leaves the value as it is.
func readJSON(t testing.TB, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	raw, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	var v any
	if err := utiljson.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	switch into := into.(type) {
	case *map[string]any:
		*into, _ = v.(map[string]any)
	case *Objects:
		*into = Objects{}
		byID, _ := v.(map[string]any)
		for id, list := range byID {
			(*into)[id] = []map[string]any{}
			items, _ := list.([]any)
			for _, item := range items {
				object, _ := item.(map[string]any)
				(*into)[id] = append((*into)[id], object)
			}
		}
	default:
		t.Fatalf("%s: cannot be read into a %T", file, into)
	}
}

func readDeviation(t testing.TB, file string) (deviation, bool) {
	t.Helper()
	var d deviation
	text, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return d, false
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(text, &d); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return d, true
}

func writeDeviation(t testing.TB, file string, d deviation) {
	t.Helper()
	raw, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	text, err := yaml.JSONToYAML(raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
}
