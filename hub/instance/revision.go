package instance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/index"
	"github.com/kronvoy/kronvoy/hub/policy"
	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/hub/rollout"
	"github.com/kronvoy/kronvoy/hub/work"
	"github.com/kronvoy/kronvoy/internal/trace"
)

// errStaleCache asks for another look at revisions that the cache does not show.
var errStaleCache = apierrors.NewConflict(appsv1.Resource("controllerrevisions"), "", errors.New("the cache is behind"))

// ensureRevision stores the instance's spec with the definition that it is for and
// the overrides of its Distribution, and leaves the newest revision in the scope.
// A state that was there before becomes the newest again, and this instance's own.
//
// With overrides that do not fit the kind there is no new revision: whatever is
// shipped stays, and the scope says why.
func (r *Reconciler) ensureRevision(ctx context.Context, s *scope) error {
	spec, _ := s.instance.Object["spec"].(map[string]any)
	overrides, err := r.overridesOf(s)
	if err != nil {
		return err
	}
	wanted := revision.Instance{Definition: s.serving.Revision, DefinitionHash: s.serving.Graph.Hash(), Spec: spec, Overrides: overrides}
	namespace := rollout.RevisionNamespace(s.instance, r.Namespace)
	var cached appsv1.ControllerRevisionList
	err = r.Client.List(ctx, &cached, client.InNamespace(namespace), client.MatchingFields{index.Instance: s.identity.Hash()})
	if err != nil {
		return fmt.Errorf("listing revisions of %s: %w", s.identity, err)
	}
	s.newest = revision.Newest(cached.Items)
	if r.numbers.behind(s.identity, s.instance.GetUID(), s.newest, r.Clock.Now()) {
		return errStaleCache
	}
	if s.refused != "" {
		s.newest = revision.Newest(revision.Own(cached.Items, s.instance))
		return nil
	}
	if s.newest != nil && revision.Hash(s.newest) == wanted.Hash() && metav1.IsControlledBy(s.newest, s.instance) {
		return r.prune(ctx, s, cached.Items)
	}
	restated, err := r.restated(ctx, s, wanted, cached.Items)
	if err != nil {
		return err
	}
	if restated != nil {
		if kept, err := r.parentKept(ctx, s); err != nil || kept {
			s.newest = restated
			return err
		}
	}
	s.newest, err = r.store(ctx, s, namespace, wanted, restated, cached.Items)
	return err
}

// overridesOf are those of the Distribution that owns the instance; with any that
// do not fit the kind the scope says so, and there are none.
func (r *Reconciler) overridesOf(s *scope) ([]kronvoyv1alpha1.Override, error) {
	overrides, err := policy.Overrides(s.owner)
	if err == nil {
		_, err = r.overrides.Compile(s.serving.Graph, overrides)
	}
	var invalid *policy.InvalidError
	if errors.As(err, &invalid) {
		s.refused = invalid.Error()
		return nil, nil
	}
	return overrides, err
}

func (r *Reconciler) store(ctx context.Context, s *scope, namespace string, wanted revision.Instance, restated *appsv1.ControllerRevision, existing []appsv1.ControllerRevision) (_ *appsv1.ControllerRevision, err error) {
	span := r.Tracer.Root(trace.Revise, r.Clock.Now())
	defer func() { span.End(r.Clock.Now(), err) }()
	span.Set(trace.Instance, s.identity.String())
	span.Set(trace.Revision, revision.InstanceName(s.identity, wanted.Hash()))
	number := r.numbers.next(s.identity, s.newest)
	i := slices.IndexFunc(existing, func(c appsv1.ControllerRevision) bool { return revision.Hash(&c) == wanted.Hash() })
	if i >= 0 {
		before := existing[i].DeepCopy()
		revision.Renew(&existing[i], number, ownerOf(s.instance))
		revision.Inherit(&existing[i], restated)
		span.Mark(&existing[i])
		if err := r.Client.Patch(ctx, &existing[i], client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
			return nil, fmt.Errorf("renumbering revision %s: %w", existing[i].Name, err)
		}
		r.numbers.given(s.identity, s.instance.GetUID(), number, r.Clock.Now())
		return &existing[i], nil
	}
	stored, err := wanted.Object(namespace, s.identity, number, ownerOf(s.instance))
	if err != nil {
		return nil, err
	}
	revision.Inherit(stored, restated)
	span.Mark(stored)
	if err := r.Client.Create(ctx, stored, client.FieldOwner(kronvoyv1alpha1.FieldManagerHub)); err != nil {
		return nil, fmt.Errorf("storing revision %s of %s: %w", stored.Name, s.identity, err)
	}
	r.numbers.given(s.identity, s.instance.GetUID(), number, r.Clock.Now())
	return stored, nil
}

// numbers are the highest that this process gave to revisions: the cache may
// not show the last one yet. The zero value is ready for use, by many
// goroutines.
type numbers struct {
	mu   sync.Mutex
	last map[work.Identity]given
}

// given is a number, and the instance that got it.
type given struct {
	number   int64
	instance types.UID
	at       time.Time
}

// cacheLag is how long the cache is waited for. One that takes longer costs a
// request that the server refuses.
const cacheLag = 2 * time.Second

// behind says whether the cache, whose newest revision is given, is to be waited
// for: it does not show what was stored for this very instance a moment ago. One
// that never will, since somebody deleted that, is not waited for much longer.
func (n *numbers) behind(of work.Identity, instance types.UID, newest *appsv1.ControllerRevision, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	last := n.last[of]
	return last.instance == instance && now.Sub(last.at) < cacheLag && (newest == nil || newest.Revision < last.number)
}

// next is the number after all others; newest is what the cache shows.
func (n *numbers) next(of work.Identity, newest *appsv1.ControllerRevision) int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	number := n.last[of].number
	if newest != nil {
		number = max(number, newest.Revision)
	}
	return number + 1
}

// given notes a number that was stored.
func (n *numbers) given(of work.Identity, instance types.UID, number int64, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.last == nil {
		n.last = map[work.Identity]given{}
	}
	n.last[of] = given{number, instance, now}
}

// forget drops what is known of an instance that is gone.
func (n *numbers) forget(of work.Identity) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.last, of)
}

// prune keeps the newest revisions, those that a cluster should have or has, and
// that which rollouts go back to.
func (r *Reconciler) prune(ctx context.Context, s *scope, existing []appsv1.ControllerRevision) error {
	if len(existing) <= revision.Limit {
		return nil
	}
	used := map[string]bool{rollout.Good(existing, revision.Newest(existing)): true}
	for i := range s.targets {
		used[s.targets[i].Spec.Revision] = true
		used[s.targets[i].Status.Revision] = true
	}
	slices.SortFunc(existing, func(a, b appsv1.ControllerRevision) int { return cmp.Compare(b.Revision, a.Revision) })
	for i := range existing[revision.Limit:] {
		old := &existing[revision.Limit+i]
		if used[old.Name] {
			continue
		}
		if err := r.Client.Delete(ctx, old); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting revision %s: %w", old.Name, err)
		}
	}
	return nil
}
