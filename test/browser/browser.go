// Package browser brings what drives a headless Chromium, for the dashboard's
// test (`make test-browser`) and its benchmarks. It needs node and npm; a Chromium
// that is installed is used, else npm brings one.
package browser

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/kronvoy/kronvoy/test/fleet/binaries"
)

//go:embed package.json package-lock.json launch.mjs measure.mjs
var files embed.FS

// ErrNoNode is that node or npm is not there.
var ErrNoNode = errors.New("node and npm are not installed, which drive the browser: apt-get install nodejs npm")

// Driver is what was installed.
type Driver struct{ dir string }

// Install brings what the lock file has into the cache, once.
func Install(ctx context.Context) (Driver, error) {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return Driver{}, fmt.Errorf("%w (%w)", ErrNoNode, err)
		}
	}
	cache, err := binaries.CacheDir()
	if err != nil {
		return Driver{}, err
	}
	entries, err := files.ReadDir(".")
	if err != nil {
		return Driver{}, err
	}
	sum, texts := sha256.New(), map[string][]byte{}
	for _, entry := range entries {
		text, err := files.ReadFile(entry.Name())
		if err != nil {
			return Driver{}, err
		}
		texts[entry.Name()] = text
		if filepath.Ext(entry.Name()) == ".json" {
			sum.Write(text)
		}
	}
	d := Driver{filepath.Join(cache, "browser", hex.EncodeToString(sum.Sum(nil))[:16])}
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return Driver{}, fmt.Errorf("making a directory for the browser: %w", err)
	}
	for name, text := range texts {
		if err := os.WriteFile(filepath.Join(d.dir, name), text, 0o644); err != nil {
			return Driver{}, fmt.Errorf("writing what drives the browser: %w", err)
		}
	}
	installed := filepath.Join(d.dir, "installed")
	if _, err := os.Stat(installed); err == nil {
		return d, nil
	}
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = d.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return Driver{}, fmt.Errorf("npm ci, which brings what drives the browser: %w\n%s", err, out)
	}
	return d, os.WriteFile(installed, nil, 0o644)
}

// Env tells a script where the modules are.
func (d Driver) Env() string { return "MODULES=" + filepath.Join(d.dir, "node_modules") }

// Measure is the script that measures the fleet's page; env is what it is told.
func (d Driver) Measure(ctx context.Context, env ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "node", filepath.Join(d.dir, "measure.mjs"))
	cmd.Env = append(append(os.Environ(), d.Env()), env...)
	return cmd
}
