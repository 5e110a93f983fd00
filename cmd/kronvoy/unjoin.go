package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/discovery"

	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/member"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
)

type unjoinOptions struct {
	kubeconfig, context, output string
	deleteWorkloads             bool
	timeout                     time.Duration
}

func unjoinCommand() *cobra.Command {
	var opts unjoinOptions
	cmd := &cobra.Command{
		Use:   "unjoin",
		Short: "Take a cluster out of its fleet, from the cluster's side",
		Long: `Take a cluster out of its fleet, from the cluster's side.

Removes the agent, its Secrets and its rights from the cluster of the current
context. What the hub brought there stays as it is and belongs to nobody, unless
--delete-workloads is given; a cluster that joins again by the same name takes it
over. After a failure run it again.

On the hub the cluster is unreachable from then on; "kronvoy detach" lets go of it
there. An agent that runs outside of the cluster has to be ended first.`,
		Example: `  kronvoy unjoin --context eu-west && kronvoy detach eu-west --context hub
  kronvoy unjoin --context eu-west --delete-workloads`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return opts.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster; as kubectl finds it if empty")
	flags.StringVar(&opts.context, "context", "", "context of the kubeconfig")
	flags.BoolVar(&opts.deleteWorkloads, "delete-workloads", false, "delete what the hub brought to the cluster")
	flags.DurationVar(&opts.timeout, "timeout", member.Patience, "how long to wait for objects to go")
	output.BindFormat(cmd, &opts.output, "text", "json", "yaml")
	return cmd
}

func (o *unjoinOptions) run(ctx context.Context, out, progress io.Writer) error {
	c, config, err := memberClient(o.kubeconfig, o.context)
	if err != nil {
		return err
	}
	kinds, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return fmt.Errorf("connecting to the cluster: %w", err)
	}
	bounded, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	leaving := &member.Leaving{Cluster: c, Discovery: kinds, DeleteWorkloads: o.deleteWorkloads, Progress: progress}
	left, err := leaving.Run(bounded)
	if err != nil {
		return err
	}
	return printResult(out, o.output, left, func(w io.Writer) {
		if left.Cluster == "" {
			fmt.Fprintln(w, "the cluster had joined no hub; nothing of an agent is left")
			return
		}
		fmt.Fprintf(w, "cluster %s has left %s: %d works, %d objects kept, %d deleted; on the hub, let go of it with `kronvoy detach %s`\n",
			left.Cluster, left.Hub, left.Works, left.Kept, left.Deleted, left.Cluster)
	})
}
