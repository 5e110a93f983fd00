package apply

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/drift"
)

// adopt meets an object for the first time in this process: one of ours from
// before a restart, or somebody else's.
func (r *run) adopt(ctx context.Context, item *Item, st *objectState) Outcome {
	full, err := r.read(ctx, item)
	switch {
	case err != nil:
		return r.failed(item, st, nil, err)
	case full == nil:
		return r.create(ctx, item, st)
	}
	stopped := item.Suspended || held(full)
	if !stopped {
		if full, err = r.inherit(ctx, item, full); err != nil {
			return r.failed(item, st, nil, err)
		}
	}
	light := r.a.live.Put(item.Key, full)
	captured, err := drift.Capture(full, item.Manager)
	if err != nil {
		return r.failed(item, st, light, err)
	}
	body, err := r.body(item, captured, full)
	if err != nil {
		return r.failed(item, st, light, err)
	}
	ours := r.ours(item, full, captured)
	if stopped && (!ours || captured == nil) {
		st.foreign = true
		if held(full) {
			r.show(item, st, body, full, drift.OwnersOf(full, item.Manager), differences{report: []fieldpath.Path{holdPath}})
		}
		return r.withheld(item, light)
	}
	if !ours {
		return r.takeOver(ctx, item, st, body, full)
	}
	st.uid, st.existed = full.GetUID(), true
	if r.completes(item, st, full) {
		return r.finished(item, st, light)
	}
	if captured == nil {
		// Ours by inventory, owner or instance, but not through this manager:
		// the object was applied by another tool or release of ours.
		return r.replaceManager(ctx, item, st, body, light)
	}
	if hashOf(full) != item.Hash || !r.ownerAsWanted(item, full) {
		st.baseline = captured
		return r.update(ctx, item, st, full)
	}
	return r.resume(ctx, item, st, body, full, captured)
}

// resume goes on where an earlier process stopped: the object carries this
// manifest. What our manager lost since is drift.
func (r *run) resume(
	ctx context.Context, item *Item, st *objectState, body, full *unstructured.Unstructured, captured *drift.Baseline,
) Outcome {
	st.applied, st.failure, st.foreign = fingerprint(item, r.owner.UID), nil, false
	r.st.inventory.note(item.Key, full.GetUID(), r.now)
	// Our manager lost these, or was never given them.
	owners := drift.OwnersOf(full, item.Manager)
	var left []fieldpath.Path
	for _, path := range drift.Uncovered(body.Object, captured.Owned()) {
		if !ownerField(path) {
			left = append(left, owners.Parts(body.Object, path)...)
		}
	}
	if err := captured.Want(body, left); err != nil {
		return r.failed(item, st, full, err)
	}
	st.baseline = captured
	r.st.version++
	r.mutated(item, st, body, full)
	return r.drifted(ctx, item, st, full)
}

// replaceManager brings an object that is ours under the manifest's manager.
func (r *run) replaceManager(ctx context.Context, item *Item, st *objectState, body, light *unstructured.Unstructured) Outcome {
	answer, err := r.ssa(ctx, item, body, true, false)
	if err != nil {
		return r.failed(item, st, light, err)
	}
	return r.applied(item, st, body, nil, answer, ActionConfigured)
}

// takeOver decides about an object that exists and is not ours.
func (r *run) takeOver(ctx context.Context, item *Item, st *objectState, body, full *unstructured.Unstructured) Outcome {
	st.foreign = true
	light := r.a.live.Put(item.Key, full)
	if item.Adopt == AdoptIfNoDiff || item.Adopt == AdoptNever {
		differences, err := r.differences(ctx, item, body, full)
		if err != nil && item.Adopt != AdoptNever {
			return r.failed(item, st, light, err)
		}
		if item.Adopt == AdoptNever || len(differences) > 0 {
			return r.failed(item, st, light, &refusal{item: item, policy: item.Adopt, differences: differences})
		}
	}
	answer, err := r.ssa(ctx, item, body, item.Adopt == AdoptAlways, false)
	if conflicts := conflictsOf(err); conflicts != nil && vacant(conflicts, full, item.Manager) {
		body.SetResourceVersion(full.GetResourceVersion()) // as long as it is so
		answer, err = r.ssa(ctx, item, body, true, false)
	}
	if err != nil {
		return r.failed(item, st, light, err)
	}
	return r.applied(item, st, body, nil, answer, ActionConfigured)
}

// vacant says whether the fields that others own hold nothing, as labels: {}.
func vacant(conflicts []fieldConflict, obj *unstructured.Unstructured, manager string) bool {
	owners := drift.OwnersOf(obj, manager)
	return !slices.ContainsFunc(conflicts, func(conflict fieldConflict) bool {
		path, known := owners.Find(conflict.Field)
		return !known || !drift.Vacant(obj, path)
	})
}

// differences asks the server what an apply would change, so that defaults and
// admission are counted as they would come out; our own marks do not count.
func (r *run) differences(ctx context.Context, item *Item, body, full *unstructured.Unstructured) ([]kronvoyv1alpha1.FindingDetail, error) {
	answer, err := r.ssa(ctx, item, body, true, true)
	if err != nil {
		return nil, fmt.Errorf("comparing with what is there: %w", err)
	}
	would, err := drift.Capture(answer, item.Manager)
	if err != nil || would == nil {
		return nil, err
	}
	var paths []fieldpath.Path
	// The label that says who manages the object is a mark where nobody says so.
	_, managed := full.GetLabels()[labelManagedBy]
	for _, path := range drift.Leaves(would.Owned()) {
		if !mark(path) && (managed || !path.Equals(managedByPath)) {
			paths = append(paths, path)
		}
	}
	return drift.Differences(answer, full, paths, drift.OwnersOf(full, item.Manager)), nil
}

var managedByPath = fieldpath.MakePathOrDie("metadata", "labels", labelManagedBy)

// mark says whether a field is only there to mark the object as ours.
func mark(path fieldpath.Path) bool {
	if len(path) < 2 || path[0].FieldName == nil || *path[0].FieldName != "metadata" || path[1].FieldName == nil {
		return false
	}
	switch *path[1].FieldName {
	case "ownerReferences":
		return true
	case "labels", "annotations":
		return len(path) > 2 && path[2].FieldName != nil &&
			(strings.HasPrefix(*path[2].FieldName, "kronvoy.io/") || strings.HasPrefix(*path[2].FieldName, "kro.run/"))
	}
	return false
}

// refusal is a takeover that the policy forbids.
type refusal struct {
	item        *Item
	policy      Adoption
	differences []kronvoyv1alpha1.FindingDetail
}

// Error says what is there instead.
func (e *refusal) Error() string {
	text := fmt.Sprintf("the object exists and is not ours, takeover policy %s", e.policy)
	if len(e.differences) > 0 {
		text += ": " + describe(e.differences)
	}
	return text
}

// ours says whether an object belongs to this work already: by the manager that
// applied it, by its owner, by the inventory, or by kro's mark of the same
// instance.
func (r *run) ours(item *Item, obj *unstructured.Unstructured, captured *drift.Baseline) bool {
	if _, listed := r.st.inventory.objects[item.Key]; listed || captured != nil || owns(obj, r.owner.UID) {
		return true
	}
	return item.InstanceID != "" && obj.GetLabels()[labelInstanceID] == item.InstanceID
}

// ownerAsWanted says whether the object is owned by this work's inventory, or
// not, as its deletion policy wants.
func (r *run) ownerAsWanted(item *Item, obj *unstructured.Unstructured) bool {
	return owns(obj, r.owner.UID) != item.Orphan
}
