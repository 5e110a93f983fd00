//go:build integration

package faults

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/kronvoy/kronvoy/test/budget"
)

// summary is what came of plans.
type summary struct {
	tally map[string]*tally
	// worst is the slowest recovery, and at the plan that it was from.
	worst time.Duration
	at    string
	// failures are plans after which something was wrong.
	failures int
}

// tally counts plans: those that were run, those of which something happened,
// and those of these after which all was as without.
type tally struct{ run, fired, converged int }

func (t tally) String() string {
	return fmt.Sprintf("%d run, %d fired, %d converged", t.run, t.fired, t.converged)
}

// add counts a plan that is one of a group. It took recovery from what happened
// until all was in place.
func (s *summary) add(group, name string, fired, converged bool, recovery time.Duration) {
	if s.tally == nil {
		s.tally = map[string]*tally{}
	}
	t := s.tally[group]
	if t == nil {
		t = &tally{}
		s.tally[group] = t
	}
	t.run++
	if !fired {
		return
	}
	t.fired++
	if !converged {
		return
	}
	t.converged++
	if recovery > s.worst {
		s.worst, s.at = recovery, name
	}
}

// report adds the summary to what the budget says at the end.
func (s *summary) report(b *budget.Budget) {
	var all tally
	for _, group := range slices.Sorted(maps.Keys(s.tally)) {
		t := s.tally[group]
		all.run, all.fired, all.converged = all.run+t.run, all.fired+t.fired, all.converged+t.converged
		b.Note("%s: %s", group, t)
	}
	b.Note("all: %s; the slowest recovery took %s: %s", all, s.worst.Round(time.Millisecond), s.at)
}
