package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/connect"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/exit"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
	"github.com/kronvoy/kronvoy/internal/plain"
	"github.com/kronvoy/kronvoy/internal/steer"
)

// errUnfinished is that a rollout has not succeeded, for --exit-code and --wait.
const errUnfinished = exit.No

type rolloutFlags struct {
	connect.Hub
	output string
}

func (o *rolloutFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	o.Bind(flags)
	o.BindNamespace(flags, "the rollout")
	output.BindFormat(cmd, &o.output, "table", "json", "yaml")
}

type rolloutStatusOptions struct {
	rolloutFlags
	exitCode, wait bool
	timeout        time.Duration
}

func rolloutStatusCommand() *cobra.Command {
	var opts rolloutStatusOptions
	cmd := &cobra.Command{
		Use:   "status [NAME]",
		Short: "Show how far rollouts have come",
		Long: `Show how far rollouts have come: all of a namespace, or one, group by group, with the
clusters that have not passed.

With --wait it watches until the rollout of the instances and the Distribution as they
are now is over, or needs somebody: right after they were applied, what became of the
change before does not count.`,
		Example: `  kronvoy rollout status -A
  kronvoy rollout status shop -n shop
  kronvoy rollout status shop -n shop --wait --timeout 30m`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, namespace, err := opts.Client()
			if err != nil {
				return err
			}
			watch := func(ctx context.Context, look func(context.Context, client.Reader) error) error {
				cmd.SetContext(ctx)
				return follow(cmd, &opts.Hub, c, rolloutOnly(namespace), nil, look)
			}
			return opts.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), c, watch, namespace, args)
		},
	}
	flags := cmd.Flags()
	opts.add(cmd)
	opts.BindAllNamespaces(flags)
	flags.BoolVar(&opts.exitCode, "exit-code", false, "exit with 2 if a rollout has not succeeded")
	flags.BoolVar(&opts.wait, "wait", false, "wait until the rollout has succeeded, or needs somebody")
	flags.DurationVar(&opts.timeout, "timeout", time.Hour, "how long to wait")
	exit.Says(cmd, exit.TimedOut, "with --wait: the rollout has not come to an end after --timeout")
	exit.Says(cmd, exit.No, "with --exit-code or --wait: a rollout has not succeeded, and with --wait needs somebody")
	completeFirst(cmd, rolloutNames)
	return cmd
}

// rolloutOnly are the objects that matter to a rollout. Which Distribution an instance
// is of, Targets in the clusters' namespaces may have to say.
func rolloutOnly(namespace string) cache.Options {
	return cache.Options{
		DefaultNamespaces: map[string]cache.Config{namespace: {}},
		ByObject:          map[client.Object]cache.ByObject{&kronvoyv1alpha1.Target{}: {Namespaces: map[string]cache.Config{metav1.NamespaceAll: {}}}},
	}
}

// watchRollout calls a look again whenever something has changed of what it reads.
type watchRollout func(ctx context.Context, look func(context.Context, client.Reader) error) error

func (o *rolloutStatusOptions) run(ctx context.Context, out, progress io.Writer, c client.Reader, watch watchRollout, namespace string, names []string) error {
	if len(names) == 0 {
		if o.wait {
			return errors.New("--wait is for one rollout: name it")
		}
		return o.list(ctx, out, c, namespace)
	}
	r, err := steer.Read(ctx, c, client.ObjectKey{Namespace: namespace, Name: names[0]})
	if err != nil {
		return err
	}
	if o.wait {
		if r, err = o.await(ctx, progress, watch, client.ObjectKeyFromObject(r)); err != nil {
			return err
		}
	}
	if o.output != "table" {
		err = output.Encode(out, o.output, r)
	} else {
		err = writeRollout(out, r)
	}
	if err == nil && (o.exitCode || o.wait) && r.Status.Phase != kronvoyv1alpha1.RolloutSucceeded {
		return errUnfinished
	}
	return err
}

// await looks on until the rollout of what is wanted now has come to an end by itself.
func (o *rolloutStatusOptions) await(ctx context.Context, progress io.Writer, watch watchRollout, key client.ObjectKey) (*kronvoyv1alpha1.Rollout, error) {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	var r *kronvoyv1alpha1.Rollout
	told := ""
	err := watch(ctx, func(ctx context.Context, c client.Reader) (err error) {
		if r, err = steer.Read(ctx, c, key); err != nil {
			return err
		}
		behind, err := steer.Behind(ctx, c, r)
		if err != nil {
			return err
		}
		line := cmp.Or(string(r.Status.Phase), "not begun") + ": " + plain.Line(r.Status.Message)
		switch r.Status.Phase {
		case kronvoyv1alpha1.RolloutProgressing, kronvoyv1alpha1.RolloutRollingBack, "":
		default:
			if behind == "" {
				return errSettled
			}
			line = behind
		}
		if line != told {
			fmt.Fprintln(progress, line)
			told = line
		}
		return nil
	})
	switch {
	case errors.Is(err, errSettled):
		return r, nil
	case err != nil:
		return nil, err
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		fmt.Fprintf(progress, "the Rollout %s has not come to an end after %s: %s\n", key, o.timeout, told)
		return nil, exit.TimedOut
	}
	return nil, ctx.Err()
}

