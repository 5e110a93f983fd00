package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/drift"
)

// compare looks at an object that changed since it last equalled its baseline.
func (r *run) compare(ctx context.Context, item *Item, st *objectState, obj *unstructured.Unstructured) Outcome {
	paths, policies, err := r.observedDrift(item, st, obj)
	if err != nil {
		return r.failed(item, st, obj, err)
	}
	if len(paths) == 0 {
		st.equalAt = obj.GetResourceVersion()
		r.settled(st)
		return r.complete(item, obj, ActionUnchanged)
	}
	if st.seen == policies.signature(obj, paths) {
		return r.complete(item, obj, ActionUnchanged)
	}
	full, err := r.read(ctx, item)
	switch {
	case err != nil:
		return r.failed(item, st, obj, err)
	case full == nil:
		return r.create(ctx, item, st)
	case full.GetUID() != st.uid || !full.GetDeletionTimestamp().IsZero():
		// It was replaced or is going, as the next event will tell.
		return r.complete(item, obj, ActionUnchanged)
	case r.completes(item, st, full):
		return r.finished(item, st, r.a.live.Put(item.Key, full))
	}
	if paths, policies, err = r.observedDrift(item, st, full); err != nil {
		return r.failed(item, st, obj, err)
	}
	return r.drifted(ctx, item, st, full, paths, policies)
}

// observedDrift gives the fields that left the baseline, without those that
// nobody looks at, and the policies for them.
func (r *run) observedDrift(item *Item, st *objectState, obj *unstructured.Unstructured) ([]fieldpath.Path, *policies, error) {
	paths := st.baseline.Compare(obj)
	if len(paths) == 0 {
		return nil, nil, nil
	}
	policies, err := item.policies(obj, nil)
	if err != nil {
		return nil, nil, err
	}
	return slices.DeleteFunc(paths, func(path fieldpath.Path) bool {
		return policies.of(path) == kronvoyv1alpha1.DriftIgnore || r.otherOwner(path)
	}), policies, nil
}

// drifted acts on fields that left their baseline; full carries managed fields.
// Fields that an autoscaler set are a conflict, not a fight: they stay.
func (r *run) drifted(
	ctx context.Context, item *Item, st *objectState, full *unstructured.Unstructured, paths []fieldpath.Path, policies *policies,
) Outcome {
	light := r.a.live.Put(item.Key, full)
	body, err := r.body(item, st.baseline, full)
	if err != nil {
		return r.failed(item, st, light, err)
	}
	owners := drift.OwnersOf(full, item.Manager)
	var leave, reported, correct []fieldpath.Path
	for _, path := range paths {
		switch {
		case policies.of(path) == kronvoyv1alpha1.DriftReport:
			reported = append(reported, path)
		case owners.Of(path).Autoscaler():
			leave = append(leave, path)
		default:
			correct = append(correct, path)
		}
	}
	if len(correct) == 0 {
		if len(reported) > 0 {
			r.note(item, st, kronvoyv1alpha1.FindingReported, drift.Details(body, full, reported, owners), false)
		} else {
			r.note(item, st, kronvoyv1alpha1.FindingConflict, drift.Details(body, full, leave, owners), false)
		}
		st.seen = policies.signature(full, paths)
		return r.complete(item, light, ActionUnchanged)
	}
	details := drift.Details(body, full, correct, owners)
	if wait := st.fight.wait(r.now); wait > 0 {
		r.note(item, st, kronvoyv1alpha1.FindingReported, details, false)
		return r.postponed(item, light, wait)
	}
	leave = append(leave, leftToOthers(st.baseline, body, full, policies, false)...)
	answer, err := r.ssa(ctx, item, without(body, leave), true, false)
	if err != nil {
		return r.failed(item, st, light, err)
	}
	outcome := r.applied(item, st, without(body, leave), answer, ActionCorrected)
	if len(details) > 0 && !r.unchangedBy(answer, full, correct) {
		r.corrected(item, st, details, false)
	}
	return outcome
}

// unchangedBy says whether a correction had no effect, because the cluster's
// admission put the same values back: that is its say, not drift.
func (r *run) unchangedBy(answer, before *unstructured.Unstructured, paths []fieldpath.Path) bool {
	for _, path := range paths {
		if !sameAt(answer, before, path) {
			return false
		}
	}
	return true
}

// leftToOthers gives the fields that policy leaves as others set them. Stating
// them in an apply would take them back. A field that others took away comes
// back with a manifest that changes it; once it is out of the baseline nothing
// says what the manifest wanted of it before, so then with any that changed.
func leftToOthers(baseline *drift.Baseline, body, obj *unstructured.Unstructured, policies *policies, changed bool) []fieldpath.Path {
	if baseline == nil {
		return nil
	}
	var leave []fieldpath.Path
	for _, path := range baseline.Compare(obj) {
		want, exists := drift.Lookup(body.Object, path)
		if !exists {
			continue
		}
		unchanged := baseline.Holds(path, want, exists)
		_, there := drift.Lookup(obj.Object, path)
		if unchanged && policies.of(path) != kronvoyv1alpha1.DriftCorrect || policies.gives(path) && there {
			leave = append(leave, existing(obj, path))
		}
	}
	for _, path := range notOurs(body, baseline.Owned(), policies.desired.changed, policies.gives) {
		if _, there := drift.Lookup(obj.Object, path); there || !changed {
			leave = append(leave, path)
		}
	}
	return leave
}

// sameAt says whether two states of an object have the same at a path.
func sameAt(a, b *unstructured.Unstructured, path fieldpath.Path) bool {
	inA, existsA := drift.Lookup(a.Object, path)
	inB, existsB := drift.Lookup(b.Object, path)
	return existsA == existsB && reflect.DeepEqual(inA, inB)
}

// signature tells one set of differences from another.
func (p *policies) signature(obj *unstructured.Unstructured, paths []fieldpath.Path) string {
	h := fnv.New64a()
	for _, path := range paths {
		value, exists := drift.Lookup(obj.Object, path)
		text, err := json.Marshal(value)
		if err != nil { // JSON content always marshals
			continue
		}
		fmt.Fprintf(h, "%s=%t:%s:%s\n", path, exists, p.of(path), text)
	}
	return fmt.Sprintf("%x", h.Sum64())
}
