// Package trace follows a change from an instance over the hub to a cluster and
// back, in spans of OpenTelemetry. From one process to the next it is carried as a
// W3C traceparent in AnnotationTraceparent of an object. Where nobody asked for
// traces there is no Tracer, and a nil one costs nothing.
package trace

import (
	"context"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// Names of spans, in the order of the path. Revise is the root; Evaluate, Write and
// Status are the hub's for one cluster, and below Write are the agent's Apply and
// below that its Report.
const (
	Revise   = "revise"
	Evaluate = "evaluate"
	Write    = "write"
	Apply    = "apply"
	Report   = "report"
	Status   = "status"
)

// Keys of attributes.
const (
	Instance = "kronvoy.instance"
	Revision = "kronvoy.revision"
	Cluster  = "kronvoy.cluster"
	Work     = "kronvoy.work"
	Result   = "kronvoy.result"
)

// Tracer makes spans. Nil makes none.
type Tracer struct {
	provider *sdktrace.TracerProvider
	spans    oteltrace.Tracer
}

// Span is one step of a trace. Nil is none, and all its methods do nothing.
type Span struct{ span oteltrace.Span }

// New makes a Tracer that gives its spans to a processor; options are added to
// those of the environment, such as the sampler.
func New(processor sdktrace.SpanProcessor, options ...sdktrace.TracerProviderOption) *Tracer {
	provider := sdktrace.NewTracerProvider(append(options, sdktrace.WithSpanProcessor(processor))...)
	return &Tracer{provider: provider, spans: provider.Tracer("github.com/kronvoy/kronvoy")}
}

// Root begins a trace, or not, as the sampler decides.
func (t *Tracer) Root(name string, began time.Time) *Span {
	if t == nil {
		return nil
	}
	return t.start(context.Background(), name, began)
}

// Start begins a step under a traceparent. There is none where that says nothing, is
// not well-formed, or belongs to a trace that was not sampled.
func (t *Tracer) Start(traceparent, name string, began time.Time) *Span {
	if t == nil || traceparent == "" {
		return nil
	}
	parent := parse(traceparent)
	if !parent.IsSampled() {
		return nil
	}
	return t.start(oteltrace.ContextWithRemoteSpanContext(context.Background(), parent), name, began)
}

func (t *Tracer) start(ctx context.Context, name string, began time.Time) *Span {
	_, span := t.spans.Start(ctx, name, oteltrace.WithTimestamp(began))
	if !span.IsRecording() || !span.SpanContext().IsSampled() {
		return nil
	}
	return &Span{span}
}

// Set says something about the step. Names and words only: what collects traces may
// see less of the fleet than the hub does.
func (s *Span) Set(key, value string) {
	if s != nil {
		s.span.SetAttributes(attribute.String(key, value))
	}
}

// End is the end of the step. Of an error it tells the API's reason, and not the
// text, which may quote values.
func (s *Span) End(ended time.Time, err error) {
	if s == nil {
		return
	}
	if err != nil {
		reason := apierrors.ReasonForError(err)
		if reason == metav1.StatusReasonUnknown {
			reason = "Error"
		}
		s.span.SetStatus(codes.Error, string(reason))
	}
	s.span.End(oteltrace.WithTimestamp(ended))
}

// Traceparent is what further steps are started under; empty for nil.
func (s *Span) Traceparent() string {
	if s == nil {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(oteltrace.ContextWithSpan(context.Background(), s.span), carrier)
	return carrier.Get("traceparent")
}

// Mark makes an object carry the step on, in the place of another one that it
// carried; nil only takes that away.
func (s *Span) Mark(obj metav1.Object) {
	annotations := obj.GetAnnotations()
	if s == nil {
		delete(annotations, kronvoyv1alpha1.AnnotationTraceparent)
		obj.SetAnnotations(annotations)
		return
	}
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[kronvoyv1alpha1.AnnotationTraceparent] = s.Traceparent()
	obj.SetAnnotations(annotations)
}

// Carried is the traceparent that an object carries; empty for none.
func Carried(obj metav1.Object) string {
	return obj.GetAnnotations()[kronvoyv1alpha1.AnnotationTraceparent]
}

// parse reads a traceparent of version 00; what is anything else is not valid. The
// library would let newer versions say more.
func parse(traceparent string) oteltrace.SpanContext {
	const length = len("00-") + 32 + len("-") + 16 + len("-") + 2
	if len(traceparent) != length || !strings.HasPrefix(traceparent, "00-") {
		return oteltrace.SpanContext{}
	}
	carrier := propagation.MapCarrier{"traceparent": traceparent}
	return oteltrace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier))
}
