package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/connect"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
	"github.com/kronvoy/kronvoy/hub/registration/token"
	"github.com/kronvoy/kronvoy/internal/bootstrap"
)

type tokenOptions struct {
	connect.Hub
	output                       string
	cluster, labels, approval    string
	server, certificateAuthority string
	ttl                          time.Duration
	rejoin                       bool
}

func hubCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hub",
		Short: "Set up a hub, and let clusters join it",
	}
	cmd.AddCommand(hubInitCommand(), hubTokenCommand())
	return cmd
}

func hubTokenCommand() *cobra.Command {
	var opts tokenOptions
	cmd := &cobra.Command{
		Use:   "token --cluster NAME",
		Short: "Let one cluster join, once",
		Long: `Let one cluster join, once.

Prints a kubeconfig with which the cluster of that name, and no other, may ask
the hub for a certificate. It is good for one request, and ends when the cluster
has joined or --ttl is over. Whoever has it until then can join as that cluster:
hand it over as a password, or pipe it into "kronvoy join".

The labels are set on the ManagedCluster when the hub accepts it. They decide
what the cluster receives, so they come with the token and not from the cluster.

A token that was made earlier for the same cluster is dead at once.`,
		Example: `  kronvoy hub token --cluster eu-west --labels region=eu,size=large | kronvoy join --context eu-west --image registry.example/kronvoy-spoke:v1
  kronvoy hub token --cluster edge-7 --approval manual > edge-7.kubeconfig
  kronvoy hub token --cluster eu-west --rejoin | kronvoy join --context eu-west`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return opts.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	opts.Bind(flags)
	flags.StringVar(&opts.cluster, "cluster", "", "name of the cluster on the hub")
	flags.StringVar(&opts.labels, "labels", "", "labels that the cluster gets, as key=value,…")
	flags.DurationVar(&opts.ttl, "ttl", token.MaxTTL, "how long the cluster has to join, at most an hour")
	flags.StringVar(&opts.approval, "approval", kronvoyv1alpha1.JoinApprovalAutomatic, "automatic, or manual to have a person run \"kronvoy accept\"")
	flags.BoolVar(&opts.rejoin, "rejoin", false, "for a cluster that the hub knows already")
	flags.StringVar(&opts.server, "server", "", "address by which the cluster reaches the hub; the kubeconfig's if empty")
	flags.StringVar(&opts.certificateAuthority, "certificate-authority", "", "file with the authority of that address; the kubeconfig's if empty")
	output.BindFormat(cmd, &opts.output, "yaml", "json")
	_ = cmd.MarkFlagRequired("cluster")
	return cmd
}

func (o *tokenOptions) run(ctx context.Context, out, errOut io.Writer) error {
	if o.output != "yaml" && o.output != "json" {
		return fmt.Errorf("--output %q is not yaml or json", o.output)
	}
	now := time.Now()
	t, err := o.token(now)
	if err != nil {
		return err
	}
	server, err := o.hubServer()
	if err != nil {
		return err
	}
	c, _, err := o.Client()
	if err != nil {
		return err
	}
	if err := o.check(ctx, c); err != nil {
		return err
	}
	secret, err := bootstrap.Make(ctx, c, o.cluster, t, now)
	if err != nil {
		return err
	}
	text, err := encodeKubeconfig(bootstrap.Kubeconfig(o.cluster, server, secret), o.output)
	if err != nil {
		return err
	}
	if _, err := out.Write(text); err != nil {
		return err
	}
	how := "the hub accepts it by itself"
	if !t.Automatic {
		how = "then run: kronvoy accept " + o.cluster
	}
	fmt.Fprintf(errOut, "Cluster %s may join once until %s; %s.\n", o.cluster, t.Expires.Local().Format(time.Kitchen), how)
	if u, err := url.Parse(server.Server); err == nil && slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, u.Hostname()) {
		fmt.Fprintf(errOut, "Warning: %s is reachable from this machine alone; name another address with --server.\n", server.Server)
	}
	return nil
}

