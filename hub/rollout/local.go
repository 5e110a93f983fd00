package rollout

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/clusters"
	"github.com/kronvoy/kronvoy/hub/index"
	"github.com/kronvoy/kronvoy/hub/kinds"
	"github.com/kronvoy/kronvoy/hub/work"
)

// DefaultPlacement says where an instance runs that names no Placement; empty
// means DefaultAuto.
type DefaultPlacement string

// The default placements.
const (
	// DefaultAuto: on the hub's own cluster while that is the only one. What
	// runs there stays when a second cluster is accepted.
	DefaultAuto DefaultPlacement = "auto"
	// DefaultLocal: always on the hub's own cluster.
	DefaultLocal DefaultPlacement = "local"
	// DefaultNone: nowhere.
	DefaultNone DefaultPlacement = "none"
)

// ParseDefaultPlacement refuses any other word.
func ParseDefaultPlacement(text string) (DefaultPlacement, error) {
	switch d := DefaultPlacement(text); d {
	case DefaultAuto, DefaultLocal, DefaultNone:
		return d, nil
	case "":
		return DefaultAuto, nil
	}
	return "", fmt.Errorf("default placement %q: it is one of %s, %s, %s", text, DefaultAuto, DefaultLocal, DefaultNone)
}

// unplaced decides for an instance for which nobody names a Placement.
func (p Placer) unplaced(ctx context.Context, instance *unstructured.Unstructured) (Decision, error) {
	local, err := p.byDefault(ctx, instance)
	if err != nil {
		return Decision{}, err
	}
	if local {
		return Decision{Decided: true, By: Authority{Kind: ByDefault}, Reason: ReasonPlaced, Clusters: []string{kronvoyv1alpha1.LocalCluster}}, nil
	}
	return Decision{By: Authority{Kind: ByDefault}, Reason: ReasonNoPlacement, Message: fmt.Sprintf(
		"nothing says where this instance runs: label it %s=<name of a Placement in its namespace>, or select it with a Distribution that has spec.placement",
		kronvoyv1alpha1.LabelPlacement)}, nil
}

func (p Placer) byDefault(ctx context.Context, instance *unstructured.Unstructured) (local bool, err error) {
	if p.Default == DefaultNone {
		return false, nil
	}
	accepted, others, err := clusters.Accepted(ctx, p.Reader)
	if err != nil {
		return false, err
	}
	if !accepted || others == 0 || p.Default == DefaultLocal {
		return accepted, nil
	}
	return p.runsLocally(ctx, instance)
}

func (p Placer) runsLocally(ctx context.Context, instance *unstructured.Unstructured) (bool, error) {
	identity := work.IdentityOfInstance(instance)
	key := client.ObjectKey{Namespace: kronvoyv1alpha1.LocalCluster, Name: identity.TargetName()}
	err := p.Reader.Get(ctx, key, &kronvoyv1alpha1.Target{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading target %s: %w", key, err)
	}
	return true, nil
}

// Membership lets clusters through that come, go, or are accepted: the default
// placement depends on it.
func Membership() predicate.TypedPredicate[*clusterv1.ManagedCluster] {
	return index.Changed(func(c *clusterv1.ManagedCluster) any { return c.Spec.HubAcceptsClient })
}

// OnMembership maps a cluster to all instances, for each may be one that names
// no Placement.
func OnMembership(c client.Reader) func(context.Context, *clusterv1.ManagedCluster) []kinds.Request {
	return func(ctx context.Context, _ *clusterv1.ManagedCluster) []kinds.Request {
		var revisions appsv1.ControllerRevisionList
		if err := c.List(ctx, &revisions, client.UnsafeDisableDeepCopy); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "Listing revisions failed")
			return nil
		}
		return owners(revisions.Items)
	}
}
