package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/pmezard/go-difflib/difflib"
	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/exit"
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
			c, namespace, err := opts.Client()
			if err != nil {
				return err
			}
			all, err := readPast(cmd.Context(), c, client.ObjectKey{Namespace: namespace, Name: args[0]})
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

type rolloutDiffOptions struct {
	rolloutFlags
	instance string
	from     int64
}

// difference is what the commands print of two revisions.
type difference struct {
	Instance string `json:"instance"`
	From     string `json:"from"`
	To       string `json:"to"`
	// Diff is unified, of the revisions as YAML.
	Diff string `json:"diff"`
}

func rolloutDiffCommand() *cobra.Command {
	var opts rolloutDiffOptions
	cmd := &cobra.Command{
		Use:   "diff NAME",
		Short: "Show what the newest revisions change",
		Long: `Show what the newest revisions of a rollout's instances change: spec, definition and
overrides, against the good revision or another one. What comes of it on
clusters "kronvoy preview" shows.`,
		Example: `  kronvoy rollout diff shop -n shop
  kronvoy rollout diff shop -n shop --instance web --from 3`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, namespace, err := opts.Client()
			if err != nil {
				return err
			}
			all, err := readPast(cmd.Context(), c, client.ObjectKey{Namespace: namespace, Name: args[0]})
			if err != nil {
				return err
			}
			return opts.run(cmd.OutOrStdout(), all)
		},
	}
	opts.add(cmd)
	cmd.Flags().StringVar(&opts.instance, "instance", "", "of this instance alone")
	cmd.Flags().Int64Var(&opts.from, "from", 0, "number of the revision to compare with; the good one if 0")
	exit.Says(cmd, exit.Done, "nothing differs")
	exit.Says(cmd, exit.No, "something differs")
	completeFirst(cmd, rolloutNames)
	completeFlag(cmd, "from", revisionNumbers)
	return cmd
}

func (o *rolloutDiffOptions) run(out io.Writer, all []steer.Past) error {
	var differences []difference
	for i := range all {
		p := &all[i]
		if o.instance != "" && p.Instance != o.instance {
			continue
		}
		from, err := p.Before(o.from)
		if err != nil {
			return err
		}
		d := difference{Instance: p.Instance, To: p.Revisions[0].Name}
		if from != nil {
			d.From = from.Name
		}
		if d.Diff, err = unified(from, &p.Revisions[0]); err != nil {
			return err
		}
		if d.Diff != "" {
			differences = append(differences, d)
		}
	}
	if o.output != "table" {
		if err := output.Encode(out, o.output, differences); err != nil {
			return err
		}
	} else {
		for _, d := range differences {
			if _, err := fmt.Fprint(out, d.Diff); err != nil {
				return err
			}
		}
	}
	if len(differences) > 0 {
		return errUnfinished
	}
	return nil
}

func unified(from, to *appsv1.ControllerRevision) (string, error) {
	texts, names := [2]string{}, [2]string{"(nothing)", to.Name}
	for i, r := range []*appsv1.ControllerRevision{from, to} {
		if r == nil {
			continue
		}
		text, err := yaml.JSONToYAML(r.Data.Raw)
		if err != nil {
			return "", fmt.Errorf("reading revision %s: %w", r.Name, err)
		}
		texts[i], names[i] = string(text), r.Name
	}
	const around = 3
	return difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: difflib.SplitLines(texts[0]), B: difflib.SplitLines(texts[1]), FromFile: names[0], ToFile: names[1], Context: around,
	})
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
