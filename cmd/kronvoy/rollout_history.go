package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
	"github.com/kronvoy/kronvoy/internal/steer"
)

func rolloutHistoryCommand() *cobra.Command {
	var opts rolloutFlags
	cmd := &cobra.Command{
		Use:   "history NAME",
		Short: "List the revisions of a rollout's instances",
		Long: `List the revisions of a rollout's instances, newest first: which of them succeeded on
all clusters, which was rejected, and which is the good one that would be taken
back to.`,
		Example: "  kronvoy rollout history shop -n shop",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, all, err := opts.past(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return opts.writeVersions(cmd.OutOrStdout(), steer.Versions(all))
		},
	}
	opts.add(cmd)
	completeFirst(cmd, rolloutNames)
	return cmd
}

// past is what there is of the instances of a rollout.
func (o *rolloutFlags) past(ctx context.Context, name string) (client.Client, []steer.Past, error) {
	c, namespace, err := o.Client()
	if err != nil {
		return nil, nil, err
	}
	all, err := readPast(ctx, c, client.ObjectKey{Namespace: namespace, Name: name})
	return c, all, err
}

func readPast(ctx context.Context, c client.Reader, key client.ObjectKey) ([]steer.Past, error) {
	r, err := steer.Read(ctx, c, key)
	if err != nil {
		return nil, err
	}
	return steer.History(ctx, c, r)
}

func (o *rolloutFlags) writeVersions(out io.Writer, list []steer.Version) error {
	if o.output != "table" {
		return output.Encode(out, o.output, list)
	}
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "INSTANCE\tREVISION\tNAME\tDEFINITION\tCREATED\tSTATE")
	for _, v := range list {
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\t%s\n", v.Instance, v.Number, v.Revision, v.Definition, v.Created.UTC().Format(time.RFC3339), cmp.Or(v.State(), "-"))
	}
	return table.Flush()
}

type rolloutUndoOptions struct {
	rolloutOrderOptions
	instance string
	to       int64
	cancel   bool
}

func rolloutUndoCommand() *cobra.Command {
	var opts rolloutUndoOptions
	cmd := &cobra.Command{
		Use:   "undo NAME",
		Short: "Take instances back to an earlier revision",
		Long: `Take the instances of a rollout back to an earlier revision: the last that succeeded,
or one by number. No spec is changed, so that what keeps specs in a repository
does not put them back. It counts until an instance is changed again.

Needs the right to update Rollouts: ClusterRole kronvoy-rollout-operator.`,
		Example: `  kronvoy rollout undo shop -n shop --reason "errors at checkout"
  kronvoy rollout undo shop -n shop --instance web --to-revision 3
  kronvoy rollout undo shop -n shop --cancel`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, namespace, err := opts.Client()
			if err != nil {
				return err
			}
			return opts.run(cmd.Context(), cmd.OutOrStdout(), c, client.ObjectKey{Namespace: namespace, Name: args[0]}, time.Now())
		},
	}
	flags := cmd.Flags()
	opts.add(cmd)
	flags.StringVar(&opts.reason, "reason", "", "why, for others to read")
	flags.StringVar(&opts.instance, "instance", "", "take back this instance alone")
	flags.Int64Var(&opts.to, "to-revision", 0, "number of the revision, as history lists it; the last that succeeded if 0")
	flags.BoolVar(&opts.cancel, "cancel", false, "have the newest revisions again")
	cmd.MarkFlagsMutuallyExclusive("cancel", "to-revision")
	cmd.MarkFlagsMutuallyExclusive("cancel", "instance")
	completeFirst(cmd, rolloutNames)
	completeFlag(cmd, "to-revision", revisionNumbers)
	return cmd
}

func (o *rolloutUndoOptions) run(ctx context.Context, out io.Writer, c client.Client, key client.ObjectKey, now time.Time) error {
	var change steer.Change = steer.Cancel
	said := "has the newest revisions again"
	if !o.cancel {
		all, err := readPast(ctx, c, key)
		if err != nil {
			return err
		}
		pins, err := steer.Pins(all, o.instance, o.to)
		if err != nil {
			return err
		}
		change, said = steer.Undo(pins), fmt.Sprintf("takes %d instances back", len(pins))
	}
	r, err := o.order(ctx, c, key, now, change)
	if err != nil {
		return err
	}
	return o.say(out, r, said)
}
