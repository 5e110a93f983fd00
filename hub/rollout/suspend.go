package rollout

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// Suspended is true while an instance is left as it is on every cluster: no
// revision moves, and no work changes. It can be deleted all the same.
func Suspended(instance *unstructured.Unstructured) bool {
	return kronvoyv1alpha1.Suspended(instance.GetAnnotations()[kronvoyv1alpha1.AnnotationInstanceReconcile])
}
