package convert

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	clusterv1beta2 "open-cluster-management.io/api/cluster/v1beta2"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
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
		if len(required.CelSelector.CelExpressions) > 0 {
			return placement.Policy{}, fmt.Errorf("spec.predicates[%d].requiredClusterSelector.celSelector is not supported: use labelSelector or claimSelector", i)
		}
		claims, err := metav1.LabelSelectorAsSelector(&metav1.LabelSelector{MatchExpressions: required.ClaimSelector.MatchExpressions})
		if err != nil {
			return placement.Policy{}, fmt.Errorf("spec.predicates[%d].requiredClusterSelector.claimSelector: %w", i, err)
		}
		policy.Predicates = append(policy.Predicates, placement.Predicate{Labels: selector, Claims: claims})
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
		Claims:   Claims(c),
		Outage:   outage(c),
		Accepted: c.Spec.HubAcceptsClient,
		Deleting: c.DeletionTimestamp != nil || c.Annotations[kronvoyv1alpha1.AnnotationDetached] != "",
	}
}

// GraphCluster is the value of the CEL variable cluster.
func GraphCluster(c *clusterv1.ManagedCluster) graph.Cluster {
	cluster := graph.Cluster{
		Name:        c.Name,
		Labels:      c.Labels,
		Annotations: c.Annotations,
		Version:     bounded(c.Status.Version.Kubernetes, maxVersion),
		Claims:      Claims(c),
		Allocatable: quantities(c.Status.Allocatable),
		Capacity:    quantities(c.Status.Capacity),
	}
	return cluster
}

// outage names what the taints say that come and go by themselves.
func outage(c *clusterv1.ManagedCluster) string {
	for _, taint := range c.Spec.Taints {
		switch taint.Key {
		case clusterv1.ManagedClusterTaintUnreachable:
			return "unreachable"
		case clusterv1.ManagedClusterTaintUnavailable:
			return "unavailable"
		}
	}
	return ""
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
	claims := make(map[string]string, min(len(c.Status.ClusterClaims), maxClaims))
	for _, claim := range slices.SortedFunc(slices.Values(c.Status.ClusterClaims), func(a, b clusterv1.ManagedClusterClaim) int {
		return cmp.Compare(a.Name, b.Name)
	}) {
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
	for _, name := range slices.Sorted(maps.Keys(list)) {
		if len(out) < maxResources && bounded(string(name), maxName) != "" {
			quantity := list[name]
			out[string(name)] = quantity.String()
		}
	}
	return out
}
