package target

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/plan"
)

func decide(t *testing.T, names ...string) map[string]string {
	t.Helper()
	var decisions []kronvoyv1alpha1.DriftDecision
	for _, name := range names {
		decisions = append(decisions, kronvoyv1alpha1.DriftDecision{
			ID: name, Verdict: kronvoyv1alpha1.DriftAccept, ObjectReference: kronvoyv1alpha1.ObjectReference{Resource: "configmaps", Name: name},
		})
	}
	text, err := json.Marshal(decisions)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"other": "stays", kronvoyv1alpha1.AnnotationDriftDecisions: string(text)}
}

func TestDecisionsAboutWhatLeftAreDroppedUnlessSomebodyDecidedMeanwhile(t *testing.T) {
	work := &workv1.ManifestWork{}
	work.Spec.ManifestConfigs = []workv1.ManifestConfigOption{{ResourceIdentifier: workv1.ResourceIdentifier{Resource: "configmaps", Name: "here"}}}
	tests := map[string]struct {
		read, stored, want map[string]string
		conflict           bool
	}{
		"one of two":             {read: decide(t, "here", "left"), want: decide(t, "here")},
		"the last":               {read: decide(t, "left"), want: map[string]string{"other": "stays"}},
		"none":                   {read: decide(t, "here"), want: decide(t, "here")},
		"while somebody decides": {read: decide(t, "left"), stored: decide(t, "left", "here"), want: decide(t, "left", "here"), conflict: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			scheme := runtime.NewScheme()
			if err := kronvoyv1alpha1.AddToScheme(scheme); err != nil {
				t.Fatal(err)
			}
			c := fake.NewClientBuilder().WithScheme(scheme).Build()
			target := &kronvoyv1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Namespace: "eu-west", Name: "shop", Annotations: tc.read}}
			if err := c.Create(t.Context(), target); err != nil {
				t.Fatal(err)
			}
			if tc.stored != nil {
				newer := target.DeepCopy()
				newer.Annotations = tc.stored
				if err := c.Update(t.Context(), newer); err != nil {
					t.Fatal(err)
				}
			}
			s := &scope{target: target, in: plan.Input{Works: []*workv1.ManifestWork{work}}}
			var err error
			if s.in.Decisions, err = kronvoyv1alpha1.ParseDriftDecisions(target.Annotations); err != nil {
				t.Fatal(err)
			}
			if err := (&Reconciler{Client: c}).dropDecisions(t.Context(), s); apierrors.IsConflict(err) != tc.conflict || err != nil && !tc.conflict {
				t.Fatalf("dropping gives %v, want a conflict: %t", err, tc.conflict)
			}
			left := &kronvoyv1alpha1.Target{}
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(target), left); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, left.Annotations); diff != "" {
				t.Errorf("annotations (-want +got):\n%s", diff)
			}
		})
	}
}
