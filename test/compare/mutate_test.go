package compare

import (
	"slices"
	"strings"
	"testing"

	"github.com/kronvoy/kronvoy/graph/schema/builtin"
	"github.com/kronvoy/kronvoy/test/budget"
)

// mutants of each graph that are judged, graphs by default, and the least share of
// mutants that both refuse, in percent.
const (
	mutants      = 4
	brokenSample = 500
	leastBroken  = 20
)

// TestBroken compares whether both engines refuse random graphs with one mistake.
func TestBroken(t *testing.T) {
	engines, err := NewEngines(builtin.Resolver())
	if err != nil {
		t.Fatal(err)
	}
	b := budget.New(t, "broken graphs", allGraphs, brokenSample)
	total, refused := 0, 0
	for i := range b.Cases() {
		r := b.Rand(i)
		g := Generate(r)
		for range mutants {
			broken := *g
			var path []string
			broken.RGD, path = Mutate(r, g.RGD)
			in, err := broken.Input()
			if err != nil {
				t.Fatal(err)
			}
			in.Instance = nil
			kro, ours, err := engines.Run(in)
			if err != nil {
				continue // the API server does not decode it
			}
			if total++; kro.Refused && ours.Refused {
				refused++
			}
			if kro.Refused != ours.Refused && !strictOnPurpose(path, kro, ours) {
				t.Fatalf("SEED=%d, graph %d, changed at %s: kro refused %t, we %t\n%s\n%s", b.Seed(), i, strings.Join(path, "."), kro.Refused, ours.Refused, reasons(kro, ours), show(&broken))
			}
		}
	}
	t.Logf("both refuse %d of %d", refused, total)
	if total >= brokenSample*mutants/2 && refused*100 < total*leastBroken {
		t.Errorf("less than %d %% of the graphs are refused by both", leastBroken)
	}
}

// strictOnPurpose tells whether a definition that kro accepts is refused for what
// the docs say: an object without a name, an expression that does not end where
// kro thinks it does.
func strictOnPurpose(path []string, kro, ours Outcome) bool {
	if kro.Refused {
		return false
	}
	return strings.HasSuffix(strings.Join(path, "."), "template.metadata.name") || slices.ContainsFunc(ours.Reasons, func(r string) bool {
		return strings.HasPrefix(r, "Unterminated") || r == "NestedExpression"
	})
}
