// Package dashboard serves the fleet to people's browsers: pages rendered here
// from the hub's caches, kept up to date by server-sent events.
//
//	browser ──token──► login ──TokenReview──► session (in memory, 8 hours at most)
//	        ──page───► access (SubjectAccessReview, as the viewer) ──► view ──► HTML
//	        ◄─events── live ◄── the caches' informers
//	        ──action─► a client with the viewer's own token ──► the hub's API server
//
// What is read from the caches is shown only as far as the API server says that
// the viewer may read it; nothing is written in the hub's name.
package dashboard

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/net/netutil"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Options of the dashboard.
type Options struct {
	// Address to listen on; empty turns the dashboard off. Without TLS it has to be
	// one of this machine's own.
	Address string
	// TLSCert and TLSKey are files that are read again when they change.
	TLSCert, TLSKey string

	// Config reaches the hub's API server; only its address and authority are used
	// for what viewers do.
	Config *rest.Config
	// Client reads from the hub's caches, which Cache has.
	Client client.Client
	Cache  cache.Cache
	// Graphs finds compiled graphs, and Plans what clusters would have.
	Graphs Graphs
	Plans  Plans
	// Namespace is the hub's own.
	Namespace string
	Clock     clock.Clock
	Log       logr.Logger
}

func (o Options) tls() bool { return o.TLSCert != "" }

// Check says what is wrong with the options that people set.
func (o Options) Check() error {
	if (o.TLSCert == "") != (o.TLSKey == "") {
		return errors.New("--dashboard-tls-cert and --dashboard-tls-key belong together: give both, or none")
	}
	host, _, err := net.SplitHostPort(o.Address)
	if err != nil {
		return fmt.Errorf("reading --dashboard-address: %w; it is HOST:PORT, as in 127.0.0.1:8088", err)
	}
	if !o.tls() && !loopback(host) {
		return fmt.Errorf("--dashboard-address %s is reachable from other machines, and tokens would travel in the clear: give --dashboard-tls-cert and --dashboard-tls-key, or listen on 127.0.0.1", o.Address)
	}
	return nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}

// limits of a request and its connection.
type limits struct {
	// A stream of events extends the time to write as it goes: it ends when one
	// write takes that long.
	readHeader, read, write, idle time.Duration
	// connections leave the hub's controllers file descriptors and memory.
	connections int
}

func defaultLimits() limits {
	return limits{readHeader: 5 * time.Second, read: 15 * time.Second, write: 30 * time.Second, idle: time.Minute, connections: 2000}
}

const (
	maxHeaderBytes  = 32 << 10
	maxBodyBytes    = 64 << 10
	shutdownTimeout = 3 * time.Second
)

// Server is the dashboard. It runs in every process of the hub, active or not:
// it decides nothing, and sessions belong to the process that opened them.
type Server struct {
	opts      Options
	log       logr.Logger
	limits    limits
	authority authority
	sessions  *sessions
	throttle  *throttle
	fleet     *fleet
	live      *live
	pages     pages
	assets    assets
	drawings  drawings
	// as makes a client that has a viewer's token.
	as func(*Viewer) (client.Client, error)
}

// New makes a dashboard that Start serves.
func New(opts Options) (*Server, error) {
	if err := opts.Check(); err != nil {
		return nil, err
	}
	config := rest.CopyConfig(opts.Config)
	config.QPS, config.Burst, config.RateLimiter, config.Timeout = reviewQPS, 2*reviewQPS, nil, reviewTimeout
	reviews, err := client.New(config, client.Options{Scheme: opts.Client.Scheme(), Mapper: opts.Client.RESTMapper()})
	if err != nil {
		return nil, fmt.Errorf("making the client that asks about viewers: %w", err)
	}
	return newServer(opts, reviews)
}

// reviewQPS is how often the API server is asked about viewers: a budget of its
// own, so that nobody who looks slows down the hub's work.
const reviewQPS = 200

// reviewTimeout is how long an answer may take.
const reviewTimeout = 10 * time.Second

