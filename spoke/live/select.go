package live

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kronvoy/kronvoy/spoke/feedback"
)

// Paths is a list of JSONPaths in a form that can be compared.
type Paths string

// PathsOf gives the form of a list.
func PathsOf(paths []string) Paths {
	text, _ := json.Marshal(paths) // a list of strings always encodes
	return Paths(text)
}

func (p Paths) list() []string {
	var paths []string
	_ = json.Unmarshal([]byte(p), &paths) // PathsOf wrote it
	return paths
}

// Listing is what a watch that selects has found.
type Listing struct {
	// Complete is true when Objects are all that match.
	Complete bool
	// Problem says why they are not; empty while the first list is on its way.
	Problem string
	// Objects are sorted by namespace and name.
	Objects []*Selected
}

// Selected is what is held of one selected object.
type Selected struct {
	metav1.ObjectMeta
	// Fields are those of the paths that exist; Problem names one that cannot
	// be reported.
	Fields  []feedback.Field
	Problem string
}

// List gives what a watch that selects shows now.
func (c *Cache) List(key Watch) Listing {
	c.mu.Lock()
	w := c.watches[key]
	if w == nil {
		c.mu.Unlock()
		return Listing{}
	}
	synced, problem := w.synced(), w.troubled()
	c.mu.Unlock()
	if problem != "" || !synced {
		return Listing{Problem: problem}
	}
	listing := Listing{Complete: true}
	for _, obj := range w.informer.GetStore().List() {
		if selected, ok := obj.(*Selected); ok {
			listing.Objects = append(listing.Objects, selected)
		}
	}
	slices.SortFunc(listing.Objects, func(a, b *Selected) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return listing
}

// taker keeps of an object what a watch that selects is for.
func taker(paths []string) func(*unstructured.Unstructured) any {
	return func(obj *unstructured.Unstructured) any {
		selected := &Selected{ObjectMeta: metav1.ObjectMeta{
			Namespace: obj.GetNamespace(), Name: obj.GetName(), UID: obj.GetUID(), ResourceVersion: obj.GetResourceVersion(),
		}}
		fields, err := feedback.Observed(lighten(obj).Object, paths)
		if selected.Fields = fields; err != nil {
			selected.Problem = err.Error()
		}
		return selected
	}
}

// selectionChanged tells the users of a list, unless nothing changed of what
// they asked for. A deletion that was missed comes as a tombstone, and tells.
func (w *watch) selectionChanged(before, after any) {
	old, _ := before.(*Selected)
	now, _ := after.(*Selected)
	if old != nil && now != nil && old.Problem == now.Problem && slices.EqualFunc(old.Fields, now.Fields, feedback.Field.Equal) {
		return
	}
	w.cache.notify(Event{Users: w.userNames()})
}

// The requests of a watch.
const (
	listing = iota
	watching
)

// trouble is how one kind of request of a watch fares.
type trouble struct {
	message string
	// refused is set when the API server gave a definite answer, which only
	// somebody's doing will change.
	refused bool
	count   int
}

// quietTries is how many requests may fail in a row, for reasons that may pass
// by themselves, before it is told.
const quietTries = 2

// troubled says what keeps a list from being known. One that was complete stays
// known while the API server cannot be reached, as everything else does; one
// that may not be read any more does not.
func (w *watch) troubled() string {
	for _, t := range w.troubles {
		if t.refused || t.count > quietTries && !w.synced() {
			return t.message
		}
	}
	return ""
}

// answered notes how a request of a watch that selects went, and tells its
// users when that changes what they know.
func (w *watch) answered(ctx context.Context, request int, err error) {
	if !w.key.Selects || ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return
	}
	w.cache.mu.Lock()
	before, t := w.troubled(), &w.troubles[request]
	switch {
	case err == nil, apierrors.IsResourceExpired(err), apierrors.IsGone(err):
		*t = trouble{}
	default:
		*t = trouble{message: w.explain(err), refused: refused(err), count: t.count + 1}
	}
	changed := before != w.troubled()
	w.cache.mu.Unlock()
	if changed {
		w.cache.notify(Event{Users: w.userNames()})
	}
}

// refused says whether asking again is of no use until somebody changes rights,
// kinds or the selection.
func refused(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) ||
		apierrors.IsBadRequest(err) || apierrors.IsInvalid(err)
}

func (w *watch) explain(err error) string {
	if apierrors.IsNotFound(err) {
		return fmt.Sprintf("the cluster does not serve %s in version %s", w.key.Resource.GroupResource(), w.key.Resource.Version)
	}
	return fmt.Sprintf("listing %s: %v", w.key.Resource.GroupResource(), err)
}
