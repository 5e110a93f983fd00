package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/connect"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/handover"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
)

func migrateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Move a cluster between kro's controller and Kronvoy",
		Long: `Move a cluster between kro's controller and Kronvoy.

From kro nothing needs to be moved: stop kro's controller and install Kronvoy
with config/local. The way back needs "kronvoy migrate to-kro".`,
	}
	cmd.AddCommand(migrateToKroCommand())
	return cmd
}

type migrateOptions struct {
	connect.Hub
	hubNamespace, output string
	dryRun               bool
}

func migrateToKroCommand() *cobra.Command {
	var opts migrateOptions
	cmd := &cobra.Command{
		Use:   "to-kro",
		Short: "Give what runs on the hub's own cluster to kro's controller",
		Long: `Give what runs on the hub's own cluster to kro's controller.

Stop the hub first. Every object of every instance becomes kro's to change and
to delete; none is changed otherwise, deleted or restarted. Then the hub's own
records of the instances are removed. Start kro's controller afterwards. It is
safe to run the command again.`,
		Example: `  kubectl scale -n kronvoy-system deployment/kronvoy-hub --replicas=0
  kronvoy migrate to-kro --dry-run
  kronvoy migrate to-kro`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return opts.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	opts.Bind(flags)
	flags.StringVar(&opts.hubNamespace, "hub-namespace", "kronvoy-system", "namespace that the hub runs in")
	output.BindFormat(cmd, &opts.output, "table", "json", "yaml")
	flags.BoolVar(&opts.dryRun, "dry-run", false, "only say what would be handed over")
	return cmd
}

func (o migrateOptions) run(ctx context.Context, out io.Writer) error {
	c, _, err := o.Client()
	if err != nil {
		return err
	}
	plan, err := handover.Gather(ctx, c, o.hubNamespace, time.Now())
	if err != nil {
		return err
	}
	if err := o.write(out, plan); err != nil {
		return err
	}
	if len(plan.Obstacles) > 0 {
		return errors.New("nothing was handed over: " + strings.Join(plan.Obstacles, "; "))
	}
	if o.dryRun {
		return nil
	}
	return plan.Carry(ctx, c)
}

func (o migrateOptions) write(out io.Writer, plan *handover.Plan) error {
	if o.output != "table" {
		return output.Encode(out, o.output, plan)
	}
	for _, instance := range plan.Instances {
		fmt.Fprintln(out, instance)
	}
	for _, object := range plan.Objects {
		fmt.Fprintln(out, " ", object)
	}
	_, err := fmt.Fprintf(out, "%d instances, %d objects\n", len(plan.Instances), len(plan.Objects))
	return err
}
