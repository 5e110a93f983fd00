package main

import (
	"context"
	"io"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"

	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/connect"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/tree"
)

type treeOptions struct {
	connect.Hub
	tree.Options
	output string
}

func treeCommand() *cobra.Command {
	var opts treeOptions
	cmd := &cobra.Command{
		Use:   "tree INSTANCE",
		Short: "Show all that belongs to an instance, down to its objects on each cluster",
		Long: `Show all that belongs to an instance: its revisions, the rollout that it moves in,
its clusters, and on each of them the nodes of the graph by wave, with their
objects, works, states, drift and ages. Instances that the hub made for a node are
shown below it.

Of many clusters the ten worst are shown; --all shows each, and --cluster one.

INSTANCE is a name, or kind/name where several kinds share a name.`,
		Example: `  kronvoy tree webapp/shop -n shop
  kronvoy tree shop -n shop --cluster eu-west
  kronvoy tree shop -n shop --all -o json | jq '.clusters[].nodes[].objects[]? | select(.drift)'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Progress = progress(cmd.ErrOrStderr(), clock.RealClock{})
			return opts.run(cmd.Context(), cmd.OutOrStdout(), args[0], output.StyleOf(cmd))
		},
	}
	flags := cmd.Flags()
	opts.Bind(flags)
	opts.BindNamespace(flags, "the instance")
	flags.StringVar(&opts.Cluster, "cluster", "", "this cluster alone")
	flags.BoolVar(&opts.All, "all", false, "all clusters, and not the worst alone")
	flags.StringVar(&opts.HubNamespace, "hub-namespace", "kronvoy-system", "namespace that the hub runs in")
	output.BindFormat(cmd, &opts.output, output.FormatTable, output.FormatJSON, output.FormatYAML)
	completeFirst(cmd, instanceNames)
	return cmd
}

func (o *treeOptions) run(ctx context.Context, out io.Writer, reference string, style output.Style) error {
	c, namespace, err := o.Client()
	if err != nil {
		return err
	}
	t, err := tree.Of(ctx, c, namespace, reference, o.Options)
	if err != nil {
		return err
	}
	if output.ForPeople(o.output) {
		return t.Write(out, time.Now(), style)
	}
	return output.Encode(out, o.output, t)
}
