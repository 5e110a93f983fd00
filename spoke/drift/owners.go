package drift

import (
	"maps"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// autoscalers are the field managers that change replicas through the scale
// subresource by design: to correct them would be a fight that nobody wins.
var autoscalers = map[string]bool{
	"kube-controller-manager":   true,
	"horizontal-pod-autoscaler": true,
	"keda-operator":             true,
	"vpa-updater":               true,
}

// Owner is a field manager as managedFields name it.
type Owner struct {
	Manager     string
	Subresource string
}

// String is manager, or manager (subresource).
func (o Owner) String() string {
	if o.Subresource == "" {
		return o.Manager
	}
	return o.Manager + " (" + o.Subresource + ")"
}

// Autoscaler says whether the owner is one that sets replicas through scale.
func (o Owner) Autoscaler() bool { return o.Subresource == "scale" && autoscalers[o.Manager] }

// Owners answers who owns the fields of one object besides ourselves.
type Owners struct {
	entries []ownerEntry
	last    Owner
}

type ownerEntry struct {
	owner Owner
	time  *metav1.Time
	set   *fieldpath.Set
}

// OwnersOf reads the managed fields of an object, without those of the named
// manager's applies.
func OwnersOf(obj *unstructured.Unstructured, except string) Owners {
	var owners Owners
	var latest *metav1.Time
	for _, entry := range obj.GetManagedFields() {
		if entry.FieldsV1 == nil {
			continue
		}
		if entry.Manager == except && entry.Operation == metav1.ManagedFieldsOperationApply {
			continue
		}
		set, err := parseSet(entry.FieldsV1.GetRawBytes())
		if err != nil { // an unreadable entry says nothing about anybody
			continue
		}
		owner := Owner{Manager: entry.Manager, Subresource: entry.Subresource}
		owners.entries = append(owners.entries, ownerEntry{owner: owner, time: entry.Time, set: set})
		if entry.Subresource != "status" && entry.Time != nil && (latest == nil || latest.Before(entry.Time)) {
			latest, owners.last = entry.Time, owner
		}
	}
	return owners
}

// Of gives the manager of a field, or of the whole it is part of; for a field
// that is gone the last to write the object, for want of a better witness.
func (o Owners) Of(path fieldpath.Path) Owner {
	if entry := o.entryOf(path); entry != nil {
		return entry.owner
	}
	return o.last
}

// Since gives when the manager of a field last changed what it has of the object,
// by the API server's clock; nil when nobody has the field.
func (o Owners) Since(path fieldpath.Path) *metav1.Time {
	if entry := o.entryOf(path); entry != nil {
		return entry.time
	}
	return nil
}

func (o Owners) entryOf(path fieldpath.Path) *ownerEntry {
	for length := len(path); length > 0; length-- {
		for n := range o.entries {
			set := o.entries[n].set
			if set.Has(path[:length]) && (length == len(path) || leafAt(set, path[:length])) {
				return &o.entries[n]
			}
		}
	}
	return nil
}

// Find gives the path of a field as conflict messages write it.
func (o Owners) Find(text string) (found fieldpath.Path, ok bool) {
	for _, entry := range o.entries {
		entry.set.Iterate(func(path fieldpath.Path) {
			if !ok && path.String() == text {
				found, ok = path.Copy(), true
			}
		})
	}
	return found, ok
}

// Parts gives the fields of a manifest at and below a path, as far down as others
// own them apart. What they own as a whole, or not at all, is one.
func (o Owners) Parts(manifest map[string]any, path fieldpath.Path) []fieldpath.Path {
	all := fieldpath.NewSet()
	for _, entry := range o.entries {
		all = all.Union(entry.set)
	}
	var current any = manifest
	for _, element := range path {
		below, ok := all.Children.Get(element)
		if !ok {
			return []fieldpath.Path{path}
		}
		all = below
		current, _ = step(current, element)
	}
	return parts(current, all, path)
}

func parts(v any, set *fieldpath.Set, prefix fieldpath.Path) []fieldpath.Path {
	var paths []fieldpath.Path
	add := func(v any, element fieldpath.PathElement) {
		path := append(prefix.Copy(), element)
		if below, ok := set.Children.Get(element); ok {
			paths = append(paths, parts(v, below, path)...)
		} else {
			paths = append(paths, path)
		}
	}
	switch typed := v.(type) {
	case map[string]any:
		for _, key := range sortedKeys(typed) {
			add(typed[key], fieldpath.FieldNameElement(key))
		}
	case []any:
		for i, item := range typed {
			add(item, elementFor(set, typed, i))
		}
	}
	if len(paths) == 0 {
		return []fieldpath.Path{prefix}
	}
	return paths
}

// leafAt says whether a set owns a path as a whole, not through its parts.
func leafAt(set *fieldpath.Set, path fieldpath.Path) bool {
	for _, element := range path {
		next, ok := set.Children.Get(element)
		if !ok {
			return true
		}
		set = next
	}
	return false
}

// Uncovered gives the fields of a manifest that a set does not own, besides
// those that name the object or its state and have no owner: what was taken from
// us, or is new. A path into a list has the set's own keys where it knows the
// element, and an index where it does not.
func Uncovered(manifest map[string]any, set *fieldpath.Set) []fieldpath.Path {
	var missing []fieldpath.Path
	owned := maps.Clone(manifest)
	delete(owned, "apiVersion")
	delete(owned, "kind")
	if metadata, ok := owned["metadata"].(map[string]any); ok {
		metadata = maps.Clone(metadata)
		delete(metadata, "name")
		delete(metadata, "namespace")
		delete(metadata, "resourceVersion")
		owned["metadata"] = metadata
	}
	uncovered(owned, set, nil, &missing)
	return missing
}

func uncovered(v any, set *fieldpath.Set, prefix fieldpath.Path, missing *[]fieldpath.Path) {
	switch typed := v.(type) {
	case map[string]any:
		for _, key := range sortedKeys(typed) {
			if typed[key] == nil || isEmpty(typed[key]) {
				continue // the server keeps no null, and an empty container owns nothing
			}
			uncoveredAt(typed[key], set, fieldpath.FieldNameElement(key), prefix, missing)
		}
	case []any:
		for i, item := range typed {
			uncoveredAt(item, set, elementFor(set, typed, i), prefix, missing)
		}
	}
}

func uncoveredAt(v any, set *fieldpath.Set, element fieldpath.PathElement, prefix fieldpath.Path, missing *[]fieldpath.Path) {
	path := append(prefix.Copy(), element)
	if child, ok := set.Children.Get(element); ok {
		uncovered(v, child, path, missing)
		return
	}
	if !set.Members.Has(element) {
		*missing = append(*missing, path)
	}
}

// elementFor finds how the set names a list element; its index where the set
// does not know it.
func elementFor(set *fieldpath.Set, list []any, index int) fieldpath.PathElement {
	found := fieldpath.IndexElement(index)
	only := list[index : index+1]
	match := func(element fieldpath.PathElement) {
		if element.Index == nil && indexOf(only, element) == 0 {
			found = element
		}
	}
	set.Members.Iterate(match)
	set.Children.Iterate(match)
	return found
}
