package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kronvoy/kronvoy/test/audit"
)

func TestABenchmarksResultIsTheMedianOfItsRounds(t *testing.T) {
	const text = `goos: linux
BenchmarkA-2     	   50000	     30000 ns/op	   18000 B/op	     150 allocs/op
BenchmarkA-2     	   50000	     10000 ns/op	        24.56 KiB/page	   16000 B/op	     150 allocs/op
BenchmarkA       	   50000	     20000.5 ns/op	   17000 B/op	     150 allocs/op
BenchmarkAB-2    	   50000	     1 ns/op	   1 B/op	     1 allocs/op
PASS
`
	samples, err := parseSamples(text, "BenchmarkA")
	if err != nil {
		t.Fatal(err)
	}
	want := sample{time: 20 * time.Microsecond, bytes: 17000}
	if got := medianSample(samples); got != want {
		t.Errorf("%v, want %v", got, want)
	}
	if _, err := parseSamples(text, "BenchmarkC"); err == nil {
		t.Error("a benchmark without results gives no error")
	}
}

func TestWritesAreCountedByProcessServerAndKind(t *testing.T) {
	writes := []audit.Write{
		{Cluster: "hub", User: "system:serviceaccount:kronvoy-system:kronvoy-hub", Verb: "update", Resource: "manifestworks"},
		{Cluster: "eu-west", User: "system:serviceaccount:kronvoy-agent:kronvoy-agent", Verb: "patch", Resource: "configmaps", DryRun: true},
		{Cluster: "hub", User: "system:open-cluster-management:eu-west:agent", Verb: "patch", Resource: "manifestworks/status"},
		{Cluster: "hub", User: "system:open-cluster-management:eu-west:agent", Verb: "patch", Resource: "manifestworks/status"},
	}
	const want = "agent on eu-west: patch (dry run) configmaps × 1, agent on hub: patch manifestworks/status × 2, hub on hub: update manifestworks × 1"
	if got := tally(writes); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestAMissedTargetIsSeenInTheTable(t *testing.T) {
	peer, ratio := 200.0, 0.25
	got := string(document([]Result{
		{Name: "fast", Value: 50, Unit: "µs", Target: 100, Peer: &peer, Ratio: &ratio, Command: "make bench", What: "how fast"},
		{Name: "fat", Value: 41.26, Unit: "MiB", Target: 40, Command: "make bench", What: "how fat"},
		{Name: "writes", Value: 14, Target: 14, Reach: true, Command: "make bench", What: "how many"},
	}, "a machine"))
	for _, want := range []string{
		"Measured on a machine.\n",
		"| `fast` | 50 | µs | < 100 | 200 | 0.25 | `make bench` |\n",
		"| `fat` | **41.3** (missed) | MiB | < 40 | – | – | `make bench` |\n",
		"| `writes` | 14 |  | ≤ 14 | – | – | `make bench` |\n",
		"- `fat`: how fat\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in:\n%s", want, got)
		}
	}
}

func TestFiguresOfTheEnginesAreRead(t *testing.T) {
	const text = `{"name":"compile","value":1.5,"unit":"ms","peer":3,"ratio":0.5,"ratioTarget":0.2,"what":"time to compile","run":"compile"}
{"name":"compile-memory","value":2,"unit":"kB","peer":null,"ratio":null,"target":3,"what":"memory","run":"compile"}
`
	peer, ratio := 3.0, 0.5
	want := []Result{
		{Name: "compile", Value: 1.5, Unit: "ms", Peer: &peer, Ratio: &ratio, RatioTarget: 0.2, What: "time to compile", Command: "go run -C test/compare ./bench -run '^compile$'"},
		{Name: "compile-memory", Value: 2, Unit: "kB", Target: 3, What: "memory", Command: "go run -C test/compare ./bench -run '^compile$'"},
	}
	got, err := parseEngineLines([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if verdict(got[0]) != "MISSES its target ratio ≤ 0.2" || !got[1].met() {
		t.Errorf("%q, %q", verdict(got[0]), verdict(got[1]))
	}
	if _, err := parseEngineLines([]byte("{")); err == nil {
		t.Error("half a line gives no error")
	}
}

func TestNumbersHaveThreeSignificantDigits(t *testing.T) {
	for value, want := range map[float64]string{0: "0", 14: "14", 0.1234: "0.123", 1.5: "1.5", 41.26: "41.3", 1415.4: "1415", 0.00123: "0.00123"} {
		if got := number(value); got != want {
			t.Errorf("%v is written %s, want %s", value, got, want)
		}
	}
}

func TestTheListHasNullsWhereThereIsNoPeer(t *testing.T) {
	text, err := encodeList([]Result{{Name: "a", Value: 1.5, Unit: "ms", Target: 3}})
	if err != nil {
		t.Fatal(err)
	}
	const want = `[
  {
    "name": "a",
    "value": 1.5,
    "unit": "ms",
    "peer": null,
    "ratio": null
  }
]
`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Error(diff)
	}
}

func TestTheBenchmarksOwnObjectsCanBeRead(t *testing.T) {
	if got := len(benchObjects()); got != 4 {
		t.Errorf("%d objects, want 4", got)
	}
	if got, want := filepath.Join(chain("a").GetNamespace(), webapp("b").GetName()), "bench/b"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
