// Package budget bounds tests that could go on for long, such as fault
// injection and random properties: each runs cases until its time is used up,
// and says how many of how many it has covered.
//
// Two environment variables rule it, which make hands on:
//
//	BUDGET  how long each of these tests may take, as in 90s or 10m; "all"
//	        runs every case; without it a small sample runs
//	SEED    makes the same random choices again; without it they differ
//
// A file named by KRONVOY_COVERED collects a line per test, since `go test`
// hides what passing tests say.
package budget

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// The environment variables that rule tests.
const (
	budgetVariable  = "BUDGET"
	seedVariable    = "SEED"
	coveredVariable = "KRONVOY_COVERED"
	all             = "all"
)

// Budget is what one test may spend on its cases.
type Budget struct {
	t      testing.TB
	what   string
	total  int
	limit  int           // cases, where positive
	time   time.Duration // where positive
	seed   uint64
	begin  time.Time
	ended  time.Time
	covers int
	notes  []string
	goOn   bool
}

// New gives the test a budget for total cases, of which sample are run where
// BUDGET says nothing. Cases are called by what, as in "cycles". When the test
// ends it reports what was covered, with the seed.
func New(t testing.TB, what string, total, sample int) *Budget {
	t.Helper()
	b := &Budget{t: t, what: what, total: total, begin: time.Now()}
	var err error
	if b.limit, b.time, err = parse(os.Getenv(budgetVariable), sample); err != nil {
		t.Fatal(err)
	}
	if b.seed, err = parseSeed(os.Getenv(seedVariable)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.report)
	return b
}

// Cases yields the numbers of the cases to run, from 0: at least one, and one
// more as long as there is budget and the test has not failed; see GoOn.
func (b *Budget) Cases() iter.Seq[int] {
	return func(yield func(int) bool) {
		defer func() { b.ended = time.Now() }()
		for i := range b.total {
			if i > 0 && b.spent(i) {
				return
			}
			more := yield(i)
			if b.t.Failed() && !b.goOn || !more {
				return
			}
			b.covers = i + 1
		}
	}
}

// GoOn makes cases go on after one has failed.
func (b *Budget) GoOn() { b.goOn = true }

// Rand makes the random choices of one case. They depend on the seed and the
// number of the case alone, so that a case can be run again by itself.
func (b *Budget) Rand(i int) *rand.Rand { return rand.New(rand.NewPCG(b.seed, uint64(i))) }

// Seed is what SEED says, or was chosen.
func (b *Budget) Seed() uint64 { return b.seed }

// Note adds a line to what is reported when the test ends.
func (b *Budget) Note(format string, args ...any) {
	b.notes = append(b.notes, fmt.Sprintf(format, args...))
}

// Duration is how long this test may take by BUDGET; 0 where it is bounded by
// the number of cases.
func (b *Budget) Duration() time.Duration { return b.time }

// Covered is what was run, as in "12 of 50 cycles in 1m5s (SEED=7)".
func (b *Budget) Covered() string {
	end := b.ended
	if end.IsZero() {
		end = time.Now()
	}
	return fmt.Sprintf("%d of %d %s in %s (SEED=%d)", b.covers, b.total, b.what, end.Sub(b.begin).Round(time.Millisecond), b.seed)
}

func (b *Budget) spent(cases int) bool {
	return b.limit > 0 && cases >= b.limit || b.time > 0 && time.Since(b.begin) >= b.time
}

func (b *Budget) report() {
	b.t.Helper()
	lines := b.t.Name() + ": " + b.Covered()
	for _, note := range b.notes {
		lines += "\n  " + note
	}
	b.t.Logf("covered %s", lines)
	path := os.Getenv(coveredVariable)
	if path == "" {
		return
	}
	if err := appendLine(path, lines); err != nil {
		b.t.Errorf("noting what was covered: %v", err)
	}
}

func appendLine(path, line string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	if _, err := file.WriteString(line + "\n"); err != nil {
		_ = file.Close()
		return err
	}
	return file.Close()
}

// parse reads BUDGET; of the two limits at most one is positive.
func parse(text string, sample int) (cases int, limit time.Duration, err error) {
	switch text {
	case "":
		return max(1, sample), 0, nil
	case all:
		return 0, 0, nil
	}
	limit, err = time.ParseDuration(text)
	if err != nil || limit <= 0 {
		return 0, 0, fmt.Errorf(`BUDGET=%s: give a time as in 90s or 10m, or "all"`, text)
	}
	return 0, limit, nil
}

func parseSeed(text string) (uint64, error) {
	if text == "" {
		return uint64(time.Now().UnixNano()), nil
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("SEED=%s: give a whole number that is not negative", text)
	}
	return seed, nil
}
