package rollout

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	hubevents "github.com/kronvoy/kronvoy/hub/events"
	"github.com/kronvoy/kronvoy/hub/work"
	"github.com/kronvoy/kronvoy/placement/rollout"
)

func TestAQuestionIsAnEventOfWhatItIsAbout(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := kronvoyv1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	recorder := events.NewFakeRecorder(10)
	tell := hubevents.NewRecorder(recorder, scheme, testclock.NewFakePassiveClock(time.Unix(0, 0)))
	question := &rollout.Question{PlanHash: "abc", Clusters: []string{"a", "b"}, Message: "2 clusters left"}
	of := func(namespace string, action kronvoyv1alpha1.ApprovalAction) *kronvoyv1alpha1.ApprovalRequest {
		identity := work.Identity{Group: "kro.run", Version: "v1alpha1", Kind: "Shop", Namespace: namespace, Name: "web"}
		owner := metav1.OwnerReference{APIVersion: "kro.run/v1alpha1", Kind: "Shop", Name: "web", UID: "one"}
		return asksAbout(identity, "kronvoy-system", owner, nil).request(question, action)
	}
	removal := of("shop", kronvoyv1alpha1.ApprovalRemove)
	c := fake.NewClientBuilder().WithScheme(scheme).Build()
	for _, ask := range []*kronvoyv1alpha1.ApprovalRequest{removal, nil} {
		if err := put(t.Context(), c, tell, nil, ask); err != nil {
			t.Fatal(err)
		}
	}
	if err := put(t.Context(), c, tell, nil, removal.DeepCopy()); err == nil {
		t.Error("what is there already was put again")
	}
	entering := of("shop", kronvoyv1alpha1.ApprovalEnterGroup)
	entering.Name = "another"
	if err := put(t.Context(), c, tell, nil, entering); err != nil {
		t.Fatal(err)
	}
	var got []string
	for len(recorder.Events) > 0 {
		got = append(got, <-recorder.Events)
	}
	want := []string{
		"Warning RemovalHeld 2 clusters left; kronvoy rollout approve " + removal.Name + " -n kronvoy-system, or reject",
		"Normal ApprovalAsked 2 clusters left; kronvoy rollout approve another -n kronvoy-system, or reject",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	ref := corev1.ObjectReference{APIVersion: "kro.run/v1alpha1", Kind: "Shop", Name: "web", UID: "one"}
	if diff := cmp.Diff(&ref, subject(of("", kronvoyv1alpha1.ApprovalRemove))); diff != "" {
		t.Errorf("an instance without a namespace (-want +got):\n%s", diff)
	}
}
