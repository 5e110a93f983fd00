package probe

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kronvoy/kronvoy/test/audit"
)

// Audit reads what Kronvoy's processes write.
type Audit struct {
	*audit.Log
}

// All are the writes so far.
func (a Audit) All(t testing.TB) []audit.Write {
	t.Helper()
	writes, err := a.Writes()
	if err != nil {
		t.Fatal(err)
	}
	return writes
}

// Since are the writes after a moment.
func (a Audit) Since(t testing.TB, begin time.Time) []audit.Write {
	t.Helper()
	return slices.DeleteFunc(a.All(t), func(w audit.Write) bool { return w.At.Before(begin) })
}

// Quiet waits until nothing was written for that long.
func (a Audit) Quiet(t testing.TB, long time.Duration) {
	t.Helper()
	last, since := 0, time.Now()
	Within(t, patience+long, "Kronvoy to write nothing for "+long.String(), func() error {
		writes := a.All(t)
		if len(writes) != last {
			last, since = len(writes), time.Now()
		}
		if quiet := time.Since(since); quiet < long {
			return fmt.Errorf("the last writes are %s", Lines(writes[max(0, len(writes)-5):]))
		}
		return nil
	})
}

// Settled waits until the last write was that long ago.
func (a Audit) Settled(t testing.TB, long time.Duration) {
	t.Helper()
	Within(t, patience+long, "the last write to be "+long.String()+" ago", func() error {
		var last audit.Write
		for _, w := range a.All(t) {
			if w.At.After(last.At) {
				last = w
			}
		}
		if time.Since(last.At) < long {
			return fmt.Errorf("it is %s", last)
		}
		return nil
	})
}

// Lines writes one item a line.
func Lines[T fmt.Stringer](items []T) string {
	var b strings.Builder
	for _, item := range items {
		b.WriteString("\n  " + item.String())
	}
	return b.String()
}
