package probe

import (
	"os"
	"strings"
	"testing"
	"time"
)

// patience is how long Eventually waits. It only ever passes in full when
// something is broken.
const patience = 45 * time.Second

// interval is the time between two looks.
const interval = 25 * time.Millisecond

// Eventually waits until check finds nothing wrong, or ends the test with the
// last thing that was.
func Eventually(t testing.TB, what string, check func() error) {
	t.Helper()
	Within(t, patience, what, check)
}

// Within is Eventually with another patience.
func Within(t testing.TB, limit time.Duration, what string, check func() error) {
	t.Helper()
	begin := time.Now()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Since(begin) > limit {
			t.Fatalf("waiting for %s: %v", what, err)
		}
		select {
		case <-ticker.C:
		case <-t.Context().Done():
			t.Fatalf("waiting for %s: %v; %v", what, t.Context().Err(), err)
		}
	}
}

// During looks again and again for a bounded time, and ends the test as soon
// as check finds something wrong: for what must not happen.
func During(t testing.TB, window time.Duration, what string, check func() error) {
	t.Helper()
	begin := time.Now()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for time.Since(begin) < window {
		if err := check(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		<-ticker.C
	}
}

// Tail is the last lines of a log, for a failing test to show, without those
// that say that something starts.
func Tail(path string, lines int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	var kept []string
	for line := range strings.Lines(string(text)) {
		if !strings.Contains(line, "Starting ") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept[max(0, len(kept)-lines):], "")
}
