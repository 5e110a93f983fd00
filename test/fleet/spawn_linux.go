package fleet

import (
	"os/exec"
	"runtime"
	"syscall"
)

// bind ties a child to the thread that starts it: the kernel kills it when
// that thread ends, and so when this process ends in whatever way.
func bind(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }

// newSpawner returns a function that starts commands, all on one thread which
// lives until stop is called. A child bound to any other of Go's threads would
// die whenever the runtime drops that thread.
func newSpawner() (start func(*exec.Cmd) error, stop func()) {
	type request struct {
		cmd  *exec.Cmd
		done chan error
	}
	requests, stopped := make(chan request), make(chan struct{})
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with this function
		for {
			select {
			case r := <-requests:
				r.done <- r.cmd.Start()
			case <-stopped:
				return
			}
		}
	}()
	start = func(cmd *exec.Cmd) error {
		r := request{cmd: cmd, done: make(chan error, 1)}
		select {
		case requests <- r:
			return <-r.done
		case <-stopped:
			return errStopped
		}
	}
	return start, func() { close(stopped) }
}
