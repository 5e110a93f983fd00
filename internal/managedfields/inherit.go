// Package managedfields hands fields of an object from one server-side applier
// to another.
package managedfields

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// Kro is what kro v0.9 applies an instance's resources as.
const Kro = "kro.run/applyset"

// Handover is a merge patch that makes heir the applier of what from has
// applied to an object; nil where that is nothing. It holds for the object as
// it is read, and changes metadata besides: values by field, null to remove.
func Handover(object metav1.Object, from, heir string, metadata map[string]any) ([]byte, types.PatchType, error) {
	entries, changed, err := Inherit(object.GetManagedFields(), from, heir)
	if err != nil || !changed {
		return nil, "", err
	}
	fields := map[string]any{"managedFields": entries, "resourceVersion": object.GetResourceVersion()}
	for field, value := range metadata {
		fields[field] = value
	}
	patch, err := json.Marshal(map[string]any{"metadata": fields})
	if err != nil {
		return nil, "", fmt.Errorf("writing managed fields: %w", err)
	}
	return patch, types.MergePatchType, nil
}

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
	var first, second fieldpath.Set
	if err := first.FromJSON(bytes.NewReader(a.FieldsV1.GetRawBytes())); err != nil {
		return a, err
	}
	if err := second.FromJSON(bytes.NewReader(b.FieldsV1.GetRawBytes())); err != nil {
		return a, err
	}
	raw, err := first.Union(&second).ToJSON()
	if err != nil {
		return a, err
	}
	a.FieldsV1 = metav1.NewFieldsV1(string(raw))
	if a.Time == nil || b.Time != nil && a.Time.Before(b.Time) {
		a.Time = b.Time
	}
	return a, nil
}
