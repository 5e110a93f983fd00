package view

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"

	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
)

func lease(holder string, renewed time.Duration) *coordinationv1.Lease {
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kronvoy-system", Name: hubLease},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, RenewTime: ptr.To(metav1.NewMicroTime(now.Add(-renewed)))},
	}
}

func TestAHubIsKnownByItsLease(t *testing.T) {
	never := lease("", 0)
	never.Spec.RenewTime = nil
	for name, tc := range map[string]struct {
		lease *coordinationv1.Lease
		want  *Hub
	}{
		"that nobody has held":         {lease: never},
		"that is renewed":              {lease: lease("hub-1", 2*time.Second), want: &Hub{Running: true, Renewed: now.Add(-2 * time.Second)}},
		"that another may take over":   {lease: lease("hub-1", 20*time.Second), want: &Hub{Running: true, Renewed: now.Add(-20 * time.Second)}},
		"of a clock that is ahead":     {lease: lease("hub-1", -time.Hour), want: &Hub{Running: true, Renewed: now.Add(time.Hour)}},
		"that was given back just now": {lease: lease("", 5*time.Second), want: &Hub{Running: true, Renewed: now.Add(-5 * time.Second)}},
		"that was given back": {lease: lease("", 2*time.Hour), want: &Hub{
			Renewed: now.Add(-2 * time.Hour), Message: "no hub runs: the last one ended 120m ago, and what is shown is how it was then: kubectl get pods -n kronvoy-system",
		}},
		"that is not renewed": {lease: lease("hub-1", 26*time.Hour), want: &Hub{
			Renewed: now.Add(-26 * time.Hour), Message: "no hub runs: the last one was heard of last 26h ago, and what is shown is how it was then: kubectl get pods -n kronvoy-system",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, newHub(tc.lease, now)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestNothingIsReadyWithoutAHub(t *testing.T) {
	dead := newHub(lease("hub-1", time.Hour), now)
	ready := instance(t, `{apiVersion: kro.run/v1alpha1, kind: WebApp, metadata: {namespace: shop, name: shop}, status: {state: ACTIVE, fleet: {placed: 2, ready: 2}}}`)
	fleet := NewFleet(Objects{Instances: []unstructured.Unstructured{ready}})
	one := Of(&ready)
	if !fleet.AllReady() || !one.AllReady() {
		t.Error("it is not ready, whatever the hub is")
	}
	fleet.Hub, one.Hub = dead, dead
	if fleet.AllReady() || one.AllReady() {
		t.Error("it is ready")
	}
	var out bytes.Buffer
	for _, err := range []error{
		WriteFleet(&out, fleet, Look{Now: now}), WriteInstance(&out, one, Look{Now: now}),
		output.Encode(&out, output.FormatJSON, fleet), output.Encode(&out, output.FormatYAML, one),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	compare(t, out.String())
}
