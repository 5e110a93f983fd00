package stack

import (
	"context"
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
	if err := s.compile(ctx, "", path, "./cmd/kronvoy"); err != nil {
		return "", err
	}
	s.built = true
	return path, nil
}
