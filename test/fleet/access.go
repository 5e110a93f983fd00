package fleet

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// tokenSeconds is how long the token of ServiceAccountKubeconfig lasts.
const tokenSeconds = int64(24 * time.Hour / time.Second)

// ClientKubeconfig writes a kubeconfig for a user with a client certificate,
// asked for and approved through the cluster's certificates API as an agent's
// is. An agent of cluster c has the user
// "system:open-cluster-management:c:agent" and the groups
// "system:open-cluster-management:c" and
// "system:open-cluster-management:managed-clusters".
func (c *Cluster) ClientKubeconfig(ctx context.Context, user string, groups []string, path string) error {
	key, err := newKey()
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: user, Organization: groups},
	}, key)
	if err != nil {
		return fmt.Errorf("making a certificate request for %q: %w", user, err)
	}
	cert, err := c.sign(ctx, encode("CERTIFICATE REQUEST", der))
	if err != nil {
		return fmt.Errorf("signing a certificate for %q on cluster %q: %w", user, c.Name, err)
	}
	keyText, err := encodeKey(key)
	if err != nil {
		return err
	}
	return c.writeKubeconfig(path, user, &clientcmdapi.AuthInfo{ClientCertificateData: cert, ClientKeyData: keyText})
}

// ServiceAccountKubeconfig writes a kubeconfig with a token, good for a day, of
// a service account. Namespace and account are made where they are missing.
func (c *Cluster) ServiceAccountKubeconfig(ctx context.Context, namespace, name, path string) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	account := fmt.Sprintf("service account %s/%s of cluster %q", namespace, name, c.Name)
	_, err = client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	if err := ignoreExists(err); err != nil {
		return fmt.Errorf("making the namespace of %s: %w", account, err)
	}
	accounts := client.CoreV1().ServiceAccounts(namespace)
	_, err = accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err := ignoreExists(err); err != nil {
		return fmt.Errorf("making %s: %w", account, err)
	}
	seconds := tokenSeconds
	token, err := accounts.CreateToken(ctx, name, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("asking for a token of %s: %w", account, err)
	}
	user := fmt.Sprintf("system:serviceaccount:%s:%s", namespace, name)
	return c.writeKubeconfig(path, user, &clientcmdapi.AuthInfo{Token: token.Status.Token})
}

// Authority is what the cluster's API server believes its clients' certificates
// by, for tests that sign them in the controllers' place.
func (c *Cluster) Authority() (tls.Certificate, error) {
	authority, err := tls.LoadX509KeyPair(c.file("ca.crt"), c.file("ca.key"))
	if err != nil {
		return authority, fmt.Errorf("reading the authority of cluster %q: %w", c.Name, err)
	}
	return authority, nil
}

// sign takes a certificate request through the API: create, approve, wait.
func (c *Cluster) sign(ctx context.Context, request []byte) ([]byte, error) {
	client, err := c.client()
	if err != nil {
		return nil, err
	}
	requests := client.CertificatesV1().CertificateSigningRequests()
	csr, err := requests.Create(ctx, &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "kronvoy-fleet-"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request:    request,
			SignerName: certificatesv1.KubeAPIServerClientSignerName,
			Usages:     []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	csr.Status.Conditions = append(csr.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
		Type:    certificatesv1.CertificateApproved,
		Status:  corev1.ConditionTrue,
		Reason:  "LocalFleet",
		Message: "approved by the local fleet's administrator",
	})
	if _, err := requests.UpdateApproval(ctx, csr.Name, csr, metav1.UpdateOptions{}); err != nil {
		return nil, err
	}
	var cert []byte
	err = poll(ctx, "the certificate", func(ctx context.Context) error {
		if err := c.fleet.died(c.Name + "/" + ControllerManager); err != nil {
			return err
		}
		got, err := requests.Get(ctx, csr.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, condition := range got.Status.Conditions {
			if condition.Type == certificatesv1.CertificateFailed || condition.Type == certificatesv1.CertificateDenied {
				return fatal{fmt.Errorf("%s: %s", condition.Reason, condition.Message)}
			}
		}
		if len(got.Status.Certificate) == 0 {
			return errors.New("it is not signed")
		}
		cert = got.Status.Certificate
		return nil
	})
	return cert, err
}

func (c *Cluster) writeKubeconfig(path, user string, auth *clientcmdapi.AuthInfo) error {
	ca, err := os.ReadFile(c.file("ca.crt"))
	if err != nil {
		return fmt.Errorf("writing the kubeconfig of %s: %w", user, err)
	}
	text, err := c.kubeconfig(ca, user, auth)
	if err != nil {
		return err
	}
	if err := writeAll(filepath.Dir(path), map[string][]byte{filepath.Base(path): text}); err != nil {
		return fmt.Errorf("writing the kubeconfig of %s: %w", user, err)
	}
	return nil
}
