package expr

import (
	"strings"
	"testing"
	"time"

	"github.com/kronvoy/kronvoy/internal/boundedcel"
	"github.com/kronvoy/kronvoy/placement"
)

// What expressions say of clusters is in hub/convert/testdata/placements.

func TestCompileRefuses(t *testing.T) {
	for source, want := range map[string]string{
		"":                            "line 1, column 1: ",
		"managedCluster.":             "line 1, column 16: ",
		"true &&\n nothing":           "line 2, column 2: undeclared reference to 'nothing'",
		"'text'":                      "must be true or false, its type is string",
		"managedCluster.scores(1)":    "found no matching overload for 'scores'",
		strings.Repeat("a", 16<<10+1): "at most 16384 are allowed",
		strings.Repeat("(", 500) + "true" + strings.Repeat(")", 500): "recursion",
	} {
		if _, err := Compile(source); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", source, err, want)
		}
	}
}

// The guards of functions are those of graphs: no single call may run away.
func TestMatchesIsBounded(t *testing.T) {
	for _, source := range []string{
		"lists.range(9999).map(i, lists.range(9999)).flatten().size() > 0",
		"'x'.replace('', managedCluster.text).replace('', managedCluster.text).replace('', managedCluster.text).size() > 0",
		"managedCluster.text.matches('(' + 'x{0,30}){0,30}y')",
	} {
		x, err := Compile(source)
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		c := &placement.Cluster{Object: map[string]any{"text": strings.Repeat("x", 20_000)}}
		matches, cost, err := x.Matches(c, time.Time{})
		if err == nil || matches || cost < boundedcel.CostLimit/100 {
			t.Errorf("%s: %v at a cost of %d: %v", source, matches, cost, err)
		}
	}
}

func TestRestsOnClaims(t *testing.T) {
	for source, want := range map[string]bool{
		"managedCluster.metadata.labels['a'] == 'b' && managedCluster.spec.hubAcceptsClient": false,
		"true": false,
		"managedCluster.metadata.name == 'a' || managedCluster.status.version.kubernetes == 'v1.36.3'": true,
		"managedCluster['status'].capacity.cpu == '4'":                                                 true,
		"managedCluster.scores('load').size() > 0":                                                     true,
	} {
		x, err := Compile(source)
		if err != nil {
			t.Fatal(err)
		}
		if got := x.RestsOnClaims(); got != want {
			t.Errorf("%s: %v", source, got)
		}
	}
}
