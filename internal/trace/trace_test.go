package trace_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/internal/trace"
	"github.com/kronvoy/kronvoy/internal/trace/tracetest"
)

const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// environment is these variables, and no others of OpenTelemetry's.
func environment(t *testing.T, variables map[string]string) {
	t.Helper()
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, "")
		}
	}
	for name, value := range variables {
		t.Setenv(name, value)
	}
}

// logged gives a logger and what it wrote.
func logged() (logr.Logger, *[]string) {
	var lines []string
	return funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{}), &lines
}

func TestATraceGoesFromOneProcessToTheNextByAnObject(t *testing.T) {
	collector := tracetest.New(t)
	environment(t, map[string]string{endpoint: collector.URL})
	work := &corev1.ConfigMap{}

	hub := trace.FromEnvironment(t.Context(), "hub", "v1", logr.Discard())
	root := hub.Root(trace.Revise, now)
	root.End(now, nil)
	write := hub.Start(root.Traceparent(), trace.Write, now)
	write.Set(trace.Cluster, "eu-west")
	write.Mark(work)
	write.End(now, apierrors.NewConflict(kronvoyv1alpha1.GroupVersion.WithResource("targets").GroupResource(), "one", errors.New("secret")))
	hub.Stop()

	agent := trace.FromEnvironment(t.Context(), "agent", "v1", logr.Discard())
	applied := agent.Start(trace.Carried(work), trace.Apply, now)
	applied.End(now, errors.New("secret"))
	agent.Stop()

	got := collector.Spans()
	if len(got) != 3 {
		t.Fatalf("spans are %v", got)
	}
	for _, span := range got {
		if span.Trace != got[0].Trace {
			t.Errorf("%s is in another trace than %s", span.Name, got[0].Name)
		}
	}
	want := []tracetest.Span{
		{Service: "hub", Name: trace.Revise},
		{Service: "hub", Name: trace.Write, Parent: got[0].ID, Attributes: map[string]string{trace.Cluster: "eu-west"}, Error: "Conflict"},
		{Service: "agent", Name: trace.Apply, Parent: got[1].ID, Error: "Error"},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(tracetest.Span{}, "Trace", "ID"), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
}

func TestOnlyAWellFormedTraceparentOfASampledTraceIsFollowed(t *testing.T) {
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	environment(t, map[string]string{endpoint: tracetest.New(t).URL})
	tracer := trace.FromEnvironment(t.Context(), "agent", "v1", logr.Discard())
	defer tracer.Stop()
	for traceparent, want := range map[string]bool{
		good:                               true,
		"":                                 false,
		good[:len(good)-1] + "0":           false, // not sampled
		good + "-00":                       false,
		good[:len(good)-1]:                 false,
		"01" + good[2:]:                    false, // a later version
		"cc" + good[2:] + "-future":        false,
		strings.ToUpper(good):              false,
		strings.Replace(good, "-", "_", 1): false,
		strings.Replace(good, "0af7651916cd43dd8448eb211c80319c", strings.Repeat("0", 32), 1): false,
		strings.Replace(good, "b7ad6b7169203331", strings.Repeat("0", 16), 1):                 false,
		strings.Replace(good, "b7ad", "b7\n\x00", 1):                                          false,
		strings.Repeat("0", 1<<20):                                                            false,
	} {
		if got := tracer.Start(traceparent, trace.Apply, now) != nil; got != want {
			t.Errorf("%.80q is followed: %t", traceparent, got)
		}
	}
}

func TestWithoutATracerNothingIsMarkedAndNothingAllocated(t *testing.T) {
	environment(t, nil)
	tracer := trace.FromEnvironment(t.Context(), "hub", "v1", logr.Discard())
	if tracer != nil {
		t.Fatal("there is a tracer although nothing asks for one")
	}
	marked := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"a": "b"}}}
	steps := func() {
		for _, span := range []*trace.Span{tracer.Root(trace.Revise, now), tracer.Start("00-1", trace.Write, now)} {
			span.Set(trace.Cluster, "eu-west")
			span.Mark(marked)
			span.End(now, nil)
		}
	}
	if n := testing.AllocsPerRun(100, steps); n != 0 {
		t.Errorf("%v allocations", n)
	}
	tracer.Stop()
	if diff := cmp.Diff(map[string]string{"a": "b"}, marked.Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
}

func TestAnObjectThatIsNoLongerTracedLosesItsMark(t *testing.T) {
	obj := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{kronvoyv1alpha1.AnnotationTraceparent: "old"}}}
	var none *trace.Span
	none.Mark(obj)
	if got := trace.Carried(obj); got != "" {
		t.Errorf("it carries %q", got)
	}
}

func TestTheSamplerDecidesAtTheRoot(t *testing.T) {
	collector := tracetest.New(t)
	environment(t, map[string]string{endpoint: collector.URL, "OTEL_TRACES_SAMPLER": "always_off"})
	tracer := trace.FromEnvironment(t.Context(), "hub", "v1", logr.Discard())
	span := tracer.Root(trace.Revise, now)
	if got := span.Traceparent(); got != "" {
		t.Errorf("it goes on as %q", got)
	}
	span.End(now, nil)
	tracer.Stop()
	if got := collector.Spans(); len(got) != 0 {
		t.Errorf("spans are %v", got)
	}
}

