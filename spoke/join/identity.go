package join

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// Keys of HubSecret beside OCM's.
const (
	// keyJoining and keyRenewal hold the private keys of requests under way, the
	// first by the bootstrap with the hash under keyJoiningBy.
	keyJoining   = "joining.key"
	keyJoiningBy = "joining.bootstrap"
	keyRenewal   = "renewal.key"
	// SecretBootstrap is the hash of the bootstrap that led to the certificate.
	SecretBootstrap = "bootstrap"
)

// Joined is what HubSecret says, for who looks at a cluster.
type Joined struct {
	// Cluster is its name on the hub at Server.
	Cluster, Server string
	// Bootstrap is the hash of the one that it joined by.
	Bootstrap string
	// Until is when its certificate ends.
	Until time.Time
}

// ReadJoined reads HubSecret; nil where the cluster has not joined.
func ReadJoined(secret *corev1.Secret) (*Joined, error) {
	id, err := readIdentity(secret)
	if id == nil || err != nil {
		return nil, err
	}
	return &Joined{Cluster: id.cluster, Server: id.server.Server, Bootstrap: id.bootstrap, Until: id.notAfter()}, nil
}

// identity is what the hub knows the agent by.
type identity struct {
	cluster, agent string
	server         *clientcmdapi.Cluster
	config         *rest.Config // without credentials
	certificate    tls.Certificate
	// bootstrap is the hash of the one that it came by.
	bootstrap string
}

// readIdentity reads HubSecret; nil while it holds no certificate.
func readIdentity(secret *corev1.Secret) (*identity, error) {
	data := secret.Data
	if len(data[kronvoyv1alpha1.SecretKubeconfig]) == 0 {
		return nil, nil
	}
	kubeconfig, err := clientcmd.Load(data[kronvoyv1alpha1.SecretKubeconfig])
	if err != nil {
		return nil, fmt.Errorf("reading its kubeconfig: %w", err)
	}
	id := &identity{
		cluster: string(data[kronvoyv1alpha1.SecretClusterName]), agent: string(data[kronvoyv1alpha1.SecretAgentName]),
		bootstrap: string(data[SecretBootstrap]),
	}
	if id.server, err = serverOf(kubeconfig); err != nil {
		return nil, err
	}
	key, cert := data[kronvoyv1alpha1.SecretTLSKey], data[kronvoyv1alpha1.SecretTLSCertificate]
	if user := kubeconfig.AuthInfos[kubeconfig.Contexts[kubeconfig.CurrentContext].AuthInfo]; len(cert) == 0 && user != nil {
		// A Secret that was made by hand may have all in its kubeconfig.
		key, cert = user.ClientKeyData, user.ClientCertificateData
	}
	if len(cert) == 0 {
		return nil, nil // OCM's agent writes the kubeconfig first
	}
	if id.certificate, err = tls.X509KeyPair(cert, key); err != nil {
		return nil, fmt.Errorf("reading its certificate: %w", err)
	}
	cluster, agent, ok := kronvoyv1alpha1.ParseAgentUser(id.certificate.Leaf.Subject.CommonName)
	switch {
	case !ok:
		return nil, fmt.Errorf("its certificate is of %q, which is no agent's name", id.certificate.Leaf.Subject.CommonName)
	case id.cluster != "" && id.cluster != cluster:
		return nil, fmt.Errorf("its certificate is of cluster %q, but it says %q", cluster, id.cluster)
	}
	id.cluster, id.agent = cluster, agent
	id.config, err = configOf(id.server)
	return id, err
}

// configOf reaches a server, as nobody.
func configOf(server *clientcmdapi.Cluster) (*rest.Config, error) {
	config, err := clientcmd.NewDefaultClientConfig(*kubeconfigOf(server, "", ""), nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("reading its kubeconfig: %w", err)
	}
	return rest.AnonymousClientConfig(config), nil
}

// kubeconfigOf is what OCM's agents, and kubectl beside the Secret's files, can
// use too.
func kubeconfigOf(server *clientcmdapi.Cluster, cluster, user string) *clientcmdapi.Config {
	config := clientcmdapi.NewConfig()
	config.Clusters["hub"] = server
	config.Contexts["hub"] = &clientcmdapi.Context{Cluster: "hub", AuthInfo: user, Namespace: cluster}
	config.CurrentContext = "hub"
	if user != "" {
		config.AuthInfos[user] = &clientcmdapi.AuthInfo{
			ClientCertificate: kronvoyv1alpha1.SecretTLSCertificate, ClientKey: kronvoyv1alpha1.SecretTLSKey,
		}
	}
	return config
}

// install puts a new certificate and all that belongs to it into HubSecret.
func install(secret *corev1.Secret, cluster, agent, bootstrap string, server *clientcmdapi.Cluster, key, cert []byte) error {
	kubeconfig, err := clientcmd.Write(*kubeconfigOf(server, cluster, "agent"))
	if err != nil {
		return fmt.Errorf("writing the hub's kubeconfig: %w", err)
	}
	for _, pending := range []string{keyJoining, keyJoiningBy, keyRenewal} {
		delete(secret.Data, pending)
	}
	secret.Data[kronvoyv1alpha1.SecretClusterName] = []byte(cluster)
	secret.Data[kronvoyv1alpha1.SecretAgentName] = []byte(agent)
	secret.Data[kronvoyv1alpha1.SecretKubeconfig] = kubeconfig
	secret.Data[kronvoyv1alpha1.SecretTLSKey] = key
	secret.Data[kronvoyv1alpha1.SecretTLSCertificate] = cert
	secret.Data[SecretBootstrap] = []byte(bootstrap)
	return nil
}

// sameHub says whether two identities are of one cluster on one hub, so that an
// agent can go on with the second where it had the first.
func (id *identity) sameHub(other *identity) bool {
	return id.cluster == other.cluster && id.server.Server == other.server.Server
}

func (id *identity) notAfter() time.Time { return id.certificate.Leaf.NotAfter }

// expired says whether the certificate is of no use any more at that time of the
// hub's clock.
func (id *identity) expired(now time.Time) bool { return !now.Before(id.notAfter()) }

// renewAt is when 20 to 25 % of the certificate's life are left, as OCM and the
// kubelet do: where in between follows from the certificate, so that a fleet
// that joined at once does not renew at once, and a restart changes nothing.
func (id *identity) renewAt() time.Time {
	leaf := id.certificate.Leaf
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	sum := sha256.Sum256(leaf.Raw)
	fraction := float64(binary.BigEndian.Uint32(sum[:])) / (1 << 32)
	return leaf.NotAfter.Add(-time.Duration(float64(life) * (0.20 + 0.05*fraction)))
}

// check says why a certificate that the hub signed cannot be used.
func check(key, cert []byte, user string) error {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("it is not of our key: %w", err)
	}
	if pair.Leaf.Subject.CommonName != user {
		return fmt.Errorf("it is of %q, not of %q", pair.Leaf.Subject.CommonName, user)
	}
	return nil
}

// PendingRequest is the name of the request with which the agent asks to join;
// empty where it does not.
func PendingRequest(secret *corev1.Secret, cluster string) (string, error) {
	key := secret.Data[keyJoining]
	if len(key) == 0 {
		return "", nil
	}
	return RequestName(cluster, key)
}
