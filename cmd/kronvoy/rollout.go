package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/connect"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/exit"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
	"github.com/kronvoy/kronvoy/internal/plain"
	"github.com/kronvoy/kronvoy/internal/steer"
)

// errUndecided is that a question has no answer, for --exit-code.
const errUndecided = exit.No

func rolloutCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rollout",
		Short: "Look at rollouts, steer them, and answer what the hub asks",
		Long: `Look at rollouts, steer them, and answer what the hub asks before it goes on.

A Distribution with spec.rollout has a Rollout of its name: how far a change has
come, and what people have ordered about it. The ClusterRole
kronvoy-rollout-operator lets them.

What the hub does not do by itself, such as to remove an instance from many
clusters at once, it puts to people in an ApprovalRequest in the instance's
namespace. The ClusterRole kronvoy-approver lets them answer.`,
	}
	cmd.AddCommand(rolloutStatusCommand(), rolloutHistoryCommand(), rolloutDiffCommand(), rolloutUndoCommand())
	cmd.AddCommand(rolloutSteerCommands()...)
	cmd.AddCommand(rolloutApprovalsCommand(), rolloutDecideCommand(kronvoyv1alpha1.Approved), rolloutDecideCommand(kronvoyv1alpha1.Rejected))
	return cmd
}

type approvalFlags struct {
	connect.Hub
	output string
}

func (o *approvalFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	o.Bind(flags)
	o.BindNamespace(flags, "the questions")
	output.BindFormat(cmd, &o.output, "table", "json", "yaml", "name")
}

// approval is what the commands print of an ApprovalRequest.
type approval struct {
	Namespace    string                           `json:"namespace"`
	Name         string                           `json:"name"`
	Action       kronvoyv1alpha1.ApprovalAction   `json:"action"`
	Distribution string                           `json:"distribution,omitempty"`
	Instance     string                           `json:"instance,omitempty"`
	ClusterCount int32                            `json:"clusterCount"`
	Clusters     []string                         `json:"clusters,omitempty"`
	Message      string                           `json:"message"`
	Asked        metav1.Time                      `json:"asked"`
	Decision     kronvoyv1alpha1.ApprovalDecision `json:"decision,omitempty"`
	DecidedBy    string                           `json:"decidedBy,omitempty"`
	DecidedAt    *metav1.Time                     `json:"decidedAt,omitempty"`
	Reason       string                           `json:"reason,omitempty"`
}

func approvalOf(r *kronvoyv1alpha1.ApprovalRequest) approval {
	a := approval{
		Namespace: r.Namespace, Name: r.Name, Action: r.Spec.Action, Distribution: r.Spec.Distribution,
		ClusterCount: r.Spec.ClusterCount, Clusters: r.Spec.Clusters, Message: r.Spec.Message, Asked: r.CreationTimestamp,
		Decision: r.Status.Decision, DecidedBy: r.Status.DecidedBy, DecidedAt: r.Status.DecidedAt, Reason: r.Status.Reason,
	}
	if r.Spec.Instance != nil {
		a.Instance = r.Spec.Instance.Kind + "/" + r.Spec.Instance.Name
	}
	return a
}

type approvalListOptions struct {
	approvalFlags
	exitCode bool
}

