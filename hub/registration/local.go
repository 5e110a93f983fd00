package registration

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// RegisterLocal makes the ManagedCluster of the hub's own cluster, accepted. One
// that exists stays as its administrator has it.
func RegisterLocal(ctx context.Context, c client.Client) error {
	err := c.Get(ctx, client.ObjectKey{Name: kronvoyv1alpha1.LocalCluster}, &clusterv1.ManagedCluster{})
	if apierrors.IsNotFound(err) {
		// An apply that creates can be granted for this name alone.
		err = c.Apply(ctx, client.ApplyConfigurationFromUnstructured(&unstructured.Unstructured{Object: map[string]any{
			"apiVersion": clusterv1.GroupVersion.String(), "kind": "ManagedCluster",
			"metadata": map[string]any{
				"name": kronvoyv1alpha1.LocalCluster, "labels": map[string]any{kronvoyv1alpha1.LocalCluster: "true"},
			},
			"spec": map[string]any{"hubAcceptsClient": true},
		}}), client.FieldOwner(kronvoyv1alpha1.FieldManagerHub))
	}
	if err != nil {
		return fmt.Errorf("registering the hub's own cluster: %w", err)
	}
	return nil
}
