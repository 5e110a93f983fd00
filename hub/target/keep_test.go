package target

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcreconcile "sigs.k8s.io/multicluster-runtime/pkg/reconcile"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
	"github.com/kronvoy/kronvoy/hub/definition"
	"github.com/kronvoy/kronvoy/hub/plan"
	"github.com/kronvoy/kronvoy/hub/work"
)

// TestWhatAnotherReleaseRenderedStaysAsItIs: the hub knows nothing but what is
// stored, and writes nothing but what freezes, and what it says of it.
func TestWhatAnotherReleaseRenderedStaysAsItIs(t *testing.T) {
	ref := kronvoyv1alpha1.InstanceReference{APIVersion: "kro.run/v1alpha1", Kind: "App", Namespace: "shop", Name: "one"}
	made, target := fixture(t, ref)
	identity := work.IdentityOf(ref)
	at := metav1.NewMicroTime(time.Date(2026, 9, 4, 11, 0, 0, 0, time.UTC))
	target.Spec.AssignedAt = &at
	target.Status = kronvoyv1alpha1.TargetStatus{
		Revision: target.Spec.Revision, AssignedAt: &at, State: kronvoyv1alpha1.TargetReady,
		Nodes:  []kronvoyv1alpha1.NodeStatus{{ID: "config", State: string(graph.Ready), Health: kronvoyv1alpha1.Healthy}},
		Values: &runtime.RawExtension{Raw: []byte(`{"url":"x"}`)},
	}
	cluster := &clusterv1.ManagedCluster{}
	for _, obj := range made {
		switch obj := obj.(type) {
		case *appsv1.ControllerRevision:
			obj.Annotations[kronvoyv1alpha1.AnnotationHash] = strings.Replace(obj.Annotations[kronvoyv1alpha1.AnnotationHash], "v1-", "v0-", 1)
		case *clusterv1.ManagedCluster:
			cluster = obj
			cluster.Status.Conditions = []metav1.Condition{{Type: clusterv1.ManagedClusterConditionAvailable, Status: metav1.ConditionTrue}}
		}
	}
	shipped := &workv1.ManifestWork{ObjectMeta: metav1.ObjectMeta{Namespace: "eu-west", Name: identity.WorkName(0), UID: "work",
		Labels:      map[string]string{kronvoyv1alpha1.LabelInstance: identity.Hash()},
		Annotations: map[string]string{kronvoyv1alpha1.AnnotationHash: "v0-0123456789abcdef"}}}
	c := hubWith(t, append(made, shipped)...)
	r := &Reconciler{
		Client: c, Clock: clocktesting.NewFakeClock(time.Date(2026, 9, 4, 12, 0, 0, 0, time.UTC)),
		Gatherer: Gatherer{Cached: c, Reader: c, Namespaces: c, Namespace: "kronvoy-system", Store: definition.NewStore(c, "kronvoy-system", builtin.Resolver())},
	}
	look := func() (kronvoyv1alpha1.TargetStatus, *workv1.ManifestWork) {
		t.Helper()
		if _, err := r.Reconcile(t.Context(), mcreconcile.Request{ClusterName: "eu-west", Request: requests(target)[0].Request}); err != nil {
			t.Fatal(err)
		}
		after, w := &kronvoyv1alpha1.Target{}, &workv1.ManifestWork{}
		for key, obj := range map[client.ObjectKey]client.Object{client.ObjectKeyFromObject(target): after, client.ObjectKeyFromObject(shipped): w} {
			if err := c.Get(t.Context(), key, obj); err != nil {
				t.Fatal(err)
			}
		}
		return after.Status, w
	}
	before := &workv1.ManifestWork{}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(shipped), before); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		status, w := look()
		if w.ResourceVersion != before.ResourceVersion {
			t.Fatalf("its work was written: %v", w.Annotations)
		}
		if status.State != kronvoyv1alpha1.TargetReady || status.Message != keptWhy || status.Revision != target.Spec.Revision || status.Reason != "" ||
			string(status.Values.Raw) != `{"url":"x"}` || !status.AssignedAt.Equal(&at) || status.Health != kronvoyv1alpha1.Healthy {
			t.Errorf("it says %+v", status)
		}
	}
	// The cluster is frozen, and thawed.
	for _, frozen := range []string{"suspended", ""} {
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(cluster), cluster); err != nil {
			t.Fatal(err)
		}
		cluster.Annotations = map[string]string{kronvoyv1alpha1.AnnotationReconcile: frozen}
		if err := c.Update(t.Context(), cluster); err != nil {
			t.Fatal(err)
		}
		status, w := look()
		if got := w.Annotations[kronvoyv1alpha1.AnnotationReconcile]; got != frozen || (status.Suspended != "") != (frozen != "") {
			t.Errorf("its work has the mark %q, and it says %q; want %q", got, status.Suspended, frozen)
		}
		if diff := cmp.Diff(before.Spec, w.Spec); diff != "" {
			t.Errorf("its work (-want +got):\n%s", diff)
		}
	}
}

