package target

import (
	"testing"

	clusterv1 "open-cluster-management.io/api/cluster/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/work"
)

func TestWhatAnAgentCanDoIsReadFromItsClusterOrItsWorks(t *testing.T) {
	claims := func(claims ...clusterv1.ManagedClusterClaim) clusterv1.ManagedClusterStatus {
		return clusterv1.ManagedClusterStatus{ClusterClaims: claims}
	}
	reports := map[string]*kronvoyv1alpha1.WorkReport{"shop-0": {}}
	for name, test := range map[string]struct {
		status    clusterv1.ManagedClusterStatus
		reports   map[string]*kronvoyv1alpha1.WorkReport
		agent     work.Capabilities
		described bool
	}{
		"nobody has described it": {},
		"nobody does any more":    {reports: reports, agent: work.Capabilities{Reports: true}},
		"OCM's agent": {
			status: clusterv1.ManagedClusterStatus{Version: clusterv1.ManagedClusterVersion{Kubernetes: "v1.36.3"}}, described: true,
		},
		"OCM's agent after Kronvoy's": {
			status: clusterv1.ManagedClusterStatus{Version: clusterv1.ManagedClusterVersion{Kubernetes: "v1.36.3"}}, reports: reports, described: true,
		},
		"Kronvoy's agent": {
			status:    claims(clusterv1.ManagedClusterClaim{Name: "x", Value: "y"}, clusterv1.ManagedClusterClaim{Name: kronvoyv1alpha1.ClaimFeatures, Value: "WorkReport"}),
			described: true, agent: work.Capabilities{Reports: true},
		},
		"Kronvoy's agent beside OCM's registration agent": {
			status:    claims(clusterv1.ManagedClusterClaim{Name: "features.agent.kronvoy.io", Value: "WorkReport"}),
			described: true, agent: work.Capabilities{Reports: true},
		},
		"an agent that says it can do nothing": {
			status: claims(clusterv1.ManagedClusterClaim{Name: kronvoyv1alpha1.ClaimFeatures}), reports: reports, described: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &scope{cluster: &clusterv1.ManagedCluster{Status: test.status}, reports: test.reports}
			s.meetAgent()
			if s.agent != test.agent || s.described != test.described {
				t.Errorf("%+v, described %t; want %+v, %t", s.agent, s.described, test.agent, test.described)
			}
		})
	}
}