func (o *rolloutStatusOptions) list(ctx context.Context, out io.Writer, c client.Reader, namespace string) error {
	var list kronvoyv1alpha1.RolloutList
	if err := c.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return fmt.Errorf("listing rollouts: %w", steer.NeedsRole(err, steer.RoleOperator, namespace))
	}
	slices.SortFunc(list.Items, func(a, b kronvoyv1alpha1.Rollout) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	if err := o.write(out, list.Items); err != nil {
		return err
	}
	if o.exitCode && slices.ContainsFunc(list.Items, func(r kronvoyv1alpha1.Rollout) bool {
		return r.Status.Phase != kronvoyv1alpha1.RolloutSucceeded
	}) {
		return errUnfinished
	}
	return nil
}

func (o *rolloutStatusOptions) write(out io.Writer, rollouts []kronvoyv1alpha1.Rollout) error {
	if o.output != "table" {
		return output.Encode(out, o.output, rollouts)
	}
	if len(rollouts) == 0 {
		_, err := fmt.Fprintln(out, "there are no rollouts: give a Distribution spec.rollout")
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "NAMESPACE\tNAME\tPHASE\tGROUP\tCLUSTERS\tUPDATED\tREADY\tFAILED\tMESSAGE")
	for i := range rollouts {
		r, s := &rollouts[i], &rollouts[i].Status
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%s\n", r.Namespace, r.Name, cmp.Or(string(s.Phase), "-"), cmp.Or(s.Group, "-"),
			s.Counts.Total, s.Counts.Updated, s.Counts.Ready, s.Counts.Failed, plain.Line(s.Message))
	}
	return table.Flush()
}

// writeRollout shows one with its groups and the clusters that have not passed.
func writeRollout(out io.Writer, r *kronvoyv1alpha1.Rollout) error {
	s := &r.Status
	fmt.Fprintf(out, "%s: %s\n", cmp.Or(string(s.Phase), "not begun"), plain.Line(s.Message))
	if s.ApprovalRequest != "" {
		fmt.Fprintf(out, "kronvoy rollout approve %s -n %s\n", s.ApprovalRequest, r.Namespace)
	}
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "\nGROUP\tSTATE\tCLUSTERS\tUPDATED\tREADY\tIN FLIGHT\tFAILED\tSKIPPED\tMESSAGE")
	for _, g := range s.Groups {
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\n", cmp.Or(g.Name, "-"), g.State, g.Counts.Total, g.Counts.Updated, g.Counts.Ready,
			g.Counts.InFlight, g.Counts.Failed, g.Counts.Skipped, plain.Line(g.Message))
	}
	if len(s.Clusters) > 0 {
		fmt.Fprintln(table, "\nCLUSTER\tGROUP\tSTATE\tREASON\tMESSAGE")
		for _, c := range s.Clusters {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", c.Name, cmp.Or(c.Group, "-"), c.State, cmp.Or(c.Reason, "-"), plain.Line(c.Message))
		}
	}
	return table.Flush()
}

type rolloutOrderOptions struct {
	rolloutFlags
	reason string
}

// orderCommand is one that gives an order.
func orderCommand(use, short, long, example, said string, change steer.Change) *cobra.Command {
	var opts rolloutOrderOptions
	cmd := &cobra.Command{
		Use: use + " NAME", Short: short, Example: example, Args: cobra.ExactArgs(1),
		Long: long + "\n\nNeeds the right to update Rollouts: ClusterRole kronvoy-rollout-operator.",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, namespace, err := opts.Client()
			if err != nil {
				return err
			}
			r, err := opts.order(cmd.Context(), c, client.ObjectKey{Namespace: namespace, Name: args[0]}, time.Now(), change)
			if err != nil {
				return err
			}
			return opts.say(cmd.OutOrStdout(), r, said)
		},
	}
	opts.add(cmd)
	cmd.Flags().StringVar(&opts.reason, "reason", "", "why, for others to read")
	completeFirst(cmd, rolloutNames)
	return cmd
}

func (o *rolloutFlags) say(out io.Writer, r *kronvoyv1alpha1.Rollout, said string) error {
	if o.output != "table" {
		return output.Encode(out, o.output, r)
	}
	_, err := fmt.Fprintf(out, "rollout %s: %s\n", r.Name, said)
	return err
}

// order steers a Rollout in one's own name.
func (o *rolloutOrderOptions) order(ctx context.Context, c client.Client, key client.ObjectKey, now time.Time, change steer.Change) (*kronvoyv1alpha1.Rollout, error) {
	who, err := whoAmI(ctx, c)
	if err != nil {
		return nil, err
	}
	return steer.Order(ctx, c, key, kronvoyv1alpha1.RolloutOrder{At: metav1.NewTime(now), By: who, Reason: o.reason}, change)
}

func rolloutSteerCommands() []*cobra.Command {
	return []*cobra.Command{
		orderCommand("pause", "Stop all moves of a rollout",
			"Stop all moves of a rollout, of a rollback too, until it is resumed. What was moved\nalready stays so, and clusters go on being looked after.",
			`  kronvoy rollout pause shop -n shop --reason "incident 4711"`, "paused", steer.Pause),
		orderCommand("resume", "Let a paused rollout go on", "Let a rollout go on that somebody paused.", "  kronvoy rollout resume shop -n shop", "goes on", steer.Resume),
		orderCommand("retry", "Try again what has failed",
			"Try again what has failed: deadlines begin anew, and a change that was rolled back is\nrolled out once more.",
			"  kronvoy rollout retry shop -n shop", "tries again", steer.Retry),
	}
}
