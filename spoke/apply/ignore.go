package apply

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/kronvoy/kronvoy/spoke/drift"
)

// Fields are left to others in two ways. Those with the drift policy Ignore and
// OCM's ignoreFields OnSpokeChange are ours until somebody else changes them, and
// theirs as long as they are there; OCM's ignoreFields OnSpokePresent are ours
// only in an object that we create. OCM's own agent applies nothing at all while
// a manifest with ignored fields stays the same, and everything when any of it
// changes; here every other field is kept as the manifest says, and an ignored
// one does not change hands because another did.

// places are where ignoreFields lead in one object.
type places struct {
	object           map[string]any
	present, changed []fieldpath.Path
}

func (i *Item) locate(obj *unstructured.Unstructured) (places, error) {
	found := places{object: obj.Object}
	for _, part := range []struct {
		locators []*drift.Locator
		paths    *[]fieldpath.Path
	}{{i.IgnorePresent, &found.present}, {i.IgnoreChanged, &found.changed}} {
		for _, locator := range part.locators {
			paths, err := locator.Locate(obj.Object)
			if err != nil {
				return found, &ignoreFailure{err}
			}
			*part.paths = append(*part.paths, paths...)
		}
	}
	return found, nil
}

func (p *places) within(locations []fieldpath.Path, path fieldpath.Path) bool {
	return slices.ContainsFunc(locations, func(location fieldpath.Path) bool { return drift.Within(p.object, path, location) })
}

// notOurs gives the fields of a manifest that it ignores and that are not among
// those we own: somebody took them, or they are new.
func notOurs(body *unstructured.Unstructured, owned *fieldpath.Set, locations []fieldpath.Path, ignores func(fieldpath.Path) bool) []fieldpath.Path {
	var paths []fieldpath.Path
	for _, location := range locations {
		if !drift.Covers(owned, body.Object, location) {
			paths = append(paths, location)
		}
	}
	for _, path := range drift.Uncovered(body.Object, owned) {
		if !ownerField(path) && !mark(path) && ignores(path) {
			paths = append(paths, path)
		}
	}
	return paths
}

// keepPresent makes a manifest say of the fields that are ignored in an object
// which exists only what keeps them as they are: those of them that are ours
// are stated with their value, or the server would take them away; those of
// others are not stated at all.
func keepPresent(item *Item, baseline *drift.Baseline, body, obj *unstructured.Unstructured) error {
	if len(item.IgnorePresent) == 0 {
		return nil
	}
	policies, err := item.policies(obj, body)
	if err != nil {
		return err
	}
	var leave []fieldpath.Path
	owned := fieldpath.NewSet()
	if baseline != nil {
		owned = baseline.Owned()
		theirs := fieldpath.NewSet(baseline.Compare(obj)...)
		for _, path := range drift.Leaves(owned) {
			if !policies.inPresent(path) {
				continue
			}
			if theirs.Has(path) {
				leave = append(leave, existing(obj, path))
			} else if value, ok := drift.Lookup(obj.Object, path); ok {
				drift.Replace(body.Object, path, value)
			}
		}
	}
	leave = append(leave, notOurs(body, owned, policies.desired.present, policies.inPresent)...)
	removeAll(body, leave)
	return nil
}

// removeAll takes fields out of a body, from the last to the first: a list that
// loses an element renumbers those behind it.
func removeAll(body *unstructured.Unstructured, paths []fieldpath.Path) {
	var ordered []fieldpath.Path
	fieldpath.NewSet(paths...).Iterate(func(path fieldpath.Path) { ordered = append(ordered, path.Copy()) })
	for _, path := range slices.Backward(ordered) {
		drift.Remove(body.Object, path)
	}
}

// existing shortens the path of a field to that of the list element which is
// gone with it: without the fields that name it an element says nothing.
func existing(obj *unstructured.Unstructured, path fieldpath.Path) fieldpath.Path {
	for n := range path {
		if _, ok := drift.Lookup(obj.Object, path[:n+1]); !ok && path[n].Key != nil {
			return path[:n+1]
		}
	}
	return path
}

// ignoreFailure is an expression for ignored fields that could not be
// evaluated. To apply without it might take what is not ours.
type ignoreFailure struct{ cause error }

// Error says which expression it is.
func (e *ignoreFailure) Error() string { return "ignored fields: " + e.cause.Error() }

// Unwrap gives the cause.
func (e *ignoreFailure) Unwrap() error { return e.cause }
