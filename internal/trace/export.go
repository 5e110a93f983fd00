package trace

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

const (
	// defaultTimeout is how long one delivery may take, as OpenTelemetry has it.
	defaultTimeout = 10 * time.Second
	// flushTimeout is how long a process that ends waits for its last delivery.
	flushTimeout = 2 * time.Second
	// maxAnswer is how much of an answer is read, for the connection to be of use
	// again.
	maxAnswer = 64 << 10
)

// FromEnvironment makes the Tracer of a process where OpenTelemetry's variables name
// a collector, see docs/traces.md, and nil elsewhere. What is wrong with them is
// logged, and there are no traces: nothing else is to suffer from it.
func FromEnvironment(ctx context.Context, service, version string, log logr.Logger) *Tracer {
	target, err := target(log)
	if err != nil {
		log.Error(err, "Nothing is traced")
		return nil
	}
	if target == nil {
		return nil
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Info("Tracing is in trouble", "reason", err.Error()) }))
	exporter, err := otlptrace.New(ctx, target)
	if err != nil {
		log.Error(err, "Nothing is traced")
		return nil
	}
	about, err := resource.Merge(resource.NewSchemaless(
		attribute.String("service.name", service), attribute.String("service.version", version)), resource.Environment())
	if err != nil {
		log.Error(err, "Nothing is traced")
		return nil
	}
	log.Info("Traces are on", "collector", target.url.Redacted())
	return New(sdktrace.NewBatchSpanProcessor(exporter), sdktrace.WithResource(about))
}

// Stop delivers what is left, for a short time, and ends the Tracer.
func (t *Tracer) Stop() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		otel.Handle(fmt.Errorf("delivering the last spans: %w", err))
	}
}

// collector takes spans by OTLP over HTTP, in protobuf. OpenTelemetry's own client
// brings along gRPC, which is a third of the agent's binary and memory.
type collector struct {
	url     *url.URL
	headers http.Header
	client  *http.Client
	log     logr.Logger
	failing atomic.Bool
}

// target reads where spans go, as the specification of OTLP's exporters says; nil
// where nothing says so.
func target(log logr.Logger) (*collector, error) {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return nil, nil
	}
	switch exporter := os.Getenv("OTEL_TRACES_EXPORTER"); exporter {
	case "", "otlp":
	case "none":
		return nil, nil
	default:
		return nil, fmt.Errorf("OTEL_TRACES_EXPORTER is %q: set it to otlp or none", exporter)
	}
	address, whole := os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), true
	if address == "" {
		address, whole = os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT"), false
	}
	if address == "" {
		return nil, nil
	}
	if protocol := option("PROTOCOL"); protocol != "" && protocol != "http/protobuf" {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %q: only http/protobuf is spoken here, which collectors listen for on port 4318", protocol)
	}
	parsed, err := url.Parse(address)
	if err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "" {
		return nil, errors.New("the endpoint of OTLP is not an address as in http://collector:4318")
	}
	if !whole {
		parsed = parsed.JoinPath("v1", "traces")
	}
	c := &collector{url: parsed, client: &http.Client{Timeout: defaultTimeout}, log: log}
	if c.headers, err = headers(option("HEADERS")); err != nil {
		return nil, err
	}
	if text := option("TIMEOUT"); text != "" {
		milliseconds, err := strconv.ParseUint(text, 10, 31)
		if err != nil || milliseconds == 0 {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_TIMEOUT is %q: it is a number of milliseconds", text)
		}
		c.client.Timeout = time.Duration(milliseconds) * time.Millisecond //nolint:gosec // of 31 bits
	}
	return c, nil
}

// option is a variable of OTLP's exporters: that for traces, or that for all.
func option(name string) string {
	return cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_"+name), os.Getenv("OTEL_EXPORTER_OTLP_"+name))
}

// headers reads key=value,key=value, the values percent-encoded; errors do not
// quote them, for they are secret as a rule.
func headers(text string) (http.Header, error) {
	out := http.Header{}
	for entry := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(entry) == "" {
			continue
		}
		key, value, found := strings.Cut(entry, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if key = strings.TrimSpace(key); !found || key == "" || err != nil {
			return nil, errors.New("OTEL_EXPORTER_OTLP_HEADERS is not of the form key=value,key=value with values percent-encoded")
		}
		out.Set(key, value)
	}
	return out, nil
}

// Start implements otlptrace.Client.
func (c *collector) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client.
func (c *collector) Stop(context.Context) error {
	c.client.CloseIdleConnections()
	return nil
}

// UploadTraces implements otlptrace.Client. What cannot be delivered is dropped; the
// log says when that begins and when it is over.
func (c *collector) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	err := c.post(ctx, spans)
	if failed := err != nil; c.failing.Swap(failed) != failed {
		if failed {
			c.log.Info("Spans cannot be delivered, and are dropped", "collector", c.url.Redacted(), "reason", err.Error())
		} else {
			c.log.Info("Spans are delivered again", "collector", c.url.Redacted())
		}
	}
	return nil
}

func (c *collector) post(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	// On the wire it is what OTLP calls ExportTraceServiceRequest.
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return fmt.Errorf("encoding spans: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header = c.headers.Clone()
	request.Header.Set("Content-Type", "application/x-protobuf")
	request.Header.Set("User-Agent", "kronvoy")
	answer, err := c.client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }() // it was only read
	if _, err := io.Copy(io.Discard, io.LimitReader(answer.Body, maxAnswer)); err != nil {
		return fmt.Errorf("reading the collector's answer: %w", err)
	}
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("the collector answers %s", answer.Status)
	}
	return nil
}
