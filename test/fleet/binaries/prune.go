package binaries

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kronvoy/kronvoy/test/fleet/internal/filelock"
)

// Prune removes what earlier pins have built from the cache, and returns its
// directories. What is being built stays.
func Prune() ([]string, error) {
	cache, err := CacheDir()
	if err != nil {
		return nil, err
	}
	var removed []string
	for _, kept := range []struct {
		folder string
		find   func() (module, error)
	}{{controlPlanes, controlPlane}, {ocmAgents, ocmAgent}} {
		mod, err := kept.find()
		if err != nil {
			return removed, err
		}
		gone, err := pruneAllBut(mod.key, filepath.Join(cache, kept.folder))
		removed = append(removed, gone...)
		if err != nil {
			return removed, err
		}
	}
	return removed, nil
}

func pruneAllBut(key, root string) (removed []string, err error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for earlier builds: %w", err)
	}
	for _, entry := range entries {
		if !entry.IsDir() || entry.Name() == key {
			continue
		}
		dir := filepath.Join(root, entry.Name())
		lock, err := filelock.Try(filepath.Join(dir, ".lock"))
		if errors.Is(err, filelock.ErrHeld) {
			continue
		}
		if err != nil {
			return removed, fmt.Errorf("removing an earlier build: %w", err)
		}
		if err := errors.Join(os.RemoveAll(dir), lock.Release()); err != nil {
			return removed, fmt.Errorf("removing an earlier build: %w", err)
		}
		removed = append(removed, dir)
	}
	return removed, nil
}
