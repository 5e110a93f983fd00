package instance

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/index"
	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/hub/rollout"
)

// ensureRevision stores the instance's spec with the definition it is for, and
// leaves the newest revision in the scope. A state that was there before
// becomes the newest again.
func (r *Reconciler) ensureRevision(ctx context.Context, s *scope) error {
	spec, _ := s.instance.Object["spec"].(map[string]any)
	wanted := revision.Instance{Definition: s.serving.Revision, DefinitionHash: s.serving.Graph.Hash(), Spec: spec}
	namespace := rollout.RevisionNamespace(s.instance, r.Namespace)
	var cached appsv1.ControllerRevisionList
	err := r.Client.List(ctx, &cached, client.InNamespace(namespace), client.MatchingFields{index.Instance: s.identity.Hash()})
	if err != nil {
		return fmt.Errorf("listing revisions of %s: %w", s.identity, err)
	}
	s.newest = revision.Newest(cached.Items)
	if s.newest != nil && revision.Hash(s.newest) == wanted.Hash() {
		return r.prune(ctx, s, cached.Items)
	}
	if s.fresh && len(cached.Items) == 0 {
		s.newest, err = r.store(ctx, s, namespace, wanted, nil)
		return err
	}
	// A new one must be numbered after all others: the cache may lag.
	var live appsv1.ControllerRevisionList
	err = r.Reader.List(ctx, &live, client.InNamespace(namespace), client.MatchingLabels{kronvoyv1alpha1.LabelInstance: s.identity.Hash()})
	if err != nil {
		return fmt.Errorf("listing revisions of %s: %w", s.identity, err)
	}
	s.newest, err = r.store(ctx, s, namespace, wanted, live.Items)
	return err
}

func (r *Reconciler) store(ctx context.Context, s *scope, namespace string, wanted revision.Instance, existing []appsv1.ControllerRevision) (*appsv1.ControllerRevision, error) {
	newest := revision.Newest(existing)
	if newest != nil && revision.Hash(newest) == wanted.Hash() {
		return newest, nil
	}
	number := int64(1)
	if newest != nil {
		number = newest.Revision + 1
	}
	i := slices.IndexFunc(existing, func(c appsv1.ControllerRevision) bool { return revision.Hash(&c) == wanted.Hash() })
	if i >= 0 {
		before := existing[i].DeepCopy()
		existing[i].Revision = number
		if err := r.Client.Patch(ctx, &existing[i], client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
			return nil, fmt.Errorf("renumbering revision %s: %w", existing[i].Name, err)
		}
		return &existing[i], nil
	}
	stored, err := wanted.Object(namespace, s.identity, number, ownerOf(s.instance))
	if err != nil {
		return nil, err
	}
	err = r.Client.Create(ctx, stored, client.FieldOwner(kronvoyv1alpha1.FieldManagerHub))
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, fmt.Errorf("storing revision %s of %s: %w", stored.Name, s.identity, err)
	}
	return stored, nil
}

// prune keeps the newest revisions and those that a cluster should have or
// has.
func (r *Reconciler) prune(ctx context.Context, s *scope, existing []appsv1.ControllerRevision) error {
	if len(existing) <= revision.Limit {
		return nil
	}
	used := map[string]bool{}
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
