package target

import (
	"context"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/clusters"
	"github.com/kronvoy/kronvoy/hub/convert"
	"github.com/kronvoy/kronvoy/hub/definition"
	"github.com/kronvoy/kronvoy/hub/index"
	"github.com/kronvoy/kronvoy/hub/kinds"
	"github.com/kronvoy/kronvoy/hub/override"
	"github.com/kronvoy/kronvoy/hub/plan"
	"github.com/kronvoy/kronvoy/hub/policy"
	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/hub/rollout"
	"github.com/kronvoy/kronvoy/hub/work"
	"github.com/kronvoy/kronvoy/internal/trace"
)

// Gatherer reads all that hub/plan has to know. It writes nothing.
type Gatherer struct {
	// Cached reads what the hub watches. Reader asks the server: before a Target is
	// let go of, and for what may have been made a moment ago.
	Cached, Reader client.Reader
	// Namespaces are those of the hub: annotations of its own can freeze the fleet,
	// those of an instance's say in whose name it is applied.
	Namespaces client.Reader
	Store      *definition.Store
	Namespace  string
	// AllowedNamespaces are reserved namespaces that instances may use all the
	// same.
	AllowedNamespaces []string
	// DefaultServiceAccount is in whose name agents act where nothing else says
	// so; AgentIdentity is where they may use their own rights.
	DefaultServiceAccount policy.ServiceAccount
	AgentIdentity         policy.AgentIdentity

	overrides override.Cache
}

// Gathered is all that is known about one instance on one cluster.
type Gathered struct {
	plan.Input
	// Blocked says why nothing can be decided.
	Blocked string
	// Missing is true while something is not there that is on its way.
	Missing bool
	// Frozen says why nothing at all may be written to the cluster.
	Frozen string
	// Unreachable is true while nobody speaks for the cluster.
	Unreachable bool
}

// Gather reads what is known about a Target that is not being deleted.
func (g *Gatherer) Gather(ctx context.Context, target *kronvoyv1alpha1.Target) (Gathered, error) {
	s := g.scope(target)
	var err error
	if s.in.Works, s.in.Reports, err = index.Works(ctx, g.Cached, target.Namespace, s.in.Identity); err != nil {
		return Gathered{}, err
	}
	missing, err := g.load(ctx, s)
	if s.kept && s.plan.Blocked == "" {
		s.plan.Blocked = keptWhy
	}
	return Gathered{Input: s.in, Blocked: s.plan.Blocked, Missing: missing, Frozen: s.frozen, Unreachable: s.unreachable}, err
}

// Look reads the nested instances that a plan asks for.
func (g *Gatherer) Look(ctx context.Context, in *plan.Input, refs []kronvoyv1alpha1.ChildReference) error {
	s := &scope{in: *in}
	err := g.look(ctx, s, refs)
	in.Live = s.in.Live
	return err
}

func (g *Gatherer) scope(target *kronvoyv1alpha1.Target) *scope {
	return &scope{target: target, in: plan.Input{
		Identity: work.IdentityOf(target.Spec.Instance), RevisionName: target.Spec.Revision, ClusterName: target.Namespace,
		Reserved: plan.Reserved{Hub: g.Namespace, Allowed: g.AllowedNamespaces}, Children: target.Status.Children,
		Overrides: &g.overrides,
	}}
}

// load gathers everything a decision depends on. wait is true when an event
// that is on its way will bring what is missing.
func (g *Gatherer) load(ctx context.Context, s *scope) (wait bool, err error) {
	ref := s.in.Identity
	s.in.Instance = kinds.Object(kinds.Request{Group: ref.Group, Version: ref.Version, Kind: ref.Kind}.GVK())
	err = g.Cached.Get(ctx, client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, s.in.Instance)
	if apierrors.IsNotFound(err) {
		// hub/instance deletes the Target.
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading instance %s: %w", ref, err)
	}
	s.in.Suspended = rollout.Suspended(s.in.Instance)
	if s.in.Inputs, err = convert.Inputs(s.target.Spec.Inputs); s.blockedBy(err) {
		return false, nil
	}
	// Without them what was accepted would be put right.
	if s.in.Decisions, err = kronvoyv1alpha1.ParseDriftDecisions(s.target.Annotations); s.blockedBy(err) {
		return false, nil
	}
	stored := &appsv1.ControllerRevision{}
	key := client.ObjectKey{Namespace: rollout.RevisionNamespace(s.in.Instance, g.Namespace), Name: s.target.Spec.Revision}
	err = g.Cached.Get(ctx, key, stored)
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading revision %s: %w", key, err)
	}
	if s.kept = !revision.OfThisRelease(stored); s.kept {
		return false, g.loadFacts(ctx, s)
	}
	s.traceparent = trace.Carried(stored)
	if s.in.Revision, err = revision.ParseInstance(stored); s.blockedBy(err) {
		return false, nil
	}
	var unusable *definition.UnusableError
	s.in.Graph, err = g.Store.Graph(ctx, s.in.Revision.Definition)
	switch {
	case errors.As(err, &unusable):
		s.blockedBy(err)
		return false, nil
	case err != nil:
		return false, err
	}
	if err := g.loadFacts(ctx, s); err != nil || s.plan.Blocked != "" {
		return false, err
	}
	if wait, err := g.govern(ctx, s); wait || err != nil {
		return wait, err
	}
	return false, g.look(ctx, s, s.in.Children)
}

// loadFacts is loadCluster for a Target that nothing can be decided about without
// its cluster.
func (g *Gatherer) loadFacts(ctx context.Context, s *scope) error {
	err := g.loadCluster(ctx, s)
	if apierrors.IsNotFound(err) {
		s.blockedBy(err)
		return nil
	}
	return err
}

// loadCluster looks at the cluster, and at whether it may be written to.
func (g *Gatherer) loadCluster(ctx context.Context, s *scope) error {
	s.in.Cluster = &clusterv1.ManagedCluster{}
	err := g.Cached.Get(ctx, client.ObjectKey{Name: s.target.Namespace}, s.in.Cluster)
	s.in.Agent, s.in.Described = plan.Meet(s.in.Cluster, s.in.Reports)
	if err != nil {
		return fmt.Errorf("reading cluster %s: %w", s.target.Namespace, err)
	}
	hub := &corev1.Namespace{}
	if err := g.Namespaces.Get(ctx, client.ObjectKey{Name: g.Namespace}, hub); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("looking whether the fleet is frozen: %w", err)
	}
	s.unreachable, s.frozen = clusters.Unreachable(s.in.Cluster), clusters.Frozen(s.in.Cluster, hub)
	s.in.Suspended = s.in.Suspended || s.frozen != ""
	return nil
}

// blockedBy keeps an error as what is wrong with this Target: an event, or at
// the latest another look, may find it gone.
func (s *scope) blockedBy(err error) bool {
	if err != nil {
		s.plan.Blocked = err.Error()
	}
	return err != nil
}
