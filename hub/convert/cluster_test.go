package convert

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "open-cluster-management.io/api/cluster/v1"

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
