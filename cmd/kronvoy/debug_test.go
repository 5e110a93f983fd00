package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	debugbundle "github.com/kronvoy/kronvoy/cmd/kronvoy/internal/bundle"
)

func TestAnInterruptedBundleLeavesNoFile(t *testing.T) {
	dir := t.TempDir()
	write := func(failed error) func(io.Writer) (debugbundle.Manifest, error) {
		return func(w io.Writer) (debugbundle.Manifest, error) {
			_, err := io.WriteString(w, "half")
			return debugbundle.Manifest{}, errors.Join(err, failed)
		}
	}
	for _, failed := range []error{context.Canceled, nil} {
		if _, err := writeWhole(filepath.Join(dir, "bundle.tar.gz"), write(failed)); !errors.Is(err, failed) {
			t.Errorf("the error is %v, want %v", err, failed)
		}
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]int{true: 0, false: 1}[failed != nil]; len(files) != want {
			t.Errorf("after %v there are %v", failed, files)
		}
	}
}
