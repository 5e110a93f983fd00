package main

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

// TestEveryBenchmarkRuns runs each once: the graphs compile in both engines, and
// both find all of them ready.
func TestEveryBenchmarkRuns(t *testing.T) {
	var out bytes.Buffer
	if err := run(&out, "webapp|100-chain|foreach|d9$", 1, time.Nanosecond); err != nil {
		t.Fatal(err)
	}
	lines := 0
	for d := json.NewDecoder(&out); d.More(); lines++ {
		var l line
		if err := d.Decode(&l); err != nil {
			t.Fatal(err)
		}
		if l.Value <= 0 || l.What == "" || l.Run == "" {
			t.Errorf("%+v", l)
		}
	}
	if want := 5 * 3; lines != want {
		t.Errorf("%d lines, want %d", lines, want)
	}
}

// TestLayersCostTheSame counts allocations, which do not depend on what else the
// machine does.
func TestLayersCostTheSame(t *testing.T) {
	perLayer := func(depth int) float64 {
		_, ours, err := evaluating(layered(2, depth), 0)()
		if err != nil {
			t.Fatal(err)
		}
		return testing.AllocsPerRun(5, ours) / float64(depth)
	}
	if shallow, deep := perLayer(4), perLayer(12); deep > 1.2*shallow {
		t.Errorf("%.0f allocations per layer in 4 layers, %.0f in 12", shallow, deep)
	}
}
