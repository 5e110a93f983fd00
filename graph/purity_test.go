package graph_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/kronvoy/kronvoy"

// banned says what the domain must not import, and why. A prefix that ends in a
// slash also stands for the package itself.
type banned struct{ prefix, why string }

// bannedDirectly may not be imported by the domain's own packages; apimachinery
// brings most of it along.
var bannedDirectly = []banned{
	{"os/", "the domain is values in, values out: it reads no files and no environment"},
	{"io/ioutil/", "the domain reads no files"},
	{"net/", "the domain talks to nobody"},
	{"log/", "the domain says what it found in its results"},
	{"k8s.io/klog/", "the domain says what it found in its results"},
	{"github.com/go-logr/", "the domain says what it found in its results"},
	{"github.com/prometheus/", "metrics are a matter of the shells"},
	{"go.opentelemetry.io/", "traces are a matter of the shells"},
	{"k8s.io/utils/clock/", "the time is an input"},
	{"math/rand/", "the same input gives the same output"},
}

// bannedThroughout may not be imported by anything the domain imports, either.
var bannedThroughout = []banned{
	{"k8s.io/client-go/", "a client in the domain would make every user of it one"},
	{"sigs.k8s.io/controller-runtime/", "the domain is used by more than controllers"},
	{"sigs.k8s.io/multicluster-runtime/", "the domain is used by more than controllers"},
	{"open-cluster-management.io/", "the shells adapt foreign API types to the domain's own"},
	{module + "/apis/", "the shells adapt API types to the domain's own"},
	{module + "/hub/", "the domain is below the shells"},
	{module + "/spoke/", "the domain is below the shells"},
	{module + "/cmd/", "the domain is below the shells"},
	{"github.com/prometheus/", "metrics are a matter of the shells"},
}

// exceptions are imports behind which bannedThroughout is not looked for, each
// with the reason and the only prefix that it is allowed for.
var exceptions = map[string]banned{
	"k8s.io/apiserver/pkg/cel/library": {"github.com/prometheus/",
		"Kubernetes' CEL functions and its cost estimator are in a package that also registers a metric"},
}

// apart are parts of the domain that do not know each other.
var apart = [][2]string{{module + "/graph/", module + "/placement/"}, {module + "/placement/", module + "/graph/"}}

type listedPackage struct {
	ImportPath, Name string
	Imports          []string
}

func TestTheDomainIsPure(t *testing.T) {
	packages := listPackages(t, module+"/graph/...", module+"/placement/...")
	for _, p := range packages {
		if !isDomain(p) {
			continue
		}
		for _, imported := range p.Imports {
			for _, b := range bannedDirectly {
				if under(imported, b.prefix) {
					t.Errorf("%s imports %s: %s", p.ImportPath, imported, b.why)
				}
			}
			for _, pair := range apart {
				if under(p.ImportPath, pair[0]) && under(imported, pair[1]) {
					t.Errorf("%s imports %s: the two are independent", p.ImportPath, imported)
				}
			}
		}
		for _, b := range bannedThroughout {
			if chain := findImport(packages, p.ImportPath, b.prefix); chain != nil {
				t.Errorf("%s: %s", strings.Join(chain, " → "), b.why)
			}
		}
	}
}

// leaves are what the hub shares with the command line: pure, too, but they know
// API types.
var leaves = []string{
	module + "/hub/convert", module + "/hub/nested", module + "/hub/plan", module + "/hub/policy", module + "/hub/status", module + "/hub/work",
}

func TestTheHubsLeavesAreClientsOfNobody(t *testing.T) {
	packages := listPackages(t, leaves...)
	for _, leaf := range leaves {
		for _, prefix := range []string{"k8s.io/client-go/", "sigs.k8s.io/controller-runtime/", "sigs.k8s.io/multicluster-runtime/"} {
			if chain := findImport(packages, leaf, prefix); chain != nil {
				t.Errorf("%s: values in, values out: the callers gather and write", strings.Join(chain, " → "))
			}
		}
	}
}

// TestTheExceptionsAreNeeded also shows that the search finds what it looks for.
func TestTheExceptionsAreNeeded(t *testing.T) {
	packages := listPackages(t, module+"/graph/...")
	for from, e := range exceptions {
		reached := false
		for _, imported := range packages[from].Imports {
			reached = reached || under(imported, e.prefix) || findImport(packages, imported, e.prefix) != nil
		}
		if !reached {
			t.Errorf("%s no longer imports %s: remove the exception", from, e.prefix)
		}
	}
}

// isDomain leaves out commands: a generator reads and writes files.
func isDomain(p listedPackage) bool {
	return p.Name != "main" && (under(p.ImportPath, module+"/graph/") || under(p.ImportPath, module+"/placement/"))
}

func under(path, prefix string) bool {
	return strings.HasPrefix(path+"/", prefix)
}

// findImport returns the shortest chain of imports from a package to one below
// the prefix.
func findImport(packages map[string]listedPackage, from, prefix string) []string {
	previous := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if at != from && under(at, prefix) {
			var chain []string
			for ; at != ""; at = previous[at] {
				chain = append(chain, at)
			}
			slices.Reverse(chain)
			return chain
		}
		if e, found := exceptions[at]; found && e.prefix == prefix {
			continue
		}
		for _, next := range packages[at].Imports {
			if _, seen := previous[next]; !seen {
				previous[next] = at
				queue = append(queue, next)
			}
		}
	}
	return nil
}

// listPackages returns the packages with everything that they import.
func listPackages(t *testing.T, patterns ...string) map[string]listedPackage {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-deps", "-json=ImportPath,Name,Imports"}, patterns...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	packages := map[string]listedPackage{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listedPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages[p.ImportPath] = p
	}
	return packages
}
