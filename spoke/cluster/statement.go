package cluster

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "open-cluster-management.io/api/cluster/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/facts"
)

// statement is all that the agent says of its cluster. Its fields are exported
// for the sake of comparison.
type statement struct {
	// Available is the verdict on the API server; nil says nothing.
	Available *metav1.Condition
	// Version is the API server's; empty while it cannot be asked, and then
	// Facts and Claims stay as they are on the hub.
	Version string
	Facts   facts.Facts
	Claims  []facts.Claim
	// Left are ClusterClaims that are not told.
	Left []string
	// NodesPending and ClaimsPending: what rests on them stays as it is.
	NodesPending, ClaimsPending bool
}

// applyTo gives the status of the ManagedCluster as it should be. What others
// write there stays: other conditions, other resources of the capacity.
func (s *statement) applyTo(status clusterv1.ManagedClusterStatus) clusterv1.ManagedClusterStatus {
	wanted := *status.DeepCopy()
	if s.Available != nil {
		known := apimeta.FindStatusCondition(wanted.Conditions, s.Available.Type)
		if known == nil || known.Status != s.Available.Status || known.Reason != s.Available.Reason {
			apimeta.SetStatusCondition(&wanted.Conditions, *s.Available)
		}
	}
	if s.Version == "" {
		return wanted
	}
	wanted.Version.Kubernetes = s.Version
	wanted.ClusterClaims = s.merged(status.ClusterClaims)
	s.markTruncated(&wanted.Conditions)
	if !s.NodesPending {
		wanted.Capacity = replaced(wanted.Capacity, s.Facts.Capacity)
		wanted.Allocatable = replaced(wanted.Allocatable, s.Facts.Allocatable)
	}
	return wanted
}

// merged are the claims as they should be. What cannot be judged yet stays as
// the hub knows it: an agent that starts must not take claims back for a second.
func (s *statement) merged(known []clusterv1.ManagedClusterClaim) []clusterv1.ManagedClusterClaim {
	wanted := make([]clusterv1.ManagedClusterClaim, 0, len(s.Claims))
	for _, claim := range s.Claims {
		wanted = append(wanted, clusterv1.ManagedClusterClaim{Name: claim.Name, Value: claim.Value})
	}
	for _, claim := range known {
		pending := s.ClaimsPending
		if facts.Own(claim.Name) {
			pending = s.NodesPending && facts.FromNodes(claim.Name)
		}
		if pending && !slices.ContainsFunc(wanted, func(c clusterv1.ManagedClusterClaim) bool { return c.Name == claim.Name }) {
			wanted = append(wanted, claim)
		}
	}
	slices.SortFunc(wanted, func(a, b clusterv1.ManagedClusterClaim) int { return strings.Compare(a.Name, b.Name) })
	return wanted
}

// maxNamed is how many ClusterClaims a message names.
const maxNamed = 5

func (s *statement) markTruncated(conditions *[]metav1.Condition) {
	switch {
	case s.ClaimsPending:
	case len(s.Left) == 0:
		apimeta.RemoveStatusCondition(conditions, kronvoyv1alpha1.ConditionClaimsTruncated)
	default:
		named := strings.Join(s.Left[:min(len(s.Left), maxNamed)], ", ")
		if more := len(s.Left) - maxNamed; more > 0 {
			named += fmt.Sprintf(" and %d more", more)
		}
		apimeta.SetStatusCondition(conditions, metav1.Condition{
			Type: kronvoyv1alpha1.ConditionClaimsTruncated, Status: metav1.ConditionTrue, Reason: kronvoyv1alpha1.ReasonTooManyClaims,
			Message: fmt.Sprintf("ClusterClaims that the hub is not told: %s; raise --max-custom-cluster-claims of the agent, or delete some", named),
		})
	}
}

// replaced are a cluster's resources with those that the agent adds up; others
// may be somebody else's.
func replaced(known clusterv1.ResourceList, sums corev1.ResourceList) clusterv1.ResourceList {
	wanted := clusterv1.ResourceList{}
	for name, quantity := range known {
		if !facts.Summed(corev1.ResourceName(name)) {
			wanted[name] = quantity
		}
	}
	for name, quantity := range sums {
		wanted[clusterv1.ResourceName(name)] = quantity
	}
	if len(wanted) == 0 {
		return nil
	}
	return wanted
}
