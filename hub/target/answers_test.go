package target

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"
	mcreconcile "sigs.k8s.io/multicluster-runtime/pkg/reconcile"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

func TestWhatAnAgentTellsInTwoObjectsIsLookedAtOnce(t *testing.T) {
	const report, follows, work = "report", "report that the status of the work follows", "work"
	type told struct {
		what  string
		after time.Duration
	}
	for name, tc := range map[string]struct {
		told []told
		// looks are when the Target is looked at, counted from the first word.
		looks []time.Duration
	}{
		"a report alone":                                    {told: []told{{report, 0}}, looks: []time.Duration{0}},
		"the status of a work alone":                        {told: []told{{work, 0}}, looks: []time.Duration{0}},
		"both, the report first":                            {told: []told{{follows, 0}, {work, 70 * time.Millisecond}}, looks: []time.Duration{70 * time.Millisecond}},
		"both, the report seen last":                        {told: []told{{work, 0}, {follows, time.Millisecond}}, looks: []time.Duration{0, 251 * time.Millisecond}},
		"an agent that dies in between":                     {told: []told{{follows, 0}}, looks: []time.Duration{followPatience}},
		"reports without end do not put it off":             {told: []told{{follows, 0}, {follows, 200 * time.Millisecond}}, looks: []time.Duration{followPatience}},
		"both twice":                                        {told: []told{{follows, 0}, {work, 5 * time.Millisecond}, {follows, 100 * time.Millisecond}, {work, 105 * time.Millisecond}}, looks: []time.Duration{5 * time.Millisecond, 105 * time.Millisecond}},
		"a report that stands for itself waits for nothing": {told: []told{{follows, 0}, {report, 10 * time.Millisecond}}, looks: []time.Duration{10 * time.Millisecond}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				labels := map[string]string{kronvoyv1alpha1.LabelInstance: "one"}
				r := &Reconciler{Clock: clock.RealClock{}, Client: hubWith(t, &kronvoyv1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Namespace: "eu-west", Name: "one", Labels: labels}})}
				q := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[mcreconcile.Request]())
				before := metav1.ObjectMeta{Namespace: "eu-west", Name: "one", Labels: labels, ResourceVersion: "1"}
				after := before
				after.ResourceVersion = "2"
				begin := time.Now()
				for _, word := range tc.told {
					time.AfterFunc(word.after, func() {
						if word.what == work {
							r.fromWorks().Update(t.Context(), event.TypedUpdateEvent[*workv1.ManifestWork]{
								ObjectOld: &workv1.ManifestWork{ObjectMeta: before}, ObjectNew: &workv1.ManifestWork{ObjectMeta: after},
							}, q)
							return
						}
						status := kronvoyv1alpha1.WorkReportStatus{WorkStatusFollows: word.what == follows}
						r.fromReports().Update(t.Context(), event.TypedUpdateEvent[*kronvoyv1alpha1.WorkReport]{
							ObjectOld: &kronvoyv1alpha1.WorkReport{ObjectMeta: before}, ObjectNew: &kronvoyv1alpha1.WorkReport{ObjectMeta: after, Status: status},
						}, q)
					})
				}
				time.AfterFunc(time.Minute, q.ShutDown)
				var looks []time.Duration
				for {
					req, shutdown := q.Get()
					if shutdown {
						break
					}
					looks = append(looks, time.Since(begin))
					q.Done(req)
				}
				if diff := cmp.Diff(tc.looks, looks); diff != "" {
					t.Errorf("looked at after (-want +got):\n%s", diff)
				}
			})
		})
	}
}