// token is what the flags say, checked.
func (o *tokenOptions) token(now time.Time) (token.Token, error) {
	t := token.Token{Expires: now.Add(o.ttl), Automatic: o.approval == kronvoyv1alpha1.JoinApprovalAutomatic}
	if err := kronvoyv1alpha1.ValidateJoinName(o.cluster); err != nil {
		return t, err
	}
	if o.ttl < time.Minute || o.ttl > token.MaxTTL {
		return t, fmt.Errorf("--ttl is %s, and a minute to an hour is allowed", o.ttl)
	}
	if !t.Automatic && o.approval != kronvoyv1alpha1.JoinApprovalManual {
		return t, fmt.Errorf("--approval %q is not automatic or manual", o.approval)
	}
	var err error
	t.Labels, err = parseLabels(o.labels)
	return t, err
}

func parseLabels(text string) (map[string]string, error) {
	set, err := labels.ConvertSelectorToLabelsMap(text)
	if err != nil {
		return nil, fmt.Errorf("reading --labels: %w; they are key=value,…", err)
	}
	return set, token.ValidateLabels(set)
}

// check refuses what could not succeed, or would take a cluster's place.
func (o *tokenOptions) check(ctx context.Context, c client.Client) error {
	cluster := &clusterv1.ManagedCluster{}
	err := c.Get(ctx, client.ObjectKey{Name: o.cluster}, cluster)
	switch {
	case err == nil && cluster.DeletionTimestamp != nil:
		return fmt.Errorf("cluster %s is being deleted: wait until it is gone, see kubectl describe managedcluster %s", o.cluster, o.cluster)
	case err == nil && !o.rejoin:
		return fmt.Errorf("the hub knows cluster %s already: give --rejoin to let it join again, or take another name", o.cluster)
	case apimeta.IsNoMatchError(err):
		return errors.New("this is no hub, it knows no ManagedClusters: \"kronvoy hub init\" makes it one")
	case apierrors.IsNotFound(err):
	case err != nil:
		return fmt.Errorf("looking for cluster %s: %w", o.cluster, err)
	}
	namespace := &corev1.Namespace{}
	err = c.Get(ctx, client.ObjectKey{Name: o.cluster}, namespace)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("looking for namespace %s: %w", o.cluster, err)
	}
	if err == nil && namespace.Labels[clusterv1.ClusterNameLabelKey] != o.cluster {
		return fmt.Errorf("namespace %s exists on the hub and belongs to something else: take another name for the cluster", o.cluster)
	}
	return nil
}

// hubServer is how the cluster is to reach the hub: as the administrator does,
// unless the flags say otherwise.
func (o *tokenOptions) hubServer() (*clientcmdapi.Cluster, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.Kubeconfig
	raw, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: o.Context}).RawConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w; name one with --kubeconfig", err)
	}
	if o.Context != "" {
		raw.CurrentContext = o.Context
	}
	server, err := bootstrap.Server(raw)
	if err != nil {
		return nil, err
	}
	if o.certificateAuthority != "" {
		server.InsecureSkipTLSVerify = false
		if err := bootstrap.Trust(server, o.certificateAuthority); err != nil {
			return nil, err
		}
	}
	if o.server != "" {
		server.Server = o.server
	}
	if server.InsecureSkipTLSVerify {
		return nil, errors.New("the kubeconfig does not check who the hub is (insecure-skip-tls-verify), and a cluster that joins has to: give --certificate-authority")
	}
	return server, nil
}

func encodeKubeconfig(kubeconfig clientcmdapi.Config, output string) ([]byte, error) {
	text, err := clientcmd.Write(kubeconfig)
	if err == nil && output == "json" {
		text, err = yaml.YAMLToJSON(text)
		text = append(text, '\n')
	}
	if err != nil {
		return nil, fmt.Errorf("writing the kubeconfig: %w", err)
	}
	return text, nil
}
