// Package bootstrap makes the kubeconfigs with which clusters join, for whoever
// has an administrator's rights on the hub.
package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/registration/token"
)

// minTokenLife is the shortest that an API server makes a token for; what ends
// earlier ends with its ServiceAccount.
const minTokenLife = 10 * time.Minute

// Make lets a cluster join by the token's terms, and returns the secret that
// proves it. A token from before is replaced: it ends with its ServiceAccount.
func Make(ctx context.Context, hub client.Client, cluster string, t token.Token, now time.Time) (secret string, err error) {
	annotations, err := t.Annotations()
	if err != nil {
		return "", err
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{
		Namespace: kronvoyv1alpha1.JoinNamespace, Name: cluster, Annotations: annotations,
	}}
	if err := hub.Delete(ctx, account.DeepCopy()); client.IgnoreNotFound(err) != nil {
		return "", fmt.Errorf("deleting the earlier token of cluster %s: %w", cluster, err)
	}
	err = hub.Create(ctx, account, client.FieldOwner("kronvoy"))
	if apierrors.IsNotFound(err) {
		return "", fmt.Errorf("there is no namespace %s: is this a hub? \"kronvoy hub init\" makes it one", kronvoyv1alpha1.JoinNamespace)
	}
	if err != nil {
		return "", fmt.Errorf("creating ServiceAccount %s/%s: %w", account.Namespace, account.Name, err)
	}
	seconds := int64(max(t.Expires.Sub(now), minTokenLife) / time.Second)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	if err := hub.SubResource("token").Create(ctx, account, request); err != nil {
		err = fmt.Errorf("asking for a token of ServiceAccount %s/%s: %w", account.Namespace, account.Name, err)
		return "", errors.Join(err, client.IgnoreNotFound(hub.Delete(context.WithoutCancel(ctx), account)))
	}
	return request.Status.Token, nil
}

// Server is how a cluster is to reach the hub of an administrator's kubeconfig:
// as its current context does, without the administrator's identity.
func Server(kubeconfig clientcmdapi.Config) (*clientcmdapi.Cluster, error) {
	current := kubeconfig.Contexts[kubeconfig.CurrentContext]
	if current == nil || kubeconfig.Clusters[current.Cluster] == nil {
		return nil, fmt.Errorf("the kubeconfig has no cluster for context %q; name one with --context", kubeconfig.CurrentContext)
	}
	known := kubeconfig.Clusters[current.Cluster]
	server := &clientcmdapi.Cluster{
		Server: known.Server, TLSServerName: known.TLSServerName, ProxyURL: known.ProxyURL,
		InsecureSkipTLSVerify: known.InsecureSkipTLSVerify, CertificateAuthorityData: known.CertificateAuthorityData,
	}
	return server, Trust(server, known.CertificateAuthority)
}

// Trust has the authority of a file sign for the server; none changes nothing.
func Trust(server *clientcmdapi.Cluster, file string) error {
	if file == "" {
		return nil
	}
	authority, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading the certificate authority of the hub: %w", err)
	}
	server.CertificateAuthorityData = authority
	return nil
}

// Kubeconfig is what the cluster joins with. It says the cluster's name as the
// namespace of its context.
func Kubeconfig(cluster string, server *clientcmdapi.Cluster, secret string) clientcmdapi.Config {
	const hub, bootstrap = "hub", "bootstrap"
	return clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{hub: server},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{bootstrap: {Token: secret}},
		Contexts:       map[string]*clientcmdapi.Context{hub: {Cluster: hub, AuthInfo: bootstrap, Namespace: cluster}},
		CurrentContext: hub,
	}
}
