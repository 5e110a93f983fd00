package report

import (
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// hub takes what the writer writes.
type hub struct{ client.Client }

func (h hub) Reader() client.Reader { return h.Client }
func (h hub) Reports() bool         { return true }
func (h hub) Writer() client.Client { return h.Client }

func TestAReportSaysWhetherTheStatusOfItsWorkFollows(t *testing.T) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{kronvoyv1alpha1.AddToScheme, workv1.Install} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	meta := metav1.ObjectMeta{Namespace: "eu-west", Name: "one"}
	c := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&workv1.ManifestWork{}, &kronvoyv1alpha1.WorkReport{}).
		WithObjects(&workv1.ManifestWork{ObjectMeta: meta}, &kronvoyv1alpha1.WorkReport{ObjectMeta: meta}).Build()
	w := NewWriter(hub{c}, "eu-west", clocktesting.NewFakeClock(now), logr.Discard())

	type written struct {
		Wrote, Follows bool
		Values         int
		Applied        metav1.ConditionStatus
	}
	write := func(values int, applied metav1.ConditionStatus) written {
		t.Helper()
		obs := &Observation{Work: "one", Generation: 1, Conditions: []metav1.Condition{{Type: workv1.WorkApplied, Status: applied, Reason: "Any"}}}
		for range values {
			obs.Report.Values = append(obs.Report.Values, kronvoyv1alpha1.ReportedValue{Path: "data", Value: "{}"})
		}
		wrote, err := w.write(t.Context(), obs)
		if err != nil {
			t.Fatal(err)
		}
		report, work := &kronvoyv1alpha1.WorkReport{}, &workv1.ManifestWork{}
		for _, obj := range []client.Object{report, work} {
			if err := c.Get(t.Context(), client.ObjectKey{Namespace: "eu-west", Name: "one"}, obj); err != nil {
				t.Fatal(err)
			}
		}
		out := written{Wrote: wrote, Follows: report.Status.WorkStatusFollows, Values: len(report.Status.Values)}
		for _, condition := range work.Status.Conditions {
			out.Applied = condition.Status
		}
		return out
	}
	for _, step := range []struct {
		what    string
		values  int
		applied metav1.ConditionStatus
		want    written
	}{
		{"both are new", 1, metav1.ConditionTrue, written{true, true, 1, metav1.ConditionTrue}},
		{"nothing is new", 1, metav1.ConditionTrue, written{false, true, 1, metav1.ConditionTrue}},
		{"the report alone", 2, metav1.ConditionTrue, written{true, false, 2, metav1.ConditionTrue}},
		{"the status alone", 2, metav1.ConditionFalse, written{true, false, 2, metav1.ConditionFalse}},
		{"both again", 1, metav1.ConditionTrue, written{true, true, 1, metav1.ConditionTrue}},
	} {
		if diff := cmp.Diff(step.want, write(step.values, step.applied)); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", step.what, diff)
		}
	}
}
