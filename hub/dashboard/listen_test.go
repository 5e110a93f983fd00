package dashboard

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/util/cert"

	"github.com/kronvoy/kronvoy/hub/dashboard/view"
)

// served is a dashboard that listens, as Start does, with limits of a test.
type served struct {
	*testbed
	address string
	cert    string // its file
	ended   chan error
}

func (b *testbed) serve(secure bool, l limits) *served {
	b.Helper()
	s := &served{testbed: b, ended: make(chan error, 1)}
	b.server.opts.Address, b.server.limits = "127.0.0.1:0", l
	if secure {
		dir := b.TempDir()
		s.cert = filepath.Join(dir, "tls.crt")
		b.server.opts.TLSCert, b.server.opts.TLSKey = s.cert, filepath.Join(dir, "tls.key")
		s.certify("first.example")
	}
	ctx, cancel := context.WithCancel(context.Background())
	listener, err := b.server.listen(ctx)
	if err != nil {
		b.Fatal(err)
	}
	s.address = listener.Addr().String()
	go func() { s.ended <- b.server.serve(ctx, listener) }()
	b.Cleanup(func() {
		cancel()
		if err := <-s.ended; err != nil && !errors.Is(err, context.Canceled) {
			b.Error(err)
		}
	})
	return s
}

// certify writes a new certificate for a name over the old one.
func (s *served) certify(name string) {
	s.Helper()
	certificate, key, err := cert.GenerateSelfSignedCertKey(name, []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		s.Fatal(err)
	}
	for path, text := range map[string][]byte{s.server.opts.TLSKey: key, s.cert: certificate} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			s.Fatal(err)
		}
	}
}

// client trusts the certificate that is there now.
func (s *served) client(http2 bool) *http.Client {
	s.Helper()
	pool := x509.NewCertPool()
	text, err := os.ReadFile(s.cert)
	if err != nil || !pool.AppendCertsFromPEM(text) {
		s.Fatalf("reading the certificate: %v", err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}, ForceAttemptHTTP2: http2}
	s.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func quick() limits {
	return limits{readHeader: 200 * time.Millisecond, read: 300 * time.Millisecond, write: 300 * time.Millisecond, idle: 300 * time.Millisecond, connections: 20}
}

// eventually waits for something that a server does by the machine's clock.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-ctx.Done():
			t.Fatalf("it does not come to pass that %s", what)
		case <-tick.C:
		}
	}
}

func TestTheCertificateIsReadAgain(t *testing.T) {
	s := newTestbed(t).serve(true, defaultLimits())
	shown := func() string {
		connection, err := tls.Dial("tcp", s.address, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			return ""
		}
		defer func() { _ = connection.Close() }()
		return connection.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if got := shown(); !strings.HasPrefix(got, "first.example") {
		t.Fatalf("the certificate is that of %s", got)
	}
	s.certify("second.example")
	eventually(t, "the new certificate is shown", func() bool { return strings.HasPrefix(shown(), "second.example") })
	if _, err := tls.Dial("tcp", s.address, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
}

func TestOverTLSBothProtocolsAreServed(t *testing.T) {
	s := newTestbed(t).serve(true, defaultLimits())
	for version, http2 := range map[int]bool{1: false, 2: true} {
		answer, err := s.client(http2).Get("https://" + s.address + "/login")
		if err != nil {
			t.Fatal(err)
		}
		if answer.ProtoMajor != version || answer.StatusCode != http.StatusOK || answer.Header.Get("Strict-Transport-Security") == "" {
			t.Errorf("it gives %s %s %v", answer.Proto, answer.Status, answer.Header)
		}
		if err := answer.Body.Close(); err != nil {
			t.Error(err)
		}
	}
	plain, err := http.Get("http://" + s.address + "/login")
	if err == nil {
		defer func() { _ = plain.Body.Close() }()
		if plain.StatusCode == http.StatusOK {
			t.Error("it is served without TLS, too")
		}
	}
}

func TestANameOfAnotherAddressIsNotListenedOnWithoutTLS(t *testing.T) {
	b := newTestbed(t)
	b.server.opts.Address = "0.0.0.0:0" // what a resolver might make of localhost
	if listener, err := b.server.listen(t.Context()); err == nil {
		t.Errorf("it listens on %s", listener.Addr())
	}
}

func TestSlowAndLargeRequestsAreCutOff(t *testing.T) {
	for name, sent := range map[string]string{
		"nothing at all":        "",
		"headers without end":   "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: b\r\n",
		"a body that is slow":   "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\ntoken=",
		"a body that is large":  "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000000\r\n\r\ntoken=" + strings.Repeat("x", 2*maxBodyBytes),
		"headers that are huge": "GET /login?x=" + strings.Repeat("x", 2*maxHeaderBytes) + " HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
		"idle after an answer":  "GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestbed(t).serve(false, quick())
			connection, err := net.Dial("tcp", s.address)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = connection.Close() }()
			if err := connection.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(connection, sent) // what is cut off may be so while we send
			answer, err := io.ReadAll(connection)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the connection stays: %s", answer)
			}
			if strings.HasPrefix(sent, "POST") && bytes.Contains(answer, []byte(" 303 ")) {
				t.Errorf("it gives %.100s", answer)
			}
		})
	}
}

