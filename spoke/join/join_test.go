package join

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

var begin = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// selfSigned is a certificate of a key for a user.
func selfSigned(t *testing.T, key []byte, user string, serial int64, life time.Duration) []byte {
	t.Helper()
	private, err := parseKey(key)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: user}, NotBefore: begin, NotAfter: begin.Add(life),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func madeKey(t *testing.T) []byte {
	t.Helper()
	key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// stored is a HubSecret with a certificate of that life.
func stored(t *testing.T, serial int64, life time.Duration) *corev1.Secret {
	t.Helper()
	key := madeKey(t)
	secret := &corev1.Secret{Data: map[string][]byte{}}
	server := &clientcmdapi.Cluster{Server: "https://hub.example:6443", ProxyURL: "http://proxy.example:3128"}
	if err := install(secret, "eu-west", "x7k2p", "b1", server, key, selfSigned(t, key, kronvoyv1alpha1.AgentUser("eu-west", "x7k2p"), serial, life)); err != nil {
		t.Fatal(err)
	}
	return secret
}

func identified(t *testing.T, serial int64, life time.Duration) *identity {
	t.Helper()
	id, err := readIdentity(stored(t, serial, life))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestTheHubsSecretHoldsAnIdentityWithOCMsKeys(t *testing.T) {
	secret := stored(t, 1, time.Hour)
	secret.Data[keyRenewal] = []byte("left")
	id, err := readIdentity(secret)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{id.cluster, id.agent, id.bootstrap, id.server.Server, id.config.Host, id.notAfter().Format(time.RFC3339)}
	want := []string{"eu-west", "x7k2p", "b1", "https://hub.example:6443", "https://hub.example:6443", "2026-11-22T13:00:00Z"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if id.config.Proxy == nil || len(id.config.CertData) > 0 {
		t.Error("the hub is not reached through its proxy, without credentials")
	}
	// OCM's agents read the kubeconfig beside the two files.
	kubeconfig, err := clientcmd.Load(secret.Data["kubeconfig"])
	if err != nil {
		t.Fatal(err)
	}
	user := kubeconfig.AuthInfos[kubeconfig.Contexts[kubeconfig.CurrentContext].AuthInfo]
	if user.ClientCertificate != "tls.crt" || user.ClientKey != "tls.key" {
		t.Errorf("the user of the kubeconfig is %v", user)
	}
}

func TestWhatIsNoIdentity(t *testing.T) {
	tests := map[string]struct {
		change func(*corev1.Secret)
		err    string
	}{
		"an empty Secret":                 {change: func(s *corev1.Secret) { s.Data = nil }},
		"a request that is under way":     {change: func(s *corev1.Secret) { s.Data = map[string][]byte{keyJoining: []byte("k")} }},
		"a kubeconfig before certificate": {change: func(s *corev1.Secret) { delete(s.Data, "tls.crt") }},
		"another key's certificate":       {change: func(s *corev1.Secret) { s.Data["tls.key"] = nil }, err: "reading its certificate"},
		"another cluster's":               {change: func(s *corev1.Secret) { s.Data["cluster-name"] = []byte("eu-east") }, err: `of cluster "eu-west", but it says "eu-east"`},
		"a kubeconfig that is none":       {change: func(s *corev1.Secret) { s.Data["kubeconfig"] = []byte("{") }, err: "reading its kubeconfig"},
		"a hub without TLS": {change: func(s *corev1.Secret) {
			s.Data["kubeconfig"] = []byte(strings.ReplaceAll(string(s.Data["kubeconfig"]), "https:", "http:"))
		}, err: "does not begin with https://"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			secret := stored(t, 1, time.Hour)
			test.change(secret)
			id, err := readIdentity(secret)
			if id != nil || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("identity %v, error %v; want %q", id, err, test.err)
			}
		})
	}
}

func TestASecretMadeByHandIsAnIdentityToo(t *testing.T) {
	key := madeKey(t)
	config := kubeconfigOf(&clientcmdapi.Cluster{Server: "https://hub.example"}, "", "agent")
	config.AuthInfos["agent"] = &clientcmdapi.AuthInfo{
		ClientKeyData: key, ClientCertificateData: selfSigned(t, key, kronvoyv1alpha1.AgentUser("eu-west", "agent"), 1, time.Hour),
	}
	text, err := clientcmd.Write(*config)
	if err != nil {
		t.Fatal(err)
	}
	id, err := readIdentity(&corev1.Secret{Data: map[string][]byte{"kubeconfig": text, "cluster-name": []byte("eu-west")}})
	if err != nil || id.agent != "agent" {
		t.Errorf("identity %v, error %v", id, err)
	}
}

func TestWhatThereIsToDo(t *testing.T) {
	id := identified(t, 1, 100*time.Minute)
	used, fresh := &bootstrap{hash: "b1"}, &bootstrap{hash: "b2"}
	toRenewal := id.renewAt().Sub(begin)
	tests := map[string]struct {
		id   *identity
		b    *bootstrap
		at   time.Duration
		want plan
	}{
		"nothing is known":                    {want: plan{}},
		"a bootstrap comes":                   {b: used, want: plan{join: true}},
		"joined":                              {id: id, want: plan{in: toRenewal}},
		"joined, its bootstrap is still here": {id: id, b: used, want: plan{in: toRenewal}},
		"joined, and another bootstrap comes": {id: id, b: fresh, want: plan{join: true, in: toRenewal}},
		"old":                                 {id: id, b: used, at: 80 * time.Minute, want: plan{renew: true, in: 20 * time.Minute}},
		"old, and another bootstrap comes":    {id: id, b: fresh, at: 80 * time.Minute, want: plan{join: true, renew: true, in: 20 * time.Minute}},
		"ended":                               {id: id, at: 100 * time.Minute, want: plan{expired: true}},
		"ended, and any bootstrap is here":    {id: id, b: used, at: 100 * time.Minute, want: plan{join: true, expired: true}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, decide(test.id, test.b, begin.Add(test.at)), cmp.AllowUnexported(plan{})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestCertificatesAreRenewedWith20To25PercentOfTheirLifeLeft(t *testing.T) {
	seen := map[time.Duration]bool{}
	for serial := range int64(50) {
		id := identified(t, serial+1, 1000*time.Hour)
		left := id.notAfter().Sub(id.renewAt())
		if left < 200*time.Hour || left > 250*time.Hour {
			t.Errorf("%s are left", left)
		}
		if !id.renewAt().Equal(id.renewAt()) {
			t.Error("the time of one certificate differs")
		}
		seen[left.Truncate(5*time.Hour)] = true
	}
	if len(seen) < 5 {
		t.Errorf("50 certificates are renewed at %d times only", len(seen))
	}
}

func TestARequestFollowsFromItsKey(t *testing.T) {
	key := madeKey(t)
	name, err := RequestName("eu-west", key)
	if err != nil {
		t.Fatal(err)
	}
	request, err := newRequest(name, "eu-west", "x7k2p", key, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(request.Spec.Request)
	parsed, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	private, err := parseKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := parsed.CheckSignature(); err != nil || !private.PublicKey.Equal(parsed.PublicKey.(*ecdsa.PublicKey)) {
		t.Errorf("the request is not of the key: %v", err)
	}
	again, err := RequestName("eu-west", key)
	if err != nil || again != name || !strings.HasPrefix(name, "eu-west-") {
		t.Errorf("the names of one key are %s and %s, %v", name, again, err)
	}
	got := []any{parsed.Subject.CommonName, parsed.Subject.Organization, request.Labels, *request.Spec.ExpirationSeconds, request.Spec.SignerName}
	want := []any{
		"system:open-cluster-management:eu-west:x7k2p",
		[]string{"system:open-cluster-management:eu-west", "system:open-cluster-management:managed-clusters"},
		map[string]string{"open-cluster-management.io/cluster-name": "eu-west"}, int32(3600), "kubernetes.io/kube-apiserver-client",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestWhatBecameOfARequest(t *testing.T) {
	status := func(kind certificatesv1.RequestConditionType, cert string) *certificatesv1.CertificateSigningRequest {
		r := &certificatesv1.CertificateSigningRequest{Status: certificatesv1.CertificateSigningRequestStatus{Certificate: []byte(cert)}}
		if kind != "" {
			r.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: kind, Status: corev1.ConditionTrue, Reason: "R", Message: "m"}}
		}
		return r
	}
	for name, test := range map[string]struct {
		request *certificatesv1.CertificateSigningRequest
		cert    string
		refused bool
	}{
		"nothing yet": {request: status("", "")},
		"approved":    {request: status(certificatesv1.CertificateApproved, "")},
		"signed":      {request: status(certificatesv1.CertificateApproved, "c"), cert: "c"},
		"denied":      {request: status(certificatesv1.CertificateDenied, ""), refused: true},
		"failed":      {request: status(certificatesv1.CertificateFailed, ""), refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			cert, err := signed(test.request)
			if string(cert) != test.cert || (err != nil) != test.refused {
				t.Errorf("certificate %q, error %v", cert, err)
			}
		})
	}
}

func TestABootstrapIsReadAndItsChangesNoticed(t *testing.T) {
	kubeconfig := `apiVersion: v1
kind: Config
clusters: [{name: hub, cluster: {server: "https://hub.example"}}]
users: [{name: joiner, user: {token: t0ken}}]
contexts: [{name: hub, context: {cluster: hub, user: joiner, namespace: eu-west}}]
current-context: hub
`
	secret := func(changes ...string) *corev1.Secret {
		return &corev1.Secret{Data: map[string][]byte{"kubeconfig": []byte(strings.NewReplacer(changes...).Replace(kubeconfig))}}
	}
	named := secret("namespace: eu-west", "namespace: \"\"")
	named.Data["cluster-name"] = []byte("us-east")
	tests := map[string]struct {
		secret *corev1.Secret
		flag   string
		want   string
		err    string
	}{
		"the context's namespace":   {secret: secret(), want: "eu-west"},
		"the Secret's key":          {secret: named, want: "us-east"},
		"the flag":                  {secret: named, flag: "ap-south", want: "ap-south"},
		"no name":                   {secret: secret("namespace: eu-west", "namespace: \"\""), err: "does not say the cluster's name"},
		"a name that is no label":   {secret: secret("eu-west", "eu_west"), err: `name "eu_west"`},
		"no kubeconfig":             {secret: &corev1.Secret{}, err: `no key "kubeconfig"`},
		"a program for credentials": {secret: secret("token: t0ken", "exec: {command: sh, apiVersion: client.authentication.k8s.io/v1}"), err: "programs or files"},
		"a file with the token":     {secret: secret("token: t0ken", "tokenFile: /etc/passwd"), err: "programs or files"},
		"no TLS":                    {secret: secret("https:", "http:"), err: "https://"},
		"no context":                {secret: secret("current-context: hub", ""), err: "no current context"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b, err := readBootstrap(test.secret.Data, test.flag)
			switch {
			case test.err != "":
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("error %v, want %q", err, test.err)
				}
			case err != nil || b.cluster != test.want || b.config.Host != "https://hub.example":
				t.Errorf("bootstrap %+v, error %v", b, err)
			}
		})
	}
	one, err1 := readBootstrap(secret().Data, "")
	two, err2 := readBootstrap(secret("t0ken", "t1ken").Data, "")
	if err1 != nil || err2 != nil || one.hash == two.hash {
		t.Errorf("two tokens are one bootstrap, or %v, %v", err1, err2)
	}
}
