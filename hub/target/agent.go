package target

import (
	clusterv1 "open-cluster-management.io/api/cluster/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/work"
)

// agentOf reads from a cluster's claims what its agent can do. known is false
// while nobody has described the cluster: OCM's agents and Kronvoy's write its
// version, and the claims with it.
func agentOf(c *clusterv1.ManagedCluster) (agent work.Capabilities, known bool) {
	for _, claim := range c.Status.ClusterClaims {
		if claim.Name == kronvoyv1alpha1.ClaimFeatures || claim.Name == kronvoyv1alpha1.ClusterClaimFeatures {
			return work.ParseCapabilities(claim.Value), true
		}
	}
	return work.Capabilities{}, c.Status.Version.Kubernetes != ""
}

// meetAgent finds out what the cluster's agent can do. Where nobody says, the
// works tell what the last one could: only an agent that answers in reports is
// given any.
func (s *scope) meetAgent() {
	if s.agent, s.described = agentOf(s.cluster); !s.described {
		s.agent.Reports = len(s.reports) > 0
	}
}
