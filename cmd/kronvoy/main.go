// Command kronvoy is the fleet operator's command line: it renders and lints
// graphs offline, shows the state of a fleet, and runs a local fleet.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/exit"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
)

// version is set when linking.
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cmd := newCommand()
	cmd.SetArgs(calledAs(cmd, os.Args))
	os.Exit(int(status(ctx, cmd.ExecuteContext(ctx))))
}

// status is the exit status after an error, which is printed where it has words.
func status(ctx context.Context, err error) exit.Code {
	var code exit.Code
	switch {
	case err == nil:
		return exit.Done
	case errors.As(err, &code):
		return code
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exit.Interrupted
	}
	fmt.Fprintln(os.Stderr, "Error:", err)
	return exit.Failed
}

func newCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "kronvoy",
		Short:         "Compose resource graphs across a fleet of Kubernetes clusters",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	output.BindColor(cmd)
	cmd.AddCommand(
		acceptCommand(),
		debugCommand(),
		demoCommand(),
		detachCommand(),
		driftCommand(),
		eventsCommand(),
		explainCommand(),
		fleetCommand(),
		freezeCommand(),
		getCommand(),
		graphCommand(),
		hubCommand(),
		joinCommand(),
		lintCommand(),
		migrateCommand(),
		previewCommand(),
		renderCommand(),
		rolloutCommand(),
		statusCommand(),
		thawCommand(),
		treeCommand(),
		unjoinCommand(),
		valuesCommand(),
		waitCommand(),
		exit.Topic(),
	)
	exit.Document(cmd)
	completeNames(cmd)
	return cmd
}
