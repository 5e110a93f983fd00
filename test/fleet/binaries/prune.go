package binaries

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kronvoy/kronvoy/test/fleet/internal/filelock"
)

// Prune removes control planes from the cache that earlier pins have built, and
// returns their directories. One that is being built stays.
func Prune() ([]string, error) {
	mod, err := findModule()
	if err != nil {
		return nil, err
	}
	cache, err := CacheDir()
	if err != nil {
		return nil, err
	}
	root := filepath.Join(cache, "controlplane")
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for old control planes: %w", err)
	}
	var removed []string
	for _, entry := range entries {
		if !entry.IsDir() || entry.Name() == mod.key {
			continue
		}
		dir := filepath.Join(root, entry.Name())
		lock, err := filelock.Try(filepath.Join(dir, ".lock"))
		if errors.Is(err, filelock.ErrHeld) {
			continue
		}
		if err != nil {
			return removed, fmt.Errorf("removing an old control plane: %w", err)
		}
		if err := errors.Join(os.RemoveAll(dir), lock.Release()); err != nil {
			return removed, fmt.Errorf("removing an old control plane: %w", err)
		}
		removed = append(removed, dir)
	}
	return removed, nil
}
