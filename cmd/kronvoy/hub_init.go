package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/connect"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
	"github.com/kronvoy/kronvoy/config"
)

type initOptions struct {
	connect.Hub
	output, image             string
	local, withoutOCM, dryRun bool
	timeout                   time.Duration
}

// installed is what the command reports.
type installed struct {
	Objects    []installedObject `json:"objects"`
	Encryption encryption        `json:"encryptionAtRest"`
}

type installedObject struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// Result is created, changed or unchanged.
	Result string `json:"result"`
}

// encryption is whether the hub's API server encrypts what it stores.
type encryption struct {
	// State is Configured, NotConfigured or Unknown.
	State   string `json:"state"`
	Message string `json:"message"`
}

func hubInitCommand() *cobra.Command {
	var opts initOptions
	cmd := &cobra.Command{
		Use:   "init --image IMAGE",
		Short: "Make a cluster a hub, or bring a hub up to date",
		Long: `Make a cluster a hub, or bring a hub up to date: CustomResourceDefinitions, cluster
sets, roles, admission policies and the hub itself, as config/hub has them. Run
again it changes only what differs from that; what was added is kept.

Works and instances hold the values of Secrets, so the API server should encrypt
what it stores of them. The command looks whether it does, as far as that can be
seen from here, and says what to check otherwise.`,
		Example: `  kronvoy hub init --image registry.example/kronvoy-hub:v0.1.0
  kronvoy hub init --image registry.example/kronvoy-hub:v0.1.0 --dry-run`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return opts.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	opts.Bind(flags)
	flags.StringVar(&opts.image, "image", "", "image of the hub, as the Containerfile makes it")
	flags.BoolVar(&opts.local, "local-cluster", false, "make the hub's own cluster a spoke, too")
	flags.BoolVar(&opts.withoutOCM, "without-ocm-crds", false, "leave out Open Cluster Management's CustomResourceDefinitions: it is installed itself")
	flags.BoolVar(&opts.dryRun, "dry-run", false, "only say what would change")
	flags.DurationVar(&opts.timeout, "timeout", time.Minute, "how long to wait for the new kinds")
	output.BindFormat(cmd, &opts.output, "table", "json", "yaml")
	_ = cmd.MarkFlagRequired("image")
	return cmd
}

func (o *initOptions) run(ctx context.Context, out, errOut io.Writer) error {
	c, _, err := o.Client()
	if err != nil {
		return err
	}
	objects, err := o.objects()
	if err != nil {
		return err
	}
	result := installed{Objects: make([]installedObject, 0, len(objects))}
	for _, object := range objects {
		row, err := o.apply(ctx, c, object)
		if err != nil {
			return err
		}
		result.Objects = append(result.Objects, row)
		fmt.Fprintf(errOut, "%s %s %s\n", row.Kind, row.Name, row.Result)
	}
	result.Encryption = lookAtEncryption(ctx, c)
	if o.output != "table" {
		return output.Encode(out, o.output, result)
	}
	counts := map[string]int{}
	for _, row := range result.Objects {
		counts[row.Result]++
	}
	what := "The hub is installed"
	if o.dryRun {
		what = "The hub would be installed"
	}
	fmt.Fprintf(out, "%s: %d objects created, %d changed, %d unchanged.\n", what, counts["created"], counts["changed"], counts["unchanged"])
	fmt.Fprintf(out, "Encryption at rest: %s. %s\n", strings.ToLower(result.Encryption.State), result.Encryption.Message)
	if !o.dryRun {
		fmt.Fprintln(out, "Next: kronvoy hub token --cluster NAME | kronvoy join --context CONTEXT --image IMAGE")
	}
	return nil
}

// objects are what is installed, kinds before objects of them.
func (o *initOptions) objects() ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	if !o.withoutOCM {
		apis, err := config.Build(config.HubAPIs, "")
		if err != nil {
			return nil, err
		}
		objects = apis
	}
	hub := config.Hub
	if o.local {
		hub = config.Local
	}
	rest, err := config.Build(hub, o.image)
	return append(objects, rest...), err
}

