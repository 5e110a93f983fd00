package rollout

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kronvoy/kronvoy/internal/golden"
)

// TestForesee plays the scripts in testdata/forecast, as TestScenarios does, and
// says at their end how the rollout would go on at best.
func TestForesee(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "forecast", "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatal("there are no forecasts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			script, _, _ := strings.Cut(string(content), logMark)
			golden.Compare(t, file, script+logMark+foreseen(stageOf(t, script).input()))
		})
	}
}

// stageOf plays a script to its end, as far as what was changed last.
func stageOf(t *testing.T, script string) *world {
	w := newWorld(t)
	w.strategy.Gates = RequiredGates{Health: true}
	w.instances["app"] = &Instance{Name: "app", Wanted: "v1"}
	for line := range strings.Lines(script) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case words[0] == "at":
			for until := noon.Add(duration(t, words[1])); ; {
				next := w.settle()
				if next.IsZero() || next.After(until) {
					w.now = until
					break
				}
				w.now = next
			}
			w.command(newOracle(w), words[2:])
		default:
			w.command(newOracle(w), words)
		}
	}
	return w
}

func foreseen(in Input) string {
	f := Foresee(in)
	var out strings.Builder
	for _, g := range f.Groups {
		if len(g.Clusters) == 0 {
			fmt.Fprintf(&out, "group %s: none of %d moves, passed after %s\n", g.Group, g.Total, g.Ends)
			continue
		}
		ask := ""
		if g.Approval {
			ask = "asks, "
		}
		fmt.Fprintf(&out, "group %s: %s%d of %d move %v, at most %d in flight, from %s to %s: %s\n",
			g.Group, ask, len(g.Clusters), g.Total, g.Moves, g.AtOnce, g.Begins, g.Ends, strings.Join(g.Clusters, " "))
	}
	fmt.Fprintf(&out, "%s after %s: %s\n", f.Phase, f.Duration, f.Message)
	return out.String()
}

// TestForeseeIsWhatHappens compares with a world in which everything goes well:
// it moves the same clusters in the same order, and takes longer by no more than
// what clusters take to report.
func TestForeseeIsWhatHappens(t *testing.T) {
	for _, settings := range []string{
		"groupBy=region maxConcurrency=1 soak=10m",
		"groupBy=region order=us,eu maxConcurrency=40% soak=1m approval=ap",
		"groupBy=region maxConcurrency=2 soak=0s",
		"kind=Progressive maxConcurrency=3 soak=5m",
		"kind=All",
	} {
		t.Run(settings, func(t *testing.T) {
			w := stageOf(t, "strategy "+settings+"\nclusters eu-1..eu-7 us-1..us-4 ap-1..ap-2\nsettled v1\nready v2 0s\nwanted v2\n")
			forecast := Foresee(w.input())
			began := w.now
			var order []string
			rounds := 0
			for {
				w.check = func(in Input, step Step) {
					if step.Record == in.Record && len(step.Moves) > 0 {
						rounds++
						for _, m := range step.Moves {
							order = append(order, m.Cluster)
						}
					}
				}
				next := w.settle()
				if w.question != nil && len(w.approvals) == 0 {
					w.answer(Approved)
					continue
				}
				if next.IsZero() {
					break
				}
				w.now = next
			}
			if w.last.Phase != Succeeded || forecast.Phase != Succeeded || !forecast.Complete {
				t.Fatalf("it ends in %s, and was to end in %s", w.last.Phase, forecast.Phase)
			}
			var wanted []string
			wantRounds := 0
			for _, g := range forecast.Groups {
				wanted = append(wanted, g.Clusters...)
				wantRounds += len(g.Moves)
			}
			// Groups follow one another; within a move the order is that of names.
			if diff := cmp.Diff(wanted, order); diff != "" {
				t.Errorf("clusters move otherwise (-foreseen +moved):\n%s", diff)
			}
			took, slack := w.now.Sub(began), time.Duration(rounds)*reportDelay
			if rounds != wantRounds || took < forecast.Duration || took > forecast.Duration+slack {
				t.Errorf("it took %s in %d rounds, and was to take %s in %d", took, rounds, forecast.Duration, wantRounds)
			}
		})
	}
}

func TestForeseeLeavesItsInputAlone(t *testing.T) {
	in := thousands(200)
	before := fmt.Sprintf("%+v", in)
	Foresee(in)
	if after := fmt.Sprintf("%+v", in); after != before {
		t.Error("the input is another one afterwards")
	}
}

func TestForeseeIsBounded(t *testing.T) {
	in := thousands(100)
	in.Strategy = Strategy{MaxConcurrency: Amount{Value: 1}, MinSuccessTime: time.Minute}
	if f := Foresee(in); !f.Complete || f.Phase != Succeeded {
		t.Errorf("it ends in %s: %s", f.Phase, f.Message)
	}
	f := foresee(in, 5000)
	if f.Complete || len(f.Groups) != 1 || len(f.Groups[0].Clusters) < 10 {
		t.Errorf("it is complete, or follows nothing: %+v", f)
	}
}

func TestWants(t *testing.T) {
	in := Input{Now: noon, Instances: []Instance{
		{Name: "new", Wanted: "v2", History: History{Good: "v1"}},
		{Name: "rejected", Wanted: "v2", History: History{Good: "v1", Rejected: "v2", RejectedAt: noon.Add(-time.Hour)}},
		{Name: "pinned", Wanted: "v2", Pinned: "v0"},
	}}
	want := map[string]string{"new": "v2", "rejected": "v1", "pinned": "v0"}
	if diff := cmp.Diff(want, Wants(in)); diff != "" {
		t.Error(diff)
	}
	in.Retry = noon.Add(-time.Minute)
	slices.Reverse(in.Instances)
	want["rejected"] = "v2"
	if diff := cmp.Diff(want, Wants(in)); diff != "" {
		t.Error(diff)
	}
}
