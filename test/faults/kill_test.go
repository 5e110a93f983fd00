//go:build integration

package faults

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kronvoy/kronvoy/test/budget"
	"github.com/kronvoy/kronvoy/test/fleet"
)

// The phases of an instance's life, in each of which something is killed.
type phase int

const (
	creation phase = iota
	update
	move
	deletion
	phases
)

func (p phase) String() string { return []string{"creation", "update", "move", "deletion"}[p] }

const (
	// totalKills is what BUDGET=all runs; sampleKills without a budget.
	totalKills  = 300
	sampleKills = 24
)

// TestKillsLeaveNoTrace ends the hub or agents, or all of them, at once and in
// the middle of a creation, an update, a move or a deletion, and starts them again
// with nothing in their memory. Whatever was killed when:
//   - the clusters and the instance's status end up as in a run without kills;
//   - no object is deleted that is to stay, none is made twice, and waves keep
//     their order;
//   - once all is in place nothing is written;
//   - nothing is left of a deleted instance, on the hub or on any cluster.
func TestKillsLeaveNoTrace(t *testing.T) {
	w := start(t)
	clean := w.live(t)

	b := budget.New(t, "kills", totalKills, sampleKills)
	begin := time.Now()
	defer func() {
		if t.Failed() {
			w.explain(t, begin)
		}
	}()
	var life life
	for i := range b.Cases() {
		p := phase(i % int(phases))
		if p == creation {
			life = w.begin(&clean)
		}
		k := choose(b.Rand(i), w, clean.writes[p])
		t.Logf("case %d: in the %s, after %s", i, p, k)
		begin = time.Now()
		life.run(t, p, func(r *record) { w.kill(t, k, r) })
		if diff := cmp.Diff(clean.ends[p], life.end); diff != "" {
			t.Errorf("case %d ends differently from a run without kills (-clean +killed):\n%s", i, diff)
		}
		t.Logf("case %d took %s", i, time.Since(begin).Round(time.Millisecond))
	}
}

// kill is one fault.
type kill struct {
	victims []*fleet.Process
	// after is the number of writes of the phase after which it happens.
	after int
	// pause is how long the victims are away.
	pause time.Duration
}

func (k kill) String() string {
	names := make([]string, 0, len(k.victims))
	for _, v := range k.victims {
		names = append(names, v.Name())
	}
	return fmt.Sprintf("write %d kill %s for %s", k.after, strings.Join(names, ", "), k.pause)
}

// choose makes a kill that hits a phase which makes about that many writes.
func choose(r *rand.Rand, w *world, writes int) kill {
	processes := []*fleet.Process{w.stack.Hub}
	for _, spoke := range w.stack.Fleet.Spokes() {
		processes = append(processes, w.stack.Agents[spoke.Name])
	}
	k := kill{after: r.IntN(writes + 1), pause: time.Duration(r.IntN(400)) * time.Millisecond}
	switch n := r.IntN(len(processes) + 2); {
	case n < len(processes):
		k.victims = processes[n : n+1]
	case n == len(processes):
		k.victims = processes[:2]
	default:
		k.victims = processes
	}
	return k
}

// kill waits for its moment, ends the victims and starts them again.
func (w *world) kill(t *testing.T, k kill, r *record) {
	t.Helper()
	r.awaitWrites(t, k.after)
	for _, v := range k.victims {
		if err := v.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	timer := time.NewTimer(k.pause)
	defer timer.Stop()
	<-timer.C
	for _, v := range k.victims {
		if err := v.Start(); err != nil {
			t.Fatal(err)
		}
	}
}
