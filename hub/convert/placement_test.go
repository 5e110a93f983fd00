package convert

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"

	"github.com/kronvoy/kronvoy/graph"
)

func TestWhatAClusterSaysIsBounded(t *testing.T) {
	c := &clusterv1.ManagedCluster{
		ObjectMeta: metav1.ObjectMeta{Name: "c1"},
		Status: clusterv1.ManagedClusterStatus{
			Version:     clusterv1.ManagedClusterVersion{Kubernetes: "v1.36.3"},
			Allocatable: clusterv1.ResourceList{"cpu": resource.MustParse("3900m")},
			Capacity:    clusterv1.ResourceList{"cpu": resource.MustParse("4"), "memory": resource.MustParse("16Gi")},
			ClusterClaims: []clusterv1.ManagedClusterClaim{
				{Name: "version.talos.dev", Value: "v1.13.3"}, {Name: "empty"}, {Value: "nameless"},
				{Name: "long", Value: strings.Repeat("é", maxValue)}, {Name: "longer", Value: strings.Repeat("é", maxValue+1)},
				{Name: strings.Repeat("n", maxName+1), Value: "1"},
			},
		},
	}
	want := graph.Cluster{
		Name: "c1", Version: "v1.36.3",
		Claims:      map[string]string{"version.talos.dev": "v1.13.3", "long": strings.Repeat("é", maxValue)},
		Allocatable: map[string]string{"cpu": "3900m"}, Capacity: map[string]string{"cpu": "4", "memory": "16Gi"},
	}
	if diff := cmp.Diff(want, GraphCluster(c)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}

	c.Status.Version.Kubernetes = strings.Repeat("9", maxVersion+1)
	for i := range 1000 {
		name := fmt.Sprintf("n%04d", i)
		c.Status.ClusterClaims = append([]clusterv1.ManagedClusterClaim{{Name: name, Value: "1"}}, c.Status.ClusterClaims...)
		c.Status.Capacity[clusterv1.ResourceName(name)] = resource.MustParse("1")
	}
	got := GraphCluster(c)
	if len(got.Claims) != maxClaims || len(got.Capacity) != maxResources || got.Version != "" {
		t.Errorf("%d claims, %d resources, version %q", len(got.Claims), len(got.Capacity), got.Version)
	}
	for _, name := range []string{"long", "n0000", "n0098"} {
		if got.Claims[name] == "" {
			t.Errorf("claim %s, among the first by name, is missing", name)
		}
	}
}

func TestPredicatesByClaims(t *testing.T) {
	predicates := func(requirement metav1.LabelSelectorRequirement) []clusterv1beta1.ClusterPredicate {
		return []clusterv1beta1.ClusterPredicate{{RequiredClusterSelector: clusterv1beta1.ClusterSelector{
			ClaimSelector: clusterv1beta1.ClusterClaimSelector{MatchExpressions: []metav1.LabelSelectorRequirement{requirement}},
		}}}
	}
	p := &clusterv1beta1.Placement{Spec: clusterv1beta1.PlacementSpec{Predicates: predicates(metav1.LabelSelectorRequirement{
		Key: "version.talos.dev", Operator: metav1.LabelSelectorOpIn, Values: []string{"v1.13.3"},
	})}}
	policy, err := Policy(p, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := policy.Predicates[0].String(); got != "claims version.talos.dev in (v1.13.3)" || !policy.RestsOnClaims() {
		t.Errorf("the predicate is %q", got)
	}
	p.Spec.Predicates = predicates(metav1.LabelSelectorRequirement{Key: "osimages.kronvoy.io", Operator: metav1.LabelSelectorOpIn, Values: []string{"Talos (v1.13.3)=2"}})
	if _, err := Policy(p, nil, nil); err == nil || !strings.Contains(err.Error(), "spec.predicates[0].requiredClusterSelector.claimSelector") {
		t.Errorf("a value that no label can have: %v", err)
	}
}

func TestOutagesAreKnownByTheirTaints(t *testing.T) {
	for key, want := range map[string]string{
		clusterv1.ManagedClusterTaintUnreachable: "unreachable", clusterv1.ManagedClusterTaintUnavailable: "unavailable", "gpu": "",
	} {
		c := &clusterv1.ManagedCluster{Spec: clusterv1.ManagedClusterSpec{Taints: []clusterv1.Taint{{Key: key, Effect: clusterv1.TaintEffectNoSelect}}}}
		if got := PlacementCluster(c).Outage; got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
}
