package rollout

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/clock"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/clusters"
	"github.com/kronvoy/kronvoy/hub/definition"
	"github.com/kronvoy/kronvoy/hub/index"
	"github.com/kronvoy/kronvoy/hub/kinds"
	"github.com/kronvoy/kronvoy/hub/override"
	"github.com/kronvoy/kronvoy/hub/policy"
	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/hub/work"
)

// Gatherer reads all that the plan of a unit depends on. It writes nothing.
type Gatherer struct {
	// Cached answers by the indices of hub/index.
	Cached client.Reader
	// Namespaces tells whether the fleet is frozen, which the hub's own says.
	Namespaces client.Reader
	// Namespace of the hub: revisions of cluster-scoped instances live there.
	Namespace string
	Placer    Placer
	Store     *definition.Store
	Clock     clock.PassiveClock

	overrides override.Cache
	gates     gates
}

// scope is what one reconciliation of a unit works on.
type scope struct {
	unit Unit
	fleet
	// owner is the Distribution that the unit's instances belong to; nil for none.
	owner *kronvoyv1alpha1.Distribution
	// rollout is the unit's; nil for none. name is that which it has.
	rollout *kronvoyv1alpha1.Rollout
	name    string
	// paused says why nothing may move, besides what the Rollout says.
	paused string
	// asks says whose the Rollout and its questions are, and where.
	asks asker
	// requests are the questions that were put.
	requests []kronvoyv1alpha1.ApprovalRequest
	// early is true while hub/instance is about to make a revision that others are
	// to wait for, see add.
	early bool
}

// earlyRecheck is how often a unit is looked at that is early. Without an event it
// stays so only while a definition cannot be served, whose conditions say why.
const earlyRecheck = 30 * time.Second

// orders are what people want, as the Rollout and the questions say.
func (s *scope) orders() orders {
	o := orders{paused: cmp.Or(pausedBy(s.rollout.Spec.Paused), s.paused, s.unrenderable(s.rollout.Spec.Undo)), undo: s.rollout.Spec.Undo}
	if retry := s.rollout.Status.Retry; retry != nil {
		o.retry = retry.At.Time
	}
	for i := range s.requests {
		o.approvals = append(o.approvals, answer(&s.requests[i]))
	}
	return o
}

// unnoted says whether somebody ordered to try again, and it is not stored yet when
// that was found.
func (s *scope) unnoted() bool {
	order, known := s.rollout.Spec.Retry, s.rollout.Status.Retry
	return order != nil && (known == nil || !known.Order.Equal(&order.At))
}

// gather reads all that a plan depends on; nil when there is nothing to be moved
// by this unit. wait is for a kind that is about to be served again, or a revision
// that is about to be made.
func (g *Gatherer) gather(ctx context.Context, u Unit) (s *scope, wait time.Duration, err error) {
	s = &scope{unit: u, fleet: fleet{now: g.Clock.Now().Truncate(time.Microsecond), clusters: map[string]*clusterv1.ManagedCluster{}}}
	if u.Distribution.Name != "" {
		wait, err = g.gatherDistribution(ctx, s)
	} else {
		wait, err = g.gatherInstance(ctx, s)
	}
	if err != nil || wait > 0 || s.name == "" {
		return nil, wait, err
	}
	if s.early {
		return nil, earlyRecheck, nil
	}
	if err := g.gatherRollout(ctx, s); err != nil {
		return nil, 0, err
	}
	return s, 0, g.gatherClusters(ctx, s)
}

