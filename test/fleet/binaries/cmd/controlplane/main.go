// Command controlplane builds the control plane of the local fleet where it is
// missing, and prints the directory that holds it. With -prune it removes those
// that earlier versions have left instead.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/kronvoy/kronvoy/test/fleet/binaries"
)

func main() {
	prune := flag.Bool("prune", false, "remove the control planes of earlier versions")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *prune); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, prune bool) error {
	if prune {
		removed, err := binaries.Prune()
		for _, dir := range removed {
			fmt.Println("removed", dir)
		}
		return err
	}
	paths, err := binaries.Ensure(ctx, os.Stderr)
	if err != nil {
		return err
	}
	fmt.Println(filepath.Dir(paths.Kwok))
	return nil
}
