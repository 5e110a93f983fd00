package definition

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	hubevents "github.com/kronvoy/kronvoy/hub/events"
)

func TestAnEventIsOfADefinitionThatIsNotAcceptedAnyMoreOrAgain(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := krov1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	rgd := &krov1alpha1.ResourceGraphDefinition{ObjectMeta: metav1.ObjectMeta{Name: "app"}}
	recorder, clock := events.NewFakeRecorder(100), testclock.NewFakePassiveClock(time.Unix(0, 0))
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(rgd).WithStatusSubresource(rgd).Build()
	r := &Reconciler{Client: c, Clock: clock, Events: hubevents.NewRecorder(recorder, scheme, clock)}
	accepted := &outcome{graph: &graph.Graph{}}
	refused := func(message string) *outcome {
		return &outcome{issues: graph.Issues{{Path: "spec", Offset: -1, Message: message}}}
	}
	var got []string
	for _, o := range []*outcome{{}, accepted, accepted, refused("wrong"), refused("wrong"), refused("wrong in another way"), accepted, accepted} {
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(rgd), rgd); err != nil {
			t.Fatal(err)
		}
		if err := r.writeStatus(t.Context(), rgd.DeepCopy(), rgd, o); err != nil {
			t.Fatal(err)
		}
		for len(recorder.Events) > 0 {
			got = append(got, <-recorder.Events)
		}
	}
	want := []string{
		"Warning DefinitionNotAccepted " + refused("wrong").issues.Err().Error(),
		"Normal DefinitionAccepted the graph compiles",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}
