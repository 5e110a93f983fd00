package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	clusterv1alpha1 "open-cluster-management.io/api/cluster/v1alpha1"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	clusterv1beta2 "open-cluster-management.io/api/cluster/v1beta2"

	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/connect"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/exit"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/manifest"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
	"github.com/kronvoy/kronvoy/internal/explain"
)

func explainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "Say why the hub decides as it does",
	}
	cmd.AddCommand(explainInstanceCommand(), explainPlacementCommand())
	return cmd
}

// errNotSelected is that the cluster asked for is not selected, for --exit-code.
const errNotSelected = exit.No

type explainPlacementOptions struct {
	connect.Hub
	cluster, output   string
	files             []string
	offline, exitCode bool
}

func explainPlacementCommand() *cobra.Command {
	var opts explainPlacementOptions
	cmd := &cobra.Command{
		Use:   "placement NAME",
		Short: "Say of each cluster why a Placement selects it, or why not",
		Long: `Say of each cluster why a Placement selects it, or why not: cluster sets,
predicates, taints, scores, rank and spread, by the function that the hub runs.

Objects in files (Placements, ManagedClusters, ManagedClusterSets and their
bindings, AddOnPlacementScores) are laid over those on the hub, so that it can be
seen what a change would come to: "yes, new" and "no, leaves" are its difference to
the decision that stands. With --offline nothing is read from the hub. Nothing is
written.`,
		Example: `  kronvoy explain placement prod -n shop
  kronvoy explain placement prod -n shop --cluster eu-west -o wide
  kronvoy explain placement prod -n shop -f changed.yaml
  kronvoy explain placement prod -n shop --offline -f placement.yaml -f clusters/`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return opts.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), args[0])
		},
	}
	flags := cmd.Flags()
	opts.Bind(flags)
	opts.BindNamespace(flags, "the Placement")
	flags.StringVar(&opts.cluster, "cluster", "", "only this cluster")
	flags.StringArrayVarP(&opts.files, "filename", "f", nil, "file or folder with objects to lay over those on the hub, - for the standard input; may be given several times")
	flags.BoolVar(&opts.offline, "offline", false, "read files alone")
	output.BindFormat(cmd, &opts.output, "table", "wide", "json", "yaml")
	flags.BoolVar(&opts.exitCode, "exit-code", false, "exit with 2 if nothing is selected, or not the cluster")
	exit.Says(cmd, exit.No, "with --exit-code: nothing is selected, or not the cluster that --cluster names")
	completeFirst(cmd, placementNames)
	return cmd
}

func (o *explainPlacementOptions) run(ctx context.Context, stdin io.Reader, out io.Writer, name string) error {
	var live explain.Objects
	switch {
	case o.offline && len(o.files) == 0:
		return errors.New("--offline needs files: name some with -f")
	case o.offline && o.Namespace == "":
		o.Namespace = "default"
	case !o.offline:
		c, namespace, err := o.Client()
		if err != nil {
			return err
		}
		o.Namespace = namespace
		if live, err = explain.Gather(ctx, c); err != nil {
			return err
		}
	}
	objects, err := o.read(stdin)
	if err != nil {
		return err
	}
	objects = objects.Over(live)
	now := time.Now()
	explained, err := objects.Of(o.Namespace, name, now)
	if err != nil {
		return err
	}
	if o.cluster != "" {
		explained.Clusters = slices.DeleteFunc(explained.Clusters, func(c explain.Cluster) bool { return c.Name != o.cluster })
		if len(explained.Clusters) == 0 && explained.Misconfigured+explained.Undecided == "" {
			return fmt.Errorf("there is no ManagedCluster %s", o.cluster)
		}
	}
	if o.output == "table" || o.output == "wide" {
		err = explained.Write(out, o.output == "wide", now)
	} else {
		err = output.Encode(out, o.output, explained)
	}
	if err == nil && o.exitCode && !slices.ContainsFunc(explained.Clusters, func(c explain.Cluster) bool { return c.Selected }) {
		err = errNotSelected
	}
	return err
}

// read decodes the files; what has nothing to do with placing is refused, as it
// is more often mistyped than meant.
func (o *explainPlacementOptions) read(stdin io.Reader) (explain.Objects, error) {
	var objects explain.Objects
	if len(o.files) == 0 {
		return objects, nil
	}
	documents, err := manifest.Read(stdin, o.files)
	if err != nil {
		return objects, err
	}
	for _, d := range documents {
		var one explain.Objects
		var err error
		switch d.Kind() {
		case "Placement":
			one.Placements, err = decoded[clusterv1beta1.Placement](d)
		case "ManagedCluster":
			one.Clusters, err = decoded[clusterv1.ManagedCluster](d)
		case "ManagedClusterSet":
			one.Sets, err = decoded[clusterv1beta2.ManagedClusterSet](d)
		case "ManagedClusterSetBinding":
			one.Bindings, err = decoded[clusterv1beta2.ManagedClusterSetBinding](d)
		case "PlacementDecision":
			one.Decisions, err = decoded[clusterv1beta1.PlacementDecision](d)
		case "AddOnPlacementScore":
			one.Scores, err = decoded[clusterv1alpha1.AddOnPlacementScore](d)
		default:
			err = fmt.Errorf("a %s has nothing to do with placing", d.Kind())
		}
		if err != nil {
			return objects, fmt.Errorf("%s:%d: %w", d.File, d.Line, err)
		}
		for i := range one.Placements {
			if p := &one.Placements[i]; p.Namespace == "" {
				p.Namespace = o.Namespace
			}
		}
		objects = one.Over(objects)
	}
	return objects, nil
}

func decoded[T any](d *manifest.Document) ([]T, error) {
	var object T
	err := json.Unmarshal(d.JSON, &object)
	return []T{object}, err
}
