package filelock_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/kronvoy/kronvoy/test/fleet/internal/filelock"
)

func TestALockHasOneHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "lock")
	held, err := filelock.Try(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := filelock.Try(path); !errors.Is(err, filelock.ErrHeld) {
		t.Errorf("a second Try: %v, want %v", err, filelock.ErrHeld)
	}

	ctx, cancel := context.WithCancel(t.Context())
	_, err = filelock.Acquire(ctx, path, func(error) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for a held lock: %v, want %v", err, context.Canceled)
	}
	_, err = filelock.Acquire(t.Context(), path, func(error) {
		if err := held.Release(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Errorf("waiting for a released lock: %v", err)
	}
}

func TestARemovedLockCanBeTakenAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	for range 3 {
		held, err := filelock.Try(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := held.Remove(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the lock file is left: %v", err)
		}
	}
}
