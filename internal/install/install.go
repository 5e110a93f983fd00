// Package install brings manifests to a cluster and takes them away again, for
// commands that install a part of Kronvoy.
package install

import (
	"context"
	"fmt"
	"slices"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// FieldManager owns what is installed.
const FieldManager = "kronvoy-install"

// patience bounds the wait for a kind to be served.
const patience = time.Minute

// Apply applies objects in their order, with server-side apply, and waits for
// kinds that they define to be served. Doing so again changes nothing.
func Apply(ctx context.Context, c client.Client, objects ...*unstructured.Unstructured) error {
	for _, object := range objects {
		err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(object.DeepCopy()), client.FieldOwner(FieldManager), client.ForceOwnership)
		if err != nil {
			return fmt.Errorf("applying %s: %w", describe(object), err)
		}
	}
	for _, object := range objects {
		if object.GetKind() != "CustomResourceDefinition" {
			continue
		}
		if err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
			return established(ctx, c, object.GetName())
		}); err != nil {
			return fmt.Errorf("waiting for %s to be served: %w", describe(object), err)
		}
	}
	return nil
}

func established(ctx context.Context, c client.Client, name string) (bool, error) {
	crd := &unstructured.Unstructured{}
	crd.SetGroupVersionKind(apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinition"))
	if err := c.Get(ctx, client.ObjectKey{Name: name}, crd); err != nil {
		return false, err
	}
	conditions, _, err := unstructured.NestedSlice(crd.Object, "status", "conditions")
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(conditions, func(c any) bool {
		condition, ok := c.(map[string]any)
		return ok && condition["type"] == string(apiextensionsv1.Established) && condition["status"] == "True"
	}), nil
}

// Delete deletes objects in reverse order, and waits until they are gone. What is
// not there is nothing to wait for.
func Delete(ctx context.Context, c client.Client, objects ...*unstructured.Unstructured) error {
	for _, object := range slices.Backward(objects) {
		err := c.Delete(ctx, object.DeepCopy(), client.PropagationPolicy("Foreground"))
		if gone(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("deleting %s: %w", describe(object), err)
		}
		if err := wait.PollUntilContextCancel(ctx, 100*time.Millisecond, true, func(ctx context.Context) (bool, error) {
			err := c.Get(ctx, client.ObjectKeyFromObject(object), object.DeepCopy())
			if gone(err) {
				return true, nil
			}
			return false, err
		}); err != nil {
			return fmt.Errorf("waiting for %s to be gone: %w", describe(object), err)
		}
	}
	return nil
}

// gone is whether there is no such object, or no such kind.
func gone(err error) bool { return apierrors.IsNotFound(err) || apimeta.IsNoMatchError(err) }

func describe(object *unstructured.Unstructured) string {
	kind := schema.GroupKind{Group: object.GroupVersionKind().Group, Kind: object.GetKind()}
	if object.GetNamespace() == "" {
		return fmt.Sprintf("%s %s", kind, object.GetName())
	}
	return fmt.Sprintf("%s %s/%s", kind, object.GetNamespace(), object.GetName())
}
