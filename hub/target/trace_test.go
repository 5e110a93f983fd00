package target

import (
	"testing"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/work"
	"github.com/kronvoy/kronvoy/internal/trace"
	"github.com/kronvoy/kronvoy/internal/trace/tracetest"
)

const someTrace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func assigned(at time.Time) *kronvoyv1alpha1.Target {
	micro := metav1.NewMicroTime(at)
	return &kronvoyv1alpha1.Target{
		ObjectMeta: metav1.ObjectMeta{Namespace: "eu-west", Name: "one"},
		Spec:       kronvoyv1alpha1.TargetSpec{Revision: "one-2", AssignedAt: &micro},
	}
}

func TestATargetIsTracedUntilItIsWhatItsAssignmentAskedFor(t *testing.T) {
	at := time.Unix(1000, 0)
	earlier := metav1.NewMicroTime(at.Add(-time.Minute))
	tests := map[string]struct {
		change func(*kronvoyv1alpha1.Target)
		after  time.Duration
		want   bool
	}{
		"assigned a moment ago":          {func(*kronvoyv1alpha1.Target) {}, time.Second, true},
		"not ready for long":             {func(*kronvoyv1alpha1.Target) {}, followed + time.Second, false},
		"an assignment without its time": {func(t *kronvoyv1alpha1.Target) { t.Spec.AssignedAt = nil }, 0, false},
		"ready with it": {func(t *kronvoyv1alpha1.Target) {
			t.Status = kronvoyv1alpha1.TargetStatus{State: kronvoyv1alpha1.TargetReady, Revision: "one-2", AssignedAt: t.Spec.AssignedAt}
		}, time.Second, false},
		"ready with what was before": {func(t *kronvoyv1alpha1.Target) {
			t.Status = kronvoyv1alpha1.TargetStatus{State: kronvoyv1alpha1.TargetReady, Revision: "one-1", AssignedAt: &earlier}
		}, time.Second, true},
		"ready with other inputs": {func(t *kronvoyv1alpha1.Target) {
			t.Status = kronvoyv1alpha1.TargetStatus{State: kronvoyv1alpha1.TargetReady, Revision: "one-2", AssignedAt: &earlier}
		}, time.Second, true},
		"on its way": {func(t *kronvoyv1alpha1.Target) {
			t.Status = kronvoyv1alpha1.TargetStatus{State: kronvoyv1alpha1.TargetProgressing, Revision: "one-2", AssignedAt: t.Spec.AssignedAt}
		}, time.Second, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := &scope{target: assigned(at), traceparent: someTrace}
			test.change(s.target)
			s.follow(at.Add(test.after))
			if got := s.traceparent != ""; got != test.want {
				t.Errorf("it is traced: %t", got)
			}
		})
	}
}

func TestEvaluatingWithoutTracesAllocatesNothingForThem(t *testing.T) {
	at := time.Unix(1000, 0)
	r := &Reconciler{Clock: clocktesting.NewFakeClock(at)}
	s := &scope{target: assigned(at), traceparent: someTrace}
	n := testing.AllocsPerRun(100, func() {
		s.follow(at)
		span := r.step(s, trace.Evaluate, at)
		span.Set(trace.Result, "complete")
		span.End(at, nil)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestAWorkCarriesItsTraceOnlyWhenItIsWrittenAnyway: what nobody wants to write but
// the trace is not written, and what is written later loses the trace.
func TestAWorkCarriesItsTraceOnlyWhenItIsWrittenAnyway(t *testing.T) {
	collector := tracetest.New(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	tracer := trace.FromEnvironment(t.Context(), "hub", "v1", logr.Discard())
	scheme := runtime.NewScheme()
	if err := workv1.Install(scheme); err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).Build()
	r := &Reconciler{Client: c, Tracer: tracer, Clock: clocktesting.NewFakeClock(time.Unix(1000, 0))}
	wanted := func(text string) *workv1.ManifestWork {
		w := &workv1.ManifestWork{ObjectMeta: metav1.ObjectMeta{Namespace: "eu-west", Name: "one-0", Annotations: map[string]string{}}}
		w.Spec.Workload.Manifests = []workv1.Manifest{{RawExtension: runtime.RawExtension{Raw: []byte(`{"kind":"` + text + `"}`)}}}
		w.Annotations[kronvoyv1alpha1.AnnotationHash] = work.HashOf(w)
		return w
	}
	live := func() *workv1.ManifestWork {
		w := &workv1.ManifestWork{}
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: "eu-west", Name: "one-0"}, w); err != nil {
			t.Fatal(err)
		}
		r.hashes.forget(w.UID) // generations are not counted here
		return w
	}
	write := func(traceparent, text string, before *workv1.ManifestWork) *workv1.ManifestWork {
		t.Helper()
		s := &scope{target: assigned(time.Unix(1000, 0)), traceparent: traceparent}
		if err := r.write(t.Context(), s, wanted(text), before); err != nil {
			t.Fatal(err)
		}
		return live()
	}

	created := write(someTrace, "A", nil)
	first := trace.Carried(created)
	if first == "" || first == someTrace {
		t.Errorf("a new work carries %q", first)
	}
	if same := write("00-11111111111111111111111111111111-b7ad6b7169203331-01", "A", created); same.ResourceVersion != created.ResourceVersion {
		t.Error("it was written for its trace alone")
	}
	changed := write(someTrace, "B", created)
	if second := trace.Carried(changed); second == "" || second == first {
		t.Errorf("a work that changed carries %q", second)
	}
	if got := trace.Carried(write("", "C", changed)); got != "" {
		t.Errorf("a work that changed without a trace carries %q", got)
	}
	tracer.Stop()
	if got := collector.Spans(); len(got) != 2 || got[0].Parent != "b7ad6b7169203331" || got[1].Parent != got[0].Parent || got[0].Attributes[trace.Work] != "one-0" {
		t.Errorf("spans are %v", got)
	}
}