// gatherDistribution finds the instances that a Distribution moves together; none
// if it does not, and then no owner either. A suspended one is left out: it keeps
// what it has.
func (g *Gatherer) gatherDistribution(ctx context.Context, s *scope) (wait time.Duration, err error) {
	d := &kronvoyv1alpha1.Distribution{}
	if err := g.Cached.Get(ctx, s.unit.Distribution, d, client.UnsafeDisableDeepCopy); err != nil {
		return 0, client.IgnoreNotFound(err)
	}
	s.asks = asker{
		owner: *metav1.NewControllerRef(d, kronvoyv1alpha1.GroupVersion.WithKind("Distribution")), namespace: d.Namespace,
		readable: d.Name, id: "Distribution/" + d.Namespace + "/" + d.Name, distribution: d.Name,
	}
	s.name = d.Name
	if !Together(d) {
		return 0, nil
	}
	if g.Store.Yielded(policy.KindOf(d)) {
		return definition.YieldedRecheck, nil
	}
	requests := OnDistribution(g.Cached)(ctx, d)
	slices.SortFunc(requests, func(a, b kinds.Request) int { return cmp.Compare(a.Name, b.Name) })
	for _, req := range requests {
		instance := kinds.Object(req.GVK())
		err := g.Cached.Get(ctx, client.ObjectKey{Namespace: req.Namespace, Name: req.Name}, instance, client.UnsafeDisableDeepCopy)
		if client.IgnoreNotFound(err) != nil {
			return 0, fmt.Errorf("reading instance %s/%s: %w", req.Namespace, req.Name, err)
		}
		if err != nil || instance.GetDeletionTimestamp() != nil || Suspended(instance) {
			continue
		}
		found, err := g.owned(ctx, instance)
		if err != nil {
			return 0, err
		}
		if found.owner == nil || found.owner.Name != d.Name {
			continue
		}
		if err := g.add(ctx, s, instance, found); err != nil {
			return 0, err
		}
	}
	s.owner = d
	return 0, nil
}

// gatherInstance finds one instance, unless it moves together with others.
func (g *Gatherer) gatherInstance(ctx context.Context, s *scope) (wait time.Duration, err error) {
	req := s.unit.Instance
	if g.Store.Yielded(req.GVK().GroupKind()) {
		return definition.YieldedRecheck, nil
	}
	instance := kinds.Object(req.GVK())
	if err := g.Cached.Get(ctx, client.ObjectKey{Namespace: req.Namespace, Name: req.Name}, instance); err != nil || instance.GetDeletionTimestamp() != nil {
		return 0, client.IgnoreNotFound(err)
	}
	found, err := g.owned(ctx, instance)
	if err != nil {
		return 0, err
	}
	s.name = found.identity.TargetName()
	s.asks = asksAbout(found.identity, RevisionNamespace(instance, g.Namespace), *metav1.NewControllerRef(instance, instance.GroupVersionKind()), found.owner)
	if Together(found.owner) {
		return 0, nil
	}
	if s.owner = found.owner; Suspended(instance) {
		s.paused = "the instance is suspended"
		if !s.rolls() {
			return 0, nil
		}
	}
	return 0, g.add(ctx, s, instance, found)
}

// owned is an instance with its Targets and the Distribution that owns it. They
// are shared with the cache: read-only.
func (g *Gatherer) owned(ctx context.Context, instance *unstructured.Unstructured) (member, error) {
	out := member{identity: work.IdentityOfInstance(instance)}
	var targets kronvoyv1alpha1.TargetList
	if err := g.Cached.List(ctx, &targets, client.MatchingFields{index.Instance: out.identity.Hash()}, client.UnsafeDisableDeepCopy); err != nil {
		return member{}, fmt.Errorf("listing targets of %s: %w", out.identity, err)
	}
	out.targets = targets.Items
	slices.SortFunc(out.targets, func(a, b kronvoyv1alpha1.Target) int { return cmp.Compare(a.Namespace, b.Namespace) })
	var err error
	out.owner, err = Owner(ctx, g.Cached, instance, out.targets)
	return out, err
}

// add adds an instance to the unit, unless it has no revision yet. The unit is early
// while the newest one is of another release of Kronvoy, so that it cannot be
// rendered; or a cluster joins and it is not what the instance and its Distribution
// say now. Who changes at once what it is and where it runs wants both there, and is
// not to be asked whether a cluster may have what was before.
func (g *Gatherer) add(ctx context.Context, s *scope, instance *unstructured.Unstructured, of member) error {
	var revisions appsv1.ControllerRevisionList
	err := g.Cached.List(ctx, &revisions, client.InNamespace(RevisionNamespace(instance, g.Namespace)), client.MatchingFields{index.Instance: of.identity.Hash()})
	if err != nil {
		return fmt.Errorf("listing revisions of %s: %w", of.identity, err)
	}
	of.revisions = revision.Own(revisions.Items, instance)
	if of.newest = revision.Newest(of.revisions); of.newest == nil {
		return nil
	}
	if !revision.OfThisRelease(of.newest) {
		s.early = true
		return nil
	}
	if of.decision, err = g.Placer.Decide(ctx, instance, of.owner); err != nil {
		return err
	}
	if of.joined() {
		if current, err := of.current(instance); err != nil || !current {
			s.early = true
			return err
		}
	}
	if of.gate, err = g.gate(ctx, &of); err != nil {
		return err
	}
	s.members = append(s.members, of)
	return nil
}

