package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
)

// retryAfterSeconds is what RetryAfter asks for: the least there is.
const retryAfterSeconds = 1

// link is one client's way to one API server.
type link struct {
	name    string
	proxy   *Proxy
	gate    *gate
	watches watches
	pass    *httputil.ReverseProxy
	server  *http.Server
	served  chan error
}

// newLink listens on a port of its own, and serves until it is closed.
func (p *Proxy) newLink(name, server string, ca []byte) (*link, error) {
	target, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	trusted := x509.NewCertPool()
	if !trusted.AppendCertsFromPEM(ca) {
		return nil, errors.New("its kubeconfig has no certificate authority")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	// What the servers log about broken connections is what they are for.
	silent := log.New(io.Discard, "", 0)
	l := &link{name: name, proxy: p, gate: newGate(listener), served: make(chan error, 1)}
	l.pass = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			identify(r.Out)
		},
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: trusted, Certificates: []tls.Certificate{p.certificate}, MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2: true,
		},
		FlushInterval:  -1, // events of a watch must not wait for the next
		ModifyResponse: l.spoil,
		ErrorHandler:   func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:       silent,
	}
	l.server = &http.Server{
		Handler: l,
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{p.certificate},
			ClientAuth:   tls.VerifyClientCertIfGiven, ClientCAs: trusted, MinVersion: tls.VersionTLS12,
		},
		ErrorLog: silent,
	}
	go func() { l.served <- l.server.ServeTLS(l.gate, "", "") }()
	return l, nil
}

func (l *link) address() string { return "https://" + l.gate.Addr().String() }

func (l *link) close() error {
	err := l.server.Close()
	if served := <-l.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	l.pass.Transport.(*http.Transport).CloseIdleConnections()
	return err
}

// identify says in headers whose certificate was shown, and keeps clients from
// saying so themselves.
func identify(r *http.Request) {
	for header := range r.Header {
		if strings.HasPrefix(header, "X-Remote-") {
			r.Header.Del(header)
		}
	}
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return
	}
	subject := r.TLS.PeerCertificates[0].Subject
	r.Header.Set(userHeader, subject.CommonName)
	for _, group := range subject.Organization {
		r.Header.Add(groupHeader, group)
	}
}

// faultKey is the key under which a request's context holds its Fault.
type faultKey struct{}

// ServeHTTP implements http.Handler.
func (l *link) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	request, ok := l.read(r)
	if !ok {
		l.pass.ServeHTTP(w, r)
		return
	}
	fault := l.proxy.meet(request)
	ctx := r.Context()
	if fault != nil {
		if status := instead(fault.Kind, request); status != nil {
			_, _ = io.Copy(io.Discard, r.Body) // a client that is gone needs no answer
			answer(w, status)
			return
		}
		switch fault.Kind {
		case CutWatches:
			l.watches.cut()
		case Outage:
			l.gate.shut(fault.For)
			panic(http.ErrAbortHandler)
		case CrashBefore:
			l.proxy.crash(l.name, fault.For)
			panic(http.ErrAbortHandler)
		default:
			ctx = context.WithValue(ctx, faultKey{}, *fault)
		}
	}
	if request.Verb == "watch" {
		var end func()
		ctx, end = l.watches.begin(ctx)
		defer end()
	}
	l.pass.ServeHTTP(w, r.WithContext(ctx))
}

var requestInfo = apirequest.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}

// read finds out what is asked; false for what plans do not touch.
func (l *link) read(r *http.Request) (Request, bool) {
	info, err := requestInfo.NewRequestInfo(r)
	if err != nil || !info.IsResourceRequest || info.Resource == "leases" || info.Resource == "events" {
		return Request{}, false
	}
	request := Request{Link: l.name, Verb: info.Verb, Resource: info.Resource}
	if info.Name == "" && info.Verb == "create" {
		info.Name = nameIn(r)
	}
	if info.Name != "" {
		request.Object = info.Namespace + "/" + info.Name
	}
	if info.Subresource != "" {
		request.Resource += "/" + info.Subresource
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/apply-patch") {
		request.Verb = "apply"
	}
	if r.URL.Query().Get("dryRun") != "" {
		request.Verb += " (dry run)"
	}
	return request, true
}

// protobufPrefix is what the API machinery begins protobuf with.
var protobufPrefix = []byte{'k', '8', 's', 0}

// nameIn reads the name of the object that a request is to create; empty where
// there is none in its body.
func nameIn(r *http.Request) string {
	body, err := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	if err != nil {
		return "" // the client has gone, which the API server will notice too
	}
	var object metav1.PartialObjectMetadata // its fields are the first of any object
	if encoded, found := bytes.CutPrefix(body, protobufPrefix); found {
		var envelope runtime.Unknown
		if err = envelope.Unmarshal(encoded); err == nil {
			err = object.Unmarshal(envelope.Raw)
		}
	} else {
		err = json.Unmarshal(body, &object)
	}
	if err != nil {
		return ""
	}
	return object.Name
}

// instead is the answer that the API server's place is taken by; nil where it
// is asked itself.
func instead(kind Kind, r Request) *metav1.Status {
	resource := schema.GroupResource{Resource: r.Resource}
	switch kind {
	case Conflict:
		return status(apierrors.NewConflict(resource, "", errors.New("the proxy says so")))
	case TooManyRequests:
		return status(apierrors.NewTooManyRequestsError("the proxy says so"))
	case RetryAfter:
		return status(apierrors.NewTooManyRequests("the proxy says so", retryAfterSeconds))
	case InternalError:
		return status(apierrors.NewInternalError(errors.New("the proxy says so")))
	case Gone:
		return status(apierrors.NewResourceExpired("the proxy says so"))
	}
	return nil
}

func status(err *apierrors.StatusError) *metav1.Status {
	s := err.Status()
	s.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	return &s
}

func answer(w http.ResponseWriter, s *metav1.Status) {
	text, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Errorf("encoding an answer: %w", err)) // it holds nothing but text
	}
	w.Header().Set("Content-Type", "application/json")
	if s.Details != nil && s.Details.RetryAfterSeconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(s.Details.RetryAfterSeconds)))
	}
	w.WriteHeader(int(s.Code))
	_, _ = w.Write(text)
}

// errLost makes the reverse proxy break off.
var errLost = errors.New("the answer is lost")

// spoil changes an answer of the API server's, which is read to its end first:
// by then the request is done.
func (l *link) spoil(resp *http.Response) error {
	fault, ok := resp.Request.Context().Value(faultKey{}).(Fault)
	if !ok {
		return nil
	}
	_, err := io.Copy(io.Discard, resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	switch fault.Kind {
	case CrashAfter:
		l.proxy.crash(l.name, fault.For)
		return errLost
	case LostAnswer:
		return errLost
	}
	text, err := json.Marshal(status(apierrors.NewInternalError(errors.New("the proxy says so"))))
	if err != nil {
		return err
	}
	resp.StatusCode, resp.Status = http.StatusInternalServerError, ""
	resp.Header = http.Header{"Content-Type": {"application/json"}}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	return nil
}
