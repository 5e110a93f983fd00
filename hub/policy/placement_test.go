package policy_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/policy"
)

func TestTheNameOfAPlacementThatTheHubKeeps(t *testing.T) {
	for distribution, want := range map[string]string{
		"shop":                                 "kronvoy-shop",
		"shop.example.com":                     "kronvoy-shop.example.com",
		strings.Repeat("a", 55):                "kronvoy-" + strings.Repeat("a", 55),
		strings.Repeat("a", 56):                "kronvoy-" + strings.Repeat("a", 44) + "-b35439a4ac",
		strings.Repeat("a", 253):               "kronvoy-" + strings.Repeat("a", 44) + "-32859a3ab6",
		strings.Repeat("a", 43) + ".b.example": "kronvoy-" + strings.Repeat("a", 43) + ".b.example",
		strings.Repeat("a", 43) + ".b" + strings.Repeat("c", 100): "kronvoy-" + strings.Repeat("a", 43) + "-ff7c5e05d4",
	} {
		got := policy.PlacementName(distribution)
		if got != want {
			t.Errorf("for %s: %s, want %s", distribution, got, want)
		}
		if faults := append(validation.IsValidLabelValue(got), validation.IsDNS1123Subdomain(got)...); len(faults) > 0 {
			t.Errorf("for %s: %s is no name and label: %v", distribution, got, faults)
		}
	}
}

func TestThePlacementThatTheHubKeeps(t *testing.T) {
	d := distribution("shop", "WebApp", nil)
	d.UID = "one"
	for name, p := range map[string]*kronvoyv1alpha1.DistributionPlacement{
		"without a placement": nil,
		"with references":     {Refs: []kronvoyv1alpha1.PlacementReference{{Name: "prod"}}},
	} {
		d.Spec.Placement = p
		if got := policy.Placement(&d); got != nil {
			t.Errorf("%s: %v", name, got)
		}
	}
	d.Spec.Placement = &kronvoyv1alpha1.DistributionPlacement{ClusterSelector: labels("env", "prod")}
	got := policy.Placement(&d)
	want := &clusterv1beta1.Placement{
		TypeMeta: metav1.TypeMeta{APIVersion: "cluster.open-cluster-management.io/v1beta1", Kind: "Placement"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "kronvoy-shop", OwnerReferences: []metav1.OwnerReference{
			{APIVersion: "kronvoy.io/v1alpha1", Kind: "Distribution", Name: "shop", UID: "one", Controller: new(true)},
		}},
		Spec: clusterv1beta1.PlacementSpec{
			Predicates:        []clusterv1beta1.ClusterPredicate{{RequiredClusterSelector: clusterv1beta1.ClusterSelector{LabelSelector: *labels("env", "prod")}}},
			PrioritizerPolicy: clusterv1beta1.PrioritizerPolicy{Mode: clusterv1beta1.PrioritizerPolicyModeAdditive},
			DecisionStrategy: clusterv1beta1.DecisionStrategy{
				GroupStrategy: clusterv1beta1.GroupStrategy{ClustersPerDecisionGroup: intstr.FromString("100%")},
			},
			SortBy: clusterv1beta1.PlacementSortByClusterName, ScoreRateLimit: "1m",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	sparse, other := &clusterv1beta1.Placement{}, got.DeepCopy()
	sparse.Spec.Predicates = got.Spec.Predicates
	if !policy.SamePlacement(sparse, got) {
		t.Error("the API server's defaults make a difference")
	}
	if other.Spec.NumberOfClusters = new(int32(1)); policy.SamePlacement(other, got) {
		t.Error("a field that the hub does not set makes no difference")
	}
}
