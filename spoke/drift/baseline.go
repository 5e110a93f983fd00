package drift

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// Baseline is what the API server answered for our fields. It holds hashes,
// not values: it is kept for every applied object, and may be of a Secret.
type Baseline struct {
	// Fields is our manager's field set, as in managedFields.
	Fields []byte `json:"fields"`
	// Hashes of the values at the set's leaves, in the set's order.
	Hashes []uint64 `json:"hashes"`
	// Desired are hashes of the manifest's values where the server keeps another
	// one, by the leaf's place in the set's order.
	Desired map[int]uint64 `json:"desired,omitempty"`
	// Left are fields of the manifest that are left to others, in the form of
	// managedFields: no manager says any more that we want them.
	Left []byte `json:"left,omitempty"`
	// Wanted are the hashes of the manifest's values for them, in the set's order.
	Wanted []uint64 `json:"wanted,omitempty"`
}

// Hashes of values that are compared by existence alone.
const (
	absent uint64 = iota
	// empty is a map or list without content: what others add inside is
	// theirs, so only its disappearance is drift.
	empty
	firstHash
)

// Capture takes the baseline of one manager from an answer that carries
// managed fields; nil when the manager owns nothing of the object.
func Capture(answer *unstructured.Unstructured, manager string) (*Baseline, error) {
	raw := entryOf(answer, manager)
	if raw == nil {
		return nil, nil
	}
	set, err := parseSet(raw)
	if err != nil {
		return nil, fmt.Errorf("reading the managed fields of %s %s/%s: %w", answer.GetKind(), answer.GetNamespace(), answer.GetName(), err)
	}
	baseline := &Baseline{Fields: raw}
	for _, path := range Leaves(set) {
		baseline.Hashes = append(baseline.Hashes, hashAt(answer.Object, path))
	}
	return baseline, nil
}

// Owned gives the field set of the baseline.
func (b *Baseline) Owned() *fieldpath.Set {
	set, err := parseSet(b.Fields)
	if err != nil { // Capture has parsed the same bytes
		return fieldpath.NewSet()
	}
	return set
}

// Compare gives the paths at which a live object differs from the baseline, in
// the set's order.
func (b *Baseline) Compare(live *unstructured.Unstructured) []fieldpath.Path {
	var differ []fieldpath.Path
	for ordinal, path := range Leaves(b.Owned()) {
		value, exists := Lookup(live.Object, path)
		if ordinal < len(b.Hashes) && !matches(b.Hashes[ordinal], value, exists) {
			differ = append(differ, path)
		}
	}
	return differ
}

// Want remembers what a manifest wants, and which of its fields are left to
// others: what a later manifest changes is told by it.
func (b *Baseline) Want(manifest *unstructured.Unstructured, left []fieldpath.Path) error {
	b.Desired, b.Left, b.Wanted = nil, nil, nil
	for ordinal, path := range Leaves(b.Owned()) {
		if desired := hashAt(manifest.Object, path); ordinal < len(b.Hashes) && desired != b.Hashes[ordinal] {
			if b.Desired == nil {
				b.Desired = map[int]uint64{}
			}
			b.Desired[ordinal] = desired
		}
	}
	if len(left) == 0 {
		return nil
	}
	set := fieldpath.NewSet(left...)
	raw, err := set.ToJSON()
	if err != nil {
		return fmt.Errorf("writing which fields of %s %s/%s are left to others: %w", manifest.GetKind(), manifest.GetNamespace(), manifest.GetName(), err)
	}
	b.Left = raw
	for _, path := range members(set) {
		b.Wanted = append(b.Wanted, hashAt(manifest.Object, path))
	}
	return nil
}

// left lists the fields that are left to others.
func (b *Baseline) left() []fieldpath.Path {
	if len(b.Left) == 0 {
		return nil
	}
	set, err := parseSet(b.Left)
	if err != nil { // Want has written it
		return nil
	}
	return members(set)
}

