package compare

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/kronvoy/kronvoy/graph/schema/builtin"
	"github.com/kronvoy/kronvoy/test/budget"
)

// The sample is what a run compares by default; leastShare is how much of it each
// feature has to be in, in percent.
const (
	allGraphs  = 1_000_000
	sample     = 2_000
	leastShare = 5
)

// TestGenerated compares both engines on random graphs that are valid. On a
// difference it prints the seed, and a definition that is as small as can be
// found and still makes one.
func TestGenerated(t *testing.T) {
	engines, err := NewEngines(builtin.Resolver())
	if err != nil {
		t.Fatal(err)
	}
	for _, heading := range leftOut {
		if !documented(t, heading) {
			t.Errorf("%q is left out, and is no heading of %s", heading, document)
		}
	}
	b := budget.New(t, "graphs", allGraphs, sample)
	count, total := map[string]int{}, 0
	for i := range b.Cases() {
		g := Generate(b.Rand(i))
		differences, kro, ours, err := compareGenerated(engines, g)
		if err != nil {
			t.Fatalf("SEED=%d, graph %d: %v", b.Seed(), i, err)
		}
		if kro.Refused {
			t.Fatalf("SEED=%d, graph %d is not valid: %s\n%s", b.Seed(), i, kro.Refusal, show(g))
		}
		if len(differences) > 0 {
			t.Fatalf("SEED=%d, graph %d: the engines differ:\n%s%s\n%s", b.Seed(), i, list(differences), reasons(kro, ours), show(smallest(engines, g, differences)))
		}
		total++
		for feature := range g.Features {
			count[feature]++
		}
		if contagious(kro) {
			count[FeatureContagion]++
		}
	}
	for _, feature := range []string{FeatureForEach, FeatureExternal, FeatureContagion, FeatureOptionals, FeatureCollections, FeatureStatus} {
		t.Logf("%s in %d of %d graphs", feature, count[feature], total)
		if total >= sample && count[feature]*100 < total*leastShare {
			t.Errorf("%s is in less than %d %% of the graphs", feature, leastShare)
		}
	}
}

// leftOut are the headings of the two differences that compareGenerated leaves
// out: what the status reads of a collection before anything of it exists, and when
// a node is excluded.
var leftOut = []string{"A list that nobody has seen is not empty", "What is certain does not wait"}

// compareGenerated leaves out two differences that are documented.
func compareGenerated(engines *Engines, g *Generated) (differences map[string]Difference, kro, ours Outcome, err error) {
	in, err := g.Input()
	if err != nil {
		return nil, kro, ours, err
	}
	if kro, ours, err = engines.Run(in); err != nil {
		return nil, kro, ours, err
	}
	differences, err = Compare(kro, ours)
	maps.DeleteFunc(differences, func(path string, d Difference) bool {
		return excludedEarly(path, d, g, ours) || path == "passes.none.status" || path == "passes.part.status" ||
			strings.HasPrefix(path, "passes.none.status."+CollectionField) || strings.HasPrefix(path, "passes.part.status."+CollectionField)
	})
	return differences, kro, ours, err
}

// excludedEarly tells whether a difference is that we exclude a node as soon as
// its own condition or one of its dependencies says so, where kro first waits for
// everything that could exclude it.
func excludedEarly(path string, d Difference, g *Generated, ours Outcome) bool {
	parts := strings.Split(path, ".")
	if len(parts) != 5 || parts[4] != "state" || d.Kro != string(Waiting) || d.Ours != string(Excluded) {
		return false
	}
	nodes, id := ours.Passes[parts[1]].Nodes, parts[3]
	return g.Conditional[id] || slices.ContainsFunc(ours.Dependencies[id], func(d string) bool { return nodes[d].State == Excluded })
}

// contagious tells whether some node is excluded because another one is.
func contagious(o Outcome) bool {
	for _, p := range o.Passes {
		for id, n := range p.Nodes {
			if n.State == Excluded && slices.ContainsFunc(o.Dependencies[id], func(d string) bool { return p.Nodes[d].State == Excluded }) {
				return true
			}
		}
	}
	return false
}

// smallest takes parts out of a graph as long as one of the differences stays.
func smallest(engines *Engines, g *Generated, original map[string]Difference) *Generated {
	out := *g
	out.RGD = Minimise(g.RGD, 1000, func(rgd map[string]any) bool {
		smaller := *g
		smaller.RGD = rgd
		differences, _, _, err := compareGenerated(engines, &smaller)
		for path, d := range differences {
			if original[path] == d {
				return err == nil
			}
		}
		return false
	})
	return &out
}

func show(g *Generated) string {
	var b strings.Builder
	for _, part := range []struct {
		name  string
		value any
	}{{"rgd.yaml", g.RGD}, {"instance.yaml", g.Instance}, {"live.yaml", g.Live}} {
		text, err := yaml.Marshal(part.value)
		if err != nil {
			text = []byte(err.Error())
		}
		fmt.Fprintf(&b, "# %s\n%s", part.name, text)
	}
	return b.String()
}

func TestMinimiseKeepsWhatMatters(t *testing.T) {
	got := Minimise(map[string]any{"a": []any{"x", map[string]any{"b": "c", "d": "e"}}, "f": "g"}, 100, func(v map[string]any) bool {
		text := fmt.Sprint(v)
		return strings.Contains(text, "c")
	})
	if text := fmt.Sprint(got); text != "map[a:[map[b:c]]]" {
		t.Error(text)
	}
}
