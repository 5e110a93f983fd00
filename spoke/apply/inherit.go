package apply

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/json"

	"github.com/kronvoy/kronvoy/spoke/drift"
)

// kroManager is what kro v0.9 applies children as.
const kroManager = "kro.run/applyset"

// inherit takes over what kro applied to an object of the same instance. An
// apply under our own name would leave kro among the owners: fields that the
// manifest drops later would stay for ever, and kro's marks with them.
func (r *run) inherit(ctx context.Context, item *Item, obj *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if item.InstanceID == "" || obj.GetLabels()[labelInstanceID] != item.InstanceID {
		return obj, nil
	}
	entries, changed, err := drift.Inherit(obj.GetManagedFields(), kroManager, item.Manager)
	if err != nil || !changed {
		return obj, err
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"managedFields": entries, "resourceVersion": obj.GetResourceVersion(),
	}})
	if err != nil {
		return nil, fmt.Errorf("writing managed fields: %w", err)
	}
	inherited, err := r.a.dynamic.Resource(item.Key.Resource).Namespace(item.Key.Namespace).
		Patch(ctx, item.Key.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: item.Manager})
	if err != nil {
		return nil, fmt.Errorf("taking over what kro applied: %w", err)
	}
	return inherited, nil
}
