package join

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "open-cluster-management.io/api/cluster/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

const (
	pemKey     = "EC PRIVATE KEY"
	pemRequest = "CERTIFICATE REQUEST"
)

// newKey makes a private key, as PEM.
func newKey() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der}), nil
}

func parseKey(text []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != pemKey {
		return nil, fmt.Errorf("it is no PEM block %q", pemKey)
	}
	return x509.ParseECPrivateKey(block.Bytes)
}

// RequestName is the name of the request of the private key, in PEM. One key
// asks for one certificate: the request needs no other memory.
func RequestName(cluster string, key []byte) (string, error) {
	private, err := parseKey(key)
	if err != nil {
		return "", fmt.Errorf("reading the key of a request: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return "", fmt.Errorf("reading the key of a request: %w", err)
	}
	sum := sha256.Sum256(public)
	return cluster + "-" + hex.EncodeToString(sum[:8]), nil
}

// newRequest asks for an agent's certificate of that life.
func newRequest(name, cluster, agent string, key []byte, life time.Duration) (*certificatesv1.CertificateSigningRequest, error) {
	private, err := parseKey(key)
	if err != nil {
		return nil, fmt.Errorf("reading the key of a request: %w", err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{
		CommonName: kronvoyv1alpha1.AgentUser(cluster, agent), Organization: kronvoyv1alpha1.AgentGroups(cluster),
	}}, private)
	if err != nil {
		return nil, fmt.Errorf("making a certificate request: %w", err)
	}
	request := &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{clusterv1.ClusterNameLabelKey: cluster}},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request:    pem.EncodeToMemory(&pem.Block{Type: pemRequest, Bytes: der}),
			SignerName: certificatesv1.KubeAPIServerClientSignerName,
			Usages:     []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth},

			ExpirationSeconds: ptr.To(int32(life / time.Second)),
		},
	}
	return request, nil
}

// errRefused is a request that will never get a certificate.
var errRefused = errors.New("refused")

// signed reads what became of a request: its certificate, nothing yet, or
// errRefused.
func signed(request *certificatesv1.CertificateSigningRequest) ([]byte, error) {
	for _, c := range request.Status.Conditions {
		if c.Status != corev1.ConditionTrue {
			continue
		}
		switch c.Type {
		case certificatesv1.CertificateDenied, certificatesv1.CertificateFailed:
			return nil, fmt.Errorf("request %s is %s, %s: %s: %w", request.Name, c.Type, c.Reason, c.Message, errRefused)
		}
	}
	return request.Status.Certificate, nil
}
