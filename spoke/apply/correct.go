package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"reflect"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/drift"
)

// lookDelay is how long the same fields are not looked at again: of one that
// changes all the time a report once a second says enough.
const lookDelay = time.Second

// compare looks at an object that changed since it last equalled its baseline.
func (r *run) compare(ctx context.Context, item *Item, st *objectState, obj *unstructured.Unstructured) Outcome {
	paths, policies, err := r.observedDrift(item, st, obj)
	if err != nil {
		return r.failed(item, st, obj, err)
	}
	if len(paths) == 0 {
		st.equalAt = obj.GetResourceVersion()
		st.settled()
		return r.complete(item, obj, ActionUnchanged)
	}
	if st.seen == policies.signature(obj, paths) {
		return r.complete(item, obj, ActionUnchanged)
	}
	if wait := st.lookAfter.Sub(r.now); wait > 0 && st.fields == policies.fields(paths) {
		return r.postponed(item, st, obj, wait)
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
	return r.drifted(ctx, item, st, full)
}

// observedDrift gives the fields that are not as they were applied, without those
// that nobody looks at, and the policies for them.
func (r *run) observedDrift(item *Item, st *objectState, obj *unstructured.Unstructured) ([]fieldpath.Path, *policies, error) {
	paths := st.baseline.Compare(obj)
	var desired *unstructured.Unstructured
	if len(st.baseline.Left) > 0 {
		var err error
		if desired, err = item.content(); err != nil {
			return nil, nil, err
		}
		paths = append(paths, st.baseline.Taken(desired, obj)...)
	}
	if held(obj) {
		paths = append([]fieldpath.Path{holdPath}, paths...)
	}
	if len(paths) == 0 {
		return nil, nil, nil
	}
	policies, err := item.policies(obj, desired)
	if err != nil {
		return nil, nil, err
	}
	return slices.DeleteFunc(paths, func(path fieldpath.Path) bool {
		return policies.of(path) == kronvoyv1alpha1.DriftIgnore || r.otherOwner(path)
	}), policies, nil
}

// differences are the fields that are not as they were applied, by what is done
// about them.
type differences struct {
	// correct are put right, report stay as they are by policy; scaled belong to
	// an autoscaler: to correct them would be a fight.
	correct, report, scaled []fieldpath.Path
}

func (p *policies) sort(paths []fieldpath.Path, owners drift.Owners) differences {
	var d differences
	for _, path := range paths {
		switch {
		case p.of(path) == kronvoyv1alpha1.DriftReport:
			d.report = append(d.report, path)
		case owners.Of(path).Autoscaler() && !p.asks(path):
			d.scaled = append(d.scaled, path)
		default:
			d.correct = append(d.correct, path)
		}
	}
	return d
}

// drifted acts on fields that are not as they were applied; full carries managed
// fields.
func (r *run) drifted(ctx context.Context, item *Item, st *objectState, full *unstructured.Unstructured) Outcome {
	light := r.a.live.Put(item.Key, full)
	paths, policies, err := r.observedDrift(item, st, full)
	if err != nil {
		return r.failed(item, st, light, err)
	}
	if len(paths) == 0 {
		st.equalAt = full.GetResourceVersion()
		st.settled()
		return r.complete(item, light, ActionUnchanged)
	}
	body, err := r.body(item, st.baseline, full)
	if err != nil {
		return r.failed(item, st, light, err)
	}
	owners := drift.OwnersOf(full, item.Manager)
	d := policies.sort(paths, owners)
	if len(d.correct) == 0 {
		r.show(item, st, body, full, owners, d)
		st.saw(policies, full, paths, r.now.Add(lookDelay))
		return r.complete(item, light, ActionUnchanged)
	}
	details := drift.Details(body, full, d.correct, owners)
	if wait := st.fight.wait(r.now); wait > 0 && !slices.ContainsFunc(d.correct, policies.asks) {
		details = append(details, drift.Details(body, full, d.report, owners)...)
		st.saw(policies, nil, paths, r.now.Add(wait))
		return r.contest(item, st, light, details, wait)
	}
	leave := leftToOthers(st.baseline, body, full, policies, false)
	for _, path := range slices.Concat(d.report, d.scaled) {
		leave = append(leave, existing(full, path))
	}
	answer, err := r.ssa(ctx, item, without(body, leave), true, false)
	if err != nil {
		return r.failed(item, st, light, err)
	}
	was := st.open()
	outcome := r.applied(item, st, body, leave, answer, ActionCorrected)
	if len(details) > 0 && !unchangedBy(answer, full, d.correct) {
		r.corrected(item, st, details, false, was)
	}
	return outcome
}

// remains judges an object that was just applied: what is left to others may
// differ all the same.
func (r *run) remains(item *Item, st *objectState, body, answer *unstructured.Unstructured) error {
	if st.baseline == nil {
		st.settled()
		return nil
	}
	paths, policies, err := r.observedDrift(item, st, answer)
	if err != nil {
		return err
	}
	if len(paths) == 0 {
		st.settled()
		return nil
	}
	owners := drift.OwnersOf(answer, item.Manager)
	r.show(item, st, body, answer, owners, policies.sort(paths, owners))
	st.equalAt = ""
	st.saw(policies, answer, paths, r.now)
	return nil
}

// saw remembers a difference, so that it is looked at again only when there is
// something new. Without the object it is looked at again in any case.
func (st *objectState) saw(policies *policies, obj *unstructured.Unstructured, paths []fieldpath.Path, lookAfter time.Time) {
	st.seen, st.fields, st.lookAfter = "", policies.fields(paths), lookAfter
	if obj != nil {
		st.seen = policies.signature(obj, paths)
	}
}

// unchangedBy says whether a correction had no effect, because the cluster's
// admission put the same values back: that is its say, not drift.
func unchangedBy(answer, before *unstructured.Unstructured, paths []fieldpath.Path) bool {
	for _, path := range paths {
		if !sameAt(answer, before, path) {
			return false
		}
	}
	return true
}

// leftToOthers gives the fields that policy leaves as others set them. Stating
// them in an apply would take them back. One that others took away comes back
// with a manifest that changes it. What a manifest names and we never had is
// left only where it is there, or where the manifest did not change.
func leftToOthers(baseline *drift.Baseline, body, obj *unstructured.Unstructured, policies *policies, changed bool) []fieldpath.Path {
	if baseline == nil {
		return nil
	}
	var leave []fieldpath.Path
	for _, path := range slices.Concat(baseline.Compare(obj), baseline.Taken(body, obj)) {
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

// signature tells one set of differences from another, fields one set of fields.
func (p *policies) signature(obj *unstructured.Unstructured, paths []fieldpath.Path) string {
	h := fnv.New64a()
	for _, path := range paths {
		value, exists := drift.Lookup(obj.Object, path)
		text, err := json.Marshal(value)
		if err != nil { // JSON content always marshals
			continue
		}
		fmt.Fprintf(h, "%s=%t:%s\n", path, exists, text)
	}
	return fmt.Sprintf("%s:%x", p.fields(paths), h.Sum64())
}

func (p *policies) fields(paths []fieldpath.Path) string {
	h := fnv.New64a()
	for _, path := range paths {
		fmt.Fprintf(h, "%s:%s\n", path, p.of(path))
	}
	return fmt.Sprintf("%x", h.Sum64())
}
