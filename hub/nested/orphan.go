package nested

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

const (
	// orphanGrace is how long a nested instance without a parent is left alone: a
	// backup that is being restored brings them in any order.
	orphanGrace = 10 * time.Minute
	// orphanRecheck is how often one is looked at that its parent may still want.
	orphanRecheck = time.Minute
)

// Orphan is what is known of a nested instance that no Target lists.
type Orphan struct {
	// Created is when the instance was.
	Created time.Time
	// ManagedFields of the instance, as the server has them.
	ManagedFields []metav1.ManagedFieldsEntry
	// Parent is true while the parent exists.
	Parent bool
}

// Abandoned decides about a nested instance whose Target does not exist: when to
// look again, or, if that is 0, whether to delete it. A Target goes after what it
// made, unless somebody forces it.
//
// It is safe to delete the instance because the hub has applied it, which only
// happens to what it made for a parent; because that parent is gone; and because
// it has been there for so long that no restore is under way. While the parent
// exists its Target may come back and find the instance again.
func Abandoned(o Orphan, now time.Time) (remove bool, again time.Duration) {
	applied := slices.ContainsFunc(o.ManagedFields, func(e metav1.ManagedFieldsEntry) bool {
		return e.Manager == kronvoyv1alpha1.FieldManagerHub && e.Operation == metav1.ManagedFieldsOperationApply
	})
	if !applied {
		return false, 0
	}
	if o.Parent {
		return false, orphanRecheck
	}
	if age := now.Sub(o.Created); age < orphanGrace {
		return false, orphanGrace - age
	}
	return true, 0
}
