package rollout

import (
	"context"
	"fmt"
	"maps"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/index"
	"github.com/kronvoy/kronvoy/hub/kinds"
	"github.com/kronvoy/kronvoy/hub/policy"
	"github.com/kronvoy/kronvoy/hub/work"
)

// Unit is what moves together: the instances of a Distribution, or one instance.
// An instance is in exactly one, see Together.
type Unit struct {
	// Distribution whose instances move together; empty for one instance.
	Distribution types.NamespacedName
	// Instance that moves by itself.
	Instance kinds.Request
}

// UnitOf is the unit of an instance that the given Distribution owns, nil for
// none.
func UnitOf(instance kinds.Request, owner *kronvoyv1alpha1.Distribution) Unit {
	if Together(owner) {
		return Unit{Distribution: client.ObjectKeyFromObject(owner)}
	}
	return Unit{Instance: instance}
}

// Together says whether the instances of a Distribution move together.
func Together(d *kronvoyv1alpha1.Distribution) bool {
	return d != nil && d.Spec.Rollout != nil && d.Spec.Rollout.Scope != kronvoyv1alpha1.ScopeInstance
}

// units are those that instances may be in: who owns an instance depends on more
// than the event that tells of it, so a unit finds out which are its own.
func units(ctx context.Context, c client.Reader, instances []kinds.Request) []Unit {
	found := map[Unit]bool{}
	asked := map[string]bool{}
	for _, instance := range instances {
		found[Unit{Instance: instance}] = true
		if instance.Namespace == "" || asked[instance.Namespace] {
			continue
		}
		asked[instance.Namespace] = true
		var distributions kronvoyv1alpha1.DistributionList
		if err := c.List(ctx, &distributions, client.InNamespace(instance.Namespace), client.UnsafeDisableDeepCopy); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "Listing distributions failed", "namespace", instance.Namespace)
			continue
		}
		for i := range distributions.Items {
			d := &distributions.Items[i]
			of := func(r kinds.Request) bool {
				return r.Namespace == d.Namespace && r.GVK().GroupKind() == policy.KindOf(d)
			}
			if Together(d) && slices.ContainsFunc(instances, of) {
				found[Unit{Distribution: client.ObjectKeyFromObject(d)}] = true
			}
		}
	}
	return slices.Collect(maps.Keys(found))
}

// ofTarget is the unit of a Target, by the Distribution that it names, and whether
// that has a strategy, so that what becomes of the Target matters to others.
func ofTarget(ctx context.Context, c client.Reader, t *kronvoyv1alpha1.Target) (unit Unit, rolls bool) {
	request := RequestForTarget(t)
	if t.Spec.Distribution == "" {
		return Unit{Instance: request}, false
	}
	var d kronvoyv1alpha1.Distribution
	key := client.ObjectKey{Namespace: t.Spec.Instance.Namespace, Name: t.Spec.Distribution}
	if err := c.Get(ctx, key, &d, client.UnsafeDisableDeepCopy); err != nil {
		return Unit{Instance: request}, false
	}
	return UnitOf(request, &d), d.Spec.Rollout != nil
}

// OnRollout is the unit that a Rollout is of.
func OnRollout(r *kronvoyv1alpha1.Rollout) []Unit {
	owner := metav1.GetControllerOf(r)
	if owner == nil {
		return nil
	}
	gvk := schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind)
	if gvk.Group == kronvoyv1alpha1.GroupVersion.Group && gvk.Kind == "Distribution" {
		return []Unit{{Distribution: types.NamespacedName{Namespace: r.Namespace, Name: owner.Name}}}
	}
	// Only what a Distribution owns has a strategy, and so a namespace.
	return []Unit{{Instance: kinds.Request{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Namespace: r.Namespace, Name: owner.Name}}}
}

// onQuestion is the unit that waits for an answer.
func onQuestion(a *kronvoyv1alpha1.ApprovalRequest) []Unit {
	switch {
	case a.Spec.Action != kronvoyv1alpha1.ApprovalEnterGroup:
		return nil
	case a.Spec.Instance != nil:
		return []Unit{{Instance: requestFor(work.IdentityOf(*a.Spec.Instance))}}
	default:
		return []Unit{{Distribution: types.NamespacedName{Namespace: a.Namespace, Name: a.Spec.Distribution}}}
	}
}

// Of is the Rollout in which an instance moves that the given Distribution owns;
// nil for none. It is shared with the cache: read-only.
func Of(ctx context.Context, c client.Reader, identity work.Identity, owner *kronvoyv1alpha1.Distribution) (*kronvoyv1alpha1.Rollout, error) {
	if owner == nil || owner.Spec.Rollout == nil {
		return nil, nil
	}
	key := client.ObjectKey{Namespace: owner.Namespace, Name: identity.TargetName()}
	if Together(owner) {
		key.Name = owner.Name
	}
	found := &kronvoyv1alpha1.Rollout{}
	if err := c.Get(ctx, key, found, client.UnsafeDisableDeepCopy); apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("reading Rollout %s: %w", key, err)
	}
	return found, nil
}

// Phases lets Rollouts through that come, go, or come to another phase or group.
func Phases() predicate.TypedPredicate[*kronvoyv1alpha1.Rollout] {
	return index.Changed(func(r *kronvoyv1alpha1.Rollout) any { return []any{r.Status.Phase, r.Status.Group} })
}

// OnPhase maps a Rollout to the instances that may be in it.
func OnPhase(c client.Reader) func(context.Context, *kronvoyv1alpha1.Rollout) []kinds.Request {
	return func(ctx context.Context, r *kronvoyv1alpha1.Rollout) []kinds.Request {
		for _, u := range OnRollout(r) {
			if u.Distribution.Name == "" {
				return []kinds.Request{u.Instance}
			}
		}
		return ofNamespace(ctx, c, r.Namespace)
	}
}