func TestTheEnvironmentSaysWhereSpansGo(t *testing.T) {
	var path, header string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		path, header = request.URL.Path, request.Header.Get("X-Key")
	}))
	t.Cleanup(server.Close)
	const of = "OTEL_EXPORTER_OTLP_"
	tests := map[string]struct {
		variables    map[string]string
		path, header string
		// wrong is what is said about them; then there are no traces.
		wrong string
	}{
		"nothing":                        {},
		"an endpoint":                    {variables: map[string]string{endpoint: server.URL}, path: "/v1/traces"},
		"an endpoint below a path":       {variables: map[string]string{endpoint: server.URL + "/otlp/"}, path: "/otlp/v1/traces"},
		"an endpoint for traces":         {variables: map[string]string{endpoint: "http://nobody.invalid", of + "TRACES_ENDPOINT": server.URL + "/spans"}, path: "/spans"},
		"headers":                        {variables: map[string]string{endpoint: server.URL, of + "HEADERS": "x-other=1, x-key=a%20b%3D"}, path: "/v1/traces", header: "a b="},
		"headers for traces":             {variables: map[string]string{endpoint: server.URL, of + "HEADERS": "x-key=1", of + "TRACES_HEADERS": "x-key=2"}, path: "/v1/traces", header: "2"},
		"the protocol that there is":     {variables: map[string]string{endpoint: server.URL, of + "PROTOCOL": "http/protobuf"}, path: "/v1/traces"},
		"all of OpenTelemetry off":       {variables: map[string]string{endpoint: server.URL, "OTEL_SDK_DISABLED": "true"}},
		"traces off":                     {variables: map[string]string{endpoint: server.URL, "OTEL_TRACES_EXPORTER": "none"}},
		"another protocol":               {variables: map[string]string{endpoint: server.URL, of + "PROTOCOL": "grpc"}, wrong: "port 4318"},
		"another exporter":               {variables: map[string]string{endpoint: server.URL, "OTEL_TRACES_EXPORTER": "zipkin"}, wrong: "zipkin"},
		"an endpoint that is no address": {variables: map[string]string{endpoint: "collector:4318"}, wrong: "http://collector:4318"},
		"headers without a value":        {variables: map[string]string{endpoint: server.URL, of + "HEADERS": "secret"}, wrong: "key=value"},
		"a timeout that is no number":    {variables: map[string]string{endpoint: server.URL, of + "TIMEOUT": "10s"}, wrong: "milliseconds"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			environment(t, test.variables)
			path, header = "", ""
			log, lines := logged()
			tracer := trace.FromEnvironment(t.Context(), "hub", "v1", log)
			tracer.Root(trace.Revise, now).End(now, nil)
			tracer.Stop()
			if path != test.path || header != test.header {
				t.Errorf("spans went to %q with header %q, want %q with %q", path, header, test.path, test.header)
			}
			if said := strings.Join(*lines, "\n"); test.wrong != "" && (tracer != nil || !strings.Contains(said, test.wrong) || strings.Contains(said, "secret")) {
				t.Errorf("a tracer: %t; it is said: %s", tracer != nil, said)
			}
		})
	}
}

func TestACollectorThatRefusesIsSpokenOfOnceAndWhenItTakesSpansAgain(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) <= 3 {
			http.Error(w, "no", http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(server.Close)
	// A batch is one span, so that each is a delivery of its own.
	environment(t, map[string]string{endpoint: server.URL, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "1"})
	log, lines := logged()
	tracer := trace.FromEnvironment(t.Context(), "hub", "v1", log)
	for range 5 {
		tracer.Root(trace.Revise, now).End(now, nil)
	}
	tracer.Stop()
	want := []string{"Traces are on", "Spans cannot be delivered, and are dropped", "Spans are delivered again"}
	said := func(line, message string) bool { return strings.Contains(line, message) }
	if !slices.EqualFunc(*lines, want, said) || asked.Load() != 5 {
		t.Errorf("of %d deliveries it is said:\n%s", asked.Load(), strings.Join(*lines, "\n"))
	}
}

func TestACollectorThatDoesNotAnswerHoldsNothingUp(t *testing.T) {
	silent := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-silent }))
	t.Cleanup(server.Close)
	defer close(silent)
	environment(t, map[string]string{endpoint: server.URL, "OTEL_BSP_MAX_QUEUE_SIZE": "10", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "5"})
	tracer := trace.FromEnvironment(t.Context(), "hub", "v1", logr.Discard())
	done := make(chan error, 1)
	go func() {
		for range 1000 {
			tracer.Root(trace.Revise, now).End(now, nil)
		}
		began := time.Now()
		tracer.Stop()
		if took := time.Since(began); took > 5*time.Second {
			done <- fmt.Errorf("stopping took %s", took)
			return
		}
		done <- nil
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it is waited for")
	}
}
