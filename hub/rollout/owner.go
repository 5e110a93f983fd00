package rollout

import (
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/kinds"
	"github.com/kronvoy/kronvoy/hub/policy"
)

// Owner is the Distribution that owns an instance with the given Targets; nil for
// none. It is shared with the cache: read-only.
func Owner(ctx context.Context, c client.Reader, instance *unstructured.Unstructured, targets []kronvoyv1alpha1.Target) (*kronvoyv1alpha1.Distribution, error) {
	if instance.GetNamespace() == "" {
		return nil, nil
	}
	var distributions kronvoyv1alpha1.DistributionList
	if err := c.List(ctx, &distributions, client.InNamespace(instance.GetNamespace()), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing distributions in namespace %s: %w", instance.GetNamespace(), err)
	}
	of := policy.Instance{Kind: instance.GroupVersionKind().GroupKind(), Labels: instance.GetLabels()}
	name := policy.Owner(of, distributions.Items, policy.Recorded(targets))
	for i := range distributions.Items {
		if distributions.Items[i].Name == name {
			return &distributions.Items[i], nil
		}
	}
	return nil, nil
}

// OnDistribution maps a Distribution to the instances that it may select.
func OnDistribution(c client.Reader) func(context.Context, *kronvoyv1alpha1.Distribution) []kinds.Request {
	return func(ctx context.Context, d *kronvoyv1alpha1.Distribution) []kinds.Request {
		kind := policy.KindOf(d)
		return slices.DeleteFunc(ofNamespace(ctx, c, d.Namespace), func(req kinds.Request) bool { return req.GVK().GroupKind() != kind })
	}
}

// ofNamespace are the instances that have a revision in a namespace.
func ofNamespace(ctx context.Context, c client.Reader, namespace string) []kinds.Request {
	var revisions appsv1.ControllerRevisionList
	if err := c.List(ctx, &revisions, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing revisions failed", "namespace", namespace)
		return nil
	}
	return owners(revisions.Items)
}
