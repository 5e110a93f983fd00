package instance

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"
	testclock "k8s.io/utils/clock/testing"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	hubevents "github.com/kronvoy/kronvoy/hub/events"
	"github.com/kronvoy/kronvoy/hub/kinds"
	"github.com/kronvoy/kronvoy/hub/status"
)

// TestWhatHappensOnAThousandClustersIsOneEvent, however they follow each other.
func TestWhatHappensOnAThousandClustersIsOneEvent(t *testing.T) {
	fake := events.NewFakeRecorder(5000)
	clock := testclock.NewFakePassiveClock(time.Unix(0, 0))
	r := &Reconciler{Events: hubevents.NewRecorder(fake, runtime.NewScheme(), clock)}
	instance := kinds.Object(schema.GroupVersionKind{Group: "kro.run", Version: "v1alpha1", Kind: "App"})
	instance.SetName("one")
	s := &scope{instance: instance}

	targets := make([]kronvoyv1alpha1.Target, 1000)
	for i := range targets {
		targets[i].Namespace = fmt.Sprintf("c%03d", i)
		targets[i].Status = kronvoyv1alpha1.TargetStatus{State: kronvoyv1alpha1.TargetReady, Revision: "r1"}
	}
	previous := map[string]any{}
	look := func() {
		summary := status.Summarize(status.Input{
			Generation: 1, Revision: "r1", Placed: true, PlacedReason: "Placed", Targets: targets, Previous: previous, Now: metav1.NewTime(clock.Now()),
		})
		r.announce(s, previous, summary, "")
		previous = summary
	}
	tells := func(want ...string) {
		t.Helper()
		var got []string
		for len(fake.Events) > 0 {
			got = append(got, strings.Join(strings.Fields(<-fake.Events)[:2], " "))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	}
	look()
	tells()
	for i := range targets {
		targets[i].Status.State, targets[i].Status.Message = kronvoyv1alpha1.TargetFailed, "no such image"
		targets[i].Status.Drift = kronvoyv1alpha1.DriftSummary{Objects: 1, Last: "Deployment web: spec.replicas"}
		if i%100 == 0 {
			look()
		}
	}
	look()
	tells("Warning Failed", "Warning DriftFound")
	for i := range targets {
		targets[i].Status = kronvoyv1alpha1.TargetStatus{State: kronvoyv1alpha1.TargetReady, Revision: "r1"}
		if i%100 == 0 {
			look()
		}
	}
	look()
	tells("Normal Recovered", "Normal DriftGone")
}