func TestWhatIsToldOfWhatAnotherReleaseRendered(t *testing.T) {
	ready := kronvoyv1alpha1.NodeStatus{ID: "web", State: string(graph.Ready), Health: kronvoyv1alpha1.Healthy}
	failed := kronvoyv1alpha1.NodeStatus{ID: "web", State: string(graph.Failed), Message: "refused", Health: kronvoyv1alpha1.HealthUnknown}
	tests := map[string]struct {
		known    []kronvoyv1alpha1.NodeStatus
		feedback work.Feedback
		lost     bool
		state    kronvoyv1alpha1.TargetState
		message  string
		health   kronvoyv1alpha1.Health
	}{
		"nothing new":          {known: []kronvoyv1alpha1.NodeStatus{ready}, state: kronvoyv1alpha1.TargetReady, message: keptWhy, health: kronvoyv1alpha1.Healthy},
		"it was never shipped": {state: kronvoyv1alpha1.TargetPending, message: unkeptWhy, health: kronvoyv1alpha1.Healthy},
		"it crashes": {
			known: []kronvoyv1alpha1.NodeStatus{ready}, feedback: work.Feedback{Health: map[string]work.Health{"web": {State: kronvoyv1alpha1.HealthFailed, Message: "it crashes"}}},
			state: kronvoyv1alpha1.TargetReady, message: keptWhy, health: kronvoyv1alpha1.HealthFailed,
		},
		"it cannot be applied any more": {
			known: []kronvoyv1alpha1.NodeStatus{ready}, feedback: work.Feedback{Failures: map[string]string{"web": "forbidden"}},
			state: kronvoyv1alpha1.TargetFailed, message: "web: forbidden; " + keptWhy, health: kronvoyv1alpha1.Healthy,
		},
		"it can be applied again": {
			known: []kronvoyv1alpha1.NodeStatus{failed}, feedback: work.Feedback{Health: map[string]work.Health{"web": {State: kronvoyv1alpha1.Healthy}}},
			state: kronvoyv1alpha1.TargetProgressing, message: "web waits for its rollout; " + keptWhy, health: kronvoyv1alpha1.Healthy,
		},
		"the cluster is silent": {
			known: []kronvoyv1alpha1.NodeStatus{ready}, lost: true,
			state: kronvoyv1alpha1.TargetUnreachable, message: "the cluster's agent does not report; its objects stay as they are; " + keptWhy, health: kronvoyv1alpha1.HealthUnknown,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := &scope{target: &kronvoyv1alpha1.Target{Status: kronvoyv1alpha1.TargetStatus{Nodes: test.known}}, kept: true, unreachable: test.lost,
				plan: plan.Plan{Feedback: test.feedback}}
			got := decideStatus(s, metav1.Time{})
			if got.State != test.state || got.Message != test.message || got.Health != test.health {
				t.Errorf("it is %s, %s: %s; want %s, %s: %s", got.State, got.Health, got.Message, test.state, test.health, test.message)
			}
		})
	}
}
