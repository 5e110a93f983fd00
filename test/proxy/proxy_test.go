package proxy_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	watchapi "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/kronvoy/kronvoy/test/proxy"
)

// server plays an API server: it notes what reaches it.
type server struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string
	// events is what an open watch sends on.
	events chan string
	who    http.Header
	// body is what the last request sent.
	body string
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.seen = append(s.seen, r.Proto+" "+r.Method+" "+r.URL.Path)
	s.who = r.Header.Clone()
	body, _ := io.ReadAll(r.Body) // one that breaks off is as good as none
	s.body = string(body)
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Query().Get("watch") == "" {
		_, _ = io.WriteString(w, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"settings"}}`)
		return
	}
	w.(http.Flusher).Flush()
	for {
		select {
		case name := <-s.events:
			_, _ = io.WriteString(w, `{"type":"ADDED","object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"`+name+`"}}}`+"\n")
			w.(http.Flusher).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

func (s *server) reached() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.seen...)
}

// begin starts a server and a link to it for a user with a certificate and a
// token, and returns a client of the link.
func begin(t *testing.T) (*server, *proxy.Proxy, *kubernetes.Clientset) {
	t.Helper()
	s, p, config := link(t)
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return s, p, client
}

func link(t *testing.T) (*server, *proxy.Proxy, *rest.Config) {
	t.Helper()
	s := &server{events: make(chan string)}
	ca, caKey := certificate(t, "ca", nil, nil, nil)
	cert, key := certificate(t, "127.0.0.1", nil, ca, caKey)
	s.Server = httptest.NewUnstartedServer(s)
	s.EnableHTTP2 = true
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	t.Cleanup(s.Close)

	p, err := proxy.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	user, userKey := certificate(t, "agent", []string{"all", "agents"}, ca, caKey)
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: s.URL, CertificateAuthorityData: encode("CERTIFICATE", ca.Raw)}
	der, err := x509.MarshalECPrivateKey(userKey)
	if err != nil {
		t.Fatal(err)
	}
	config.AuthInfos["u"] = &clientcmdapi.AuthInfo{ClientCertificateData: encode("CERTIFICATE", user.Raw), ClientKeyData: encode("EC PRIVATE KEY", der), Token: "t0ken"}
	config.Contexts["c"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	config.CurrentContext = "c"
	path := filepath.Join(t.TempDir(), "c-on-hub.kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	if err := p.Reroute(path); err != nil {
		t.Fatal(err)
	}
	rerouted, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	rerouted.WrapTransport = func(rt http.RoundTripper) http.RoundTripper { return liar{rt} }
	return s, p, rerouted
}

// liar claims to be somebody else.
type liar struct{ http.RoundTripper }

func (l liar) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Remote-User", "system:admin")
	r.Header.Set("X-Remote-Extra-Reason", "why not")
	return l.RoundTripper.RoundTrip(r)
}