func rolloutApprovalsCommand() *cobra.Command {
	var opts approvalListOptions
	cmd := &cobra.Command{
		Use:   "approvals",
		Short: "List what the hub asks",
		Long: `List what the hub asks, with the answers that it has not acted on yet. A question
goes when it is settled, or when another one takes its place.`,
		Example: `  kronvoy rollout approvals -A
  kronvoy rollout approvals -n shop -o yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, namespace, err := opts.Client()
			if err != nil {
				return err
			}
			return opts.run(cmd.Context(), cmd.OutOrStdout(), c, namespace, time.Now())
		},
	}
	flags := cmd.Flags()
	opts.add(cmd)
	opts.BindAllNamespaces(flags)
	flags.BoolVar(&opts.exitCode, "exit-code", false, "exit with 2 if a question has no answer")
	exit.Says(cmd, exit.No, "with --exit-code: a question has no answer")
	return cmd
}

func (o *approvalListOptions) run(ctx context.Context, out io.Writer, c client.Reader, namespace string, now time.Time) error {
	var list kronvoyv1alpha1.ApprovalRequestList
	if err := c.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return fmt.Errorf("listing what the hub asks: %w", steer.NeedsRole(err, steer.RoleApprover, namespace))
	}
	slices.SortFunc(list.Items, func(a, b kronvoyv1alpha1.ApprovalRequest) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	approvals, undecided := make([]approval, 0, len(list.Items)), false
	for i := range list.Items {
		approvals = append(approvals, approvalOf(&list.Items[i]))
		undecided = undecided || list.Items[i].Status.Decision == ""
	}
	if err := o.write(out, approvals, now); err != nil {
		return err
	}
	if o.exitCode && undecided {
		return errUndecided
	}
	return nil
}

func (o *approvalListOptions) write(out io.Writer, approvals []approval, now time.Time) error {
	switch {
	case o.output == "name":
		return writeNames(out, approvals)
	case o.output != "table":
		return output.Encode(out, o.output, approvals)
	case len(approvals) == 0:
		_, err := fmt.Fprintln(out, "the hub asks nothing")
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "NAMESPACE\tNAME\tINSTANCE\tFOR\tCLUSTERS\tDECISION\tBY\tAGE\tMESSAGE")
	for _, a := range approvals {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", a.Namespace, a.Name, cmp.Or(a.Instance, "-"), a.Action, a.ClusterCount,
			cmp.Or(string(a.Decision), "-"), cmp.Or(plain.Line(a.DecidedBy), "-"), duration.HumanDuration(now.Sub(a.Asked.Time)), plain.Line(a.Message))
	}
	return table.Flush()
}

func writeNames(out io.Writer, approvals []approval) error {
	for _, a := range approvals {
		if _, err := fmt.Fprintln(out, a.Name); err != nil {
			return err
		}
	}
	return nil
}

type approvalDecideOptions struct {
	approvalFlags
	decision kronvoyv1alpha1.ApprovalDecision
	reason   string
}

func rolloutDecideCommand(decision kronvoyv1alpha1.ApprovalDecision) *cobra.Command {
	opts := approvalDecideOptions{decision: decision}
	verb, _ := steer.Verb(decision)
	long := "Let the hub go on with what it asks for, as far as it is the same when it does so.\n"
	if decision == kronvoyv1alpha1.Rejected {
		long = "Have everything stay as it is. The hub asks again when something else is to be\ndone, or when the ApprovalRequest is deleted.\n"
	}
	cmd := &cobra.Command{
		Use:   verb + " NAME...",
		Short: strings.ToUpper(verb[:1]) + verb[1:] + " what the hub asks for",
		Long: long + `
"kronvoy rollout approvals" lists the names. A decision is made once, in your own
name; one that stands already is no error. Needs verb approve on the
ApprovalRequest: ClusterRole kronvoy-approver.`,
		Example: fmt.Sprintf(`  kronvoy rollout %[1]s web-1f0c62aa -n shop
  kronvoy rollout %[1]s web-1f0c62aa -n shop --reason "as announced"`, verb),
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, namespace, err := opts.Client()
			if err != nil {
				return err
			}
			return opts.run(cmd.Context(), cmd.OutOrStdout(), c, namespace, args)
		},
	}
	flags := cmd.Flags()
	opts.add(cmd)
	flags.StringVar(&opts.reason, "reason", "", "why, for others to read")
	completeAll(cmd, approvalNames)
	return cmd
}

// run decides about each that it can, and tells of the others as errors.
func (o *approvalDecideOptions) run(ctx context.Context, out io.Writer, c client.Client, namespace string, names []string) error {
	who, err := whoAmI(ctx, c)
	if err != nil {
		return err
	}
	answer := steer.Answer{Decision: o.decision, By: who, At: time.Now(), Reason: o.reason}
	var errs []error
	decided := make([]approval, 0, len(names))
	for _, name := range names {
		request, err := answer.Give(ctx, c, client.ObjectKey{Namespace: namespace, Name: name})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		decided = append(decided, approvalOf(request))
	}
	return errors.Join(append([]error{o.write(out, decided)}, errs...)...)
}

func (o *approvalDecideOptions) write(out io.Writer, decided []approval) error {
	switch o.output {
	case "name":
		return writeNames(out, decided)
	case "table":
		for _, a := range decided {
			_, done := steer.Verb(a.Decision)
			if _, err := fmt.Fprintf(out, "%s %s by %s: %s\n", a.Name, done, plain.Line(a.DecidedBy), plain.Line(a.Message)); err != nil {
				return err
			}
		}
		return nil
	}
	return output.Encode(out, o.output, decided)
}
