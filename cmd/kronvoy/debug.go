package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	debugbundle "github.com/kronvoy/kronvoy/cmd/kronvoy/internal/bundle"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/connect"
)

func debugCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "debug",
		Short: "Collect what a maintainer has to know",
	}
	cmd.AddCommand(debugBundleCommand())
	return cmd
}

type bundleOptions struct {
	connect.Hub
	file, hubNamespace, agentNamespace string
	clusters                           []string
	dryRun                             bool
	timeout                            time.Duration
}

func debugBundleCommand() *cobra.Command {
	var opts bundleOptions
	cmd := &cobra.Command{
		Use:   "bundle",
		Short: "Collect the state of a hub into one archive, without secrets",
		Long: `Collect the state of a hub into one archive, for an issue: versions, Kronvoy's and
Open Cluster Management's objects, conditions that are not as they should be,
events, and logs and metrics of the hub's pods; with --cluster-kubeconfig also
what an agent has applied on its cluster, and its logs and metrics. ClusterRole
and Role kronvoy-debugger on the hub, and kronvoy-agent-debugger with an agent,
are enough for that.

Secrets are not read. Of instances, works, reports and revisions the values are
hidden and the names of fields stay; elsewhere what is called, or looks like, a
password, token or key is. Names of objects, clusters, nodes and images are in it:
look at it before you give it away.

What cannot be read is left out. manifest.json says what is in the archive, and
what is not and why. --dry-run reads the same and prints that alone.`,
		Example: `  kronvoy debug bundle
  kronvoy debug bundle -o case-4711.tar.gz --cluster-kubeconfig eu-west=eu-west.kubeconfig
  kronvoy debug bundle --dry-run`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return opts.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), time.Now())
		},
	}
	flags := cmd.Flags()
	opts.Bind(flags)
	flags.StringVarP(&opts.file, "output-file", "o", "", "file to write; kronvoy-debug-TIME.tar.gz in this folder if empty")
	flags.StringVar(&opts.hubNamespace, "hub-namespace", "kronvoy-system", "namespace that the hub runs in")
	flags.StringVar(&opts.agentNamespace, "agent-namespace", "kronvoy-agent", "namespace that agents run in")
	flags.StringArrayVar(&opts.clusters, "cluster-kubeconfig", nil, "CLUSTER=FILE: a cluster to read too; may be given several times")
	flags.BoolVar(&opts.dryRun, "dry-run", false, "print what would be in it, and write no file")
	flags.DurationVar(&opts.timeout, "timeout", 5*time.Minute, "how long it may take")
	return cmd
}

func (o *bundleOptions) run(ctx context.Context, out, errOut io.Writer, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	places, err := o.places()
	if err != nil {
		return err
	}
	stamp := now.UTC().Format("20060102-150405")
	opts := debugbundle.Options{
		Places: places, Root: "kronvoy-debug-" + stamp, Command: version, Now: time.Now, Progress: progress(errOut, clock.RealClock{}),
	}
	if o.dryRun {
		manifest, err := debugbundle.Write(ctx, io.Discard, opts)
		if err != nil {
			return o.explain(ctx, err)
		}
		return writeBundle(out, manifest)
	}
	file := o.file
	if file == "" {
		file = opts.Root + ".tar.gz"
	}
	manifest, err := writeWhole(file, func(w io.Writer) (debugbundle.Manifest, error) { return debugbundle.Write(ctx, w, opts) })
	if err != nil {
		return o.explain(ctx, err)
	}
	fmt.Fprintf(out, "%s has %d files; %d things were left out, as its manifest.json says\n", file, len(manifest.Files), len(manifest.LeftOut))
	return nil
}

func (o *bundleOptions) explain(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("it took longer than %s: give more with --timeout: %w", o.timeout, err)
	}
	return err
}

// writeWhole makes a file that is there as a whole, or not at all.
func writeWhole(file string, write func(io.Writer) (debugbundle.Manifest, error)) (manifest debugbundle.Manifest, err error) {
	part, err := os.CreateTemp(filepath.Dir(file), ".kronvoy-debug-*")
	if err != nil {
		return manifest, fmt.Errorf("making the bundle: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(part.Name()))
		}
	}()
	manifest, err = write(part)
	if err = errors.Join(err, part.Close()); err != nil {
		return manifest, err
	}
	if err = os.Rename(part.Name(), file); err != nil {
		return manifest, fmt.Errorf("making the bundle: %w", err)
	}
	return manifest, nil
}

func writeBundle(out io.Writer, manifest debugbundle.Manifest) error {
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "FILE\tOBJECTS\tBYTES")
	for _, f := range manifest.Files {
		fmt.Fprintf(table, "%s\t%d\t%d\n", f.Name, f.Objects, f.Bytes)
	}
	if len(manifest.LeftOut) > 0 {
		fmt.Fprintln(table, "\nLEFT OUT\tWHY")
	}
	for _, l := range manifest.LeftOut {
		fmt.Fprintf(table, "%s\t%s\n", l.What, l.Why)
	}
	return table.Flush()
}

// places are the hub, and the clusters that kubeconfigs are given of.
func (o *bundleOptions) places() ([]debugbundle.Place, error) {
	config, _, err := o.Config()
	if err != nil {
		return nil, err
	}
	hub, err := placeOf("hub", o.hubNamespace, config)
	if err != nil {
		return nil, err
	}
	hub.Hub = true
	places := []debugbundle.Place{hub}
	for _, given := range o.clusters {
		name, file, both := strings.Cut(given, "=")
		if !both || name == "" || strings.ContainsAny(name, `/\`) {
			return nil, fmt.Errorf("--cluster-kubeconfig %q is not CLUSTER=FILE", given)
		}
		config, _, err := (&connect.Hub{Kubeconfig: file}).Config()
		if err != nil {
			return nil, fmt.Errorf("cluster %s: %w", name, err)
		}
		place, err := placeOf("clusters/"+name, o.agentNamespace, config)
		if err != nil {
			return nil, err
		}
		places = append(places, place)
	}
	return places, nil
}

func placeOf(name, namespace string, config *rest.Config) (debugbundle.Place, error) {
	scheme, err := connect.Scheme()
	if err != nil {
		return debugbundle.Place{}, err
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return debugbundle.Place{}, fmt.Errorf("connecting to %s: %w", name, err)
	}
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		return debugbundle.Place{}, fmt.Errorf("connecting to %s: %w", name, err)
	}
	return debugbundle.Place{Name: name, Namespace: namespace, Client: c, Clientset: clientset}, nil
}