// certificate is signed by its issuer, or by itself where that is nil.
func certificate(t *testing.T, name string, groups []string, issuer *x509.Certificate, issuerKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name, Organization: groups},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: issuer == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if issuer == nil {
		issuer, issuerKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), issuerKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func TestALinkSaysWhoAsksAndPassesTokens(t *testing.T) {
	s, p, client := begin(t)
	p.Run(nil)
	if _, err := client.CoreV1().ConfigMaps("ns").Get(t.Context(), "settings", metav1.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for header, values := range s.who {
		if strings.HasPrefix(header, "X-Remote-") || header == "Authorization" {
			got[header] = values
		}
	}
	want := map[string][]string{"X-Remote-User": {"agent"}, "X-Remote-Group": {"all", "agents"}, "Authorization": {"Bearer t0ken"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	wantLog := []proxy.Entry{{Request: proxy.Request{Link: "c-on-hub", Verb: "get", Resource: "configmaps", Object: "ns/settings"}}}
	if diff := cmp.Diff(wantLog, p.Log()); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"HTTP/2.0 GET /api/v1/namespaces/ns/configmaps/settings"}, s.reached()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestFaultsLookAsTheirClientsExpect(t *testing.T) {
	lost := func(err error) bool { return err != nil && apierrors.ReasonForError(err) == metav1.StatusReasonUnknown }
	passed := func(err error) bool { return err == nil }
	tests := map[proxy.Kind]struct {
		looks   func(error) bool
		reaches int
	}{
		proxy.Conflict:         {apierrors.IsConflict, 0},
		proxy.TooManyRequests:  {apierrors.IsTooManyRequests, 0},
		proxy.RetryAfter:       {passed, 1}, // the client asks again by itself
		proxy.InternalError:    {apierrors.IsInternalError, 0},
		proxy.Gone:             {apierrors.IsResourceExpired, 0},
		proxy.ErrorAfterCommit: {apierrors.IsInternalError, 1},
		proxy.LostAnswer:       {lost, 1},
		proxy.CutWatches:       {passed, 1},
		proxy.CrashBefore:      {lost, 0},
		proxy.CrashAfter:       {lost, 1},
	}
	for kind, test := range tests {
		t.Run(string(kind), func(t *testing.T) {
			s, p, client := begin(t)
			p.Run(proxy.Plan{{Request: proxy.Request{Verb: "delete", Resource: "configmaps"}, Nth: 1, Kind: kind}})
			reached := -1 // when the process was ended
			p.OnCrash(func(string, time.Duration) { reached = len(s.reached()) })
			err := client.CoreV1().ConfigMaps("ns").Delete(t.Context(), "settings", metav1.DeleteOptions{})
			if !test.looks(err) {
				t.Errorf("the client sees %v", err)
			}
			if crashes := kind == proxy.CrashBefore || kind == proxy.CrashAfter; crashes && reached != test.reaches || !crashes && reached >= 0 {
				t.Errorf("the process is ended after %d requests, -1 for never", reached)
			}
			if got := len(s.reached()); got != test.reaches {
				t.Errorf("%d requests reached the server, want %d", got, test.reaches)
			}
			if left := p.Left(); len(left) > 0 {
				t.Errorf("left are %s", left)
			}
			if err := client.CoreV1().ConfigMaps("ns").Delete(t.Context(), "settings", metav1.DeleteOptions{}); err != nil {
				t.Errorf("the next request meets %v", err)
			}
		})
	}
}

func TestEventsOfAWatchPassAtOnceUntilItIsCut(t *testing.T) {
	for _, kind := range []proxy.Kind{proxy.CutWatches, proxy.Outage} {
		t.Run(string(kind), func(t *testing.T) {
			s, p, client := begin(t)
			p.Run(proxy.Plan{{Request: proxy.Request{Verb: "delete"}, Nth: 1, Kind: kind, For: time.Hour}})
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			w, err := client.CoreV1().ConfigMaps("ns").Watch(ctx, metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer w.Stop()
			for _, name := range []string{"one", "two"} {
				s.events <- name
				if event, open := <-w.ResultChan(); !open || event.Object.(metav1.Object).GetName() != name {
					t.Fatalf("the watch shows %v", event)
				}
			}
			// Clients ask again by themselves where a connection broke, but not
			// for a deletion.
			ask := func() error {
				return client.CoreV1().ConfigMaps("ns").Delete(ctx, "settings", metav1.DeleteOptions{})
			}
			err = ask()
			for event := range w.ResultChan() {
				if event.Type != watchapi.Error {
					t.Errorf("the watch shows %v", event)
				}
			}
			if ctx.Err() != nil {
				t.Fatal("the watch goes on")
			}
			if kind == proxy.CutWatches {
				if err != nil {
					t.Errorf("the request meets %v", err)
				}
				return
			}
			if err == nil || ask() == nil {
				t.Error("a request passes during the outage")
			}
			p.Heal()
			if err := ask(); err != nil {
				t.Errorf("after it a request meets %v", err)
			}
		})
	}
}

func TestAnotherCAsCertificateIsRefused(t *testing.T) {
	s, p, _ := begin(t)
	stranger, key := certificate(t, "agent", nil, nil, nil)
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "stranger.kubeconfig")
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: s.URL, CertificateAuthorityData: encode("CERTIFICATE", s.TLS.Certificates[0].Certificate[0])}
	config.AuthInfos["u"] = &clientcmdapi.AuthInfo{ClientCertificateData: encode("CERTIFICATE", stranger.Raw), ClientKeyData: encode("EC PRIVATE KEY", der)}
	config.Contexts["c"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	config.CurrentContext = "c"
	if err := errors.Join(clientcmd.WriteToFile(*config, path), p.Reroute(path)); err != nil {
		t.Fatal(err)
	}
	rerouted, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	client, err := rest.HTTPClientFor(rerouted)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Get(rerouted.Host + "/api/v1/namespaces")
	if err == nil {
		_ = resp.Body.Close()
		t.Errorf("answered %s", resp.Status)
	}
	if got := s.reached(); len(got) > 0 {
		t.Errorf("%v reached the server", got)
	}
}

func TestTheNameOfWhatIsCreatedIsRead(t *testing.T) {
	for _, contentType := range []string{"application/json", "application/vnd.kubernetes.protobuf"} {
		t.Run(contentType, func(t *testing.T) {
			s, p, config := link(t)
			config.ContentType = contentType
			client, err := kubernetes.NewForConfig(config)
			if err != nil {
				t.Fatal(err)
			}
			settings := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings"}, Data: map[string]string{"region": "west"}}
			if _, err := client.CoreV1().ConfigMaps("ns").Create(t.Context(), settings, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			want := []proxy.Entry{{Request: proxy.Request{Link: "c-on-hub", Verb: "create", Resource: "configmaps", Object: "ns/settings"}}}
			if diff := cmp.Diff(want, p.Log()); diff != "" {
				t.Errorf("log (-want +got):\n%s", diff)
			}
			if !strings.Contains(s.body, "region") {
				t.Errorf("the server is sent %q", s.body)
			}
		})
	}
}