// joined says whether a cluster is to have the instance that does not have it.
func (m *member) joined() bool {
	return m.decision.Decided && slices.ContainsFunc(m.decision.Clusters, func(cluster string) bool {
		_, found := m.on(cluster)
		return !found
	})
}

// current says whether the newest revision holds what the instance and its
// Distribution say now. No revision is made for a Distribution that cannot be used,
// which decides nothing either.
func (m *member) current(instance *unstructured.Unstructured) (bool, error) {
	newest, err := revision.ParseInstance(m.newest)
	if err != nil {
		return false, err
	}
	var now revision.Instance
	now.Spec, _ = instance.Object["spec"].(map[string]any)
	now.Overrides, err = policy.Overrides(m.owner)
	return err == nil && now.Restates(newest), err
}

// gatherRollout finds the unit's Rollout and the questions that were put for it.
func (g *Gatherer) gatherRollout(ctx context.Context, s *scope) error {
	r := &kronvoyv1alpha1.Rollout{}
	err := g.Cached.Get(ctx, client.ObjectKey{Namespace: s.asks.namespace, Name: s.name}, r)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading Rollout %s/%s: %w", s.asks.namespace, s.name, err)
	}
	if err == nil {
		owner := metav1.GetControllerOf(r)
		switch own := owner != nil && owner.UID == s.asks.owner.UID; {
		case own:
			s.rollout = r
		case s.rolls():
			return fmt.Errorf("the Rollout %s/%s belongs to somebody else: delete it, and the hub makes its own", r.Namespace, r.Name)
		}
	}
	var requests kronvoyv1alpha1.ApprovalRequestList
	if err := g.Cached.List(ctx, &requests, client.InNamespace(s.asks.namespace), client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing approval requests in namespace %s: %w", s.asks.namespace, err)
	}
	for i := range requests.Items {
		if slices.Contains(onQuestion(&requests.Items[i]), s.unit) {
			s.requests = append(s.requests, requests.Items[i])
		}
	}
	return nil
}

// gatherClusters finds the clusters of a unit that has a strategy: others go
// wherever they are placed.
func (g *Gatherer) gatherClusters(ctx context.Context, s *scope) error {
	if !s.rolls() {
		return nil
	}
	hub := &corev1.Namespace{}
	if err := g.Namespaces.Get(ctx, client.ObjectKey{Name: g.Namespace}, hub); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("looking whether the fleet is frozen: %w", err)
	}
	s.frozen = func(c *clusterv1.ManagedCluster) string { return clusters.Frozen(c, hub) }
	s.paused = cmp.Or(s.paused, s.frozen(&clusterv1.ManagedCluster{}))
	inputs := inputReader{revisions: map[string]*appsv1.ControllerRevision{}, clusters: s.clusters, compile: g.reads(ctx), reads: map[string]readsOf{}, known: map[assigned]inputsOf{}, converted: map[string]graph.Cluster{}}
	for i := range s.members {
		member := &s.members[i]
		for j := range member.revisions {
			inputs.revisions[member.revisions[j].Name] = &member.revisions[j]
		}
		names := slices.Clone(member.decision.Clusters)
		for j := range member.targets {
			names = append(names, member.targets[j].Namespace)
		}
		for _, name := range names {
			if _, known := s.clusters[name]; known {
				continue
			}
			c := &clusterv1.ManagedCluster{}
			err := g.Cached.Get(ctx, client.ObjectKey{Name: name}, c, client.UnsafeDisableDeepCopy)
			if client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("reading cluster %s: %w", name, err)
			}
			if err == nil {
				s.clusters[name] = c
			}
		}
	}
	s.inputs = inputs.inputs
	return nil
}
