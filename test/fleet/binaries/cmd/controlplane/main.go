// Command controlplane builds the control plane of the local fleet where it is
// missing, and prints the directory that holds it. With -ocm it builds OCM's own
// work agent besides. With -prune it removes what earlier versions have left
// instead.
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
	prune := flag.Bool("prune", false, "remove what earlier versions have built")
	ocm := flag.Bool("ocm", false, "build OCM's own work agent, too")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *prune, *ocm); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, prune, ocm bool) error {
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
	if !ocm {
		return nil
	}
	agent, err := binaries.EnsureOCMAgent(ctx, os.Stderr)
	if err != nil {
		return err
	}
	fmt.Println(agent)
	return nil
}
