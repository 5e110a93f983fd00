// Package steer is what people do about rollouts: look at their history, order
// them to stop, go on or go back, and answer what the hub asks. The command line
// and the dashboard share it; everything is done with the rights of whoever asks.
package steer

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// The ClusterRoles of people who steer rollouts, who answer what the hub asks, and
// who look at all of it.
const (
	RoleOperator = "kronvoy-rollout-operator"
	RoleApprover = "kronvoy-approver"
	RoleViewer   = "kronvoy-viewer"
)

// NeedsRole says of what is forbidden which ClusterRole allows it, in a namespace
// or, where that is empty, in all.
func NeedsRole(err error, role, namespace string) error {
	if !apierrors.IsForbidden(err) {
		return err
	}
	where := "in namespace " + namespace
	if namespace == "" {
		where = "in all namespaces"
	}
	return fmt.Errorf("that needs ClusterRole %s %s: %w", role, where, err)
}

// Change is what an order does to the spec of a Rollout.
type Change func(spec *kronvoyv1alpha1.RolloutSpec, order kronvoyv1alpha1.RolloutOrder)

// Pause stops all moves.
func Pause(spec *kronvoyv1alpha1.RolloutSpec, order kronvoyv1alpha1.RolloutOrder) {
	spec.Paused = &order
}

// Resume takes a pause back.
func Resume(spec *kronvoyv1alpha1.RolloutSpec, _ kronvoyv1alpha1.RolloutOrder) { spec.Paused = nil }

// Retry tries again what has failed.
func Retry(spec *kronvoyv1alpha1.RolloutSpec, order kronvoyv1alpha1.RolloutOrder) {
	spec.Retry = &order
}

// Undo takes instances back.
func Undo(pins []kronvoyv1alpha1.RolloutPin) Change {
	return func(spec *kronvoyv1alpha1.RolloutSpec, order kronvoyv1alpha1.RolloutOrder) {
		spec.Undo = &kronvoyv1alpha1.RolloutUndo{RolloutOrder: order, Instances: pins}
	}
}

// Cancel takes an undo back.
func Cancel(spec *kronvoyv1alpha1.RolloutSpec, _ kronvoyv1alpha1.RolloutOrder) { spec.Undo = nil }

// Read is a rollout by name: a Distribution's, or an instance's.
func Read(ctx context.Context, c client.Reader, key client.ObjectKey) (*kronvoyv1alpha1.Rollout, error) {
	r := &kronvoyv1alpha1.Rollout{}
	err := c.Get(ctx, key, r)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("there is no Rollout %s in namespace %s: the hub makes one for each Distribution with spec.rollout; \"kronvoy rollout status -n %s\" lists them", key.Name, key.Namespace, key.Namespace)
	}
	if err != nil {
		return nil, fmt.Errorf("reading Rollout %s: %w", key, NeedsRole(err, RoleOperator, key.Namespace))
	}
	return r, nil
}

// Order changes the spec of a Rollout. The order names whoever gives it, which
// admission checks.
func Order(ctx context.Context, c client.Client, key client.ObjectKey, order kronvoyv1alpha1.RolloutOrder, change Change) (*kronvoyv1alpha1.Rollout, error) {
	var r *kronvoyv1alpha1.Rollout
	// The hub writes the status of what is under way again and again.
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() (err error) {
		if r, err = Read(ctx, c, key); err != nil {
			return err
		}
		return give(ctx, c, r, order, change)
	})
	if apierrors.IsConflict(err) {
		return nil, fmt.Errorf("the Rollout %s changed meanwhile: look at it with \"kronvoy rollout status %s -n %s\" and try again: %w", key, key.Name, key.Namespace, err)
	}
	return r, err
}

// give changes the spec of a Rollout as it was read.
func give(ctx context.Context, c client.Client, r *kronvoyv1alpha1.Rollout, order kronvoyv1alpha1.RolloutOrder, change Change) error {
	spec := *r.Spec.DeepCopy()
	change(&spec, order)
	// A merge patch that says what is not there any more, too.
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": r.ResourceVersion},
		"spec":     map[string]any{"paused": spec.Paused, "retry": spec.Retry, "undo": spec.Undo},
	})
	if err != nil {
		return fmt.Errorf("encoding the order: %w", err)
	}
	if err := c.Patch(ctx, r, client.RawPatch(types.MergePatchType, patch), client.FieldOwner("kronvoy")); err != nil {
		return fmt.Errorf("%s cannot steer Rollout %s: %w", order.By, client.ObjectKeyFromObject(r), NeedsRole(err, RoleOperator, r.Namespace))
	}
	return nil
}
