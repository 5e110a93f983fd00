package target

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/clusters"
	"github.com/kronvoy/kronvoy/hub/nested"
	"github.com/kronvoy/kronvoy/hub/policy"
	"github.com/kronvoy/kronvoy/hub/rollout"
	"github.com/kronvoy/kronvoy/hub/work"
)

// govern gathers what says what is to be done about the instance's objects, and
// in whose name; while it is suspended nothing is. wait is true when an event that
// is on its way will bring what is missing.
func (g *Gatherer) govern(ctx context.Context, s *scope) (wait bool, err error) {
	if s.in.Suspended {
		return false, nil
	}
	if s.in.SecretValuesTravel, err = g.secretValuesTravel(ctx, s); err != nil {
		return false, err
	}
	if s.in.Distribution, wait, err = g.distribution(ctx, s.target); wait || err != nil {
		return wait, err
	}
	s.in.ActsFor, wait, err = g.actsFor(ctx, s)
	return wait, err
}

// distribution is the one that owns a Target's instance; nil for none. One that
// is gone from under a Target is waited for: hub/rollout names another or none.
func (g *Gatherer) distribution(ctx context.Context, t *kronvoyv1alpha1.Target) (d *kronvoyv1alpha1.Distribution, wait bool, err error) {
	if t.Spec.Distribution == "" {
		return nil, false, nil
	}
	d = &kronvoyv1alpha1.Distribution{}
	key := client.ObjectKey{Namespace: t.Spec.Instance.Namespace, Name: t.Spec.Distribution}
	err = g.Cached.Get(ctx, key, d)
	if apierrors.IsNotFound(err) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("reading distribution %s: %w", key, err)
	}
	return d, false, nil
}

// actsFor gathers what decides in whose name the instance is applied: that of
// the outermost one which it is a resource of, for its text is that one's.
func (g *Gatherer) actsFor(ctx context.Context, s *scope) (identity policy.Identity, wait bool, err error) {
	outermost, err := g.outermost(ctx, s.target)
	if err != nil {
		return policy.Identity{}, false, err
	}
	if _, marked := kronvoyv1alpha1.ParseNestedMark(s.in.Identity.Reference(), s.in.Instance.GetAnnotations()); marked && outermost == s.target {
		// The Target that it was made for is gone, and comes back, or the instance
		// goes too.
		return policy.Identity{}, true, nil
	}
	d, wait, err := g.distribution(ctx, outermost)
	if wait || err != nil {
		return policy.Identity{}, wait, err
	}
	namespace := outermost.Spec.Instance.Namespace
	identity = policy.Identity{Namespace: namespace, Marked: cmp.Or(namespace, g.Namespace), Default: g.DefaultServiceAccount}
	if d != nil {
		identity.Distribution, identity.ServiceAccountName = d.Name, d.Spec.ServiceAccountName
	}
	marked := &corev1.Namespace{}
	if err := g.Namespaces.Get(ctx, client.ObjectKey{Name: identity.Marked}, marked); err != nil {
		return policy.Identity{}, apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	}
	identity.Annotations, identity.Cluster = marked.Annotations, marked.Labels[clusterv1.ClusterNameLabelKey]
	identity.AllowAgent, err = g.allowsAgent(ctx, s)
	return identity, false, err
}

// outermost is the Target of the instance that nobody made but a user. It is
// shared with the cache.
func (g *Gatherer) outermost(ctx context.Context, t *kronvoyv1alpha1.Target) (*kronvoyv1alpha1.Target, error) {
	for range nested.MaxDepth {
		parent, err := rollout.Parent(ctx, g.Cached, work.IdentityOf(t.Spec.Instance))
		if err != nil {
			return nil, err
		}
		if parent == nil {
			return t, nil
		}
		t = parent
	}
	return t, nil
}

// allowsAgent is true where agents may use their own rights unless something
// else is said.
func (g *Gatherer) allowsAgent(ctx context.Context, s *scope) (bool, error) {
	switch {
	case g.AgentIdentity == policy.AgentIdentityTrue:
		return true, nil
	case g.AgentIdentity == policy.AgentIdentityFalse || s.in.ClusterName != kronvoyv1alpha1.LocalCluster:
		return false, nil
	case slices.ContainsFunc(s.in.Works, func(w *workv1.ManifestWork) bool { return w.Spec.Executor == nil }):
		// To accept a second cluster must not turn what runs un-Ready.
		return true, nil
	}
	local, others, err := clusters.Accepted(ctx, g.Cached)
	return local && others == 0, err
}

// restate brings the policies as they are now to works that are about to be
// taken down; it is true when there was something to bring. With the
// Distribution gone, as when all is deleted at once, what was shipped counts.
func (r *Reconciler) restate(ctx context.Context, s *scope) (bool, error) {
	if s.in.Cluster.Name == "" {
		return false, nil
	}
	orphaned, err := r.orphaned(ctx, s.target)
	switch {
	case err != nil:
		return false, err
	case orphaned:
		s.plan.Works, err = work.Orphan(s.in.Works, s.in.Agent)
	default:
		d, _, lookup := r.distribution(ctx, s.target)
		if lookup != nil || d == nil {
			return false, lookup
		}
		policies, invalid := policy.On(&d.Spec, s.in.Cluster.Labels)
		if invalid != nil {
			return false, nil //nolint:nilerr // its condition says so, and what was shipped stays in force
		}
		s.plan.Works, err = work.Restate(s.in.Works, policies, s.in.Agent)
	}
	if err != nil {
		return false, fmt.Errorf("taking %s down on cluster %s: %w", s.in.Identity, s.target.Namespace, err)
	}
	return len(s.plan.Works.Works) > 0, r.distribute(ctx, s)
}

// orphaned is true where all objects are to stay on a cluster that the instance
// leaves, or the one that it is a resource of.
func (r *Reconciler) orphaned(ctx context.Context, target *kronvoyv1alpha1.Target) (bool, error) {
	for seen := map[types.UID]bool{}; target != nil && !seen[target.UID]; {
		if removal := target.Spec.Removal; removal != nil && removal.Policy == kronvoyv1alpha1.RemovalOrphan {
			return true, nil
		}
		seen[target.UID] = true
		parent, err := rollout.Parent(ctx, r.Client, work.IdentityOf(target.Spec.Instance))
		if err != nil {
			return false, err
		}
		target = parent
	}
	return false, nil
}
