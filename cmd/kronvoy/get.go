package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/connect"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/view"
)

// listed is a kind of things that get lists.
type listed struct {
	use, short, long, example string
	aliases                   []string
	// scoped kinds have a cluster each.
	scoped bool
	list   func(context.Context, client.Reader, view.Scope) (view.Listing, error)
	names  names
}

var listings = []listed{
	{
		use: "clusters [NAME]", aliases: []string{"cluster", "managedclusters"}, short: "List clusters, and how what runs on them is",
		long: `List clusters: whether each is there and since when, and with -o wide, json or yaml how
many of its instances are ready, failed or changed by others. That reads all Targets.`,
		example: "  kronvoy get clusters -l region=eu-west\n  kronvoy get clusters -o json | jq -r '.[] | select(.state != \"Available\").name'",
		list:    view.ListClusters, names: managedClusterNames,
	},
	{
		use: "instances [NAME]", aliases: []string{"instance"}, short: "List instances of all kinds",
		long:    "List instances of all kinds, with the worst of their clusters and how far a rollout has come.",
		example: "  kronvoy get instances -A\n  kronvoy get instances webapp/shop -n shop -o yaml",
		list:    view.ListInstances, names: instanceNames,
	},
	{
		use: "targets [NAME]", aliases: []string{"target"}, short: "List instances on clusters, the most urgent first", scoped: true,
		long:    "List instances on clusters, the most urgent first: the revision that each cluster has and should have, its state since when, and why.",
		example: "  kronvoy get targets -A --cluster eu-west\n  kronvoy get targets -n shop -o wide",
		list:    view.ListTargets, names: everywhere(kronvoyv1alpha1.GroupVersion.WithKind("Target")),
	},
	{
		use: "works [NAME]", aliases: []string{"work", "manifestworks"}, short: "List what each ManifestWork holds, and what the agent said of it", scoped: true,
		long: `List what each ManifestWork holds, by name alone, and what the cluster's agent said of
it: those that failed come first. What an agent said of an older generation is no
answer, and counts as Pending.`,
		example: "  kronvoy get works --cluster eu-west -A -o wide\n  kronvoy get works -n shop -o json | jq '.[].manifests[] | select(.applied == \"Failed\")'",
		list:    view.ListWorks, names: everywhere(schema.GroupVersionKind{Group: workv1.GroupName, Version: "v1", Kind: "ManifestWork"}),
	},
}

type getOptions struct {
	connect.Hub
	output, selector, cluster string
}

func getCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "get",
		Short: "List clusters, instances, targets, works and drift",
	}
	for _, l := range listings {
		cmd.AddCommand(l.command())
	}
	drift := driftListCommand()
	drift.Use = strings.Replace(drift.Use, "list", "drift", 1)
	drift.Example = strings.ReplaceAll(drift.Example, "drift list", "get drift")
	cmd.AddCommand(drift)
	return cmd
}

func (l listed) command() *cobra.Command {
	var opts getOptions
	cmd := &cobra.Command{
		Use: l.use, Aliases: l.aliases, Short: l.short, Long: l.long, Example: l.example,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return opts.run(cmd, l, strings.Join(args, ""))
		},
	}
	flags := cmd.Flags()
	opts.Bind(flags)
	opts.BindNamespaces(flags, "the instances")
	output.BindFormat(cmd, &opts.output, output.FormatTable, output.FormatWide, output.FormatJSON, output.FormatYAML, output.FormatName)
	flags.StringVarP(&opts.selector, "selector", "l", "", "only what has these labels, as in kubectl")
	if l.scoped {
		flags.StringVar(&opts.cluster, "cluster", "", "only this cluster")
	}
	completeFirst(cmd, l.names)
	return cmd
}

func (o *getOptions) run(cmd *cobra.Command, l listed, name string) error {
	scope := view.Scope{Name: name, Cluster: o.cluster, Brief: o.output == output.FormatTable || o.output == output.FormatName}
	if o.selector != "" {
		selector, err := labels.Parse(o.selector)
		if err != nil {
			return fmt.Errorf("--selector: %w", err)
		}
		scope.Labels = selector
	}
	c, namespace, err := o.Client()
	if err != nil {
		return err
	}
	scope.Namespace = namespace
	list, err := l.list(cmd.Context(), c, scope)
	if err != nil {
		return err
	}
	if name != "" && len(list.Items) == 0 {
		return fmt.Errorf("there is no %s %q that concerns namespace %q: -A looks at all", strings.Fields(l.use)[0], name, namespace)
	}
	return list.Write(cmd.OutOrStdout(), o.output, view.Look{Style: output.StyleOf(cmd), Now: time.Now()})
}
