package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// placementPrefix begins the names of Placements that the hub keeps.
const placementPrefix = "kronvoy-"

// PlacementName is the name of the Placement that the hub keeps for a
// Distribution which selects clusters by their labels. A Placement's name is the
// value of a label on its decisions (OCM), and so cannot be as long as a
// Distribution's may be.
func PlacementName(distribution string) string {
	name := placementPrefix + distribution
	if len(name) <= validation.LabelValueMaxLength {
		return name
	}
	sum := sha256.Sum256([]byte(distribution))
	end := "-" + hex.EncodeToString(sum[:5])
	return strings.TrimRight(name[:validation.LabelValueMaxLength-len(end)], "-.") + end
}

// Placements are the names of those by which a Distribution places, in order.
func Placements(d *kronvoyv1alpha1.Distribution) []string {
	switch p := d.Spec.Placement; {
	case p == nil:
		return nil
	case p.ClusterSelector != nil:
		return []string{PlacementName(d.Name)}
	default:
		names := make([]string, 0, len(p.Refs))
		for _, ref := range p.Refs {
			names = append(names, ref.Name)
		}
		return names
	}
}

// Placement is what the hub keeps for a Distribution that selects clusters by
// their labels; nil for any other.
func Placement(d *kronvoyv1alpha1.Distribution) *clusterv1beta1.Placement {
	if d.Spec.Placement == nil || d.Spec.Placement.ClusterSelector == nil {
		return nil
	}
	owner := metav1.NewControllerRef(d, kronvoyv1alpha1.GroupVersion.WithKind("Distribution"))
	// Nothing waits for it to go, and to make somebody wait needs one more right.
	owner.BlockOwnerDeletion = nil
	return &clusterv1beta1.Placement{
		TypeMeta:   metav1.TypeMeta{APIVersion: clusterv1beta1.GroupVersion.String(), Kind: "Placement"},
		ObjectMeta: metav1.ObjectMeta{Namespace: d.Namespace, Name: PlacementName(d.Name), OwnerReferences: []metav1.OwnerReference{*owner}},
		Spec: withDefaults(clusterv1beta1.PlacementSpec{Predicates: []clusterv1beta1.ClusterPredicate{{
			RequiredClusterSelector: clusterv1beta1.ClusterSelector{LabelSelector: *d.Spec.Placement.ClusterSelector.DeepCopy()},
		}}}),
	}
}

// SamePlacement says whether two Placements select the same, in the same groups.
func SamePlacement(a, b *clusterv1beta1.Placement) bool {
	return equality.Semantic.DeepEqual(withDefaults(a.Spec), withDefaults(b.Spec))
}

// withDefaults states what the API server puts where nothing is said (the
// defaults in OCM's CustomResourceDefinition, of which older ones lack some).
func withDefaults(spec clusterv1beta1.PlacementSpec) clusterv1beta1.PlacementSpec {
	spec.SortBy = cmp.Or(spec.SortBy, clusterv1beta1.PlacementSortByClusterName)
	spec.ScoreRateLimit = cmp.Or(spec.ScoreRateLimit, "1m")
	spec.PrioritizerPolicy.Mode = cmp.Or(spec.PrioritizerPolicy.Mode, clusterv1beta1.PrioritizerPolicyModeAdditive)
	size := &spec.DecisionStrategy.GroupStrategy.ClustersPerDecisionGroup
	*size = cmp.Or(*size, intstr.FromString("100%"))
	return spec
}