// Vacant says whether there is nothing at a path of an object. Whoever owns it
// loses nothing to one who puts something there.
func Vacant(obj *unstructured.Unstructured, path fieldpath.Path) bool {
	value, exists := Lookup(obj.Object, path)
	return !exists || value == nil || isEmpty(value)
}

// Taken gives, of the fields that are left to others, those at which a live object
// differs from the manifest. What the server adds inside does not count.
func (b *Baseline) Taken(manifest, live *unstructured.Unstructured) []fieldpath.Path {
	var taken []fieldpath.Path
	for _, path := range b.left() {
		want, wanted := Lookup(manifest.Object, path)
		have, _ := Lookup(live.Object, path)
		if wanted && !SameValue(want, have) {
			taken = append(taken, path)
		}
	}
	return taken
}

// Claims says whether a field is ours, or was until it was left to others.
func (b *Baseline) Claims(path fieldpath.Path) bool {
	return b.Owned().Has(path) || slices.ContainsFunc(b.left(), func(left fieldpath.Path) bool {
		return len(left) <= len(path) && left.Equals(path[:len(left)])
	})
}

// Changed says whether somebody changed a field: a live object has not what the server
// answered for it, nor what the manifest wanted of one that was left to others.
func (b *Baseline) Changed(live *unstructured.Unstructured, path fieldpath.Path) bool {
	value, exists := Lookup(live.Object, path)
	for ordinal, leaf := range Leaves(b.Owned()) {
		if ordinal < len(b.Hashes) && leaf.Equals(path) {
			return !matches(b.Hashes[ordinal], value, exists)
		}
	}
	return !b.Holds(path, value, exists)
}

// Holds says whether a value is what the last manifest wanted of a field.
func (b *Baseline) Holds(path fieldpath.Path, value any, exists bool) bool {
	hash := hashValue(value, exists)
	for ordinal, left := range b.left() {
		if ordinal < len(b.Wanted) && left.Equals(path) {
			return b.Wanted[ordinal] == hash
		}
	}
	for ordinal, leaf := range Leaves(b.Owned()) {
		if ordinal < len(b.Hashes) && leaf.Equals(path) {
			desired, differs := b.Desired[ordinal]
			return differs && desired == hash || !differs && b.Hashes[ordinal] == hash
		}
	}
	return false
}

// Leaves lists the fields of a set that have none below them, in the set's
// order. (The set's own iterator must not be left early.)
func Leaves(set *fieldpath.Set) []fieldpath.Path {
	var paths []fieldpath.Path
	set.Leaves().Iterate(func(path fieldpath.Path) { paths = append(paths, path.Copy()) })
	return paths
}

// members lists all fields of a set, in the set's order.
func members(set *fieldpath.Set) []fieldpath.Path {
	var paths []fieldpath.Path
	set.Iterate(func(path fieldpath.Path) { paths = append(paths, path.Copy()) })
	return paths
}

// entryOf finds what a manager owns through apply.
func entryOf(obj *unstructured.Unstructured, manager string) []byte {
	for _, entry := range obj.GetManagedFields() {
		if entry.Manager == manager && entry.Operation == metav1.ManagedFieldsOperationApply &&
			entry.Subresource == "" && entry.FieldsV1 != nil {
			return entry.FieldsV1.GetRawBytes()
		}
	}
	return nil
}

func parseSet(raw []byte) (*fieldpath.Set, error) {
	set := &fieldpath.Set{}
	if err := set.FromJSON(bytes.NewReader(raw)); err != nil {
		return nil, err
	}
	return set, nil
}

func hashAt(obj map[string]any, path fieldpath.Path) uint64 {
	value, exists := Lookup(obj, path)
	return hashValue(value, exists)
}

func matches(hash uint64, value any, exists bool) bool {
	actual := hashValue(value, exists)
	if hash == empty {
		return actual != absent
	}
	return actual == hash
}

func hashValue(value any, exists bool) uint64 {
	if !exists || value == nil {
		return absent
	}
	if isEmpty(value) {
		return empty
	}
	h := fnv.New64a()
	_, _ = h.Write(canonical(value)) // never fails
	return max(h.Sum64(), firstHash)
}
