package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	authenticationv1 "k8s.io/api/authentication/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
	"github.com/kronvoy/kronvoy/internal/drift"
)

// driftDecideOptions are those of accept and of correct.
type driftDecideOptions struct {
	driftFlags
	order                  drift.Order
	all, yes, dryRun, wait bool
	timeout                time.Duration
	// verb and done are what the command is called, and what was done then.
	verb, done  string
	in          io.Reader
	out, errOut io.Writer
}

// maxReason bounds what is recorded with each decision.
const maxReason = 256

func driftAcceptCommand() *cobra.Command {
	opts := driftDecideOptions{verb: "accept", done: "accepted"}
	opts.order.Verdict = kronvoyv1alpha1.DriftAccept
	cmd := &cobra.Command{
		Use:   "accept ID... | KIND/NAME | --all",
		Short: "Let differences stay as they are",
		Long: `Let differences stay as they are.

The fields of a finding are left to whoever changed them, on this object on this
cluster, until "kronvoy drift correct" takes that back: other fields, objects
and clusters are kept as before. "kronvoy drift list --accepted" lists what was
accepted, by whom, when and why. An acceptance ends when its object leaves the
cluster.

With an instance or --all every open finding is meant.

The ClusterRole kronvoy-drift-operator allows it. Who decided is what the hub's
API server answers to this command; the server's audit log is the proof.`,
		Example: `  kronvoy drift accept 3fa2b1c0d9e8 --reason "load test until Friday"
  kronvoy drift accept webapp/shop -n shop --cluster eu-west`,
		RunE: opts.command,
	}
	opts.add(cmd)
	return cmd
}

func driftCorrectCommand() *cobra.Command {
	opts := driftDecideOptions{verb: "correct", done: "corrected"}
	opts.order.Verdict = kronvoyv1alpha1.DriftPutRight
	cmd := &cobra.Command{
		Use:   "correct ID... | KIND/NAME | --all",
		Short: "Put differences right, also those that were accepted",
		Long: `Put differences right: those that the drift policy only reports, and those that
were accepted, which takes the acceptance back. It happens once; what is changed
again afterwards is a new finding.

With an instance or --all every open finding is meant, or with --accepted all
that was accepted. Fields that belong to somebody else, such as an autoscaler,
are only taken with --force.

The ClusterRole kronvoy-drift-operator allows it.`,
		Example: `  kronvoy drift correct 3fa2b1c0d9e8
  kronvoy drift correct --all -A --cluster eu-west --dry-run
  kronvoy drift correct webapp/shop -n shop --accepted --yes`,
		RunE: opts.command,
	}
	opts.add(cmd)
	cmd.Flags().BoolVar(&opts.order.Accepted, "accepted", false, "take back all that was accepted")
	cmd.Flags().BoolVar(&opts.order.Force, "force", false, "take fields that belong to somebody else, too")
	return cmd
}

func (o *driftDecideOptions) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	o.driftFlags.add(flags)
	completeFirst(cmd, instanceNames)
	output.BindFormat(cmd, &o.output, "table", "json", "yaml")
	flags.BoolVar(&o.all, "all", false, "all findings of the namespace, or with --all-namespaces of the fleet")
	flags.BoolVarP(&o.yes, "yes", "y", false, "do not ask before many are decided")
	flags.StringVar(&o.order.Reason, "reason", "", "why; it is recorded with the decision")
	flags.BoolVar(&o.dryRun, "dry-run", false, "only say what would be decided")
	flags.BoolVar(&o.wait, "wait", true, "wait until the agents report the effect")
	flags.DurationVar(&o.timeout, "timeout", 2*time.Minute, "how long to wait")
}

