package main

import (
	"fmt"
	"time"

	"github.com/kronvoy/kronvoy/test/fleet"
)

// watched is a process whose use of the machine is looked at for some time.
type watched struct {
	process *fleet.Process
	begin   time.Time
	before  time.Duration // of processor time
	// The highest so far, in MiB; peak since the start of the process.
	rss, anonymous, peak float64
	last                 time.Time
	used                 time.Duration
}

func observe(process *fleet.Process) *watched {
	return &watched{process: process, begin: time.Now(), before: process.CPU()}
}

func (w *watched) look() error {
	usage, err := w.process.Usage()
	if err != nil {
		return fmt.Errorf("measuring %s: %w", w.process.Name(), err)
	}
	w.last, w.used = time.Now(), usage.CPU-w.before
	w.rss = max(w.rss, float64(usage.RSS)/mebi)
	anonymous, err := w.status("RssAnon")
	if err != nil {
		return err
	}
	w.anonymous = max(w.anonymous, anonymous)
	w.peak, err = w.status("VmHWM")
	return err
}

// status is a size in MiB that the kernel tells of the process.
func (w *watched) status(key string) (float64, error) {
	path := fmt.Sprintf("/proc/%d/status", w.process.PID())
	var kib float64
	text := field(path, key)
	if _, err := fmt.Sscanf(text, "%f kB", &kib); err != nil {
		return 0, fmt.Errorf("reading %s of %s from %s, which says %q: %w", key, w.process.Name(), path, text, err)
	}
	return kib / kibi, nil
}

// cpu is the share of a core used so far, in percent.
func (w *watched) cpu() float64 { return 100 * float64(w.used) / float64(w.last.Sub(w.begin)) }
