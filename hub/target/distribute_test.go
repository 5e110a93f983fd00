package target

import (
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/plan"
	"github.com/kronvoy/kronvoy/hub/work"
)

// TestAReportIsMadeForNoWorkThatIsGone: the caches of works and of reports are
// not of the same moment.
func TestAReportIsMadeForNoWorkThatIsGone(t *testing.T) {
	made := func(uid types.UID, change ...func(*workv1.ManifestWork)) *workv1.ManifestWork {
		w := &workv1.ManifestWork{ObjectMeta: metav1.ObjectMeta{Namespace: "eu-west", Name: "one-0", UID: uid}}
		for _, c := range change {
			c(w)
		}
		return w
	}
	leaving := func(w *workv1.ManifestWork) {
		now := metav1.Now()
		w.DeletionTimestamp, w.Finalizers = &now, []string{kronvoyv1alpha1.FinalizerWork}
	}
	tests := map[string]struct {
		cached, stored *workv1.ManifestWork
		want           bool
	}{
		"both have it":                  {made("a"), made("a"), true},
		"it is gone":                    {made("a"), nil, false},
		"it is being deleted":           {made("a"), made("a", leaving), false},
		"it is another one of its name": {made("a"), made("b"), false},
		"the cache knows that it goes":  {made("a", leaving), made("a", leaving), false},
		"it was made a moment ago":      {nil, made("a"), true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			scheme := runtime.NewScheme()
			for _, add := range []func(*runtime.Scheme) error{kronvoyv1alpha1.AddToScheme, workv1.Install} {
				if err := add(scheme); err != nil {
					t.Fatal(err)
				}
			}
			builder := fake.NewClientBuilder().WithScheme(scheme)
			if test.stored != nil {
				builder = builder.WithObjects(test.stored)
			}
			c := builder.Build()
			r := &Reconciler{Client: c, Gatherer: Gatherer{Reader: c}, Clock: clocktesting.NewFakeClock(time.Unix(0, 0))}
			err := r.ensureReport(t.Context(), &scope{in: plan.Input{Agent: work.Capabilities{Reports: true}}}, made("a"), test.cached)
			if err != nil {
				t.Fatal(err)
			}
			err = c.Get(t.Context(), client.ObjectKey{Namespace: "eu-west", Name: "one-0"}, &kronvoyv1alpha1.WorkReport{})
			if client.IgnoreNotFound(err) != nil {
				t.Fatal(err)
			}
			if got := !apierrors.IsNotFound(err); got != test.want {
				t.Errorf("a report is there: %t", got)
			}
		})
	}
}
