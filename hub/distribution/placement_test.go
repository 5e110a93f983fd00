package distribution

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/policy"
)

// selecting is a Distribution that selects clusters of an environment.
func selecting(uid types.UID, env string) *kronvoyv1alpha1.Distribution {
	return &kronvoyv1alpha1.Distribution{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: uid},
		Spec: kronvoyv1alpha1.DistributionSpec{Placement: &kronvoyv1alpha1.DistributionPlacement{
			ClusterSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"env": env}},
		}},
	}
}

// elsewhere leaves placing to Placements that it names, or to others.
func elsewhere(placement *kronvoyv1alpha1.DistributionPlacement) *kronvoyv1alpha1.Distribution {
	d := selecting("one", "")
	d.Spec.Placement = placement
	return d
}

func TestThePlacementOfADistribution(t *testing.T) {
	byHand := &clusterv1beta1.Placement{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "kronvoy-web"}}
	edited := policy.Placement(selecting("one", "prod"))
	edited.Spec.NumberOfClusters = new(int32(1))
	ending := selecting("one", "prod")
	now := metav1.Now()
	ending.DeletionTimestamp, ending.Finalizers = &now, []string{metav1.FinalizerDeleteDependents}
	cases := map[string]struct {
		distribution *kronvoyv1alpha1.Distribution
		live, want   *clusterv1beta1.Placement
	}{
		"is made": {
			distribution: selecting("one", "prod"), want: policy.Placement(selecting("one", "prod")),
		},
		"stays": {
			distribution: selecting("one", "prod"), live: policy.Placement(selecting("one", "prod")), want: policy.Placement(selecting("one", "prod")),
		},
		"is changed with the selector": {
			distribution: selecting("one", "test"), live: policy.Placement(selecting("one", "prod")), want: policy.Placement(selecting("one", "test")),
		},
		"is put right when somebody changed it": {
			distribution: selecting("one", "prod"), live: edited, want: policy.Placement(selecting("one", "prod")),
		},
		"goes when Placements are named": {
			distribution: elsewhere(&kronvoyv1alpha1.DistributionPlacement{Refs: []kronvoyv1alpha1.PlacementReference{{Name: "prod"}}}),
			live:         policy.Placement(selecting("one", "prod")),
		},
		"goes when placing is left to others": {
			distribution: elsewhere(nil), live: policy.Placement(selecting("one", "prod")),
		},
		"is not made by one that places otherwise": {distribution: elsewhere(nil)},
		"is not made by one on its way out":        {distribution: ending},
		"is left alone when it is somebody's": {
			distribution: selecting("one", "prod"), live: byHand, want: byHand,
		},
		"is not deleted when it is somebody's": {
			distribution: elsewhere(nil), live: byHand, want: byHand,
		},
		"is left to the garbage collector when its Distribution was another of that name": {
			distribution: selecting("two", "test"), live: policy.Placement(selecting("one", "prod")), want: policy.Placement(selecting("one", "prod")),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			scheme := runtime.NewScheme()
			if err := clusterv1beta1.Install(scheme); err != nil {
				t.Fatal(err)
			}
			builder := fake.NewClientBuilder().WithScheme(scheme)
			if tc.live != nil {
				builder = builder.WithObjects(tc.live.DeepCopy())
			}
			c := builder.Build()
			if err := (&Reconciler{Client: c}).keepPlacement(context.Background(), tc.distribution); err != nil {
				t.Fatal(err)
			}
			var list clusterv1beta1.PlacementList
			if err := c.List(context.Background(), &list, client.InNamespace("shop")); err != nil {
				t.Fatal(err)
			}
			var got *clusterv1beta1.Placement
			for i := range list.Items {
				got = &list.Items[i]
				got.ResourceVersion = ""
			}
			if tc.want != nil {
				tc.want = tc.want.DeepCopy()
				tc.want.TypeMeta = metav1.TypeMeta{}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("placement (-want +got):\n%s", diff)
			}
		})
	}
}
