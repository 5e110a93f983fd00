package steer

import (
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/policy"
	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/hub/rollout"
	"github.com/kronvoy/kronvoy/hub/work"
)

// Behind says what the hub has not seen yet of that which a Rollout is about, so that
// its status is of what was wanted before; empty when it has seen all. It goes by the
// specs of the instances and of their Distribution: none of them has a generation
// that the status could name, since one Rollout is of many.
func Behind(ctx context.Context, c client.Reader, r *kronvoyv1alpha1.Rollout) (string, error) {
	u, err := unitOf(ctx, c, r)
	if err != nil {
		return "", err
	}
	var list appsv1.ControllerRevisionList
	if err := c.List(ctx, &list, client.InNamespace(r.Namespace), client.HasLabels{kronvoyv1alpha1.LabelInstance}); err != nil {
		return "", fmt.Errorf("listing revisions in namespace %s: %w", r.Namespace, NeedsRole(err, RoleOperator, r.Namespace))
	}
	overrides, err := policy.Overrides(u.owner)
	if err != nil {
		return "", fmt.Errorf("reading the overrides of Distribution %s: %w", u.owner.Name, err)
	}
	all := map[string][]appsv1.ControllerRevision{}
	for i := range u.instances {
		instance := &u.instances[i]
		own := revision.Own(list.Items, instance)
		newest := revision.Newest(own)
		if newest == nil {
			return fmt.Sprintf("instance %s has no revision yet", instance.GetName()), nil
		}
		stored, err := revision.ParseInstance(newest)
		if err != nil {
			return "", err
		}
		now := revision.Instance{Overrides: overrides}
		now.Spec, _ = instance.Object["spec"].(map[string]any)
		if !now.Restates(stored) {
			return fmt.Sprintf("instance %s has no revision yet of what it and its Distribution say now", instance.GetName()), nil
		}
		all[instance.GetName()] = own
	}
	current, err := rollout.Current(r, u.owner.Spec.Rollout, all)
	if err != nil || current {
		return "", err
	}
	return "the rollout of what is wanted now has not begun", nil
}

// unit is what a Rollout moves.
type unit struct {
	owner     *kronvoyv1alpha1.Distribution
	instances []unstructured.Unstructured
}

// unitOf finds what a Rollout moves, as the hub does.
func unitOf(ctx context.Context, c client.Reader, r *kronvoyv1alpha1.Rollout) (unit, error) {
	owner := metav1.GetControllerOf(r)
	if owner == nil {
		return unit{}, fmt.Errorf("the Rollout %s belongs to nothing: the hub did not make it", r.Name)
	}
	kind, name := schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind), owner.Name
	u := unit{}
	if owner.Kind == "Distribution" {
		d := &kronvoyv1alpha1.Distribution{}
		if err := c.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: owner.Name}, d); err != nil {
			return unit{}, fmt.Errorf("reading Distribution %s/%s: %w", r.Namespace, owner.Name, NeedsRole(err, RoleOperator, r.Namespace))
		}
		u.owner, name = d, ""
		kind = schema.FromAPIVersionAndKind(d.Spec.Instances.APIVersion, d.Spec.Instances.Kind)
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	if err := c.List(ctx, list, client.InNamespace(r.Namespace)); err != nil {
		return unit{}, fmt.Errorf("listing instances of %s in namespace %s: %w", kind.Kind, r.Namespace, NeedsRole(err, RoleOperator, r.Namespace))
	}
	for _, instance := range list.Items {
		if instance.GetDeletionTimestamp() != nil || name != "" && instance.GetName() != name {
			continue
		}
		by, err := ownerOf(ctx, c, &instance)
		if err != nil {
			return unit{}, err
		}
		if by == nil || u.owner != nil && by.Name != u.owner.Name {
			continue
		}
		if u.owner == nil {
			u.owner = by
		}
		u.instances = append(u.instances, instance)
	}
	if u.owner == nil {
		return unit{}, fmt.Errorf("no Distribution owns %s %s any more, of which the Rollout is", kind.Kind, name)
	}
	return u, nil
}

// ownerOf is the Distribution that owns an instance. Which of several does, Targets
// say; without the right to read them it is the first by name.
func ownerOf(ctx context.Context, c client.Reader, instance *unstructured.Unstructured) (*kronvoyv1alpha1.Distribution, error) {
	var list kronvoyv1alpha1.DistributionList
	if err := c.List(ctx, &list, client.InNamespace(instance.GetNamespace())); err != nil {
		return nil, fmt.Errorf("listing Distributions in namespace %s: %w", instance.GetNamespace(), NeedsRole(err, RoleOperator, instance.GetNamespace()))
	}
	of := policy.Instance{Kind: instance.GroupVersionKind().GroupKind(), Labels: instance.GetLabels()}
	list.Items = slices.DeleteFunc(list.Items, func(d kronvoyv1alpha1.Distribution) bool { return policy.KindOf(&d) != of.Kind })
	var targets kronvoyv1alpha1.TargetList
	if len(list.Items) > 1 {
		err := c.List(ctx, &targets, client.MatchingLabels{kronvoyv1alpha1.LabelInstance: work.IdentityOfInstance(instance).Hash()})
		if err != nil && !apierrors.IsForbidden(err) {
			return nil, fmt.Errorf("listing the Targets of %s: %w", instance.GetName(), err)
		}
	}
	name := policy.Owner(of, list.Items, policy.Recorded(targets.Items))
	for i := range list.Items {
		if list.Items[i].Name == name {
			return &list.Items[i], nil
		}
	}
	return nil, nil
}
