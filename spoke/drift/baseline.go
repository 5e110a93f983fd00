package drift

import (
	"bytes"
	"fmt"
	"hash/fnv"

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

// Holds says whether a value is the baseline's value at a path.
func (b *Baseline) Holds(path fieldpath.Path, value any, exists bool) bool {
	for ordinal, leaf := range Leaves(b.Owned()) {
		if ordinal < len(b.Hashes) && leaf.Equals(path) {
			return matches(b.Hashes[ordinal], value, exists)
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