// A reader who never reads fills what the kernel buffers, and then holds up one
// write: it ends, and so does its stream.
func TestAReaderWhoNeverReadsIsDropped(t *testing.T) {
	for name, version := range map[string]int{"HTTP/1.1": 1, "HTTP/2": 2} {
		t.Run(name, func(t *testing.T) {
			b := newTestbed(t)
			b.server.fleet.tiles = large(t).tiles
			s := b.serve(true, quick())
			user := b.as("admin-token")
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+s.address+"/live?fleet=1&seen=0", nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, cookie := range user.cookies {
				r.AddCookie(cookie)
			}
			answer, err := s.client(version == 2).Do(r)
			if err != nil || answer.StatusCode != http.StatusOK || answer.ProtoMajor != version {
				t.Fatalf("the stream gives %v, %v", answer, err)
			}
			defer func() { _ = answer.Body.Close() }()
			var stream *stream
			eventually(t, "there is a stream", func() bool {
				b.server.live.mu.Lock()
				defer b.server.live.mu.Unlock()
				for stream = range b.server.live.streams {
				}
				return stream != nil
			})
			// Each batch changes every tile, for as long as somebody takes batches.
			hangs := make(chan struct{})
			go func() {
				defer close(hangs)
				for i := 0; ; i++ {
					select {
					case stream.batches <- everyTile(b.server.fleet.all(), i):
					case <-time.After(10 * quick().write):
						return
					}
				}
			}()
			<-hangs
			eventually(t, "the stream is dropped", func() bool {
				b.server.live.mu.Lock()
				defer b.server.live.mu.Unlock()
				return len(b.server.live.streams) == 0
			})
		})
	}
}

// everyTile is a batch in which all have become another one.
func everyTile(tiles []view.Tile, i int) *batch {
	b := &batch{}
	for n := range tiles {
		tiles[n].Instances += i + 1
		b.tiles = append(b.tiles, tileChange{name: tiles[n].Name, after: &tiles[n]})
	}
	return b
}

func TestConnectionsAreBounded(t *testing.T) {
	l := quick()
	l.idle, l.readHeader, l.read, l.connections = time.Minute, time.Minute, time.Minute, 3
	s := newTestbed(t).serve(false, l)
	var open []net.Conn
	for range l.connections {
		connection, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, connection)
		defer func() { _ = connection.Close() }()
		// It counts once it is served.
		if _, err := fmt.Fprintf(connection, "GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReader(connection).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	more, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = more.Close() }()
	answered := make(chan error, 1)
	go func() {
		_, err := fmt.Fprintf(more, "GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
		if err == nil {
			_, err = bufio.NewReader(more).ReadString('\n')
		}
		answered <- err
	}()
	select {
	case err := <-answered:
		t.Errorf("one more is served: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	if err := open[0].Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Errorf("when one has gone, the next is not served: %v", err)
	}
}
