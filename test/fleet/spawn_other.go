//go:build unix && !linux

package fleet

import (
	"os/exec"
	"syscall"
)

// bind does nothing: only Linux ends a child with its parent. What a killed
// parent leaves here ends with the next start of the same fleet.
func bind(*syscall.SysProcAttr) {}

func newSpawner() (start func(*exec.Cmd) error, stop func()) {
	return (*exec.Cmd).Start, func() {}
}