// apply takes the fields that the manifests name, whoever had them: a hub that
// kubectl installed is brought up to date, too.
func (o *initOptions) apply(ctx context.Context, c client.Client, object *unstructured.Unstructured) (installedObject, error) {
	row := installedObject{Kind: object.GetKind(), Namespace: object.GetNamespace(), Name: object.GetName()}
	before := &unstructured.Unstructured{}
	before.SetGroupVersionKind(object.GroupVersionKind())
	err := c.Get(ctx, client.ObjectKeyFromObject(object), before)
	known := err == nil
	if err != nil && !apierrors.IsNotFound(err) && !apimeta.IsNoMatchError(err) {
		return row, fmt.Errorf("reading %s %s: %w", row.Kind, row.Name, err)
	}
	row.Result = "created"
	if o.dryRun && !known {
		// What it is in may not be there either.
		return row, nil
	}
	opts := []client.ApplyOption{client.FieldOwner("kronvoy"), client.ForceOwnership}
	if o.dryRun {
		opts = append(opts, client.DryRunAll)
	}
	if err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), opts...); err != nil {
		return row, fmt.Errorf("applying %s %s: %w", row.Kind, row.Name, err)
	}
	if known {
		row.Result = "changed"
		// A dry run answers with the version of before, and the generation of after.
		if before.GetResourceVersion() == object.GetResourceVersion() && before.GetGeneration() == object.GetGeneration() {
			row.Result = "unchanged"
		}
	}
	if object.GetKind() == "CustomResourceDefinition" && !o.dryRun {
		return row, o.established(ctx, c, object.GetName())
	}
	return row, nil
}

// established waits until objects of a kind can be made.
func (o *initOptions) established(ctx context.Context, c client.Client, name string) error {
	err := wait.PollUntilContextTimeout(ctx, refresh/10, o.timeout, true, func(ctx context.Context) (bool, error) {
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := c.Get(ctx, client.ObjectKey{Name: name}, crd); err != nil {
			return false, err
		}
		for _, condition := range crd.Status.Conditions {
			if condition.Type == apiextensionsv1.Established && condition.Status == apiextensionsv1.ConditionTrue {
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for CustomResourceDefinition %s to be established: %w", name, err)
	}
	return nil
}

// encryptionCheck is what an administrator can do where nothing can be seen.
const encryptionCheck = "The API does not tell: look for --encryption-provider-config on the kube-apiserver, or ask whoever runs it. " +
	"The configuration should list secrets, manifestworks.work.open-cluster-management.io, controllerrevisions.apps and *.kronvoy.io."

// lookAtEncryption sees API servers that run as pods, as kubeadm's do.
func lookAtEncryption(ctx context.Context, c client.Client) encryption {
	var pods corev1.PodList
	err := c.List(ctx, &pods, client.InNamespace("kube-system"), client.MatchingLabels{"component": "kube-apiserver"})
	if err != nil || len(pods.Items) == 0 {
		return encryption{State: "Unknown", Message: encryptionCheck}
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		if !encrypts(pod) {
			return encryption{State: "NotConfigured", Message: fmt.Sprintf(
				"Pod kube-system/%s runs without --encryption-provider-config: whoever reads etcd or its backups reads the Secrets in works.", pod.Name)}
		}
	}
	return encryption{State: "Configured", Message: "The API server has --encryption-provider-config; which kinds it covers is in that file. " +
		"It should list secrets, manifestworks.work.open-cluster-management.io, controllerrevisions.apps and *.kronvoy.io."}
}

func encrypts(pod *corev1.Pod) bool {
	for _, container := range pod.Spec.Containers {
		for _, arg := range append(container.Command, container.Args...) {
			if strings.HasPrefix(arg, "--encryption-provider-config=") || arg == "--encryption-provider-config" {
				return true
			}
		}
	}
	return false
}
