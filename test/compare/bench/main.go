// Command bench measures kro's engine and ours in one process, on the same
// graphs, with the schemas of all kinds already read. It prints a JSON line per
// figure, in the form that test/bench reads.
//
//	go run ./bench -rounds 5 -run compile
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"time"
)

// line is one figure; the fields are those of test/bench.
type line struct {
	Name        string   `json:"name"`
	Value       float64  `json:"value"`
	Unit        string   `json:"unit"`
	Peer        *float64 `json:"peer"`
	Ratio       *float64 `json:"ratio"`
	Target      float64  `json:"target,omitempty"`
	RatioTarget float64  `json:"ratioTarget,omitempty"`
	What        string   `json:"what"`
	// Run selects the benchmark that the figure is from.
	Run string `json:"run"`
}

func main() {
	rounds := flag.Int("rounds", 5, "how often each side is measured, in turns; the median counts")
	atLeast := flag.Duration("time", 200*time.Millisecond, "how long a side is measured in a round, at least")
	pattern := flag.String("run", "", "regular expression of the benchmarks to run")
	flag.Parse()
	if err := run(os.Stdout, *pattern, *rounds, *atLeast); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, pattern string, rounds int, atLeast time.Duration) error {
	selected, err := regexp.Compile(pattern)
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	for _, b := range benchmarks {
		if !selected.MatchString(b.name) {
			continue
		}
		kro, ours, err := b.prepare()
		if err != nil {
			return fmt.Errorf("preparing %s: %w", b.name, err)
		}
		peer, own := inTurns(rounds, atLeast, kro, ours)
		if err := report(out, b, peer, own); err != nil {
			return err
		}
	}
	if selected.MatchString(growth) {
		return reportGrowth(out, rounds, atLeast)
	}
	return nil
}

// growth of a pass with the layers of a graph; with kro it doubles with each.
const growth = "evaluate-layered-w2-growth"

// reportGrowth compares the time per layer of a deep graph and a shallow one,
// both in our engine.
func reportGrowth(out io.Writer, rounds int, atLeast time.Duration) error {
	const shallow, deep = 9, 18
	_, few, err := evaluating(layered(2, shallow), 0)()
	if err != nil {
		return fmt.Errorf("preparing %s: %w", growth, err)
	}
	_, many, err := evaluating(layered(2, deep), 0)()
	if err != nil {
		return fmt.Errorf("preparing %s: %w", growth, err)
	}
	base, own := inTurns(rounds, atLeast, few, many)
	l := line{Name: growth, Value: own.time.Seconds() / deep / (base.time.Seconds() / shallow), Target: 1.5, Run: growth,
		What: "time per layer in 18 layers divided by that in 9 layers, with us: 1 is linear"}
	if err := json.NewEncoder(out).Encode(l); err != nil {
		return fmt.Errorf("writing a result: %w", err)
	}
	return nil
}

// inTurns measures both sides one after the other, the first one alternating, so
// that what else the machine does meets both.
func inTurns(rounds int, atLeast time.Duration, kro, ours func()) (peer, own measure) {
	var peers, owns []measure
	for i := range rounds {
		if i%2 == 0 {
			peers, owns = append(peers, take(atLeast, kro)), append(owns, take(atLeast, ours))
			continue
		}
		owns, peers = append(owns, take(atLeast, ours)), append(peers, take(atLeast, kro))
	}
	return medianOf(peers), medianOf(owns)
}

func report(out io.Writer, b benchmark, peer, own measure) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	rows := []struct {
		suffix, unit, what string
		ours, kro, target  float64
		ratioTarget        float64
	}{
		{"", "ms", "time to " + b.what, own.time.Seconds() * 1000, peer.time.Seconds() * 1000, b.target, b.ratio},
		{"-memory", "kB", "memory allocated by that", own.bytes / 1000, peer.bytes / 1000, 0, b.bytesRatio},
		{"-allocations", "", "number of allocations of that", own.allocations, peer.allocations, 0, 0},
	}
	for _, r := range rows {
		ratio := r.ours / r.kro
		l := line{Name: b.name + r.suffix, Value: r.ours, Unit: r.unit, Peer: &r.kro, Ratio: &ratio, Target: r.target, RatioTarget: r.ratioTarget, What: r.what, Run: b.name}
		if err := encoder.Encode(l); err != nil {
			return fmt.Errorf("writing a result: %w", err)
		}
	}
	return nil
}

// median of at least one value; of an even number of them the lower one.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[(len(sorted)-1)/2]
}
