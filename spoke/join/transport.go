package join

import (
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/connrotation"
	"k8s.io/utils/clock"
)

const (
	dialTimeout = 30 * time.Second
	keepAlive   = 30 * time.Second
	// idleTimeout ends a connection that nobody uses, so that one is left after
	// some clients began at the same time.
	idleTimeout = 15 * time.Second
	// maxDrain is how long requests may go on over a connection whose certificate
	// was replaced; watches are resumed over the new one then.
	maxDrain = 10 * time.Second
	// skewThatMatters is how far two clocks may be apart and count as one: the
	// Date of an answer has whole seconds, and is some time under way.
	skewThatMatters = 5 * time.Second
)

// transport reaches the hub with a certificate that can be replaced. All clients
// of the hub share it, and with it one connection.
type transport struct {
	clock clock.Clock
	// skewed is called when the hub's clock turns out to differ from ours in
	// another way than before.
	skewed func()

	current atomic.Pointer[generation]
	// skew is how far the hub's clock is ahead, in nanoseconds.
	skew atomic.Int64
	mu   sync.Mutex // one replacement at a time
}

// generation is the connections with one certificate.
type generation struct {
	*http.Transport
	dialer *connrotation.Dialer
}

func (g *generation) close() {
	g.CloseIdleConnections()
	g.dialer.CloseAll()
}

func newTransport(clk clock.Clock, skewed func()) *transport {
	return &transport{clock: clk, skewed: skewed}
}

// use sends what comes from now on with another certificate. What is under way
// is given drain to come to its end before its connection is closed.
func (t *transport) use(server *rest.Config, certificate tls.Certificate, drain time.Duration) error {
	config, err := rest.TLSConfigFor(server)
	if err != nil {
		return err
	}
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	config.Certificates = []tls.Certificate{certificate}
	dialer := connrotation.NewDialer((&net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive}).DialContext)
	next := &generation{dialer: dialer, Transport: utilnet.SetTransportDefaults(&http.Transport{
		Proxy: server.Proxy, DialContext: dialer.DialContext, TLSClientConfig: config,
		DisableCompression: server.DisableCompression, IdleConnTimeout: idleTimeout,
	})}
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := t.current.Swap(next); old != nil {
		go func() {
			<-t.clock.After(drain)
			old.close()
		}()
	}
	return nil
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.current.Load().RoundTrip(req)
	if err == nil {
		t.compare(resp.Header.Get("Date"))
	}
	return resp, err
}

// CloseIdleConnections is what http.Client asks its transport for.
func (t *transport) CloseIdleConnections() { t.current.Load().CloseIdleConnections() }

// compare takes the hub's time from an answer: an agent whose own clock is wrong
// would otherwise renew too late, or all the time.
func (t *transport) compare(date string) {
	then, err := http.ParseTime(date)
	if err != nil {
		return // a proxy's answer may have none
	}
	skew := then.Sub(t.clock.Now())
	if skew.Abs() < skewThatMatters {
		skew = 0
	}
	if before := time.Duration(t.skew.Swap(int64(skew))); (before-skew).Abs() >= skewThatMatters && t.skewed != nil {
		t.skewed()
	}
}

// now is the time by the hub's clock, as of its last answer; ours before that.
func (t *transport) now() time.Time { return t.clock.Now().Add(time.Duration(t.skew.Load())) }

// reaching makes a client's configuration that asks through the transport.
func (t *transport) reaching(server *rest.Config) *rest.Config {
	config := rest.AnonymousClientConfig(server)
	config.TLSClientConfig = rest.TLSClientConfig{} // the transport's business
	config.Proxy, config.Dial = nil, nil
	config.Transport, config.WrapTransport = t, server.WrapTransport
	return config
}
