// Package filelock is a lock between processes on one machine. The kernel
// releases it when its holder ends, also after kill -9.
package filelock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrHeld is returned by Try while another process holds the lock.
var ErrHeld = errors.New("the lock is held by another process")

// Lock is a held lock.
type Lock struct {
	file *os.File
	path string
}

// Try takes the lock at once, or returns ErrHeld with the holder's process id
// in its text. The holder may remove the file to leave nothing behind, so a
// lock counts only while its path still leads to the locked file.
func Try(path string) (*Lock, error) {
	for {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, fmt.Errorf("making the lock's directory: %w", err)
		}
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		if errors.Is(err, fs.ErrNotExist) {
			continue // its last holder has just removed the directory
		}
		if err != nil {
			return nil, fmt.Errorf("opening the lock: %w", err)
		}
		if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			holder := readHolder(file)
			_ = file.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				return nil, fmt.Errorf("%s: %w%s", path, ErrHeld, holder)
			}
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		if !sameFile(file, path) {
			_ = file.Close()
			continue
		}
		lock := &Lock{file: file, path: path}
		return lock, lock.writeHolder()
	}
}

// Acquire waits for the lock; it calls waiting once if it has to wait.
func Acquire(ctx context.Context, path string, waiting func(error)) (*Lock, error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for first := true; ; first = false {
		lock, err := Try(path)
		if err == nil || !errors.Is(err, ErrHeld) {
			return lock, err
		}
		if first && waiting != nil {
			waiting(err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for %s: %w", path, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// Release gives the lock up and leaves its file.
func (l *Lock) Release() error { return l.file.Close() }

// Remove gives the lock up and removes its file.
func (l *Lock) Remove() error {
	return errors.Join(os.Remove(l.path), l.file.Close())
}

func (l *Lock) writeHolder() error {
	if err := l.file.Truncate(0); err != nil {
		return fmt.Errorf("writing the lock's holder: %w", err)
	}
	if _, err := l.file.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0); err != nil {
		return fmt.Errorf("writing the lock's holder: %w", err)
	}
	return nil
}

func readHolder(file *os.File) string {
	buf := make([]byte, 32)
	n, _ := file.ReadAt(buf, 0)
	if pid := strings.TrimSpace(string(buf[:n])); pid != "" {
		return " (process " + pid + ")"
	}
	return ""
}

func sameFile(file *os.File, path string) bool {
	open, err := file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(path)
	return err == nil && os.SameFile(open, named)
}
