// Command kronvoy-spoke runs the agent of one cluster.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"

	"golang.org/x/sync/errgroup"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/kronvoy/kronvoy/internal/trace"
)

// gcPercent trades a little processor time for memory: an agent has little to
// do and shares a node with those it serves.
const gcPercent = 50

// version is set when linking.
var version = "unknown"

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func run() error {
	var c config
	// A set of its own: libraries define flags on the common one.
	flags := flag.NewFlagSet("kronvoy-spoke", flag.ContinueOnError)
	c.addFlags(flags)
	showVersion := flags.Bool("version", false, "print the version and end")
	if err := flags.Parse(os.Args[1:]); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if *showVersion {
		_, err := fmt.Fprintln(os.Stdout, "kronvoy-spoke version", version)
		return err
	}
	if err := c.complete(); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctrl.SetupSignalHandler())
	go staySmall(ctx)
	c.agent.Tracer = trace.FromEnvironment(ctx, "kronvoy-spoke", version, c.agent.Logger.WithName("trace"))
	defer c.agent.Tracer.Stop()
	group.Go(func() error { return c.probes(ctx) })
	group.Go(func() error { return c.serve(ctx) })
	return group.Wait()
}
