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
)

// version is set when linking.
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newCommand().ExecuteContext(ctx); err != nil {
		var status exitStatus
		if errors.As(err, &status) {
			os.Exit(int(status))
		}
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "kronvoy",
		Short:         "Compose resource graphs across a fleet of Kubernetes clusters",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.AddCommand(
		acceptCommand(),
		demoCommand(),
		detachCommand(),
		driftCommand(),
		explainCommand(),
		fleetCommand(),
		freezeCommand(),
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
		unjoinCommand(),
	)
	return cmd
}

// exitStatus is an error that says all it has to say by its number.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }
