package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/live"
)

const (
	// scanRetry is how often an incomplete view of a kind is looked at again,
	// besides the event that completes it.
	scanRetry = 10 * time.Second
	// deletingRetry is how often a refused deletion is tried again.
	deletingRetry = 5 * time.Second
	// maxDeleting is how many objects a report lists.
	maxDeleting = 250
)

// prune deletes what is in the inventory and no longer in the work. The gates:
//   - every manifest was read and applied, so the work is known in full, and
//     the work is not suspended; a teardown does not ask, else one bad manifest
//     would keep all objects;
//   - the watches have shown all kinds, so the inventory is known in full;
//   - the object has this inventory as owner, and no other work wants it.
func (r *run) prune(ctx context.Context, changes *ChangeSet) {
	inv := r.st.inventory
	complete := r.a.scan(inv, r.now)
	wanted := map[live.Key]bool{}
	for _, item := range r.w.Items {
		if !item.ReadOnly() {
			wanted[versionless(item.Key)] = true
		}
	}
	for key := range r.st.leaving {
		if wanted[versionless(key)] {
			r.comeBack(key)
		}
	}
	leavers := 0
	for _, key := range sortedKeys(inv.objects) {
		if wanted[versionless(key)] {
			continue
		}
		leavers++
		if complete && (changes.applied() && !r.w.Suspended || r.w.Teardown) {
			r.leave(ctx, key, changes)
			continue
		}
		// It is still there: the hub must not take it for gone.
		why := "kept until everything else in the work is applied"
		switch {
		case !complete:
			why = r.a.unseen(inv)
		case r.w.Suspended:
			why = "kept while reconciliation is suspended"
		}
		r.stay(key, why)
	}
	if leavers > 0 {
		r.st.shrunkAt = r.w.Generation
		if !complete {
			changes.retry(scanRetry)
		}
	}
	r.listDeleting(changes)
}

// stay notes that an object has to wait with its deletion.
func (r *run) stay(key live.Key, why string) {
	state, known := r.st.leaving[key]
	if !known {
		state.since = r.now
	}
	state.message = why
	r.st.leaving[key] = state
}

// comeBack handles an object that is wanted again while it goes: that it will
// be missing is our own doing, and no finding.
func (r *run) comeBack(key live.Key) {
	asked := r.st.leaving[key].asked
	delete(r.st.leaving, key)
	if !asked {
		return
	}
	r.st.inventory.drop(key, r.now)
	if st := r.st.objects[key]; st != nil {
		st.existed = false
	}
}

// leave takes one step to get an object out of the inventory. One that takes
// long, as behind a webhook that does not answer, gets more time with every try,
// and everything else gets most of it in between; see attempt.
func (r *run) leave(ctx context.Context, key live.Key, changes *ChangeSet) {
	known := r.st.leaving[key]
	if wait := known.retryAt.Sub(r.now); wait > 0 {
		changes.retry(wait)
		return
	}
	bounded, cancel := context.WithTimeout(ctx, backoff(firstPatience, known.failures, maxPatience))
	defer cancel()
	began := r.a.clock.Now()
	gone, state, err := r.remove(bounded, key)
	if gone && err == nil {
		r.st.inventory.drop(key, r.now)
		delete(r.st.leaving, key)
		return
	}
	if !known.since.IsZero() {
		state.since = known.since
	}
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%s: %w", noAnswer, err)
		}
		now := r.a.clock.Now()
		state.failures, state.retryAt = known.failures+1, now.Add(restFactor*now.Sub(began))
		state.message = truncate(err.Error(), maxMessage)
		changes.retry(max(deletingRetry, state.retryAt.Sub(r.now)))
		r.log.Info("Deletion failed", "manifest", key.String(), "reason", state.message)
	}
	r.st.leaving[key] = state
}

// remove deletes an object, or lets go of it where it is not only ours. It says
// whether the inventory is done with it.
func (r *run) remove(ctx context.Context, key live.Key) (gone bool, state leaving, err error) {
	state = leaving{since: r.now}
	obj, err := r.a.live.Read(ctx, key)
	switch {
	case err != nil && !r.a.served(key.Resource):
		return true, state, nil // the kind is gone, and its objects with it
	case err != nil:
		return false, state, err
	case obj == nil:
		return true, state, nil
	}
	state.kind = obj.GetKind()
	elsewhere, err := r.a.elsewhere(ctx, r.w.Name, key)
	if err != nil {
		return false, state, err
	}
	switch {
	case !owns(obj, r.owner.UID):
		return true, state, nil // never ours, orphaned, or moved to another work
	case held(obj):
		state.message = "kept " + releaseHold
		return false, state, nil
	case elsewhere || r.ownedByOthers(obj):
		return true, state, r.release(ctx, key, obj)
	case orphaned(r.w.Delete, key) || r.stays(key):
		return true, state, r.release(ctx, key, obj)
	case !obj.GetDeletionTimestamp().IsZero():
		state.asked, state.message = true, waitsFor(obj)
		return false, state, nil
	}
	uid, policy := obj.GetUID(), propagation(r.w.Delete)
	err = r.client.Resource(key.Resource).Namespace(key.Namespace).Delete(ctx, key.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &uid}, PropagationPolicy: &policy,
	})
	if apierrors.IsNotFound(err) {
		return true, state, nil
	}
	if err != nil {
		return false, state, fmt.Errorf("deleting %s: %w", key, err)
	}
	state.asked = true
	r.log.Info("Deleted", "manifest", key.String(), "reason", "LeftWork")
	// Most objects are gone at once: to see it saves a report.
	obj, err = r.a.live.Read(ctx, key)
	if err != nil || obj == nil || obj.GetUID() != uid {
		return err == nil, state, err
	}
	state.message = waitsFor(obj)
	return false, state, nil
}

// stays says whether the work still names the object, as one that it only looks
// at or is to leave behind: then it is let go of, not deleted. It may have become
// so with the deletion, before it was applied.
func (r *run) stays(key live.Key) bool {
	return slices.ContainsFunc(r.w.Items, func(item *Item) bool {
		return (item.ReadOnly() || item.Orphan) && versionless(item.Key) == versionless(key)
	})
}

// ownedByOthers says whether the inventory of another work owns the object too.
func (r *run) ownedByOthers(obj *unstructured.Unstructured) bool {
	for _, owner := range obj.GetOwnerReferences() {
		if owner.Kind == r.owner.Kind && owner.APIVersion == r.owner.APIVersion && owner.UID != r.owner.UID {
			return true
		}
	}
	return false
}

// release takes this work out of an object's owners and leaves the object. The
// resource version makes sure that no owner who just joined is lost.
func (r *run) release(ctx context.Context, key live.Key, obj *unstructured.Unstructured) error {
	keep := []metav1.OwnerReference{}
	for _, owner := range obj.GetOwnerReferences() {
		if owner.UID != r.owner.UID {
			keep = append(keep, owner)
		}
	}
	patch, err := mergePatch(map[string]any{"metadata": map[string]any{
		"resourceVersion": obj.GetResourceVersion(), "ownerReferences": keep,
	}})
	if err != nil {
		return err
	}
	data, err := patch.Data(nil)
	if err != nil {
		return err
	}
	_, err = r.client.Resource(key.Resource).Namespace(key.Namespace).
		Patch(ctx, key.Name, types.MergePatchType, data, metav1.PatchOptions{FieldManager: defaultManager})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("releasing %s: %w", key, err)
	}
	r.log.Info("Released", "manifest", key.String(), "reason", "LeftWork")
	return nil
}

// listDeleting reports what is on its way out.
func (r *run) listDeleting(changes *ChangeSet) {
	for _, key := range sortedKeys(r.st.leaving) {
		if len(changes.Deleting) == maxDeleting {
			return
		}
		state := r.st.leaving[key]
		since := stamp(state.since)
		changes.Deleting = append(changes.Deleting, kronvoyv1alpha1.DeletingObject{
			ObjectReference: reference(key, state.kind), Since: &since, Message: state.message,
		})
	}
}

// waitsFor says what keeps an object that is being deleted.
func waitsFor(obj *unstructured.Unstructured) string {
	finalizers := obj.GetFinalizers()
	if len(finalizers) == 0 {
		return ""
	}
	return truncate(fmt.Sprintf("waiting for finalizers %v", finalizers), maxMessage)
}
