package managedfields

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestInherit(t *testing.T) {
	early, late := metav1.NewTime(time.Unix(100, 0)), metav1.NewTime(time.Unix(200, 0))
	entry := func(manager, version, subresource, fields string, at metav1.Time) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{
			Manager: manager, Operation: metav1.ManagedFieldsOperationApply, APIVersion: version, Subresource: subresource,
			FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(fields), Time: &at,
		}
	}
	update := entry("kro", "v1", "", `{"f:data":{}}`, early)
	update.Operation = metav1.ManagedFieldsOperationUpdate
	cases := map[string]struct {
		before, want []metav1.ManagedFieldsEntry
		changed      bool
	}{
		"what was applied by nobody else stays": {
			before: []metav1.ManagedFieldsEntry{entry("heir", "v1", "", `{"f:data":{}}`, early), entry("hpa", "v1", "scale", `{"f:spec":{}}`, late)},
			want:   []metav1.ManagedFieldsEntry{entry("heir", "v1", "", `{"f:data":{}}`, early), entry("hpa", "v1", "scale", `{"f:spec":{}}`, late)},
		},
		"an apply gets another name": {
			before:  []metav1.ManagedFieldsEntry{entry("kro", "v1", "", `{"f:data":{"f:a":{}}}`, early)},
			want:    []metav1.ManagedFieldsEntry{entry("heir", "v1", "", `{"f:data":{"f:a":{}}}`, early)},
			changed: true,
		},
		"an update is not an apply": {
			before: []metav1.ManagedFieldsEntry{update},
			want:   []metav1.ManagedFieldsEntry{update},
		},
		"two applies become one": {
			before: []metav1.ManagedFieldsEntry{
				entry("heir", "v1", "", `{"f:data":{"f:a":{},"f:c":{}}}`, early), entry("kro", "v1", "", `{"f:data":{"f:a":{},"f:b":{}}}`, late),
			},
			want:    []metav1.ManagedFieldsEntry{entry("heir", "v1", "", `{"f:data":{"f:a":{},"f:b":{},"f:c":{}}}`, late)},
			changed: true,
		},
		"unless they were of different versions": {
			before:  []metav1.ManagedFieldsEntry{entry("heir", "v1", "", `{"f:a":{}}`, early), entry("kro", "v1beta1", "", `{"f:b":{}}`, late)},
			want:    []metav1.ManagedFieldsEntry{entry("heir", "v1", "", `{"f:a":{}}`, early), entry("heir", "v1beta1", "", `{"f:b":{}}`, late)},
			changed: true,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, changed, err := Inherit(c.before, "kro", "heir")
			if err != nil {
				t.Fatal(err)
			}
			if changed != c.changed {
				t.Errorf("changed is %v, want %v", changed, c.changed)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
