package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	clusterv1alpha1 "open-cluster-management.io/api/cluster/v1alpha1"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	clusterv1beta2 "open-cluster-management.io/api/cluster/v1beta2"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/view"
)

// errNotReady is that not everything shown is ready.
const errNotReady = exitStatus(1)

// refresh is how often --watch looks again.
const refresh = 500 * time.Millisecond

type statusOptions struct {
	kubeconfig, context, namespace, output string
	allNamespaces, watch                   bool
}

func statusCommand() *cobra.Command {
	var opts statusOptions
	cmd := &cobra.Command{
		Use:   "status [INSTANCE]",
		Short: "Show instances, or one instance on each of its clusters",
		Long: `Show all instances of a hub, or one of them on each of its clusters.

INSTANCE is a name, or kind/name where several kinds share a name. The exit
status is 0 if everything shown is ready, else 1.`,
		Example: `  kronvoy status -A
  kronvoy status webapp/shop -n shop --watch
  kronvoy status shop -n shop -o json | jq '.clusters[] | select(.state != "Ready")'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			reference := ""
			if len(args) == 1 {
				reference = args[0]
			}
			return opts.run(cmd.Context(), cmd.OutOrStdout(), reference)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.kubeconfig, "kubeconfig", "", "kubeconfig of the hub; as kubectl finds it if empty")
	flags.StringVar(&opts.context, "context", "", "context of the kubeconfig")
	flags.StringVarP(&opts.namespace, "namespace", "n", "", "namespace of the instance; the context's if empty")
	flags.BoolVarP(&opts.allNamespaces, "all-namespaces", "A", false, "instances of all namespaces")
	flags.StringVarP(&opts.output, "output", "o", "table", "table, wide, json or yaml")
	flags.BoolVarP(&opts.watch, "watch", "w", false, "keep the view up to date until Ctrl-C")
	return cmd
}

func (o statusOptions) run(ctx context.Context, out io.Writer, reference string) error {
	c, namespace, err := hubClient(o.kubeconfig, o.context, o.namespace)
	if err != nil {
		return err
	}
	if o.allNamespaces {
		namespace = ""
	}
	show := func(ctx context.Context, w io.Writer) error {
		if reference == "" {
			instances, err := view.List(ctx, c, namespace)
			if err != nil {
				return err
			}
			return o.writeList(w, instances)
		}
		instance, err := view.Get(ctx, c, namespace, reference)
		if err != nil {
			return err
		}
		return o.writeOne(w, instance)
	}
	if !o.watch {
		return show(ctx, out)
	}
	return watch(ctx, out, show)
}

// watch shows again whenever the view changed; on a terminal it stays in
// place.
func watch(ctx context.Context, out io.Writer, show func(context.Context, io.Writer) error) error {
	screen := newScreen(out)
	ticker := time.NewTicker(refresh)
	defer ticker.Stop()
	for {
		var buffer bytes.Buffer
		if err := show(ctx, &buffer); err != nil && !errors.Is(err, errNotReady) {
			if ctx.Err() != nil {
				return nil
			}
			// A hub that does not answer for a while is what one watches for.
			fmt.Fprintln(&buffer, "Error:", err)
		}
		screen.draw(buffer.String())
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (o statusOptions) writeList(w io.Writer, instances []view.Instance) error {
	switch o.output {
	case "table", "wide":
		if len(instances) == 0 {
			fmt.Fprintln(w, "no instances")
			return nil
		}
		if err := view.WriteInstances(w, instances); err != nil {
			return err
		}
	default:
		if err := writeEncoded(w, o.output, instances); err != nil {
			return err
		}
	}
	for _, instance := range instances {
		if !instance.AllReady() {
			return errNotReady
		}
	}
	return nil
}

func (o statusOptions) writeOne(w io.Writer, instance view.Instance) error {
	var err error
	if o.output == "table" || o.output == "wide" {
		err = view.WriteInstance(w, instance, o.output == "wide")
	} else {
		err = writeEncoded(w, o.output, instance)
	}
	if err == nil && !instance.AllReady() {
		err = errNotReady
	}
	return err
}

func writeEncoded(w io.Writer, output string, value any) error {
	var text []byte
	var err error
	switch output {
	case "json":
		text, err = json.MarshalIndent(value, "", "  ")
		text = append(text, '\n')
	case "yaml":
		text, err = yaml.Marshal(value)
	default:
		return fmt.Errorf("--output %q is not table, wide, json or yaml", output)
	}
	if err != nil {
		return fmt.Errorf("encoding: %w", err)
	}
	_, err = w.Write(text)
	return err
}

// hubConfig reads a kubeconfig the way kubectl does; an empty namespace becomes
// the context's.
func hubConfig(kubeconfig, kubeContext, namespace string) (*rest.Config, string, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: kubeContext})
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, "", fmt.Errorf("reading the kubeconfig: %w; name one with --kubeconfig", err)
	}
	if namespace == "" {
		if namespace, _, err = loader.Namespace(); err != nil {
			return nil, "", fmt.Errorf("reading the kubeconfig's namespace: %w", err)
		}
	}
	config.QPS, config.Burst = 50, 100
	return config, namespace, nil
}

// hubClient is a client for the hub that a kubeconfig names.
func hubClient(kubeconfig, kubeContext, namespace string) (client.Client, string, error) {
	config, namespace, err := hubConfig(kubeconfig, kubeContext, namespace)
	if err != nil {
		return nil, "", err
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		appsv1.AddToScheme, authenticationv1.AddToScheme, certificatesv1.AddToScheme, corev1.AddToScheme, coordinationv1.AddToScheme, apiextensionsv1.AddToScheme,
		clusterv1.Install, clusterv1alpha1.Install, clusterv1beta1.Install, clusterv1beta2.Install, workv1.Install, kronvoyv1alpha1.AddToScheme, krov1alpha1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, "", err
		}
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, "", fmt.Errorf("connecting to the hub: %w", err)
	}
	return c, namespace, nil
}

// screen redraws in place on a terminal, and appends elsewhere, only when
// something changed.
type screen struct {
	out   io.Writer
	tty   bool
	last  string
	lines int
}

func newScreen(out io.Writer) *screen {
	file, ok := out.(interface{ Fd() uintptr })
	return &screen{out: out, tty: ok && term.IsTerminal(int(file.Fd()))}
}

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
	s.last, s.lines = text, bytes.Count([]byte(text), []byte("\n"))
}
