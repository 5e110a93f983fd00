package clusters

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "open-cluster-management.io/api/cluster/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// Frozen says why nothing may be written to a cluster: because it is frozen
// itself, or the fleet is, which hub's annotations say; empty if neither.
func Frozen(c *clusterv1.ManagedCluster, hub metav1.Object) string {
	if text := frozen(hub); text != "" {
		return "the fleet is frozen" + text
	}
	if text := frozen(c); text != "" {
		return "cluster " + c.Name + " is frozen" + text
	}
	return ""
}

// frozen is the reason, after a colon where one is given; empty if the object
// freezes nothing.
func frozen(object metav1.Object) string {
	annotations := object.GetAnnotations()
	if !kronvoyv1alpha1.Suspended(annotations[kronvoyv1alpha1.AnnotationReconcile]) {
		return ""
	}
	if reason := annotations[kronvoyv1alpha1.AnnotationReconcileReason]; reason != "" {
		return ": " + reason
	}
	return " by the annotation " + kronvoyv1alpha1.AnnotationReconcile
}
