package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// grace is how long a process has to end by itself after SIGTERM.
const grace = 10 * time.Second

// Command says what a process runs. It is part of the state file, so that
// another kronvoy command can start the process again.
type Command struct {
	// Name is unique in the fleet, as in "eu-west/kube-apiserver".
	Name string `json:"name"`
	Path string `json:"path"`
	// Args follow the path.
	Args []string `json:"args,omitempty"`
	// Env is added to the environment of this process.
	Env []string `json:"env,omitempty"`
	// Dir is the working directory; the fleet's by default.
	Dir string `json:"dir,omitempty"`
}

// Process is a program of the fleet: started, stopped, killed and paused at
// will, with everything it prints in one log file.
type Process struct {
	command Command
	log     string
	fleet   *Fleet

	mu sync.Mutex
	id identity
	// ended is closed once the child has ended, with its result in result; nil
	// where the process is no child of this one.
	ended  chan struct{}
	result error
}

// Name is the unique name of the process, as in "eu-west/kube-apiserver".
func (p *Process) Name() string { return p.command.Name }

// Log is the path of the file that holds everything the process has printed.
func (p *Process) Log() string { return p.log }

// PID is the process id, or 0 where it does not run.
func (p *Process) PID() int {
	if id := p.identity(); id.alive() {
		return id.PID
	}
	return 0
}

// Running says whether the process runs; a paused one does.
func (p *Process) Running() bool { return p.identity().alive() }

// Usage measures the process, which must be running.
func (p *Process) Usage() (Usage, error) {
	id := p.identity()
	if !id.alive() {
		return Usage{}, fmt.Errorf("%s does not run", p.Name())
	}
	return usageOf(id.PID)
}

// RSS is the resident memory in bytes, 0 where the process does not run.
func (p *Process) RSS() int64 {
	usage, _ := p.Usage()
	return usage.RSS
}

// CPU is the processor time used since the start, 0 where the process does not
// run.
func (p *Process) CPU() time.Duration {
	usage, _ := p.Usage()
	return usage.CPU
}

// Start starts the process and does not wait until it is of use.
func (p *Process) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.id.alive() {
		return fmt.Errorf("starting %s: it runs as process %d", p.Name(), p.id.PID)
	}
	if err := p.fleet.mayStart(); err != nil {
		return fmt.Errorf("starting %s: %w", p.Name(), err)
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("starting %s: %w", p.Name(), err)
	}
	defer func() { _ = log.Close() }()

	cmd := exec.Command(p.command.Path, p.command.Args...)
	cmd.Dir = p.command.Dir
	cmd.Env = append(append(os.Environ(), p.command.Env...), p.fleet.mark())
	cmd.Stdout, cmd.Stderr = log, log
	if err := p.fleet.spawn(cmd); err != nil {
		return fmt.Errorf("starting %s: %w", p.Name(), err)
	}
	p.id, err = identify(cmd.Process.Pid)
	if err != nil {
		return errors.Join(fmt.Errorf("starting %s: %w", p.Name(), err), cmd.Process.Kill(), cmd.Wait())
	}
	ended := make(chan struct{})
	p.ended = ended
	go func() {
		err := cmd.Wait()
		p.mu.Lock()
		p.result = err
		p.mu.Unlock()
		close(ended)
	}()
	p.fleet.record(p.command, p.id)
	return p.fleet.save()
}

// Stop asks the process to end, kills it if it has not after ten seconds or
// when the context is done, and returns once it has ended. A paused process
// goes on, to be able to end.
func (p *Process) Stop(ctx context.Context) error {
	if err := errors.Join(p.signal(syscall.SIGTERM), p.signal(syscall.SIGCONT)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if err := p.wait(ctx); err == nil {
		return nil
	}
	return p.Kill()
}

// Kill ends the process at once, as a crash would, and returns when it is gone.
func (p *Process) Kill() error {
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if err := p.wait(ctx); err != nil {
		return fmt.Errorf("process %d is still there: %w", p.identity().PID, err)
	}
	return nil
}

// Pause stops the process from running until Resume; its connections stay open
// and are silent.
func (p *Process) Pause() error { return p.signal(syscall.SIGSTOP) }

// Resume lets a paused process go on.
func (p *Process) Resume() error { return p.signal(syscall.SIGCONT) }

// Restart stops the process and starts it again.
func (p *Process) Restart(ctx context.Context) error {
	if err := p.Stop(ctx); err != nil {
		return err
	}
	return p.Start()
}

// Replace stops the process and starts another program in its place, with the same
// arguments, as an upgrade does.
func (p *Process) Replace(ctx context.Context, path string) error {
	if err := p.Stop(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	p.command.Path = path
	p.mu.Unlock()
	return p.Start()
}

// Wait returns when the process has ended: with its exit status where this
// process started it, else with nil.
func (p *Process) Wait(ctx context.Context) error {
	if err := p.wait(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.result
}

func (p *Process) wait(ctx context.Context) error {
	p.mu.Lock()
	id, ended := p.id, p.ended
	p.mu.Unlock()
	if ended == nil {
		return poll(ctx, p.Name()+" to end", func(context.Context) error {
			if id.alive() {
				return errors.New("it runs")
			}
			return nil
		})
	}
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for %s to end: %w", p.Name(), context.Cause(ctx))
	}
}

func (p *Process) signal(sig syscall.Signal) error {
	if err := p.identity().signal(sig); err != nil {
		return fmt.Errorf("sending %s to %s: %w", sig, p.Name(), err)
	}
	return nil
}

func (p *Process) identity() identity {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.id
}

// died returns an error with the end of the log where the process has ended.
func (p *Process) died() error {
	if p.Running() {
		return nil
	}
	return fmt.Errorf("%s has ended, its log %s says:\n%s", p.Name(), p.log, lastLines(p.log, 8))
}

// lastLines reads the end of a log, for an error.
func lastLines(path string, lines int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return "  " + strings.Join(all[max(0, len(all)-lines):], "\n  ")
}

func (f *Fleet) logPath(process string) string {
	return filepath.Join(f.dir, logsDir, strings.ReplaceAll(process, "/", "_")+".log")
}
