package target

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/plan"
	"github.com/kronvoy/kronvoy/hub/policy"
)

func TestWhereAgentsMayUseTheirOwnRights(t *testing.T) {
	const local, other = kronvoyv1alpha1.LocalCluster, "eu-west"
	accepted := func(name string) client.Object {
		return &clusterv1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: clusterv1.ManagedClusterSpec{HubAcceptsClient: true}}
	}
	waiting := &clusterv1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Name: "waiting"}}
	byAgent, byTenant := &workv1.ManifestWork{}, &workv1.ManifestWork{Spec: workv1.ManifestWorkSpec{Executor: &workv1.ManifestWorkExecutor{}}}
	cases := map[string]struct {
		identity policy.AgentIdentity
		cluster  string
		clusters []client.Object
		works    []*workv1.ManifestWork
		want     bool
	}{
		"everywhere where it is allowed":               {policy.AgentIdentityTrue, other, nil, nil, true},
		"nowhere where it is not":                      {policy.AgentIdentityFalse, local, []client.Object{accepted(local)}, []*workv1.ManifestWork{byAgent}, false},
		"on the hub's own cluster while it is alone":   {policy.AgentIdentityAuto, local, []client.Object{accepted(local)}, nil, true},
		"by default, too":                              {"", local, []client.Object{accepted(local)}, nil, true},
		"one that was not accepted does not count":     {policy.AgentIdentityAuto, local, []client.Object{accepted(local), waiting}, nil, true},
		"no more when a second one is accepted":        {policy.AgentIdentityAuto, local, []client.Object{accepted(local), accepted(other)}, nil, false},
		"but what runs so goes on":                     {policy.AgentIdentityAuto, local, []client.Object{accepted(local), accepted(other)}, []*workv1.ManifestWork{byAgent}, true},
		"and what runs in a tenant's name does, too":   {policy.AgentIdentityAuto, local, []client.Object{accepted(local), accepted(other)}, []*workv1.ManifestWork{byTenant}, false},
		"on no other cluster, whatever was shipped so": {policy.AgentIdentityAuto, other, []client.Object{accepted(other)}, []*workv1.ManifestWork{byAgent}, false},
	}
	scheme := runtime.NewScheme()
	if err := clusterv1.Install(scheme); err != nil {
		t.Fatal(err)
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := &Gatherer{Cached: fake.NewClientBuilder().WithScheme(scheme).WithObjects(tc.clusters...).Build(), AgentIdentity: tc.identity}
			s := &scope{in: plan.Input{ClusterName: tc.cluster, Works: tc.works}}
			got, err := r.allowsAgent(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			if got != tc.want {
				t.Errorf("allowed: %t", got)
			}
		})
	}
}
