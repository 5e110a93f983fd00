package apply

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kronvoy/kronvoy/spoke/keep"
	"github.com/kronvoy/kronvoy/spoke/live"
)

// Restore takes over what an earlier process knew of a work's objects.
func (a *Applier) Restore(work string, objects map[string]keep.Object) {
	st := a.state(work)
	for text, object := range objects {
		key, ok := parseKey(text)
		if !ok || object.Baseline == nil && !object.Complete {
			continue
		}
		known := st.objects[key]
		if known == nil {
			known = &objectState{}
			st.objects[key] = known
		}
		known.complete = known.complete || object.Complete
		if known.baseline != nil || object.Baseline == nil {
			continue // this process knows better
		}
		known.uid, known.applied, known.baseline = object.UID, object.Applied, object.Baseline
		known.existed, known.restored = true, true
	}
}

// Snapshot gives what is worth keeping of a work's objects.
func (a *Applier) Snapshot(work string) map[string]keep.Object {
	objects := map[string]keep.Object{}
	for key, st := range a.state(work).objects {
		if st.baseline != nil || st.complete {
			objects[formatKey(key)] = keep.Object{UID: st.uid, Applied: st.applied, Baseline: st.baseline, Complete: st.complete}
		}
	}
	return objects
}

// Keys are the objects of a work, as in a snapshot.
func (w *Work) Keys() map[string]bool {
	keys := make(map[string]bool, len(w.Items))
	for _, item := range w.Items {
		keys[formatKey(item.Key)] = true
	}
	return keys
}

// Stamp changes whenever a snapshot would.
func (a *Applier) Stamp(w *Work) string {
	return fmt.Sprintf("%s/%d/%s/%d", w.UID, w.Generation, w.Hash, a.state(w.Name).version)
}

func formatKey(key live.Key) string {
	return strings.Join([]string{key.Resource.Resource, key.Resource.Version, key.Resource.Group, key.Namespace, key.Name}, "|")
}

func parseKey(text string) (live.Key, bool) {
	parts := strings.Split(text, "|")
	if len(parts) != 5 {
		return live.Key{}, false
	}
	return live.Key{
		Resource:  schema.GroupVersionResource{Resource: parts[0], Version: parts[1], Group: parts[2]},
		Namespace: parts[3], Name: parts[4],
	}, true
}
