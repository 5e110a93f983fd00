//go:build integration

package spoke_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// fieldPolicy is the drift policy of some fields.
func fieldPolicy(drift kronvoyv1alpha1.DriftPolicy, paths ...string) kronvoyv1alpha1.FieldPolicy {
	return kronvoyv1alpha1.FieldPolicy{Paths: paths, Drift: drift}
}

// mixed has a field of every drift policy.
func (w *world) mixed(name string) *manifest {
	m := w.configMap(name, "corrected", "a", "reported", "a", "ignored", "a")
	m.policy.Fields = []kronvoyv1alpha1.FieldPolicy{
		fieldPolicy(kronvoyv1alpha1.DriftReport, "data.reported"), fieldPolicy(kronvoyv1alpha1.DriftIgnore, "data.ignored"),
	}
	return m
}

const (
	mixedCorrected = `Corrected ConfigMap/mixed data.corrected "a"->"b" (somebody)`
	mixedReported  = `Reported ConfigMap/mixed data.reported "a"->"b" (somebody)`
)

// reportedInAnyOrder is reported for findings of different times.
func (w *world) reportedInAnyOrder(work string, want ...string) {
	w.t.Helper()
	w.eventually("the findings", func() error {
		if diff := cmp.Diff(want, slices.Sorted(slices.Values(findings(w.getReport(work))))); diff != "" {
			return fmt.Errorf("findings (-want +got):\n%s", diff)
		}
		return nil
	})
}

// drift changes all three fields of a mixed object as somebody else.
func (w *world) drift(m *manifest) {
	w.t.Helper()
	w.patch(m, "somebody", `{"data":{"corrected":"b","reported":"b","ignored":"b"}}`)
}

func TestFieldsOfOneObjectAreCorrectedReportedAndIgnored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	m := w.mixed("mixed")
	w.ship("one", m)
	w.settled("one")
	w.drift(m)
	w.reportedInAnyOrder("one", mixedCorrected, mixedReported)
	w.data(m, map[string]string{"corrected": "a", "reported": "b", "ignored": "b"})
	if got := w.getReport("one"); got.FindingCount != 1 || got.Corrections != 1 {
		t.Errorf("%d objects differ after %d corrections, want 1 and 1", got.FindingCount, got.Corrections)
	}
	w.quiet()
	w.written()

	// It is known as before to a process that has no memory.
	w.stop()
	w.start()
	w.untouched()
	w.reportedInAnyOrder("one", mixedCorrected, mixedReported)

	// Manifests that want nothing new of them leave them, however many come.
	for _, more := range []string{"1", "2"} {
		w.set(m, more, "data", "more")
		w.update("one", m)
		w.settled("one")
		w.data(m, map[string]string{"corrected": "a", "reported": "b", "ignored": "b", "more": more})
		w.reportedInAnyOrder("one", mixedCorrected, mixedReported)
	}

	// One that wants another value takes what was reported, not what is ignored.
	w.set(m, "c", "data", "reported")
	w.set(m, "c", "data", "ignored")
	w.update("one", m)
	w.settled("one")
	w.data(m, map[string]string{"corrected": "a", "reported": "c", "ignored": "b", "more": "2"})
	w.eventually("nothing to differ", func() error {
		if got := w.getReport("one"); got.FindingCount != 0 {
			return fmt.Errorf("%d objects do: %v", got.FindingCount, findings(got))
		}
		return nil
	})
}

func TestWhatDriftedWhileTheAgentWasAwayGoesByTheFieldsPolicy(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]func(*testing.T) *world{"with-memory": newKeptWorld, "without": func(t *testing.T) *world { return newWorld(t) }} {
		t.Run(name, func(t *testing.T) {
			w := options(t)
			w.start()
			m := w.mixed("mixed")
			w.ship("one", m)
			w.settled("one")
			w.quiet()
			w.stop()
			w.drift(m)
			w.start()
			w.reportedInAnyOrder("one", mixedCorrected, mixedReported)
			w.data(m, map[string]string{"corrected": "a", "reported": "b", "ignored": "b"})
		})
	}
}

// A policy that changes is at once the policy of what differs already.
func TestAnotherPolicyForWhatDiffers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	m := w.mixed("mixed")
	w.ship("one", m)
	w.settled("one")
	w.drift(m)
	w.reportedInAnyOrder("one", mixedCorrected, mixedReported)
	m.policy.Fields = nil
	w.update("one", m)
	w.data(m, map[string]string{"corrected": "a", "reported": "a", "ignored": "a"})
	w.reported("one", `Corrected ConfigMap/mixed data.ignored "a"->"b" (somebody) data.reported "a"->"b" (somebody)`)
}

// What a reported field is changed to is told once a second at most, and in the
// end as it is.
func TestAReportedFieldThatChangesAllTheTimeIsToldOfNowAndThen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	m := w.mixed("mixed")
	w.ship("one", m)
	w.settled("one")
	w.quiet()
	w.written()
	const changes = 200
	for n := range changes {
		w.patch(m, "somebody", fmt.Sprintf(`{"data":{"reported":"%d"}}`, n))
	}
	w.reported("one", fmt.Sprintf(`Reported ConfigMap/mixed data.reported "a"->"%d" (somebody)`, changes-1))
	if got := len(w.written()); got > 10 {
		t.Errorf("the agent wrote %d times about %d changes", got, changes)
	}
}

// The server keeps another form of some values: that is no reason to take back
// what policy leaves.
func TestAReportedQuantityStaysReported(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	web := w.deployment("web", 2)
	web.policy.Drift = kronvoyv1alpha1.DriftReport
	w.ship("one", web)
	w.settled("one")
	w.patch(web, "somebody", `{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"nginx:1","ports":[{"containerPort":80}],"resources":{"requests":{"cpu":"3","memory":"64Mi"}}}]}}}}`)
	const reported = `Reported Deployment/web spec.template.spec.containers[name="web"].resources.requests.cpu "1000m"->"3" (somebody)`
	w.reported("one", reported)
	w.set(web, int64(3), "spec", "revisionHistoryLimit")
	w.update("one", web)
	w.settled("one")
	w.reported("one", reported)
	containers, _, _ := unstructured.NestedSlice(w.live(web).Object, "spec", "template", "spec", "containers")
	cpu, _, _ := unstructured.NestedString(containers[0].(map[string]any), "resources", "requests", "cpu") //nolint:forcetypeassert // a container is a map
	if diff := cmp.Diff("3", cpu); diff != "" {
		t.Errorf("cpu (-want +got):\n%s", diff)
	}
}

// set changes a field of a manifest.
func (w *world) set(m *manifest, value any, fields ...string) {
	w.t.Helper()
	if err := unstructured.SetNestedField(m.object.Object, value, fields...); err != nil {
		w.t.Fatal(err)
	}
}
