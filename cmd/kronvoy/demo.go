package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/connect"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/live"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/view"
	"github.com/kronvoy/kronvoy/test/fleet"
	"github.com/kronvoy/kronvoy/test/stack"
)

const (
	demoNamespace = "shop"
	demoInstance  = "webapp/shop"
	// demoVictim is the cluster on which something is changed by hand.
	demoVictim = "us-east"
	// demoPatience bounds each wait of the demo.
	demoPatience = 2 * time.Minute
)

// demoSizes are the label that examples/webapp takes its replicas from.
var demoSizes = map[string]map[string]string{
	"eu-west": {"size": "large"}, "us-east": {"size": "medium"}, "ap-south": {"size": "small"},
}

func demoCommand() *cobra.Command {
	var end bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the example web application on a local hub and three spokes",
		Long: `Start a hub and three spokes as local processes, let the spokes join with tokens,
apply examples/webapp to the hub, show it become ready everywhere, change a
replica count by hand on one spoke, and show that this is seen and put right.

Run it inside the repository. What it needs it builds, which takes minutes the
first time. Ctrl-C ends and removes everything.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDemo(cmd.Context(), cmd.OutOrStdout(), end)
		},
	}
	cmd.Flags().BoolVar(&end, "exit", false, "end after the last step instead of staying up")
	return cmd
}

// demo is one run of it. It looks at the hub alone, with an ordinary
// kubeconfig.
type demo struct {
	out   io.Writer
	stack *stack.Stack
	hub   client.Client
}

func runDemo(ctx context.Context, out io.Writer, end bool) (err error) {
	d := &demo{out: out}
	d.heading("Starting a hub and three spokes")
	d.stack, err = stack.Start(ctx, stack.Options{
		Fleet: fleet.Options{Name: "demo"}, Labels: demoSizes, Dashboard: true, Progress: out,
	})
	if err != nil {
		return interrupted(ctx, end, err)
	}
	defer func() {
		err = interrupted(ctx, end, err)
		if err != nil {
			fmt.Fprintln(out, "\nfailed:", err)
		}
		fmt.Fprintln(out, "\nstopping everything")
		err = errors.Join(err, d.stack.Stop(context.WithoutCancel(ctx)))
	}()
	if d.hub, _, err = (&connect.Hub{Kubeconfig: d.stack.Fleet.Hub().Kubeconfig(), Namespace: demoNamespace}).Client(); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{d.apply, d.showReady, d.drift, d.explain} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if !end {
		fmt.Fprintln(out, "\nIt stays up until Ctrl-C.")
		<-ctx.Done()
	}
	return nil
}

// interrupted turns the error of an interrupted run into none where Ctrl-C is
// the way to end the demo; one that ends by itself has not come to its end.
func interrupted(ctx context.Context, end bool, err error) error {
	switch {
	case ctx.Err() == nil || err == nil:
		return err
	case end:
		return fmt.Errorf("interrupted: %w", err)
	}
	return nil
}

func (d *demo) heading(text string) { fmt.Fprintf(d.out, "\n== %s\n", text) }

// apply puts definition, placement and instance on the hub, with kubectl as
// anybody would.
func (d *demo) apply(ctx context.Context) error {
	d.heading("Applying examples/webapp to the hub")
	hub := d.stack.Fleet.Hub().Kubeconfig()
	for _, args := range [][]string{
		{"apply", "-f", "examples/webapp/placement.yaml", "-f", "examples/webapp/rgd.yaml"},
		{"wait", "--for=condition=Ready", "--timeout=60s", "resourcegraphdefinition/webapp"},
		{"apply", "-f", "examples/webapp/instance.yaml"},
	} {
		if err := d.kubectl(ctx, hub, args...); err != nil {
			return err
		}
	}
	return nil
}

// showReady shows the table until every cluster is ready.
func (d *demo) showReady(ctx context.Context) error {
	d.heading("The instance on every cluster, as the hub sums it up")
	return d.show(ctx, "every cluster to be ready", func(instance view.Instance) bool {
		return instance.AllReady() && instance.Placed == int64(len(d.stack.Fleet.Spokes()))
	})
}

// show keeps the table up to date until it shows what is waited for.
func (d *demo) show(ctx context.Context, what string, done func(view.Instance) bool) error {
	screen := newScreen(d.out)
	return d.until(ctx, what, func(ctx context.Context) (bool, error) {
		instance, err := view.Get(ctx, d.hub, demoNamespace, demoInstance)
		if err != nil || len(instance.Clusters) == 0 {
			return false, err
		}
		var table bytes.Buffer
		if err := view.WriteInstance(&table, instance, view.Look{}); err != nil {
			return false, err
		}
		screen.draw(table.String())
		return done(instance), nil
	})
}

// drift changes a replica count on one spoke and waits for the report.
func (d *demo) drift(ctx context.Context) error {
	d.heading("Changing a replica count by hand on " + demoVictim)
	spoke := d.stack.Fleet.Cluster(demoVictim).Kubeconfig()
	if err := d.kubectl(ctx, spoke, "-n", demoNamespace, "scale", "deployment/shop", "--replicas=7"); err != nil {
		return err
	}
	err := d.until(ctx, "the drift to be reported", func(ctx context.Context) (bool, error) {
		var reports kronvoyv1alpha1.WorkReportList
		if err := d.hub.List(ctx, &reports, client.InNamespace(demoVictim)); err != nil {
			return false, err
		}
		for _, report := range reports.Items {
			for _, finding := range report.Status.Findings {
				if finding.Kind == "Deployment" && len(finding.Details) > 0 {
					d.tell(finding)
					return true, nil
				}
			}
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	if err := d.kubectl(ctx, spoke, "-n", demoNamespace, "get", "deployment/shop"); err != nil {
		return err
	}
	d.heading("The same in the instance's status")
	return d.show(ctx, "the instance to tell of the drift", func(instance view.Instance) bool {
		told := slices.ContainsFunc(instance.Clusters, func(c view.Cluster) bool { return c.Name == demoVictim && c.Drift != "" })
		return told && instance.AllReady()
	})
}

func (d *demo) tell(finding kronvoyv1alpha1.Finding) {
	detail := finding.Details[0]
	fmt.Fprintf(d.out, "The hub's WorkReport says: %s %s/%s, field %s: wanted %s, found %s, changed by %q: %s.\n",
		finding.Kind, finding.Namespace, finding.Name, detail.Path, detail.Desired, detail.Observed, detail.Manager,
		strings.ToLower(string(finding.Action)))
}

// explain prints how to look for oneself.
func (d *demo) explain(ctx context.Context) error {
	d.heading("Look for yourself")
	kubectl := d.stack.Fleet.Kubectl()
	hub := d.stack.Fleet.Hub().Kubeconfig()
	fmt.Fprintf(d.out, "export KUBECONFIG=%s\n", hub)
	for _, args := range []string{
		"get webapp shop -n shop -o yaml", "get targets -A", "get manifestworks,workreports -A",
		"get workreports -n " + demoVictim + " -o yaml",
	} {
		fmt.Fprintf(d.out, "%s %s\n", kubectl, args)
	}
	fmt.Fprintf(d.out, "%s status webapp/shop -n shop --watch\n\n", filepath.Join(d.stack.Root(), "bin", "kronvoy"))
	for _, c := range d.stack.Fleet.Clusters() {
		fmt.Fprintf(d.out, "%-10s %s\n", c.Name, c.Kubeconfig())
	}
	return d.dashboard(ctx)
}

// dashboard prints where it is, and a token that sees everything and may decide
// about drift.
func (d *demo) dashboard(ctx context.Context) error {
	token, err := d.stack.Token(ctx, "demo-viewer", "kronvoy-viewer", "kronvoy-drift-operator")
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\nThe dashboard is at %s\nLog in with this token:\n%s\n", d.stack.DashboardURL, token)
	return nil
}

// kubectl runs and shows a command.
func (d *demo) kubectl(ctx context.Context, kubeconfig string, args ...string) error {
	fmt.Fprintf(d.out, "$ kubectl %s\n", strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, d.stack.Fleet.Kubectl(), append([]string{"--kubeconfig", kubeconfig}, args...)...)
	cmd.Dir = d.stack.Root()
	cmd.Stdout, cmd.Stderr = d.out, d.out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("kubectl %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// until polls a condition and says what it waited for when it gives up.
func (d *demo) until(ctx context.Context, what string, done wait.ConditionWithContextFunc) error {
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, demoPatience, true, done)
	if err != nil {
		return fmt.Errorf("waiting for %s: %w; the hub's log ends with:\n%s", what, err, stack.Tail(d.stack.Hub.Log()))
	}
	return nil
}

// screen redraws in place on a terminal, and appends elsewhere, only when
// something changed.
type screen struct {
	out   io.Writer
	tty   bool
	last  string
	lines int
}

func newScreen(out io.Writer) *screen { return &screen{out: out, tty: live.NewScreen(out) != nil} }

func (s *screen) draw(text string) {
	if text == s.last {
		return
	}
	if s.tty && s.lines > 0 {
		fmt.Fprintf(s.out, "\x1b[%dA\x1b[J", s.lines)
	} else if s.lines > 0 {
		fmt.Fprintln(s.out)
	}
	fmt.Fprint(s.out, text)
	s.last, s.lines = text, strings.Count(text, "\n")
}
