package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/utils/clock"

	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/connect"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/exit"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/manifest"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/preview"
	"github.com/kronvoy/kronvoy/graph/schema"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
	"github.com/kronvoy/kronvoy/hub"
	"github.com/kronvoy/kronvoy/hub/policy"
	"github.com/kronvoy/kronvoy/hub/rollout"
	"github.com/kronvoy/kronvoy/hub/schemas"
)

// errChanges is that something would change.
const errChanges = exit.No

// slow is how long a preview may take before it says what it does.
const slow = 2 * time.Second

type previewOptions struct {
	connect.Hub
	hubNamespace, cluster, output string
	files, base, crds             []string
	offline                       bool
	// How the hub was started.
	defaultPlacement, defaultServiceAccount, agentIdentity string
	allowedNamespaces                                      []string
	gracePeriod                                            time.Duration
}

func previewCommand() *cobra.Command {
	var opts previewOptions
	cmd := &cobra.Command{
		Use:   "preview -f FILE",
		Short: "Show what a change would do on each cluster, before it is made",
		Long: `Lay the objects of some files over those on the hub, and show what would follow:
which clusters an instance joins and leaves, and which resources are created (+),
changed (~), deleted (-) or left alone from then on (o) on each of them. The
functions of the hub's controllers decide. Nothing is written.

The files hold ResourceGraphDefinitions, instances, Distributions, Placements,
ManagedClusters, ManagedClusterSets and their bindings, and Namespaces. An object
is taken as ` + "`kubectl apply`" + ` takes it: its spec is that of the file; labels,
annotations and all of a ManagedCluster are merged, and null takes one away.

The yardstick is what was shipped. What waits for values that only a cluster knows
is shown as far as the values are known now, after what has to happen first; that
resources which are applied become ready is taken for granted. Values of Secrets
are shown as ***, but that they change is.

With --offline nothing is read from a hub. The objects of --base then stand for
what is there, as applied and ready; without any, everything is new.

The hub's own options count (--default-placement and others, as the hub has them).`,
		Example: `  kronvoy preview -f webapp.yaml
  kronvoy preview -f rgd.yaml --cluster eu-west -o wide
  kubectl label managedcluster eu-west env=prod --dry-run=client -o yaml | kronvoy preview -f -
  kronvoy preview --offline --base main/ -f branch/ -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return opts.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	opts.bind(cmd)
	cmd.Flags().StringArrayVar(&opts.base, "base", nil, "with --offline: file or folder with the objects that are there; may be given several times")
	if err := cmd.MarkFlagRequired("filename"); err != nil {
		panic(err) // the flag is defined above
	}
	exit.Says(cmd, exit.Done, "nothing changes")
	exit.Says(cmd, exit.Failed, "an error, or something in the files cannot be used")
	exit.Says(cmd, exit.No, "something changes")
	return cmd
}

// bind adds the flags that preview and explain instance share.
func (o *previewOptions) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	o.Bind(flags)
	o.BindNamespace(flags, "objects whose file names none")
	flags.StringVar(&o.hubNamespace, "hub-namespace", "kronvoy-system", "namespace that the hub runs in")
	flags.StringArrayVarP(&o.files, "filename", "f", nil, "file or folder with objects, - for the standard input; may be given several times")
	flags.StringArrayVar(&o.crds, "crds", nil, "with --offline: file or folder of CustomResourceDefinitions of the kinds in the graph")
	flags.BoolVar(&o.offline, "offline", false, "read files alone")
	flags.StringVar(&o.cluster, "cluster", "", "only this cluster")
	output.BindFormat(cmd, &o.output, "table", "wide", "json", "yaml")
	flags.StringVar(&o.defaultPlacement, "default-placement", "", "as the hub has it: auto, local or none")
	flags.StringVar(&o.defaultServiceAccount, "default-service-account", "", "as the hub has it: [namespace/]name")
	flags.StringVar(&o.agentIdentity, "allow-agent-identity", "", "as the hub has it: auto, true or false; true with --offline")
	flags.StringSliceVar(&o.allowedNamespaces, "allow-namespace", nil, "as the hub has it: reserved namespaces that instances may use")
	flags.DurationVar(&o.gracePeriod, "removal-grace-period", 30*time.Second, "as the hub has it")
}

func (o *previewOptions) run(ctx context.Context, stdin io.Reader, out, errOut io.Writer) error {
	opts, documents, base, err := o.read(stdin, errOut)
	if err != nil {
		return err
	}
	result, err := preview.Of(ctx, opts, base, documents)
	if err != nil {
		return err
	}
	if o.output == "table" || o.output == "wide" {
		err = result.Write(out, o.output == "wide")
	} else {
		err = output.Encode(out, o.output, result)
	}
	switch {
	case err != nil:
		return err
	case result.Summary.Issues > 0:
		return exit.Failed
	case result.Changes():
		return errChanges
	}
	return nil
}

// read reads the files, and finds the hub where there is one.
func (o *previewOptions) read(stdin io.Reader, errOut io.Writer) (opts preview.Options, documents, base []*manifest.Document, err error) {
	if !o.offline && len(o.base)+len(o.crds) > 0 {
		return opts, nil, nil, errors.New("--base and --crds stand in the place of a hub: add --offline")
	}
	if opts, err = o.options(); err != nil {
		return opts, nil, nil, err
	}
	if documents, err = manifest.Read(stdin, o.files); err != nil {
		return opts, nil, nil, err
	}
	if base, err = manifest.Read(stdin, o.base); err != nil {
		return opts, nil, nil, err
	}
	if o.offline {
		err = o.filesAlone(stdin, &opts, slices.Concat(documents, base))
	} else {
		err = o.connect(&opts)
	}
	opts.Progress = progress(errOut, clock.RealClock{})
	return opts, documents, base, err
}

// options reads the flags that say how the hub was started.
func (o *previewOptions) options() (preview.Options, error) {
	opts := preview.Options{
		Namespace: o.Namespace, HubNamespace: o.hubNamespace, AllowedNamespaces: o.allowedNamespaces, GracePeriod: o.gracePeriod,
		Cluster: o.cluster, Now: time.Now(),
	}
	var err error
	if opts.DefaultPlacement, err = rollout.ParseDefaultPlacement(o.defaultPlacement); err != nil {
		return opts, fmt.Errorf("--default-placement: %w", err)
	}
	if opts.DefaultServiceAccount, err = policy.ParseServiceAccount(o.defaultServiceAccount); err != nil {
		return opts, fmt.Errorf("--default-service-account: %w", err)
	}
	identity := o.agentIdentity
	if identity == "" && o.offline {
		identity = string(policy.AgentIdentityTrue)
	}
	if opts.AgentIdentity, err = policy.ParseAgentIdentity(identity); err != nil {
		return opts, fmt.Errorf("--allow-agent-identity: %w", err)
	}
	opts.Scheme, err = hub.Scheme()
	return opts, err
}

// filesAlone takes schemas from files, and from Kubernetes as it is built in.
func (o *previewOptions) filesAlone(stdin io.Reader, opts *preview.Options, documents []*manifest.Document) error {
	if opts.Namespace == "" {
		opts.Namespace = "default"
	}
	crds, err := manifest.Read(stdin, o.crds)
	if err != nil {
		return err
	}
	opts.Resolver, err = (&sourceOptions{}).resolver(slices.Concat(crds, documents))
	return err
}

// connect takes objects and schemas from the hub.
func (o *previewOptions) connect(opts *preview.Options) error {
	c, namespace, err := o.Client()
	if err != nil {
		return err
	}
	opts.Live, opts.Namespace = c, namespace
	config, _, err := o.Config()
	if err != nil {
		return err
	}
	opts.Resolver, err = hubSchemas(config)
	return err
}

// hubSchemas resolves kinds as the hub does.
func hubSchemas(config *rest.Config) (schema.Resolver, error) {
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connecting to the hub: %w", err)
	}
	cached := memory.NewMemCacheClient(client)
	return schema.Chain(schemas.NewHub(cached, restmapper.NewDeferredDiscoveryRESTMapper(cached), clock.RealClock{}), builtin.Resolver()), nil
}

// progress prints what is being done once that has taken a while, and then now and
// then.
func progress(w io.Writer, c clock.PassiveClock) func(string) {
	last := c.Now()
	return func(what string) {
		if now := c.Now(); now.Sub(last) >= slow {
			last = now
			fmt.Fprintf(w, "%s …\n", strings.TrimSpace(what))
		}
	}
}
