//go:build integration

package spoke_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/clock"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke"
	"github.com/kronvoy/kronvoy/spoke/join"
	"github.com/kronvoy/kronvoy/spoke/notice"
)

// registrar is the hub's side of joining for one cluster, and its signer.
type registrar struct {
	w     *world
	admin kubernetes.Interface
	// ns is the agent's own namespace, in which works may reach nothing.
	ns    string
	board *notice.Board
	// refusals are the answers 401 and 403 that the agent got of its hub.
	mu       sync.Mutex
	refusals []string

	decide func(*certificatesv1.CertificateSigningRequest) verdict
	life   time.Duration
}

type verdict int

const (
	approve verdict = iota
	deny
	ignore
)

// newRegistrar signs certificates of that life until the test ends.
func newRegistrar(w *world, life time.Duration) *registrar {
	w.t.Helper()
	admin, err := kubernetes.NewForConfig(server)
	if err != nil {
		w.t.Fatal(err)
	}
	r := &registrar{w: w, admin: admin, ns: w.ns + "-agent", life: life, decide: func(*certificatesv1.CertificateSigningRequest) verdict { return approve }}
	if err := w.client.Create(w.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: r.ns}}); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if err := r.sign(ctx); err != nil && ctx.Err() == nil {
				w.t.Error(err)
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	w.t.Cleanup(func() {
		cancel()
		<-done
	})
	return r
}

func (r *registrar) rule(decide func(*certificatesv1.CertificateSigningRequest) verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.decide = decide
}

func (r *registrar) requests(ctx context.Context) ([]certificatesv1.CertificateSigningRequest, error) {
	list, err := r.admin.CertificatesV1().CertificateSigningRequests().List(ctx, metav1.ListOptions{LabelSelector: clusterv1.ClusterNameLabelKey + "=" + r.w.cluster})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// sign decides about all requests once.
func (r *registrar) sign(ctx context.Context) error {
	requests, err := r.requests(ctx)
	if err != nil {
		return err
	}
	r.mu.Lock()
	decide, life := r.decide, r.life
	r.mu.Unlock()
	client := r.admin.CertificatesV1().CertificateSigningRequests()
	for i := range requests {
		csr := &requests[i]
		if len(csr.Status.Conditions) > 0 {
			continue
		}
		kind := certificatesv1.CertificateApproved
		switch decide(csr) {
		case ignore:
			continue
		case deny:
			kind = certificatesv1.CertificateDenied
		case approve:
		}
		csr.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: kind, Status: corev1.ConditionTrue, Reason: "Test", Message: "as the test says"}}
		if csr, err = client.UpdateApproval(ctx, csr.Name, csr, metav1.UpdateOptions{}); err != nil {
			return err
		}
		if kind == certificatesv1.CertificateDenied {
			continue
		}
		if csr.Status.Certificate, err = issue(csr.Spec.Request, life); err != nil {
			return err
		}
		if _, err := client.UpdateStatus(ctx, csr, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	return nil
}

func issue(request []byte, life time.Duration) ([]byte, error) {
	block, _ := pem.Decode(request)
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: csr.Subject, NotBefore: now.Add(-time.Second), NotAfter: now.Add(life),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, authority.Leaf, csr.PublicKey, authority.PrivateKey)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), err
}

// accept gives the cluster's agents all rights; other tests are about which.
func (r *registrar) accept() {
	r.w.t.Helper()
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "agents-of-" + r.w.cluster},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: kronvoyv1alpha1.AgentGroup(r.w.cluster)}},
	}
	if _, err := r.admin.RbacV1().ClusterRoleBindings().Create(r.w.ctx, binding, metav1.CreateOptions{}); err != nil {
		r.w.t.Fatal(err)
	}
}

func (r *registrar) refuse() {
	r.w.t.Helper()
	if err := r.admin.RbacV1().ClusterRoleBindings().Delete(r.w.ctx, "agents-of-"+r.w.cluster, metav1.DeleteOptions{}); err != nil {
		r.w.t.Fatal(err)
	}
}

// token makes the ServiceAccount that may join, and a token of it.
func (r *registrar) token(namespace string) string {
	r.w.t.Helper()
	accounts := r.admin.CoreV1().ServiceAccounts(namespace)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: r.w.cluster}}
	if _, err := accounts.Create(r.w.ctx, account, metav1.CreateOptions{}); err != nil && !strings.Contains(err.Error(), "already exists") {
		r.w.t.Fatal(err)
	}
	token, err := accounts.CreateToken(r.w.ctx, r.w.cluster, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		r.w.t.Fatal(err)
	}
	return token.Status.Token
}

