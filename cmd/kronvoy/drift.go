package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/connect"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/exit"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
	"github.com/kronvoy/kronvoy/internal/drift"
)

// errDrift is that a finding is open, for --exit-code.
const errDrift = exit.No

func driftCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drift",
		Short: "Show what was changed on clusters, and decide about it",
		Long: `Show what was changed on clusters, and decide about it.

A finding is a difference between what the hub shipped and what is there, as
the cluster's agent reports it. "list" and "show" read Targets, WorkReports and
ManagedClusters on the hub: the ClusterRole kronvoy-drift-reader allows that.`,
	}
	cmd.AddCommand(driftAcceptCommand(), driftCorrectCommand(), driftListCommand(), driftShowCommand())
	return cmd
}

// driftFlags are those of all drift commands.
type driftFlags struct {
	connect.Hub
	cluster, output string
}

func (o *driftFlags) add(flags *pflag.FlagSet) {
	o.Bind(flags)
	o.BindNamespaces(flags, "the instances")
	flags.StringVar(&o.cluster, "cluster", "", "only this cluster")
}

// scope is what the flags and an instance select.
func (o *driftFlags) scope(namespace, instance string) drift.Scope {
	return drift.Scope{Instance: instance, Namespace: namespace, Cluster: o.cluster}
}

// actions are all that --action takes.
var actions = []kronvoyv1alpha1.FindingAction{
	kronvoyv1alpha1.FindingReported, kronvoyv1alpha1.FindingConflict, kronvoyv1alpha1.FindingCorrected, kronvoyv1alpha1.FindingMutatedOnAdmission,
}

type driftListOptions struct {
	driftFlags
	actions            []string
	accepted, exitCode bool
}

func driftListCommand() *cobra.Command {
	var opts driftListOptions
	cmd := &cobra.Command{
		Use:   "list [KIND/NAME | KIND.GROUP/NAME]",
		Short: "List the differences that agents report",
		Long: `List the differences that agents report, of all instances of a namespace, or of
one instance.

Findings with the action Reported or Conflict are open: the fields differ now.
Corrected ones were put right, and MutatedOnAdmission is what the cluster's own
admission made of a manifest. --accepted lists what was allowed to stay.`,
		Example: `  kronvoy drift list -A
  kronvoy drift list webapp/shop -n shop --cluster eu-west -o wide
  kronvoy drift list -A --action Reported,Conflict --exit-code`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return opts.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), strings.Join(args, ""))
		},
	}
	flags := cmd.Flags()
	opts.add(flags)
	output.BindFormat(cmd, &opts.output, "table", "wide", "json", "yaml")
	flags.StringSliceVar(&opts.actions, "action", nil, "only these: Reported, Conflict, Corrected, MutatedOnAdmission")
	flags.BoolVar(&opts.accepted, "accepted", false, "list the differences that were accepted")
	flags.BoolVar(&opts.exitCode, "exit-code", false, "exit with 2 if a finding shown is open")
	cmd.MarkFlagsMutuallyExclusive("accepted", "action")
	exit.Says(cmd, exit.No, "with --exit-code: a finding shown is open")
	completeFirst(cmd, instanceNames)
	return cmd
}

func (o *driftListOptions) run(ctx context.Context, out, errOut io.Writer, instance string) error {
	for _, action := range o.actions {
		if !slices.ContainsFunc(actions, func(known kronvoyv1alpha1.FindingAction) bool { return strings.EqualFold(action, string(known)) }) {
			return fmt.Errorf("--action %q is none of %v", action, actions)
		}
	}
	c, namespace, err := o.Client()
	if err != nil {
		return err
	}
	scope := o.scope(namespace, instance)
	scope.Actions = o.actions
	view, err := drift.Gather(ctx, c, scope)
	if err != nil {
		return err
	}
	return o.write(out, errOut, view, time.Now())
}

func (o *driftListOptions) write(out, errOut io.Writer, view drift.View, now time.Time) error {
	if o.accepted {
		accepted := view.Accepted()
		if o.output == "table" || o.output == "wide" {
			return drift.WriteDecisions(out, accepted, now)
		}
		return output.Encode(out, o.output, accepted)
	}
	var err error
	if o.output == "table" || o.output == "wide" {
		err = drift.WriteFindings(out, view.Findings, o.output == "wide", now)
		drift.WriteSilent(errOut, view.Silent)
	} else {
		err = output.Encode(out, o.output, view)
	}
	if err == nil && o.exitCode && view.Open() > 0 {
		err = errDrift
	}
	return err
}

func driftShowCommand() *cobra.Command {
	var opts driftFlags
	cmd := &cobra.Command{
		Use:   "show ID... | KIND/NAME",
		Short: "Show findings in full: each field, what is wanted, what is there, and who did it",
		Long: `Show findings in full: each field, what is wanted, what is there, and who did it.

"kronvoy drift list" gives the IDs. The agents mask the values of Secrets before
they report them.`,
		Example: `  kronvoy drift show 3fa2b1c0d9e8
  kronvoy drift show webapp/shop -n shop`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return opts.show(cmd.Context(), cmd.OutOrStdout(), args)
		},
	}
	flags := cmd.Flags()
	opts.add(flags)
	output.BindFormat(cmd, &opts.output, "table", "json", "yaml")
	completeFirst(cmd, instanceNames)
	return cmd
}

func (o *driftFlags) show(ctx context.Context, out io.Writer, args []string) error {
	c, namespace, err := o.Client()
	if err != nil {
		return err
	}
	scope, err := o.named(namespace, args)
	if err != nil {
		return err
	}
	view, err := drift.Gather(ctx, c, scope)
	if err != nil {
		return err
	}
	for _, id := range scope.IDs {
		if !slices.ContainsFunc(view.Findings, func(f drift.Finding) bool { return f.ID == id }) {
			return fmt.Errorf("no finding %s is reported: it may be over; `kronvoy drift list -A` lists all", id)
		}
	}
	if o.output != "table" {
		return output.Encode(out, o.output, view.Findings)
	}
	if len(view.Findings) == 0 {
		return drift.WriteFindings(out, nil, false, time.Time{})
	}
	for i, f := range view.Findings {
		if i > 0 {
			fmt.Fprintln(out)
		}
		if err := drift.WriteFinding(out, f, time.Now()); err != nil {
			return err
		}
	}
	return nil
}

// named reads arguments that are IDs of findings, wherever they are, or one
// instance.
func (o *driftFlags) named(namespace string, args []string) (drift.Scope, error) {
	if !slices.ContainsFunc(args, func(arg string) bool { return strings.Contains(arg, "/") }) {
		return drift.Scope{Cluster: o.cluster, IDs: args}, nil
	}
	if len(args) > 1 {
		return drift.Scope{}, fmt.Errorf("give IDs of findings, or one KIND/NAME")
	}
	return o.scope(namespace, args[0]), nil
}
