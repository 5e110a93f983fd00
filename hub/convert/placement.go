package convert

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	clusterv1beta2 "open-cluster-management.io/api/cluster/v1beta2"

	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/placement"
)

// Policy turns an OCM Placement into what placement.Select takes. bindings are
// those of the Placement's namespace, sets are all cluster sets. The error
// names the field that is wrong.
func Policy(p *clusterv1beta1.Placement, bindings []clusterv1beta2.ManagedClusterSetBinding, sets []clusterv1beta2.ManagedClusterSet) (placement.Policy, error) {
	policy := placement.Policy{NumberOfClusters: p.Spec.NumberOfClusters}
	for i := range sets {
		set := &sets[i]
		bound := slices.ContainsFunc(bindings, func(b clusterv1beta2.ManagedClusterSetBinding) bool {
			return b.Spec.ClusterSet == set.Name
		})
		if !bound || len(p.Spec.ClusterSets) > 0 && !slices.Contains(p.Spec.ClusterSets, set.Name) {
			continue
		}
		selector, err := setSelector(set)
		if err != nil {
			return placement.Policy{}, fmt.Errorf("cluster set %s: %w", set.Name, err)
		}
		policy.Sets = append(policy.Sets, placement.Set{Name: set.Name, Selector: selector})
	}
	for i, predicate := range p.Spec.Predicates {
		selector, err := metav1.LabelSelectorAsSelector(&predicate.RequiredClusterSelector.LabelSelector)
		if err != nil {
			return placement.Policy{}, fmt.Errorf("spec.predicates[%d].requiredClusterSelector.labelSelector: %w", i, err)
		}
		required := predicate.RequiredClusterSelector
		if len(required.ClaimSelector.MatchExpressions) > 0 || len(required.CelSelector.CelExpressions) > 0 {
			return placement.Policy{}, fmt.Errorf("spec.predicates[%d].requiredClusterSelector: only labelSelector is supported", i)
		}
		policy.Predicates = append(policy.Predicates, placement.Predicate{Labels: selector})
	}
	return policy, nil
}

func setSelector(set *clusterv1beta2.ManagedClusterSet) (labels.Selector, error) {
	switch set.Spec.ClusterSelector.SelectorType {
	case clusterv1beta2.LabelSelector:
		return metav1.LabelSelectorAsSelector(set.Spec.ClusterSelector.LabelSelector)
	default:
		return labels.SelectorFromSet(labels.Set{clusterv1beta2.ClusterSetLabel: set.Name}), nil
	}
}

// PlacementCluster is what a placement may know of a cluster.
func PlacementCluster(c *clusterv1.ManagedCluster) placement.Cluster {
	return placement.Cluster{
		Name:     c.Name,
		Labels:   c.Labels,
		Accepted: c.Spec.HubAcceptsClient,
		Deleting: c.DeletionTimestamp != nil,
	}
}

// GraphCluster is the value of the CEL variable cluster.
func GraphCluster(c *clusterv1.ManagedCluster) graph.Cluster {
	cluster := graph.Cluster{
		Name:        c.Name,
		Labels:      c.Labels,
		Annotations: c.Annotations,
		Version:     c.Status.Version.Kubernetes,
		Claims:      make(map[string]string, len(c.Status.ClusterClaims)),
		Allocatable: quantities(c.Status.Allocatable),
		Capacity:    quantities(c.Status.Capacity),
	}
	for _, claim := range c.Status.ClusterClaims {
		cluster.Claims[claim.Name] = claim.Value
	}
	return cluster
}

func quantities(list clusterv1.ResourceList) map[string]string {
	out := make(map[string]string, len(list))
	for name, quantity := range list {
		out[string(name)] = quantity.String()
	}
	return out
}
