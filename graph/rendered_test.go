package graph_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/hash"
	"github.com/kronvoy/kronvoy/hub/convert"
	"github.com/kronvoy/kronvoy/hub/work"
	"github.com/kronvoy/kronvoy/internal/golden"
)

var unreleased = flag.Bool("unreleased", false, "with -update: no release has the present hash version yet")

// TestRenderedStaysTheSameUnderAHashVersion guards the promise of a hash version:
// all releases that have it render alike. A hub whose release renders differently
// under the same version would change every cluster at once; under another one
// clusters move as their rollout strategies say.
//
// It hashes what each scenario and example makes: the graph, and the works for both
// kinds of agents.
func TestRenderedStaysTheSameUnderAHashVersion(t *testing.T) {
	lines := renderedScenarios(t)
	lines = append(lines, renderedExamples(t)...)
	file := filepath.Join("testdata", "rendered-"+hash.Version+".txt")
	content, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimRight(string(content), "\n"), "\n")
	changed := slices.DeleteFunc(changes(want, lines), func(string) bool { return err != nil })
	switch {
	case len(changed) > 0 && (!golden.Updating() || !*unreleased):
		t.Errorf(`this release renders differently under hash version %[1]s:

%[2]s

Clusters must not all change at once when it is installed. If a release with %[1]s is
out, raise Version in graph/hash/hash.go, and run
    go test ./graph -run TestRendered -update
If %[1]s is new since the last release, run
    go test ./graph -run TestRendered -update -unreleased
CONTRIBUTING.md, "When to raise the hash version", says more.`, hash.Version, strings.Join(changed, "\n"))
	case golden.Updating():
		others, err := filepath.Glob(filepath.Join("testdata", "rendered-*.txt"))
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range others {
			if err := os.Remove(other); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		if diff := cmp.Diff(want, lines); diff != "" {
			t.Errorf("%s (-want +got; \"go test ./graph -run TestRendered -update\" writes it):\n%s", filepath.Base(file), diff)
		}
	}
}

// changes are the lines of cases that are in both texts, and differ.
func changes(want, got []string) []string {
	known := map[string]string{}
	for _, line := range want {
		name, rest, _ := strings.Cut(line, ": ")
		known[name] = rest
	}
	var out []string
	for _, line := range got {
		name, rest, _ := strings.Cut(line, ": ")
		if before, there := known[name]; there && before != rest {
			out = append(out, "  "+name, "    was "+before, "    is  "+rest)
		}
	}
	return out
}

func renderedScenarios(t *testing.T) (lines []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "*", "rgd.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		dir := filepath.Dir(file)
		var rgd krov1alpha1.ResourceGraphDefinition
		readYAML(t, file, &rgd)
		src, err := convert.Source(&rgd)
		if err != nil {
			continue
		}
		g, _ := graph.Compile(src, scenarioResolver(t, dir))
		if g == nil {
			continue
		}
		line := fmt.Sprintf("%s: graph %s", filepath.Base(dir), g.Hash())
		if b, given := scenarioBindings(t, dir); given {
			evaluation, _ := g.Evaluate(b)
			line += builtOf(t, g, b, evaluation)
		}
		lines = append(lines, line)
	}
	return lines
}

// builtOf are the works of an evaluation, for Kronvoy's agent and for OCM's.
func builtOf(t *testing.T, g *graph.Graph, b graph.Bindings, evaluation graph.Evaluation) (text string) {
	t.Helper()
	for _, agent := range []struct {
		name string
		can  work.Capabilities
	}{{"kronvoy", work.Capabilities{Reports: true, Health: true}}, {"ocm", work.Capabilities{}}} {
		plan, err := work.Build(work.Input{
			Identity: work.IdentityOfInstance(&unstructured.Unstructured{Object: b.Instance}), InstanceUID: "uid", Cluster: b.Cluster.Name, Revision: "revision",
			Graph: g, Evaluation: evaluation, Capabilities: agent.can,
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range plan.Works {
			text += fmt.Sprintf(", for %s %s", agent.name, work.HashOf(w))
		}
	}
	return text
}

// renderedExamples are what "kronvoy render" makes of the examples, with overrides,
// as their own tests hold it.
func renderedExamples(t *testing.T) (lines []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "examples", "*", "expected", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		example := filepath.Dir(filepath.Dir(file))
		lines = append(lines, fmt.Sprintf("examples/%s on %s: %s", filepath.Base(example), strings.TrimSuffix(filepath.Base(file), ".yaml"), hash.Of(string(text))))
	}
	return lines
}
