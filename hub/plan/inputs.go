package plan

import (
	clusterv1 "open-cluster-management.io/api/cluster/v1"

	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/convert"
	"github.com/kronvoy/kronvoy/hub/override"
)

// Inputs are those that would be assigned to a cluster now, for a revision whose
// definition and overrides are these: what their expressions read of it, and the
// labels by which overrides select. Nil where that is nothing. With them, and what
// comes back from the cluster, the text of a revision there is settled.
func Inputs(g *graph.Graph, overrides *override.List, cluster *clusterv1.ManagedCluster) (*graph.Inputs, error) {
	return g.ClusterReads().With(overrides.ClusterReads()...).Inputs(convert.GraphCluster(cluster))
}

// cluster as expressions and overrides see it.
func (in Input) cluster() (graph.Cluster, error) {
	if in.Inputs == nil {
		return convert.GraphCluster(in.Cluster), nil
	}
	return in.Inputs.Cluster(in.ClusterName)
}
