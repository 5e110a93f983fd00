package probe

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kronvoy/kronvoy/test/audit"
)

// Write is a request that changes something, whatever was answered.
type Write = audit.Write

// Audit reads what Kronvoy's processes write, for a test.
type Audit struct {
	log *audit.Log
}

// NewAudit keeps its files in dir, which must outlive the API servers.
func NewAudit(dir string) (*Audit, error) {
	log, err := audit.New(dir)
	return &Audit{log: log}, err
}

// Args turn auditing on in the API server of a cluster.
func (a *Audit) Args(cluster string) []string { return a.log.Args(cluster) }

// Writes are all so far on all clusters, those of one cluster in their order,
// without heartbeats and events.
func (a *Audit) Writes(t testing.TB) []Write {
	t.Helper()
	writes, err := a.log.Writes()
	if err != nil {
		t.Fatal(err)
	}
	return writes
}

// Quiet waits until nothing was written for that long.
func (a *Audit) Quiet(t testing.TB, long time.Duration) {
	t.Helper()
	last, since := 0, time.Now()
	Within(t, patience+long, "Kronvoy to write nothing for "+long.String(), func() error {
		writes := a.Writes(t)
		if len(writes) != last {
			last, since = len(writes), time.Now()
		}
		if quiet := time.Since(since); quiet < long {
			return fmt.Errorf("the last writes are %s", Lines(writes[max(0, len(writes)-5):]))
		}
		return nil
	})
}

// Since are the writes after a moment.
func (a *Audit) Since(t testing.TB, begin time.Time) []Write {
	t.Helper()
	return slices.DeleteFunc(a.Writes(t), func(w Write) bool { return w.At.Before(begin) })
}

// Lines writes one item a line.
func Lines[T fmt.Stringer](items []T) string {
	var b strings.Builder
	for _, item := range items {
		b.WriteString("\n  " + item.String())
	}
	return b.String()
}
