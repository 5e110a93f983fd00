package events_test

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientevents "k8s.io/client-go/tools/events"
	testclock "k8s.io/utils/clock/testing"

	"github.com/kronvoy/kronvoy/hub/events"
)

// server counts what would be written, and what was told.
type server struct {
	mu               sync.Mutex
	creates, patches int
	notes            []string
	changed          chan struct{}
}

func (s *server) note(e *eventsv1.Event, count *int) (*eventsv1.Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*count++
	s.notes = append(s.notes, e.Note)
	select {
	case s.changed <- struct{}{}:
	default:
	}
	return e, nil
}

func (s *server) Create(_ context.Context, e *eventsv1.Event) (*eventsv1.Event, error) {
	return s.note(e, &s.creates)
}

func (s *server) Update(_ context.Context, e *eventsv1.Event) (*eventsv1.Event, error) {
	return s.note(e, &s.patches)
}

func (s *server) Patch(_ context.Context, e *eventsv1.Event, _ []byte) (*eventsv1.Event, error) {
	return s.note(e, &s.patches)
}

// TestAnInstanceThatFlapsIsASeries: through client-go's own recorder, which
// would make an event for each version of the object.
func TestAnInstanceThatFlapsIsASeries(t *testing.T) {
	s := &server{changed: make(chan struct{}, 1)}
	broadcaster := clientevents.NewBroadcaster(s)
	defer broadcaster.Shutdown()
	seen := make(chan struct{}, 1000)
	stop, err := broadcaster.StartEventWatcher(func(runtime.Object) { seen <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if err := broadcaster.StartRecordingToSinkWithContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	clock := testclock.NewFakePassiveClock(time.Unix(0, 0))
	r := events.NewRecorder(broadcaster.NewRecorder(scheme(t), "kronvoy"), scheme(t), clock)
	for i := range 40 {
		about := object("flapping")
		about.ResourceVersion = strconv.Itoa(i)
		for _, kind := range []events.Kind{events.InstanceFailed, events.InstanceRecovered} {
			r.Tell(about, nil, kind, "for the %dth time", i)
			<-seen
		}
	}
	for writes := 0; writes < 4; {
		select {
		case <-s.changed:
		case <-t.Context().Done():
			t.Fatal("the events were not written")
		}
		s.mu.Lock()
		writes = s.creates + s.patches
		s.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.creates != 2 || s.patches != 2 {
		t.Errorf("%d events were made and %d patched, want 2 and 2 for the two reasons:\n%s", s.creates, s.patches, strings.Join(s.notes, "\n"))
	}
}

func TestAThousandObjectsAtOnceAreToldOfInBounds(t *testing.T) {
	fake := clientevents.NewFakeRecorder(2000)
	clock := testclock.NewFakePassiveClock(time.Unix(0, 0))
	r := events.NewRecorder(fake, scheme(t), clock)
	outage := func() {
		for i := range 1000 {
			r.Tell(object(fmt.Sprint("c", i)), nil, events.ClusterUnreachable, "the agent is silent")
		}
	}
	outage()
	if got := len(fake.Events); got != events.Burst {
		t.Fatalf("%d events of 1000 clusters, want %d", got, events.Burst)
	}
	r.Tell(object("one"), nil, events.InstanceFailed, "something else")
	for range events.Burst {
		<-fake.Events
	}
	if got, want := <-fake.Events, "Warning Failed something else"; got != want {
		t.Errorf("what is of another kind says %q, want %q", got, want)
	}
	clock.SetTime(clock.Now().Add(time.Minute))
	outage()
	if got := len(fake.Events); got == 0 || got > 20 {
		t.Fatalf("%d events a minute later", got)
	}
	if got, want := <-fake.Events, "Warning Unreachable the agent is silent (900 more of the kind were left out)"; got != want {
		t.Errorf("it says %q, want %q", got, want)
	}
}

func TestANoteFits(t *testing.T) {
	fake := clientevents.NewFakeRecorder(1)
	r := events.NewRecorder(fake, scheme(t), testclock.NewFakePassiveClock(time.Unix(0, 0)))
	r.Tell(object("one"), nil, events.InstanceFailed, "%s", strings.Repeat("ä", 1000)) // of two bytes each
	if got := strings.TrimPrefix(<-fake.Events, "Warning Failed "); got != strings.Repeat("ä", 512) {
		t.Errorf("the note has %d bytes", len(got))
	}
	var none *events.Recorder
	none.Tell(object("one"), nil, events.InstanceFailed, "nobody listens")
}

func TestNoTwoKindsAreTheSame(t *testing.T) {
	word := regexp.MustCompile(`^[A-Z][A-Za-z]+$`)
	known := map[string]bool{}
	var twice []string
	for _, k := range events.Kinds() {
		if id := k.Object + " " + k.Reason; known[id] || !word.MatchString(k.Reason) {
			twice = append(twice, id)
		} else {
			known[id] = true
		}
	}
	if diff := cmp.Diff([]string(nil), twice); diff != "" || len(known) == 0 {
		t.Errorf("twice, or no word:\n%s", diff)
	}
}

func object(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(name)}}
}

func scheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	if err := corev1.AddToScheme(s); err != nil {
		t.Fatal(err)
	}
	return s
}
