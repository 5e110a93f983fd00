package instance

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/hub/rollout"
)

// restated is the instance's newest revision if that is one of another release of
// Kronvoy and holds what is wanted: nobody has changed anything but Kronvoy. It is
// nil otherwise.
func (r *Reconciler) restated(ctx context.Context, s *scope, wanted revision.Instance, existing []appsv1.ControllerRevision) (*appsv1.ControllerRevision, error) {
	newest := revision.Newest(revision.Own(existing, s.instance))
	if newest == nil || revision.OfThisRelease(newest) {
		return nil, nil
	}
	before, err := revision.ParseInstance(newest)
	if err != nil {
		return nil, err
	}
	if !wanted.Restates(before) {
		return nil, nil
	}
	var definitions [2]revision.Definition
	for i, name := range []string{before.Definition, wanted.Definition} {
		stored := &appsv1.ControllerRevision{}
		if err := r.Reader.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: name}, stored); err != nil {
			return nil, client.IgnoreNotFound(err)
		}
		if definitions[i], err = revision.ParseDefinition(stored); err != nil {
			return nil, err
		}
	}
	if !definitions[1].Restates(definitions[0]) {
		return nil, nil
	}
	return newest, nil
}

// parentKept is true for an instance that the hub made for a Target which still has
// what another release of Kronvoy rendered: what is a part of that moves with it.
func (r *Reconciler) parentKept(ctx context.Context, s *scope) (bool, error) {
	parent, err := rollout.Parent(ctx, r.Client, s.identity)
	if err != nil || parent == nil || parent.DeletionTimestamp != nil {
		return false, err
	}
	stored := &appsv1.ControllerRevision{}
	key := client.ObjectKey{Namespace: parent.Spec.Instance.Namespace, Name: parent.Spec.Revision}
	if key.Namespace == "" {
		key.Namespace = r.Namespace
	}
	err = r.Client.Get(ctx, key, stored)
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("reading revision %s: %w", key, err)
	}
	return err == nil && !revision.OfThisRelease(stored), nil
}
