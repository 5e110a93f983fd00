package convert

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/resource"
	clusterv1 "open-cluster-management.io/api/cluster/v1"

	"github.com/kronvoy/kronvoy/graph"
)

// GraphCluster is the value of the CEL variable cluster.
func GraphCluster(c *clusterv1.ManagedCluster) graph.Cluster {
	return graph.Cluster{
		Name:        c.Name,
		Labels:      c.Labels,
		Annotations: c.Annotations,
		Version:     bounded(c.Status.Version.Kubernetes, maxVersion),
		Claims:      Claims(c),
		Allocatable: quantities(c.Status.Allocatable),
		Capacity:    quantities(c.Status.Capacity),
	}
}

// What a cluster says of itself is taken up to these bounds: any spoke can
// write as much there as its API server takes.
const (
	maxClaims    = 100
	maxName      = 316 // a qualified name with its prefix
	maxValue     = 1024
	maxResources = 64
	maxVersion   = 128
)

// Claims are what a cluster says of itself. Of too many the first by name count;
// one that is too long does not.
func Claims(c *clusterv1.ManagedCluster) map[string]string {
	all := c.Status.ClusterClaims
	if len(all) > maxClaims {
		all = slices.SortedFunc(slices.Values(all), func(a, b clusterv1.ManagedClusterClaim) int { return cmp.Compare(a.Name, b.Name) })
	}
	claims := make(map[string]string, min(len(all), maxClaims))
	for _, claim := range all {
		if len(claims) < maxClaims && bounded(claim.Name, maxName) != "" && bounded(claim.Value, maxValue) != "" {
			claims[claim.Name] = claim.Value
		}
	}
	return claims
}

// bounded is empty for a text that is too long.
func bounded(text string, characters int) string {
	if utf8.RuneCountInString(text) > characters {
		return ""
	}
	return text
}

func quantities(list clusterv1.ResourceList) map[string]string {
	out := make(map[string]string, min(len(list), maxResources))
	for name, quantity := range resourcesOf(list) {
		out[name] = quantity.String()
	}
	return out
}

// resourcesOf are the first by name.
func resourcesOf(list clusterv1.ResourceList) iter.Seq2[string, resource.Quantity] {
	return func(yield func(string, resource.Quantity) bool) {
		count := 0
		for _, name := range slices.Sorted(maps.Keys(list)) {
			if bounded(string(name), maxName) == "" {
				continue
			}
			if count++; count > maxResources || !yield(string(name), list[name]) {
				return
			}
		}
	}
}
