package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/member"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
	"github.com/kronvoy/kronvoy/internal/install"
	"github.com/kronvoy/kronvoy/spoke/join"
)

// maxBootstrap bounds a bootstrap kubeconfig.
const maxBootstrap = 1 << 20

var errNoImage = errors.New("--image is needed: build it from Containerfile and push it where the cluster can pull it; --without-agent installs no Deployment")

type joinOptions struct {
	kubeconfig, context, file, image, output string
	requestLabels                            map[string]string
	manifests, withoutAgent, force, wait     bool
	timeout                                  time.Duration
}

func joinCommand() *cobra.Command {
	var opts joinOptions
	cmd := &cobra.Command{
		Use:   "join",
		Short: "Bring a cluster into a fleet",
		Long: `Bring a cluster into a fleet.

Reads a bootstrap kubeconfig, which "kronvoy hub token" prints, installs the agent
in the cluster of the current context, and waits until the hub has it. The
cluster's key never leaves it. To join again, with a new token, is safe: so comes
back a cluster that was away until its certificate ended.`,
		Example: `  kronvoy hub token --cluster eu-west --labels region=eu | kronvoy join --context eu-west --image registry.example/kronvoy-spoke:v1
  kronvoy hub token --cluster eu-west --rejoin | kronvoy join --context eu-west
  kronvoy join -f bootstrap.kubeconfig --image registry.example/kronvoy-spoke:v1
  # for GitOps, or as inline manifests of Talos
  kronvoy join -f bootstrap.kubeconfig --image registry.example/kronvoy-spoke:v1 --manifests > agent.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return opts.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster; as kubectl finds it if empty")
	flags.StringVar(&opts.context, "context", "", "context of the kubeconfig")
	flags.StringVarP(&opts.file, "filename", "f", "-", "bootstrap kubeconfig; - is standard input")
	flags.StringVar(&opts.image, "image", "", "image of the agent, built from Containerfile; that of the installed agent if empty")
	flags.StringToStringVar(&opts.requestLabels, "request-labels", nil, "labels that whoever accepts the cluster is shown; the hub alone sets labels")
	flags.BoolVar(&opts.manifests, "manifests", false, "print what would be installed instead; it holds the bootstrap token")
	flags.BoolVar(&opts.withoutAgent, "without-agent", false, "install everything but the Deployment, for an agent that runs elsewhere")
	flags.BoolVar(&opts.force, "force", false, "join even where the cluster is another hub's, or has another name; what that hub brought is evicted after an hour")
	flags.BoolVar(&opts.wait, "wait", true, "wait until the hub has the agent")
	flags.DurationVar(&opts.timeout, "timeout", member.Patience, "how long to wait")
	output.BindFormat(cmd, &opts.output, "text", "json", "yaml")
	return cmd
}

func (o *joinOptions) run(ctx context.Context, in io.Reader, out, progress io.Writer) error {
	agent, err := o.agent(in)
	if err != nil {
		return err
	}
	if o.manifests {
		if agent.Image == "" && !o.withoutAgent {
			return errNoImage
		}
		return printManifests(out, agent)
	}
	c, _, err := memberClient(o.kubeconfig, o.context)
	if err != nil {
		return err
	}
	if agent.Image == "" && !o.withoutAgent {
		if agent.Image, err = member.Image(ctx, c); err != nil {
			return err
		}
		if agent.Image == "" {
			return errNoImage
		}
	}
	j := &member.Joining{Cluster: c, Agent: agent, Force: o.force, Progress: progress}
	to, err := j.Install(ctx)
	if err != nil {
		return err
	}
	result := &member.Joined{Cluster: to.Cluster, Hub: to.Server, Steps: []string{}}
	if o.wait {
		bounded, cancel := context.WithTimeout(ctx, o.timeout)
		defer cancel()
		if result, err = j.Wait(bounded, to); err != nil {
			return err
		}
	}
	return printResult(out, o.output, result, func(w io.Writer) {
		switch {
		case result.Joined && agent.Image != "":
			fmt.Fprintf(w, "cluster %s has joined %s\n", result.Cluster, result.Hub)
		case result.Joined:
			fmt.Fprintf(w, "the agent of cluster %s has its certificate of %s\n", result.Cluster, result.Hub)
		default:
			fmt.Fprintf(w, "cluster %s is told to join %s; see `kubectl -n %s get events`\n", result.Cluster, result.Hub, install.AgentNamespace)
		}
	})
}

// agent reads what is to be installed.
func (o *joinOptions) agent(in io.Reader) (install.Agent, error) {
	agent := install.Agent{Image: o.image}
	if o.withoutAgent && o.image != "" {
		return agent, errors.New("--without-agent installs no image: leave out --image")
	}
	if o.file != "-" {
		file, err := os.Open(o.file)
		if err != nil {
			return agent, fmt.Errorf("reading the bootstrap kubeconfig: %w", err)
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, maxBootstrap))
	if err != nil {
		return agent, fmt.Errorf("reading the bootstrap kubeconfig: %w", err)
	}
	if len(text) == 0 {
		return agent, errors.New("no bootstrap kubeconfig came in: pipe the output of `kronvoy hub token --cluster NAME` into this command, or name a file with -f")
	}
	agent.Bootstrap = map[string][]byte{kronvoyv1alpha1.SecretKubeconfig: text}
	if len(o.requestLabels) > 0 {
		if agent.Bootstrap[join.SecretRequestedLabels], err = json.Marshal(o.requestLabels); err != nil {
			return agent, err
		}
	}
	if _, err := join.ReadBootstrap(agent.Bootstrap); err != nil {
		return agent, fmt.Errorf("reading the bootstrap kubeconfig: %w; it is what `kronvoy hub token --cluster NAME` prints", err)
	}
	return agent, nil
}

func printManifests(out io.Writer, agent install.Agent) error {
	objects, err := agent.Objects()
	if err != nil {
		return err
	}
	for _, object := range objects {
		text, err := yaml.Marshal(object.Object)
		if err != nil {
			return fmt.Errorf("printing %s %s: %w", object.GetKind(), object.GetName(), err)
		}
		if _, err := fmt.Fprintf(out, "---\n%s", text); err != nil {
			return err
		}
	}
	return nil
}

// printResult prints what was done for people or programs.
func printResult(out io.Writer, format string, result any, text func(io.Writer)) error {
	if format != "text" {
		return output.Encode(out, format, result)
	}
	text(out)
	return nil
}

// memberClient reaches the cluster that is, or is to be, in a fleet.
func memberClient(kubeconfig, kubeContext string) (client.Client, *rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: kubeContext}).ClientConfig()
	if err != nil {
		return nil, nil, fmt.Errorf("reading the kubeconfig: %w; name one with --kubeconfig", err)
	}
	// The API server's own fairness bounds it; a limit here would end a wait by its
	// own error a moment before the deadline.
	config.QPS = -1
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{appsv1.AddToScheme, corev1.AddToScheme, eventsv1.AddToScheme, workv1.Install} {
		if err := add(scheme); err != nil {
			return nil, nil, err
		}
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	return c, config, nil
}
