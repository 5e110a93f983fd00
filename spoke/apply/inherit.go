package apply

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kronvoy/kronvoy/internal/managedfields"
)

// inherit takes over what kro applied to an object of the same instance. An
// apply under our own name would leave kro among the owners: fields that the
// manifest drops later would stay for ever, and kro's marks with them.
func (r *run) inherit(ctx context.Context, item *Item, obj *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if item.InstanceID == "" || obj.GetLabels()[labelInstanceID] != item.InstanceID {
		return obj, nil
	}
	patch, kind, err := managedfields.Handover(obj, managedfields.Kro, item.Manager, nil)
	if err != nil || patch == nil {
		return obj, err
	}
	inherited, err := r.client.Resource(item.Key.Resource).Namespace(item.Key.Namespace).
		Patch(ctx, item.Key.Name, kind, patch, metav1.PatchOptions{FieldManager: item.Manager})
	if err != nil {
		return nil, fmt.Errorf("taking over what kro applied: %w", err)
	}
	return inherited, nil
}
