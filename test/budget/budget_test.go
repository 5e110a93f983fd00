package budget_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/kronvoy/kronvoy/test/budget"
)

func TestCasesEndWithTheBudget(t *testing.T) {
	tests := map[string]struct {
		budget string
		spend  time.Duration
		want   int
	}{
		"a sample by default":       {budget: "", want: 2},
		"all of them":               {budget: "all", want: 5},
		"as many as fit":            {budget: "10m", want: 5},
		"one however little it is":  {budget: "1ns", want: 1},
		"none begins after the end": {budget: "1ms", spend: 2 * time.Millisecond, want: 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("BUDGET", test.budget)
			t.Setenv("KRONVOY_COVERED", "")
			b, got := budget.New(t, "cases", 5, 2), 0
			for i := range b.Cases() {
				if i != got {
					t.Errorf("case %d, want %d", i, got)
				}
				got++
				for begin := time.Now(); time.Since(begin) < test.spend; { // the case's own work
				}
			}
			if got != test.want {
				t.Errorf("%d cases, want %d", got, test.want)
			}
		})
	}
}

func TestWhatWasCoveredIsNoted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "covered")
	t.Setenv("KRONVOY_COVERED", path)
	t.Setenv("BUDGET", "")
	t.Setenv("SEED", "7")
	t.Run("inner", func(t *testing.T) {
		b := budget.New(t, "cycles", 50, 3)
		for range b.Cases() {
		}
		b.Note("the worst took %d s", 2)
	})
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`^TestWhatWasCoveredIsNoted/inner: 3 of 50 cycles in \S+ \(SEED=7\)\n  the worst took 2 s\n$`)
	if !want.Match(got) {
		t.Errorf("%q, want %s", got, want)
	}
}

func TestACaseIsRandomByItsSeedAndNumberAlone(t *testing.T) {
	t.Setenv("KRONVOY_COVERED", "")
	t.Setenv("SEED", "42")
	a, b := budget.New(t, "cases", 9, 9), budget.New(t, "cases", 9, 9)
	a.Rand(0).Uint64()
	if got, want := a.Rand(3).Uint64(), b.Rand(3).Uint64(); got != want {
		t.Errorf("case 3 gives %d and %d", got, want)
	}
	if a.Rand(1).Uint64() == a.Rand(2).Uint64() {
		t.Error("cases 1 and 2 are the same")
	}
}
