package join

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// bootstrap is what the bootstrap Secret says.
type bootstrap struct {
	cluster string
	// requestedLabels are shown to whoever accepts the cluster, as JSON.
	requestedLabels string
	server          *clientcmdapi.Cluster
	config          *rest.Config
	// hash tells one bootstrap from the next.
	hash string
}

// SecretRequestedLabels is the bootstrap Secret's key of the labels that the
// cluster asks for, as a JSON object.
const SecretRequestedLabels = "requested-labels"

// Bootstrap is what a bootstrap Secret says, for who puts it on a cluster.
type Bootstrap struct {
	// Cluster is the name by which the cluster is to join, Server the hub's address.
	Cluster, Server string
	// Config reaches the hub with the rights to join.
	Config *rest.Config
	// Hash is what HubSecret has under SecretBootstrap once it has led to a
	// certificate.
	Hash string
}

// ReadBootstrap reads the data of a bootstrap Secret.
func ReadBootstrap(data map[string][]byte) (*Bootstrap, error) {
	b, err := readBootstrap(data, "")
	if err != nil {
		return nil, err
	}
	return &Bootstrap{Cluster: b.cluster, Server: b.server.Server, Config: b.config, Hash: b.hash}, nil
}

// readBootstrap reads the data of a bootstrap Secret. A name that is given counts
// for more than what it says.
func readBootstrap(data map[string][]byte, name string) (*bootstrap, error) {
	b := &bootstrap{cluster: name, requestedLabels: string(data[SecretRequestedLabels])}
	text := data[kronvoyv1alpha1.SecretKubeconfig]
	if len(text) == 0 {
		return nil, fmt.Errorf("it has no key %q", kronvoyv1alpha1.SecretKubeconfig)
	}
	kubeconfig, err := clientcmd.Load(text)
	if err != nil {
		return nil, fmt.Errorf("reading its kubeconfig: %w", err)
	}
	if b.server, err = serverOf(kubeconfig); err != nil {
		return nil, err
	}
	current := kubeconfig.Contexts[kubeconfig.CurrentContext]
	user := kubeconfig.AuthInfos[current.AuthInfo]
	if user != nil && (user.Exec != nil || user.AuthProvider != nil || user.TokenFile != "" || user.ClientCertificate != "" || user.ClientKey != "") {
		return nil, errors.New("its kubeconfig refers to programs or files, which the agent does not have: use a token or client-certificate-data")
	}
	if b.config, err = clientcmd.NewDefaultClientConfig(*kubeconfig, nil).ClientConfig(); err != nil {
		return nil, fmt.Errorf("reading its kubeconfig: %w", err)
	}
	for _, name := range []string{string(data[kronvoyv1alpha1.SecretClusterName]), current.Namespace} {
		if b.cluster == "" {
			b.cluster = name
		}
	}
	if b.cluster == "" {
		return nil, fmt.Errorf("it does not say the cluster's name: add the key %q", kronvoyv1alpha1.SecretClusterName)
	}
	if problems := validation.IsDNS1123Label(b.cluster); len(problems) > 0 {
		return nil, fmt.Errorf("the cluster's name %q in it is not valid: %s", b.cluster, strings.Join(problems, "; "))
	}
	sum := sha256.New()
	for _, part := range [][]byte{[]byte(b.cluster), []byte(b.requestedLabels), text} {
		fmt.Fprintf(sum, "%d:%s", len(part), part)
	}
	b.hash = hex.EncodeToString(sum.Sum(nil))
	return b, nil
}

// serverOf is how a kubeconfig reaches its API server.
func serverOf(kubeconfig *clientcmdapi.Config) (*clientcmdapi.Cluster, error) {
	current := kubeconfig.Contexts[kubeconfig.CurrentContext]
	if current == nil {
		return nil, errors.New("its kubeconfig has no current context")
	}
	server := kubeconfig.Clusters[current.Cluster]
	switch {
	case server == nil:
		return nil, fmt.Errorf("its kubeconfig has no cluster %q", current.Cluster)
	case !strings.HasPrefix(server.Server, "https://"):
		return nil, fmt.Errorf("its kubeconfig's server %q does not begin with https://", server.Server)
	case server.CertificateAuthority != "":
		return nil, errors.New("its kubeconfig refers to a file with the certificate authority: use certificate-authority-data")
	}
	return server, nil
}
