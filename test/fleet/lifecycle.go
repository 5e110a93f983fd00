package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kronvoy/kronvoy/test/fleet/binaries"
	"github.com/kronvoy/kronvoy/test/fleet/internal/filelock"
)

// Start starts a fleet and returns when all of it is ready. What it does not
// have it builds first, which takes minutes once. If the context ends or
// anything fails on the way, nothing is left behind. The fleet does not end
// with the context.
//
// What a killed process has left of the same fleet is ended and removed. A
// detached fleet that runs is left alone, with ErrRunning; one that runs in
// part, because some of its processes were killed, is made whole again.
func Start(ctx context.Context, options Options) (_ *Fleet, err error) {
	options, err = options.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("starting a fleet: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("starting fleet %q in %s: %w", options.Name, options.Dir, err)
		}
	}()
	paths, err := binaries.Ensure(ctx, options.Progress)
	if err != nil {
		return nil, err
	}
	lock, err := tryLock(options.Dir)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, options.Timeout, fmt.Errorf("not ready after %s", options.Timeout))
	defer cancel()

	old, err := readState(options.Dir)
	switch {
	case errors.Is(err, errNoState):
		if err := foreign(options.Dir); err != nil {
			return nil, errors.Join(err, lock.Remove())
		}
	case err == nil && old.Detached && old.Phase == phaseReady && old.alive() > 0:
		f := open(options.Dir, old)
		f.paths, f.lock, f.progress = paths, lock, options.Progress
		return f.resume(ctx, options)
	default:
		fmt.Fprintf(options.Progress, "ending what an earlier run has left in %s\n", options.Dir)
	}
	// Processes carry the fleet's mark also where no state names them.
	if err := errors.Join(sweep(options.Dir, old), wipe(options.Dir, false)); err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	return create(ctx, options, paths, lock)
}

func create(ctx context.Context, options Options, paths binaries.Paths, lock *filelock.Lock) (*Fleet, error) {
	begin := time.Now()
	f := open(options.Dir, state{
		Name:     options.Name,
		Phase:    phaseStarting,
		Detached: options.Detached,
		KeepLogs: options.KeepLogs,
		Started:  begin.UTC(),
		Kubectl:  paths.Kubectl,
	})
	f.paths, f.lock, f.progress = paths, lock, options.Progress
	var stopSpawner func()
	f.startBound, stopSpawner = newSpawner()
	f.release = append(f.release, stopSpawner)

	err := os.MkdirAll(filepath.Join(f.dir, logsDir), 0o700)
	if err == nil {
		err = f.up(ctx, options)
	}
	if err == nil {
		f.mu.Lock()
		f.state.Phase = phaseReady
		f.mu.Unlock()
		err = f.save()
	}
	if err != nil {
		return nil, errors.Join(err, f.Stop(context.WithoutCancel(ctx)))
	}
	f.say("fleet %s: %d clusters are ready after %s", f.Name(), len(f.clusters), time.Since(begin).Round(100*time.Millisecond))
	return f, nil
}

// resume starts those processes of a detached fleet that have ended.
func (f *Fleet) resume(ctx context.Context, options Options) (*Fleet, error) {
	if len(f.ended()) == 0 || !options.Detached {
		return nil, errors.Join(fmt.Errorf("%w with %d clusters: `kronvoy fleet down` ends it", ErrRunning, len(f.clusters)), f.lock.Release())
	}
	// More than once: one that was just killed seems to run for some
	// milliseconds, and its death then fails the others' start.
	var err error
	for range 5 {
		ended := f.ended()
		if len(ended) == 0 {
			break
		}
		err = f.restart(ctx, ended)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: `kronvoy fleet down` ends what is left of it", err), f.lock.Release())
	}
	return f, nil
}

func (f *Fleet) ended() []*Process {
	return slices.DeleteFunc(f.Processes(), (*Process).Running)
}

func (f *Fleet) restart(ctx context.Context, ended []*Process) error {
	for _, p := range ended {
		f.say("%s had ended, starting it again", p.Name())
		if err := p.Start(); err != nil {
			return err
		}
	}
	if err := f.waitEtcd(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, c := range f.Clusters() {
		group.Go(func() error { return c.WaitReady(ctx) })
	}
	return group.Wait()
}

// Open finds a fleet that another process has started, to look at it and to
// stop, kill and start its processes. The caller does not own it: the fleet
// stays whatever becomes of the caller.
func Open(dir string) (*Fleet, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	s, err := readState(dir)
	if err != nil {
		return nil, err
	}
	return open(dir, s), nil
}

func open(dir string, s state) *Fleet {
	f := &Fleet{dir: dir, progress: io.Discard, state: s}
	for _, c := range s.Clusters {
		f.clusters = append(f.clusters, f.newCluster(c))
	}
	for _, p := range s.Processes {
		f.processes = append(f.processes, &Process{command: p.Command, log: f.logPath(p.Name), fleet: f, id: p.identity})
	}
	return f
}

// Down ends the detached fleet in dir, or what a killed process has left of any
// fleet there, and removes its files.
func Down(ctx context.Context, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if _, err := readState(dir); errors.Is(err, errNoState) {
		return err
	}
	lock, err := tryLock(dir)
	if err != nil {
		return err
	}
	// A state that cannot be read is no reason to leave processes behind: they
	// carry the fleet's mark.
	s, err := readState(dir)
	f := open(dir, s)
	f.lock = lock
	return errors.Join(err, f.Stop(ctx))
}

// Stop ends the fleet and removes its files. Processes that Run has started are
// asked to end, the last first; the control planes are killed, since nobody
// needs their data any more.
func (f *Fleet) Stop(ctx context.Context) error {
	if f.lock == nil {
		return fmt.Errorf("stopping fleet %q: it was opened to be looked at; use Down", f.Name())
	}
	f.mu.Lock()
	stopped := f.stopped
	f.stopped = true
	processes, s, release := slices.Clone(f.processes), f.state, f.release
	s.Processes = slices.Clone(s.Processes)
	f.mu.Unlock()
	if stopped {
		return nil
	}
	var errs []error
	for i, p := range slices.Backward(processes) {
		if s.Processes[i].Extra {
			errs = append(errs, p.Stop(ctx))
		}
	}
	var group errgroup.Group
	for _, p := range processes {
		group.Go(p.Kill)
	}
	errs = append(errs, group.Wait(), sweep(f.dir, s))
	for _, free := range release {
		free()
	}
	errs = append(errs, wipe(f.dir, s.KeepLogs), f.lock.Remove(), removeDir(f.dir))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stopping fleet %q: %w", s.Name, err)
	}
	return nil
}

// Close lets go of a detached fleet, which runs on. Any other fleet it stops.
func (f *Fleet) Close(ctx context.Context) error {
	if !f.state.Detached {
		return f.Stop(ctx)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped || f.lock == nil {
		return nil
	}
	f.stopped = true
	for _, free := range f.release {
		free()
	}
	return f.lock.Release()
}

func tryLock(dir string) (*filelock.Lock, error) {
	lock, err := filelock.Try(filepath.Join(dir, lockFile))
	if errors.Is(err, filelock.ErrHeld) {
		return nil, fmt.Errorf("the fleet belongs to a process that runs, end that first: %w", err)
	}
	return lock, err
}
