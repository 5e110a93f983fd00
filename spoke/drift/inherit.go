package drift

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Inherit gives the managed fields of an object with what one manager applied
// in the name of another: the next apply of the heir then removes what it does
// not want, as if it had applied all of it. changed is false where the first
// manager applied nothing. The entries given are not changed.
func Inherit(entries []metav1.ManagedFieldsEntry, from, heir string) (inherited []metav1.ManagedFieldsEntry, changed bool, err error) {
	for _, entry := range entries {
		if entry.Manager == from && entry.Operation == metav1.ManagedFieldsOperationApply {
			entry.Manager, changed = heir, true
		}
		i := slices.IndexFunc(inherited, func(e metav1.ManagedFieldsEntry) bool { return sameOwner(e, entry) })
		if i < 0 {
			inherited = append(inherited, entry)
			continue
		}
		if inherited[i], err = union(inherited[i], entry); err != nil {
			return nil, false, fmt.Errorf("merging the managed fields of %s into those of %s: %w", from, heir, err)
		}
	}
	return inherited, changed, nil
}

// sameOwner says whether two entries may not stand beside each other.
func sameOwner(a, b metav1.ManagedFieldsEntry) bool {
	return a.Manager == b.Manager && a.Operation == b.Operation && a.APIVersion == b.APIVersion && a.Subresource == b.Subresource
}

func union(a, b metav1.ManagedFieldsEntry) (metav1.ManagedFieldsEntry, error) {
	if a.FieldsV1 == nil || b.FieldsV1 == nil {
		if a.FieldsV1 == nil {
			return b, nil
		}
		return a, nil
	}
	first, err := parseSet(a.FieldsV1.GetRawBytes())
	if err != nil {
		return a, err
	}
	second, err := parseSet(b.FieldsV1.GetRawBytes())
	if err != nil {
		return a, err
	}
	raw, err := first.Union(second).ToJSON()
	if err != nil {
		return a, err
	}
	a.FieldsV1 = metav1.NewFieldsV1(string(raw))
	if a.Time == nil || b.Time != nil && a.Time.Before(b.Time) {
		a.Time = b.Time
	}
	return a, nil
}
