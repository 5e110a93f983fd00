// Package proxy stands between Kronvoy's processes and the API servers of a
// local fleet, and gives the answers that a busy or failing API server gives,
// or none, as a plan says.
//
//	hub process ──── kronvoy-hub ───────┐
//	agent of c ───── c-on-hub ──────────┼──► API servers
//	          └───── c-agent ───────────┘
//	                 links, one for each kubeconfig
//
// A link ends its client's TLS. Tokens pass through it. A client certificate
// cannot: the link checks it against the cluster's CA and says in headers who
// that is, as an API server's aggregator does, which the API servers believe
// when they run with Args.
package proxy

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
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

// name is what the links call themselves before API servers.
const name = "kronvoy-proxy"

// The headers in which links say who asks.
const (
	userHeader  = "X-Remote-User"
	groupHeader = "X-Remote-Group"
)

// Proxy is a set of links that share a plan.
type Proxy struct {
	certificate tls.Certificate
	file        string // the certificate, in PEM

	// crashes keeps one process from crashing while another does.
	crashes sync.Mutex

	mu       sync.Mutex
	end      func(link string, away time.Duration)
	links    []*link
	progress *progress
	log      []Entry
	struck   time.Time
}

// Entry is a request that was made.
type Entry struct {
	Request
	// Fault is what happened to it; nil for nothing.
	Fault *Fault
}

// String is as in "eu-west-on-hub patch manifestworks/status eu-west/shop-0: 429".
func (e Entry) String() string {
	text := e.Request.String()
	if e.Fault != nil {
		text += ": " + string(e.Fault.Kind)
	}
	return text
}

// New makes a proxy without links. Its certificate is kept in dir, which must
// outlive the API servers.
func New(dir string) (*Proxy, error) {
	p := &Proxy{file: filepath.Join(dir, "proxy.crt"), progress: newProgress(nil)}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the proxy's key: %w", err)
	}
	now := time.Now()
	// One certificate is the links' before their clients and before API
	// servers, and what both trust.
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making the proxy's certificate: %w", err)
	}
	p.certificate = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	if err := os.WriteFile(p.file, p.pem(), 0o600); err != nil {
		return nil, fmt.Errorf("writing the proxy's certificate: %w", err)
	}
	return p, nil
}

func (p *Proxy) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.certificate.Certificate[0]})
}

// Args let an API server believe what links say about who asks.
func (p *Proxy) Args() []string {
	return []string{
		"--requestheader-client-ca-file=" + p.file, "--requestheader-allowed-names=" + name,
		"--requestheader-username-headers=" + userHeader, "--requestheader-group-headers=" + groupHeader,
	}
}

// Reroute makes a link to the API server of a kubeconfig, and makes the
// kubeconfig lead there. The file's name without its ending is the link's.
func (p *Proxy) Reroute(path string) error {
	config, err := clientcmd.LoadFromFile(path)
	if err != nil {
		return fmt.Errorf("reading the kubeconfig %s: %w", path, err)
	}
	kubeContext := config.Contexts[config.CurrentContext]
	if kubeContext == nil || config.Clusters[kubeContext.Cluster] == nil {
		return fmt.Errorf("the kubeconfig %s has no current context with a cluster", path)
	}
	cluster := config.Clusters[kubeContext.Cluster]
	l, err := p.newLink(strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)), cluster.Server, cluster.CertificateAuthorityData)
	if err != nil {
		return fmt.Errorf("making a link to %s: %w", cluster.Server, err)
	}
	p.mu.Lock()
	p.links = append(p.links, l)
	p.mu.Unlock()
	cluster.Server, cluster.CertificateAuthorityData = l.address(), p.pem()
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return fmt.Errorf("writing the kubeconfig %s: %w", path, err)
	}
	return nil
}

// Run begins a plan, in place of what is left of the one before, and a new log.
func (p *Proxy) Run(plan Plan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.progress, p.log, p.struck = newProgress(plan), nil, time.Time{}
}

// Heal ends outages and lets everything pass from now on; the log goes on.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.progress = newProgress(nil)
	for _, l := range p.links {
		l.gate.lift()
	}
}

// OnCrash says how the process that asks through a link is ended, and started
// again after a while. Its request is held until end returns. Without it only
// the request breaks off.
func (p *Proxy) OnCrash(end func(link string, away time.Duration)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end = end
}

func (p *Proxy) crash(link string, away time.Duration) {
	p.crashes.Lock()
	defer p.crashes.Unlock()
	p.mu.Lock()
	end := p.end
	p.mu.Unlock()
	if end != nil {
		end(link, away)
	}
}

// Left are the faults of the plan that have not happened yet.
func (p *Proxy) Left() Plan {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.progress.left()
}

// Struck is when the last fault of the plan happened; zero where none has.
func (p *Proxy) Struck() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.struck
}

// Log are the requests since the plan began, without those that tell the time
// or are about no resource: heartbeats, events, discovery and health.
func (p *Proxy) Log() []Entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.log)
}

// Close ends all links.
func (p *Proxy) Close() error {
	p.mu.Lock()
	links := p.links
	p.links = nil
	p.mu.Unlock()
	var err error
	for _, l := range links {
		err = errors.Join(err, l.close())
	}
	return err
}

// meet notes a request and says what happens to it; nil for nothing.
func (p *Proxy) meet(r Request) *Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	var fault *Fault
	if f, found := p.progress.next(r); found {
		fault, p.struck = &f, time.Now()
	}
	p.log = append(p.log, Entry{Request: r, Fault: fault})
	return fault
}

// watches are the open watches of a link.
type watches struct {
	mu   sync.Mutex
	next int
	open map[int]context.CancelFunc
}

// begin gives a watch a context that ends when it is cut. The watch calls end
// when it is over.
func (w *watches) begin(ctx context.Context) (_ context.Context, end func()) {
	ctx, cancel := context.WithCancel(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open == nil {
		w.open = map[int]context.CancelFunc{}
	}
	id := w.next
	w.next++
	w.open[id] = cancel
	return ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.open, id)
		cancel()
	}
}

func (w *watches) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, cancel := range w.open {
		cancel()
	}
}
