package clusters

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
)

func TestFrozen(t *testing.T) {
	mark := func(value, reason string) map[string]string {
		return map[string]string{"kronvoy.io/reconcile": value, "kronvoy.io/reconcile-reason": reason}
	}
	cases := map[string]struct {
		cluster, hub map[string]string
		want         string
	}{
		"nothing is frozen":                  {},
		"any other word freezes nothing":     {cluster: mark("yes", "")},
		"a cluster, without a reason":        {cluster: mark("suspended", ""), want: "cluster eu is frozen by the annotation kronvoy.io/reconcile"},
		"a cluster, with one":                {cluster: mark("Suspended", "incident 7"), want: "cluster eu is frozen: incident 7"},
		"the fleet, whatever a cluster says": {cluster: mark("suspended", "x"), hub: mark("suspended", "audit"), want: "the fleet is frozen: audit"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cluster := &clusterv1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Name: "eu", Annotations: c.cluster}}
			hub := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Annotations: c.hub}}
			if got := Frozen(cluster, hub); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
