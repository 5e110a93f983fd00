package clusters

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
)

func TestMaintenance(t *testing.T) {
	mark := func(value string) map[string]string { return map[string]string{"kronvoy.io/maintenance": value} }
	cordoned := func(cordoned, total string) map[string]string {
		return map[string]string{"nodes.kronvoy.io/cordoned": cordoned, "nodes.kronvoy.io/total": total}
	}
	cases := map[string]struct {
		annotations, claims map[string]string
		want                string
	}{
		"nothing is known":                   {},
		"nothing is under way":               {claims: map[string]string{"upgrading.talos.dev": "false", "nodes.kronvoy.io/cordoned": "0", "nodes.kronvoy.io/total": "3"}},
		"somebody says so":                   {annotations: mark("disks are replaced until 18:00"), want: "in maintenance: disks are replaced until 18:00"},
		"without a reason":                   {annotations: mark(""), want: "in maintenance by the annotation kronvoy.io/maintenance"},
		"with a word that is no reason":      {annotations: mark("True"), want: "in maintenance by the annotation kronvoy.io/maintenance"},
		"somebody says that it is over":      {annotations: mark("false")},
		"over, while the cluster says more":  {annotations: mark("false"), claims: map[string]string{"upgrading.talos.dev": "true"}, want: "Talos is being upgraded"},
		"a reason of many words":             {annotations: mark(strings.Repeat("ä", 300)), want: "in maintenance: " + strings.Repeat("ä", 255) + "…"},
		"Talos is being upgraded":            {claims: map[string]string{"upgrading.talos.dev": "true"}, want: "Talos is being upgraded"},
		"people's words come first":          {annotations: mark("a"), claims: map[string]string{"upgrading.talos.dev": "true"}, want: "in maintenance: a"},
		"the only node is cordoned":          {claims: cordoned("1", "1"), want: "1 of 1 nodes are cordoned"},
		"one of three":                       {claims: cordoned("1", "3"), want: "1 of 3 nodes are cordoned"},
		"one of four":                        {claims: cordoned("1", "4")},
		"thirty-three of a hundred":          {claims: cordoned("33", "100")},
		"thirty-four of a hundred":           {claims: cordoned("34", "100"), want: "34 of 100 nodes are cordoned"},
		"more than there are":                {claims: cordoned("9", "3"), want: "3 of 3 nodes are cordoned"},
		"more than there can be":             {claims: cordoned("9223372036854775807", "3")},
		"no number":                          {claims: cordoned("all", "3")},
		"a number of which nobody knows all": {claims: map[string]string{"nodes.kronvoy.io/cordoned": "1"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cluster := &clusterv1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Name: "eu", Annotations: c.annotations}}
			for name, value := range c.claims {
				cluster.Status.ClusterClaims = append(cluster.Status.ClusterClaims, clusterv1.ManagedClusterClaim{Name: name, Value: value})
			}
			if got := Maintenance(cluster); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
