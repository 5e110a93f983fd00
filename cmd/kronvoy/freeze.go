package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/connect"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
)

// freezeOptions are those of freeze and of thaw.
type freezeOptions struct {
	connect.Hub
	hubNamespace, reason, output string
	all                          bool
}

// frozen is what the commands report.
type frozen struct {
	// What was changed: a cluster's name, or fleet.
	What   string `json:"what"`
	Frozen bool   `json:"frozen"`
	Reason string `json:"reason,omitempty"`
}

func freezeCommand() *cobra.Command {
	var opts freezeOptions
	cmd := &cobra.Command{
		Use:   "freeze CLUSTER... | --all",
		Short: "Stop all writes to clusters, or to the whole fleet",
		Long: `Stop all writes to clusters, or to the whole fleet.

Nothing is applied, corrected or deleted on a frozen cluster, whatever changes
on the hub; it goes on reporting. What changed meanwhile is done when it is
thawed. The annotation kronvoy.io/reconcile: suspended on the ManagedCluster, or
on the hub's namespace for the fleet, is all there is to it.`,
		Example: `  kronvoy freeze eu-west --reason "incident 4711"
  kronvoy freeze --all
  kronvoy thaw --all`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return opts.run(cmd.Context(), cmd.OutOrStdout(), args, true)
		},
	}
	opts.flags(cmd)
	cmd.Flags().StringVar(&opts.reason, "reason", "", "why; every instance's status shows it")
	return cmd
}

func thawCommand() *cobra.Command {
	var opts freezeOptions
	cmd := &cobra.Command{
		Use:   "thaw CLUSTER... | --all",
		Short: "Allow writes again where they were frozen",
		Long: `Allow writes again where they were frozen.

--all thaws the fleet; a cluster that was frozen by its own name stays so.`,
		Example: `  kronvoy thaw eu-west
  kronvoy thaw --all`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return opts.run(cmd.Context(), cmd.OutOrStdout(), args, false)
		},
	}
	opts.flags(cmd)
	return cmd
}

func (o *freezeOptions) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	o.Bind(flags)
	completeAll(cmd, managedClusterNames)
	flags.StringVar(&o.hubNamespace, "hub-namespace", "kronvoy-system", "namespace that the hub runs in")
	output.BindFormat(cmd, &o.output, "table", "json", "yaml")
	flags.BoolVar(&o.all, "all", false, "the whole fleet")
}

func (o *freezeOptions) run(ctx context.Context, out io.Writer, clusters []string, freeze bool) error {
	if o.all == (len(clusters) > 0) {
		return errors.New("name clusters, or give --all for the whole fleet")
	}
	c, _, err := o.Client()
	if err != nil {
		return err
	}
	objects := map[string]client.Object{}
	order := clusters
	if o.all {
		order = []string{"fleet"}
		objects["fleet"] = &corev1.Namespace{}
		objects["fleet"].SetName(o.hubNamespace)
	}
	for _, name := range clusters {
		objects[name] = &clusterv1.ManagedCluster{}
		objects[name].SetName(name)
	}
	patch, err := o.patch(freeze)
	if err != nil {
		return err
	}
	done := []frozen{}
	var failures error
	for _, what := range order {
		err := c.Patch(ctx, objects[what], client.RawPatch(types.MergePatchType, patch), client.FieldOwner("kronvoy"))
		if err != nil {
			failures = errors.Join(failures, o.explain(what, err))
			continue
		}
		done = append(done, frozen{What: what, Frozen: freeze, Reason: o.reason})
	}
	return errors.Join(o.write(out, done), failures)
}

// explain says what to do about a failure.
func (o *freezeOptions) explain(what string, err error) error {
	switch {
	case !apierrors.IsNotFound(err):
		return fmt.Errorf("changing %s: %w", what, err)
	case o.all:
		return fmt.Errorf("there is no namespace %s: name the hub's with --hub-namespace", o.hubNamespace)
	}
	return fmt.Errorf("there is no cluster %s: kubectl get managedclusters lists them", what)
}

// patch sets the annotations, or removes them.
func (o *freezeOptions) patch(freeze bool) ([]byte, error) {
	annotations := map[string]any{kronvoyv1alpha1.AnnotationReconcile: nil, kronvoyv1alpha1.AnnotationReconcileReason: nil}
	if freeze {
		annotations[kronvoyv1alpha1.AnnotationReconcile] = kronvoyv1alpha1.ReconcileSuspended
		if o.reason != "" {
			annotations[kronvoyv1alpha1.AnnotationReconcileReason] = o.reason
		}
	}
	return json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}})
}

func (o *freezeOptions) write(out io.Writer, done []frozen) error {
	if o.output != "table" {
		return output.Encode(out, o.output, done)
	}
	for _, f := range done {
		word := "thawed"
		if f.Frozen {
			word = "frozen"
		}
		if _, err := fmt.Fprintln(out, f.What, word); err != nil {
			return err
		}
	}
	return nil
}
