// Package events tells people what happened on the hub, as Kubernetes events of
// the object where they would look. What the same state says for as long as it
// lasts is in conditions: an event is of a change.
//
// There are never many: what happens again to an object is a count in the event
// that there is (a series of events.k8s.io/v1), something that happens to many
// clusters of an instance happens to the instance, and what happens to many
// objects at once is told of the first (Burst) and then from time to time.
package events

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/tools/reference"
	"k8s.io/utils/clock"

	"github.com/kronvoy/kronvoy/internal/ration"
)

const (
	// Burst is how many events of a kind there may be at once, of different
	// objects, and every how soon there may be another one.
	Burst = 100
	every = 5 * time.Second
	// maxNote is the longest note that an event may carry, in bytes (validation of
	// events.k8s.io/v1): one that is longer is refused.
	maxNote = 1024
)

// Recorder records events. Nil records nothing.
type Recorder struct {
	sink   events.EventRecorder
	scheme *runtime.Scheme
	clock  clock.PassiveClock
	ration *ration.Ration[Kind]
}

// NewRecorder gives what is told to a recorder of client-go's, which makes series
// of what is told again.
func NewRecorder(sink events.EventRecorder, scheme *runtime.Scheme, c clock.PassiveClock) *Recorder {
	return &Recorder{sink: sink, scheme: scheme, clock: c, ration: ration.New[Kind](Burst, every)}
}

// Tell records that something happened to an object. An ObjectReference stands
// for the object that it names; related may be nil.
func (r *Recorder) Tell(regarding, related runtime.Object, kind Kind, note string, args ...any) {
	if r == nil || kind == (Kind{}) {
		return
	}
	left, granted := r.ration.Take(kind, r.clock.Now())
	if !granted {
		return
	}
	text := fmt.Sprintf(note, args...)
	if left > 0 {
		also := fmt.Sprintf(" (%d more of the kind were left out)", left)
		text = cut(text, maxNote-len(also)) + also
	}
	kinds := corev1.EventTypeNormal
	if kind.Warning {
		kinds = corev1.EventTypeWarning
	}
	r.sink.Eventf(r.steady(regarding), r.steady(related), kinds, kind.Reason, kind.action, "%s", cut(text, maxNote))
}

// steady is a reference that stays the same while its object changes: client-go
// tells series apart by all of it, resourceVersion included.
func (r *Recorder) steady(obj runtime.Object) runtime.Object {
	if obj == nil {
		return nil
	}
	ref, err := reference.GetReference(r.scheme, obj)
	if err != nil {
		return obj // client-go logs what is wrong with it
	}
	known := *ref
	known.ResourceVersion = ""
	return &known
}

func cut(text string, most int) string {
	return strings.ToValidUTF8(text[:min(len(text), most)], "")
}