// bootstrap puts a token into the Secret to join by.
func (r *registrar) bootstrap(token string) {
	r.w.t.Helper()
	config := clientcmdapi.NewConfig()
	config.Clusters["hub"] = &clientcmdapi.Cluster{Server: server.Host, CertificateAuthorityData: server.CAData}
	config.AuthInfos["joiner"] = &clientcmdapi.AuthInfo{Token: token}
	config.Contexts["hub"] = &clientcmdapi.Context{Cluster: "hub", AuthInfo: "joiner", Namespace: r.w.cluster}
	config.CurrentContext = "hub"
	text, err := clientcmd.Write(*config)
	if err != nil {
		r.w.t.Fatal(err)
	}
	secret := &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: r.ns, Name: kronvoyv1alpha1.BootstrapSecret},
		Data:       map[string][]byte{kronvoyv1alpha1.SecretKubeconfig: text},
	}
	//nolint:staticcheck // the typed object is at hand
	if err := r.w.client.Patch(r.w.ctx, secret, client.Apply, client.FieldOwner("test"), client.ForceOwnership); err != nil {
		r.w.t.Fatal(err)
	}
}

// serve runs an agent that joins by itself.
func (r *registrar) serve(options ...func(*spoke.Options)) {
	r.w.t.Helper()
	o := r.w.agentOptions()
	o.ClusterName, o.Hub, o.Namespace, o.LeaseDuration = "", nil, r.ns, time.Second
	for _, option := range options {
		option(&o)
	}
	jo := r.joinOptions(o.Spoke)
	jo.Log, r.board.Log = o.Logger.WithName("join"), o.Logger.WithName("state")
	o.Board = r.board
	r.w.run(func(ctx context.Context) error { return spoke.Serve(ctx, o, join.New(jo)) })
}

func (r *registrar) joinOptions(config *rest.Config) join.Options {
	r.w.t.Helper()
	cluster, err := join.NewClient(config)
	if err != nil {
		r.w.t.Fatal(err)
	}
	r.board = &notice.Board{
		Client: cluster, Clock: clock.RealClock{},
		Regarding: corev1.ObjectReference{APIVersion: "v1", Kind: "Secret", Namespace: r.ns, Name: kronvoyv1alpha1.BootstrapSecret},
	}
	return join.Options{
		Cluster: cluster, Namespace: r.ns, Board: r.board,
		Configure: func(config *rest.Config) {
			config.QPS = -1
			config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &refused{next: next, r: r} })
		},
	}
}

// refused notes what the hub refuses.
type refused struct {
	next http.RoundTripper
	r    *registrar
}

func (c *refused) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := c.next.RoundTrip(req)
	if err == nil && (resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden) {
		c.r.mu.Lock()
		c.r.refusals = append(c.r.refusals, fmt.Sprint(req.Method, " ", req.URL.Path, ": ", resp.Status))
		c.r.mu.Unlock()
	}
	return resp, err
}

// serials are the serial numbers of the certificates that the cluster was given.
func (r *registrar) serials() []string {
	r.w.t.Helper()
	requests, err := r.requests(r.w.ctx)
	if err != nil {
		r.w.t.Fatal(err)
	}
	var serials []string
	for _, request := range requests {
		if cert := parseCertificate(request.Status.Certificate); cert != nil {
			serials = append(serials, cert.SerialNumber.Text(16))
		}
	}
	slices.Sort(serials)
	return serials
}

func parseCertificate(text []byte) *x509.Certificate {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return cert
}

// identity is what is stored for the hub.
func (r *registrar) identity() map[string][]byte {
	r.w.t.Helper()
	secret := &corev1.Secret{}
	err := r.w.client.Get(r.w.ctx, client.ObjectKey{Namespace: r.ns, Name: kronvoyv1alpha1.HubSecret}, secret)
	if client.IgnoreNotFound(err) != nil {
		r.w.t.Fatal(err)
	}
	return secret.Data
}

// says waits until the agent says that word, on /readyz and in an event.
func (r *registrar) says(reason string, ready bool) {
	r.w.t.Helper()
	r.w.eventually("the agent to say "+reason, func() error {
		text, is := r.board.Ready(r.w.ctx)
		if !strings.Contains(text, " "+reason+": ") || is != ready {
			return fmt.Errorf("ready is %t:\n%s", is, text)
		}
		var events eventsv1.EventList
		list, err := r.admin.EventsV1().Events(r.ns).List(r.w.ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		events = *list
		if !slices.ContainsFunc(events.Items, func(e eventsv1.Event) bool { return e.Reason == reason && e.Note != "" }) {
			return fmt.Errorf("no event %s among %d", reason, len(events.Items))
		}
		return nil
	})
}
