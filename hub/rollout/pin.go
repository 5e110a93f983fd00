package rollout

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/index"
	"github.com/kronvoy/kronvoy/hub/kinds"
	"github.com/kronvoy/kronvoy/hub/work"
)

// pinned decides for an instance that the hub made for one cluster: that is one
// which a Target lists, for Targets are the hub's alone. What the instance says
// of itself proves nothing, since whoever may write it may write that; but one
// that says so is placed by nothing else: its Target may be on its way into the
// cache. known is false for every other instance.
func (p Placer) pinned(ctx context.Context, instance *unstructured.Unstructured) (decision Decision, known bool, err error) {
	identity := work.IdentityOfInstance(instance)
	parent, err := Parent(ctx, p.Reader, identity)
	if err != nil {
		return Decision{}, false, err
	}
	if parent != nil {
		return Decision{Decided: true, By: Authority{ByParent, parent.Namespace}, Reason: ReasonPlaced, Clusters: []string{parent.Namespace}}, true, nil
	}
	mark, marked := kronvoyv1alpha1.ParseNestedMark(identity.Reference(), instance.GetAnnotations())
	if !marked {
		return Decision{}, false, nil
	}
	return Decision{By: Authority{ByParent, mark.Cluster}, Reason: ReasonNotPinned, Message: fmt.Sprintf(
		"the annotation %s says that this was made for %s %s/%s on cluster %s, which does not know of it: remove the annotation to place it otherwise",
		kronvoyv1alpha1.AnnotationNested, mark.Parent.Kind, mark.Parent.Namespace, mark.Parent.Name, mark.Cluster)}, true, nil
}

// Parent is the Target that an instance was made for; nil for one that the hub
// did not make. It is shared with the cache: read-only.
func Parent(ctx context.Context, c client.Reader, identity work.Identity) (*kronvoyv1alpha1.Target, error) {
	var parents kronvoyv1alpha1.TargetList
	if err := c.List(ctx, &parents, client.MatchingFields{index.Child: identity.Hash()}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing targets that made %s: %w", identity, err)
	}
	for i := range parents.Items {
		made := func(c kronvoyv1alpha1.ChildReference) bool {
			return !c.ReadOnly && c.Reference() == identity.Reference()
		}
		if slices.ContainsFunc(parents.Items[i].Status.Children, made) {
			return &parents.Items[i], nil
		}
	}
	return nil, nil
}

// Pins lets Targets through that come, go, or list other instances.
func Pins() predicate.TypedPredicate[*kronvoyv1alpha1.Target] {
	return index.Changed(func(t *kronvoyv1alpha1.Target) any { return t.Status.Children })
}

// OnPins maps a Target to the instances that it made.
func OnPins(_ context.Context, t *kronvoyv1alpha1.Target) []kinds.Request {
	requests := make([]kinds.Request, 0, len(t.Status.Children))
	for _, c := range t.Status.Children {
		if c.ReadOnly {
			continue
		}
		gvk := schema.FromAPIVersionAndKind(c.APIVersion, c.Kind)
		requests = append(requests, kinds.Request{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Namespace: c.Namespace, Name: c.Name})
	}
	return requests
}
