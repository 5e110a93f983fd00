package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// identity names one process for ever: a process id alone may name another
// process once its own has ended.
type identity struct {
	PID int `json:"pid"`
	// Start is when it started, in the platform's own words.
	Start string `json:"start"`
}

// Usage is what a process uses.
type Usage struct {
	// RSS is the resident memory in bytes.
	RSS int64
	// CPU is the processor time since the process started.
	CPU time.Duration
}

// identify returns the identity of a process that runs.
func identify(pid int) (identity, error) {
	start, _, err := startOf(pid)
	return identity{PID: pid, Start: start}, err
}

// alive says whether the process still runs; a zombie does not.
func (id identity) alive() bool {
	if id.PID <= 0 {
		return false
	}
	start, zombie, err := startOf(id.PID)
	return err == nil && !zombie && start == id.Start
}

// signal sends a signal, and does nothing where the process has ended. The
// handle is taken before the check: where handles exist (Linux), the signal
// then cannot reach a process that took over the id in between.
func (id identity) signal(sig syscall.Signal) error {
	handle, err := os.FindProcess(id.PID)
	if err != nil {
		return nil
	}
	defer func() { _ = handle.Release() }()
	if !id.alive() {
		return nil
	}
	if err := handle.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// kill ends the process and returns when it is gone.
func (id identity) kill() error {
	if err := id.signal(syscall.SIGKILL); err != nil {
		return fmt.Errorf("ending process %d: %w", id.PID, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	return poll(ctx, fmt.Sprintf("process %d to end", id.PID), func(context.Context) error {
		if id.alive() {
			return errors.New("it runs")
		}
		return nil
	})
}
