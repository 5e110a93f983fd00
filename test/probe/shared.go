package probe

import (
	"fmt"
	"os"
	"sync"
	"testing"
)

// Shared is what the tests of a package share, as a fleet: started for the first
// test that asks, and stopped after the last. It may be asked by tests that run
// side by side.
type Shared[W any] struct {
	// Start makes it. Where it fails it leaves nothing behind.
	Start func() (W, error)
	Stop  func(W) error

	once  sync.Once
	world W
	err   error
	up    bool
}

// Get fails a test where there is nothing to share.
func (s *Shared[W]) Get(t testing.TB) W {
	t.Helper()
	s.once.Do(func() {
		s.world, s.err = s.Start()
		s.up = s.err == nil
	})
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.world
}

// Run runs the tests of TestMain and returns the exit status: a world that cannot
// be stopped is a failure.
func (s *Shared[W]) Run(m *testing.M) int {
	code := m.Run()
	if !s.up {
		return code
	}
	if err := s.Stop(s.world); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}
