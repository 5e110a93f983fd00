//go:build integration

package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/kronvoy/kronvoy/internal/trace"
	"github.com/kronvoy/kronvoy/internal/trace/tracetest"
	"github.com/kronvoy/kronvoy/test/probe"
)

func TestAChangeIsOneTraceFromTheInstanceToTheClusterAndBack(t *testing.T) {
	s := begin(t, "traced")
	agent := s.stack.Agents[usEast]
	// After the variables are what they were.
	t.Cleanup(func() {
		for _, process := range []interface{ Restart(context.Context) error }{s.stack.Hub, agent} {
			if err := process.Restart(context.Background()); err != nil {
				t.Error(err)
			}
		}
	})
	collector := tracetest.New(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
	s.restartHub()
	if err := agent.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer s.end()

	s.define("Traced", frozenSettings)
	s.create("Traced", "one", usEast, "")
	s.ready("Traced", "one", 1)
	first := s.traced(collector, "one", 1)
	s.create("Traced", "one", usEast, "color: red")
	s.holds(usEast, "configmaps", "one", "data.color", "red")
	s.ready("Traced", "one", 1)
	if second := s.traced(collector, "one", 2); second == first {
		t.Error("two changes are one trace")
	}

	// Who starts again looks at all that there is, and tells of nothing again.
	before := applies(collector, s.traceable("one"))
	if err := agent.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.create("Traced", "two", usEast, "")
	s.ready("Traced", "two", 1)
	s.traced(collector, "two", 1)
	if after := applies(collector, s.traceable("one")); after != before {
		t.Errorf("an agent that started again told of %d runs over an old work", after-before)
	}
}

// traceable is the name of an instance in spans.
func (s *scene) traceable(name string) string { return "Traced.kro.run/" + s.ns + "/" + name }

// traced waits until the last of an instance's traces, which are that many, is whole,
// and returns its number.
func (s *scene) traced(collector *tracetest.Collector, name string, count int) string {
	s.Helper()
	var id string
	probe.Eventually(s, fmt.Sprintf("trace %d of %s to be whole", count, name), func() error {
		spans := collector.Spans()
		var roots []tracetest.Span
		for _, span := range spans {
			if span.Name == trace.Revise && span.Attributes[trace.Instance] == s.traceable(name) {
				roots = append(roots, span)
			}
		}
		if len(roots) != count {
			return fmt.Errorf("%d traces have begun: %v", len(roots), roots)
		}
		root := roots[count-1]
		id = root.Trace
		spans = slices.DeleteFunc(spans, func(span tracetest.Span) bool { return span.Trace != id })
		return whole(spans, root)
	})
	return id
}

// whole says what the spans of a trace lack of the way from an instance to a
// cluster and back.
func whole(spans []tracetest.Span, root tracetest.Span) error {
	if root.Parent != "" {
		return fmt.Errorf("the root has a parent: %v", root)
	}
	above := map[string][]string{trace.Revise: {root.ID}}
	for _, step := range []struct{ service, name, below string }{
		{"kronvoy-hub", trace.Evaluate, trace.Revise},
		{"kronvoy-hub", trace.Write, trace.Revise},
		{"kronvoy-spoke", trace.Apply, trace.Write},
		{"kronvoy-spoke", trace.Report, trace.Apply},
		{"kronvoy-hub", trace.Status, trace.Revise},
	} {
		for _, span := range spans {
			if span.Name != step.name {
				continue
			}
			if span.Service != step.service || !slices.Contains(above[step.below], span.Parent) || span.Attributes[trace.Cluster] != usEast {
				return fmt.Errorf("%s, of %s, is not below %s: %v", step.name, step.service, step.below, spans)
			}
			above[step.name] = append(above[step.name], span.ID)
		}
		if len(above[step.name]) == 0 {
			return fmt.Errorf("there is no %s: %v", step.name, spans)
		}
	}
	return nil
}

// applies counts the runs over works of an instance.
func applies(collector *tracetest.Collector, instance string) int {
	count := 0
	for _, span := range collector.Spans() {
		if span.Name == trace.Apply && span.Attributes[trace.Instance] == instance {
			count++
		}
	}
	return count
}
