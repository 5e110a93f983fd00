package stack

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// CLI builds the command line on its first call, and returns its path.
func (s *Stack) CLI(ctx context.Context) (string, error) {
	s.cli.Lock()
	defer s.cli.Unlock()
	path := filepath.Join(s.bin(), "kronvoy")
	if s.built {
		return path, nil
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "./cmd/kronvoy")
	cmd.Dir = s.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the command line: %w\n%s", err, out)
	}
	s.built = true
	return path, nil
}