func (o *driftDecideOptions) command(cmd *cobra.Command, args []string) error {
	o.in, o.out, o.errOut = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
	if o.all == (len(args) > 0) {
		return errors.New("give IDs of findings, one KIND/NAME, or --all")
	}
	if len(o.order.Reason) > maxReason {
		return fmt.Errorf("--reason has %d bytes, and %d are allowed", len(o.order.Reason), maxReason)
	}
	c, namespace, err := o.Client()
	if err != nil {
		return err
	}
	scope := o.scope(namespace, "")
	if !o.all {
		if scope, err = o.named(namespace, args); err != nil {
			return err
		}
	}
	return o.run(cmd.Context(), c, scope)
}

func (o *driftDecideOptions) run(ctx context.Context, c client.Client, scope drift.Scope) error {
	view, err := drift.Gather(ctx, c, scope)
	if err != nil {
		return err
	}
	order := o.order
	order.IDs, order.At = scope.IDs, time.Now()
	if order.By, err = whoAmI(ctx, c); err != nil {
		return err
	}
	changes, skipped, err := view.Decide(order)
	if err != nil {
		return fmt.Errorf("nothing was decided: %w", err)
	}
	for _, why := range skipped {
		fmt.Fprintln(o.errOut, "Left out:", why)
	}
	if o.dryRun || len(changes) == 0 {
		return o.write(changes, "would be "+o.done)
	}
	if len(scope.IDs) == 0 {
		if err := o.confirm(changes); err != nil {
			return err
		}
	}
	if err := drift.Record(ctx, c, changes); err != nil {
		return err
	}
	if !o.wait {
		return o.write(changes, "will be "+o.done)
	}
	return o.await(ctx, c, changes)
}

// await tells of every decision that has had its effect.
func (o *driftDecideOptions) await(ctx context.Context, c client.Client, changes []drift.Change) error {
	waiting, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	var effective []drift.Change
	err := drift.Wait(waiting, c, changes, func(change drift.Change) error {
		effective = append(effective, change)
		if o.output != "table" {
			return nil
		}
		return o.line(change, o.done)
	})
	if o.output != "table" {
		err = errors.Join(output.Encode(o.out, o.output, effective), err)
	}
	if err != nil && waiting.Err() != nil {
		return fmt.Errorf("%d of %d %s; the other decisions stand, and run again this command waits for them: %w", len(effective), len(changes), o.done, err)
	}
	return err
}

// confirm asks before many are decided.
func (o *driftDecideOptions) confirm(changes []drift.Change) error {
	if o.yes {
		return nil
	}
	file, ok := o.in.(interface{ Fd() uintptr })
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return fmt.Errorf("%d findings would be %s: give --yes, or see them with --dry-run", len(changes), o.done)
	}
	clusters := map[string]bool{}
	for _, change := range changes {
		clusters[change.Cluster] = true
		fmt.Fprintln(o.errOut, change)
	}
	fmt.Fprintf(o.errOut, "%s %d findings on %d clusters? [y/N] ", strings.ToUpper(o.verb[:1])+o.verb[1:], len(changes), len(clusters))
	answer, err := bufio.NewReader(o.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return errors.New("nothing was decided")
	}
	return nil
}

func (o *driftDecideOptions) write(changes []drift.Change, what string) error {
	if o.output != "table" {
		if changes == nil {
			changes = []drift.Change{}
		}
		return output.Encode(o.out, o.output, changes)
	}
	if len(changes) == 0 {
		_, err := fmt.Fprintln(o.out, "nothing to do")
		return err
	}
	for _, change := range changes {
		if err := o.line(change, what); err != nil {
			return err
		}
	}
	return nil
}

func (o *driftDecideOptions) line(change drift.Change, what string) error {
	_, err := fmt.Fprintln(o.out, change, what)
	return err
}

// whoAmI is the caller's name, as the hub's API server knows it.
func whoAmI(ctx context.Context, c client.Client) (string, error) {
	review := &authenticationv1.SelfSubjectReview{}
	if err := c.Create(ctx, review); err != nil {
		return "", fmt.Errorf("asking the hub who decides: %w", err)
	}
	return review.Status.UserInfo.Username, nil
}
