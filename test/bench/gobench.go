package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// goBenchmark is one of Go's benchmarks, and the figures that come from it.
type goBenchmark struct {
	pkg, name string
	results   func(sample) []Result
}

// sample is what one run of a benchmark says, per operation.
type sample struct {
	time  time.Duration
	bytes float64
}

var goBenchmarkList = []goBenchmark{{
	pkg: "./graph", name: "BenchmarkEvaluateOneMoreCluster",
	results: func(s sample) []Result {
		return []Result{
			{Name: "evaluate-one-more-cluster", Value: micro(s.time), Unit: "µs", Target: 100,
				What: "time to evaluate the compiled `examples/webapp` for one more cluster, with everything observed"},
			{Name: "evaluate-one-more-cluster-memory", Value: s.bytes / 1000, Unit: "kB", Target: 50,
				What: "memory allocated by the same evaluation"},
		}
	},
}, {
	pkg: "./graph", name: "BenchmarkEvaluateFirstPass",
	results: func(s sample) []Result {
		return []Result{{Name: "evaluate-first-pass", Value: micro(s.time), Unit: "µs",
			What: "time to evaluate it for a cluster that nothing is known of"}}
	},
}, {
	pkg: "./placement", name: "BenchmarkSelectByExpressions",
	results: func(s sample) []Result {
		return []Result{{Name: "select-10000-clusters-ms", Value: milli(s.time), Unit: "ms", Target: 100,
			What: "time to decide a Placement on 10,000 clusters: by labels, claims and CEL, two prioritizers, spread over regions, 2,500 clusters, with a previous decision"}}
	},
}, {
	pkg: "./placement", name: "BenchmarkSelectByLabels",
	results: func(s sample) []Result {
		return []Result{{Name: "select-10000-labels-ms", Value: milli(s.time), Unit: "ms", Target: 10,
			What: "time to decide one on 10,000 clusters by a label alone"}}
	},
}, {
	pkg: "./placement/rollout", name: "BenchmarkNextOn10000Clusters",
	results: func(s sample) []Result {
		return []Result{{Name: "rollout-step-10000-clusters-ms", Value: milli(s.time), Unit: "ms", Target: 50,
			What: "time to decide the next step of a rollout in the middle: one instance on 10,000 clusters in 20 groups, with all gates"}}
	},
}, {
	pkg: "./hub/rollout", name: "BenchmarkPlanOn10000Clusters",
	results: func(s sample) []Result {
		return []Result{{Name: "rollout-plan-10000-clusters-ms", Value: milli(s.time), Unit: "ms",
			What: "time that the hub takes for such a step from its caches on: clusters, decisions, Targets, what expressions read, and a CEL gate"}}
	},
}, {
	pkg: "./cmd/kronvoy/internal/preview", name: "BenchmarkPreview1000Clusters",
	results: func(s sample) []Result {
		return []Result{{Name: "preview-1000-clusters-ms", Value: milli(s.time), Unit: "ms",
			What: "time that `kronvoy preview` takes for a change of an image of one instance with five resources on 1,000 clusters, once the hub's objects are read"}}
	},
}, {
	pkg: "./hub/dashboard", name: "BenchmarkFleetPage",
	results: func(s sample) []Result {
		return []Result{{Name: "ui-page-2000-clusters", Value: milli(s.time), Unit: "ms",
			What: "time in which the hub renders and compresses the dashboard's page of 2,000 clusters with 20,000 Targets; a test holds it below 150 KiB with style and script"}}
	},
}, {
	pkg: "./hub/dashboard", name: "BenchmarkChange",
	results: func(s sample) []Result {
		return []Result{{Name: "ui-change-2000-clusters", Value: micro(s.time), Unit: "µs",
			What: "time from a change that the hub's cache has to the event for a page of 2,000 clusters, beside the 250 ms for which changes are gathered"}}
	},
}}

func micro(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// goBenchmarks runs them all; of several rounds the median counts.
func goBenchmarks(ctx context.Context, o options) ([]Result, error) {
	var results []Result
	for _, b := range goBenchmarkList {
		o.say("running %s in %s, %d rounds", b.name, b.pkg, o.rounds)
		args := []string{"test", "-run=^$", "-bench=^" + b.name + "$", "-benchmem", "-count=" + strconv.Itoa(o.rounds), b.pkg}
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("running go %s: %w\n%s", strings.Join(args, " "), err, out)
		}
		samples, err := parseSamples(string(out), b.name)
		if err != nil {
			return nil, fmt.Errorf("reading what go %s says: %w\n%s", strings.Join(args, " "), err, out)
		}
		for _, r := range b.results(medianSample(samples)) {
			r.Command = fmt.Sprintf("go test -run='^$' -bench='^%s$' -benchmem %s", b.name, b.pkg)
			results = append(results, r)
		}
	}
	return results, nil
}

// A line is "BenchmarkName-2   12345   98765 ns/op   4321 B/op   99 allocs/op", with
// what a benchmark reports itself, as "24.6 KiB/page", before B/op.
var sampleLine = regexp.MustCompile(`(?m)^(Benchmark\w+)(?:-\d+)?\s+\d+\s+([\d.]+) ns/op(?:\s+\S+ \S+)*?\s+([\d.]+) B/op`)

func parseSamples(text, name string) ([]sample, error) {
	var samples []sample
	for _, line := range sampleLine.FindAllStringSubmatch(text, -1) {
		if line[1] != name {
			continue
		}
		nanoseconds, err := strconv.ParseFloat(line[2], 64)
		if err != nil {
			return nil, err
		}
		bytes, err := strconv.ParseFloat(line[3], 64)
		if err != nil {
			return nil, err
		}
		samples = append(samples, sample{time: time.Duration(nanoseconds), bytes: bytes})
	}
	if len(samples) == 0 {
		return nil, fmt.Errorf("there is no result of %s", name)
	}
	return samples, nil
}

func medianSample(samples []sample) sample {
	times, bytes := make([]time.Duration, len(samples)), make([]float64, len(samples))
	for i, s := range samples {
		times[i], bytes[i] = s.time, s.bytes
	}
	return sample{time: median(times), bytes: median(bytes)}
}

// median of at least one value; of an even number of them the lower one.
func median[T time.Duration | float64](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[(len(sorted)-1)/2]
}

// percentile of at least one value: as many percent of them are not higher.
func percentile[T time.Duration | float64](values []T, percent int) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(0, (len(sorted)*percent+99)/100-1)]
}
