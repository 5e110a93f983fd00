// Package connect has the flags by which every command finds the hub, and the
// client that comes of them.
package connect

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
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

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// Hub says which hub is meant, as whom, and which namespace there. The flags are
// kubectl's.
type Hub struct {
	Kubeconfig, Context, Namespace string
	// AllNamespaces makes the namespace empty.
	AllNamespaces bool

	as       string
	asGroups []string
}

// Bind adds the flags that say which hub is meant.
func (h *Hub) Bind(flags *pflag.FlagSet) {
	flags.StringVar(&h.Kubeconfig, "kubeconfig", "", "kubeconfig of the hub; as kubectl finds it if empty")
	flags.StringVar(&h.Context, "context", "", "context of the kubeconfig")
	flags.StringVar(&h.as, "as", "", "name of the user to act as, who is another one than the kubeconfig's")
	flags.StringArrayVar(&h.asGroups, "as-group", nil, "group to act as; may be given several times")
}

// Of is what the flags of a command say, as a shell completes it.
func Of(flags *pflag.FlagSet) *Hub {
	read := func(name string) string {
		if flag := flags.Lookup(name); flag != nil {
			return flag.Value.String()
		}
		return ""
	}
	return &Hub{
		Kubeconfig: read("kubeconfig"), Context: read("context"), Namespace: read("namespace"),
		AllNamespaces: read("all-namespaces") == "true", as: read("as"),
	}
}

// BindNamespace adds the flag for one namespace, which is that of something.
func (h *Hub) BindNamespace(flags *pflag.FlagSet, of string) {
	flags.StringVarP(&h.Namespace, "namespace", "n", "", "namespace of "+of+"; the context's if empty")
}

// BindNamespaces adds the flags for one namespace, or all.
func (h *Hub) BindNamespaces(flags *pflag.FlagSet, of string) {
	h.BindNamespace(flags, of)
	h.BindAllNamespaces(flags)
}

// BindAllNamespaces adds the flag for all namespaces to that for one.
func (h *Hub) BindAllNamespaces(flags *pflag.FlagSet) {
	flags.BoolVarP(&h.AllNamespaces, "all-namespaces", "A", false, "all namespaces")
}

// Config is what the flags say, and the namespace: the context's if none is
// given, and empty for all.
func (h *Hub) Config() (*rest.Config, string, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = h.Kubeconfig
	overrides := &clientcmd.ConfigOverrides{CurrentContext: h.Context}
	overrides.AuthInfo.Impersonate, overrides.AuthInfo.ImpersonateGroups = h.as, h.asGroups
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides)
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, "", fmt.Errorf("reading the kubeconfig: %w; name one with --kubeconfig", err)
	}
	config.QPS, config.Burst = 50, 100
	namespace := h.Namespace
	switch {
	case h.AllNamespaces:
		namespace = ""
	case namespace == "":
		if namespace, _, err = loader.Namespace(); err != nil {
			return nil, "", fmt.Errorf("reading the kubeconfig's namespace: %w", err)
		}
	}
	return config, namespace, nil
}

// Client is a client for the hub, and the namespace.
func (h *Hub) Client() (client.WithWatch, string, error) {
	config, namespace, err := h.Config()
	if err != nil {
		return nil, "", err
	}
	scheme, err := Scheme()
	if err != nil {
		return nil, "", err
	}
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, "", fmt.Errorf("connecting to the hub: %w", err)
	}
	return c, namespace, nil
}

// Scheme has all kinds of a hub but the generated ones.
func Scheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	var errs []error
	for _, add := range []func(*runtime.Scheme) error{
		appsv1.AddToScheme, authenticationv1.AddToScheme, certificatesv1.AddToScheme, corev1.AddToScheme, eventsv1.AddToScheme, coordinationv1.AddToScheme, apiextensionsv1.AddToScheme,
		clusterv1.Install, clusterv1alpha1.Install, clusterv1beta1.Install, clusterv1beta2.Install, workv1.Install, kronvoyv1alpha1.AddToScheme, krov1alpha1.AddToScheme,
	} {
		errs = append(errs, add(scheme))
	}
	return scheme, errors.Join(errs...)
}