func newServer(opts Options, reviews client.Client) (*Server, error) {
	assets, err := loadAssets()
	if err != nil {
		return nil, err
	}
	pages, err := loadPages(assets)
	if err != nil {
		return nil, err
	}
	a := authority{reviews}
	f := &fleet{reader: opts.Client}
	return &Server{
		opts: opts, log: opts.Log, limits: defaultLimits(), authority: a, sessions: newSessions(a, opts.Clock), throttle: newThrottle(opts.Clock),
		fleet: f, live: newLive(f, opts.Clock, opts.Log), pages: pages, assets: assets, as: opts.as,
	}, nil
}

// NeedLeaderElection is false: every process serves.
func (s *Server) NeedLeaderElection() bool { return false }

// Start serves until ctx ends.
func (s *Server) Start(ctx context.Context) error {
	if err := s.live.watch(ctx, s.opts.Cache); err != nil {
		return err
	}
	if err := s.fleet.load(ctx); err != nil {
		return err
	}
	go s.live.run(ctx)
	listener, err := s.listen(ctx)
	if err != nil {
		return fmt.Errorf("listening for the dashboard: %w", err)
	}
	return s.serve(ctx, listener)
}

// serve until ctx ends.
func (s *Server) serve(ctx context.Context, listener net.Listener) error {
	server := s.httpServer(ctx)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	s.log.Info("The dashboard is served", "address", listener.Addr().String(), "tls", s.opts.tls())
	select {
	case err := <-ended:
		return fmt.Errorf("serving the dashboard: %w", err)
	case <-ctx.Done():
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(closing); err != nil {
		return server.Close()
	}
	return nil
}

func (s *Server) httpServer(ctx context.Context) *http.Server {
	return &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: s.limits.readHeader, ReadTimeout: s.limits.read, WriteTimeout: s.limits.write,
		IdleTimeout: s.limits.idle, MaxHeaderBytes: maxHeaderBytes,
		BaseContext: func(net.Listener) context.Context { return ctx },
		// What strangers do wrong is no error of the hub's.
		ErrorLog: slog.NewLogLogger(logr.ToSlogHandler(s.log.V(1)), slog.LevelInfo),
	}
}

func (s *Server) listen(ctx context.Context) (net.Listener, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.opts.Address)
	if err != nil {
		return nil, err
	}
	listener = netutil.LimitListener(listener, s.limits.connections)
	if !s.opts.tls() {
		// A name is what the machine's resolver makes of it.
		if host := hostOf(listener.Addr().String()); !loopback(host) {
			return nil, errors.Join(fmt.Errorf("%s is %s, which other machines reach, and there is no certificate", s.opts.Address, host), listener.Close())
		}
		return listener, nil
	}
	watcher, err := certwatcher.New(s.opts.TLSCert, s.opts.TLSKey)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	go func() {
		if err := watcher.Start(ctx); err != nil {
			s.log.Error(err, "The dashboard's certificate is not read again any more")
		}
	}()
	return tls.NewListener(listener, &tls.Config{
		MinVersion: tls.VersionTLS12, GetCertificate: watcher.GetCertificate, NextProtos: []string{"h2", "http/1.1"},
	}), nil
}

// policy is the Content-Security-Policy: everything comes from here, nothing is
// written into the page but by the one script, and nobody frames it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; " +
	"base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types kronvoy"

// Handler serves all pages.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /static/{hash}/{file}", s.assets.serve)
	mux.HandleFunc("GET /login", s.showLogin)
	mux.HandleFunc("POST /login", s.logIn)
	mux.HandleFunc("POST /logout", s.act(s.logOut))
	mux.HandleFunc("GET /live", s.serveLive)
	s.routes(mux)
	// Browsers say where a request comes from; what they let another site send is
	// refused here, before any token is looked at.
	return s.guard(http.NewCrossOriginProtection().Handler(mux))
}

// guard sets what every answer has, and refuses names that are not this
// server's: another site's name that resolves to this machine must not reach it.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		h.Set("Cache-Control", "no-store")
		if s.opts.tls() {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		} else if !loopback(hostOf(r.Host)) {
			http.Error(w, "this address serves localhost only", http.StatusMisdirectedRequest)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBodyBytes)
		next.ServeHTTP(w, r)
	})
}

func hostOf(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return hostport
}
