package notice_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/runtime"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/kronvoy/kronvoy/spoke/notice"
)

func TestANewReasonIsAnEventAndReadyzSaysWhatToDo(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := eventsv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	var events []string
	board := &notice.Board{
		Client:    &counting{Client: fake.NewClientBuilder().WithScheme(scheme).Build(), events: &events},
		Regarding: corev1.ObjectReference{Namespace: "kronvoy-agent", Name: "bootstrap-hub-kubeconfig"},
		Clock:     testclock.NewFakePassiveClock(time.Unix(0, 0)),
	}
	if _, ready := board.Ready(t.Context()); ready {
		t.Error("who has not begun is ready")
	}
	waiting := notice.Notice{Reason: "NoBootstrapSecret", Message: "run kronvoy join", Problem: true, Unready: true}
	board.Tell(t.Context(), "hub", waiting)
	board.Tell(t.Context(), "hub", waiting)
	waiting.Message = "run kronvoy join, please"
	board.Tell(t.Context(), "hub", waiting)
	board.Check("cluster", func(context.Context) error { return errors.New("not read yet") })
	answer := httptest.NewRecorder()
	board.Handler().ServeHTTP(answer, httptest.NewRequest("GET", "/readyz", nil))
	want := "[-]cluster not read yet\n[-]hub NoBootstrapSecret: run kronvoy join, please\n"
	if diff := cmp.Diff(want, answer.Body.String()); diff != "" || answer.Code != 503 {
		t.Errorf("/readyz answers %d (-want +got):\n%s", answer.Code, diff)
	}
	board.Check("cluster", func(context.Context) error { return nil })
	board.Tell(t.Context(), "hub", notice.Notice{Reason: "Joined", Message: strings.Repeat("x", 2000)})
	answer = httptest.NewRecorder()
	board.Handler().ServeHTTP(answer, httptest.NewRequest("GET", "/readyz", nil))
	if answer.Code != 200 {
		t.Errorf("/readyz answers %d: %s", answer.Code, answer.Body)
	}
	if diff := cmp.Diff([]string{"Warning NoBootstrapSecret run kronvoy join", "Normal Joined " + strings.Repeat("x", 1024)}, events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// TestAConnectionThatFlapsIsToldOfInBounds: a hundred times within an hour.
func TestAConnectionThatFlapsIsToldOfInBounds(t *testing.T) {
	var events []string
	clock := testclock.NewFakePassiveClock(time.Unix(0, 0))
	board := &notice.Board{Client: &counting{events: &events}, Clock: clock}
	flap := func() {
		board.Tell(t.Context(), "hub", notice.Notice{Reason: notice.HubUnreachable, Message: "no route", Problem: true})
		board.Tell(t.Context(), "hub", notice.Notice{Reason: notice.HubAnswers, Message: "The hub answers"})
	}
	for range 100 {
		flap()
		clock.SetTime(clock.Now().Add(36 * time.Second))
	}
	if len(events) < 10 || len(events) > 22 {
		t.Errorf("%d events, want five of each reason and one more in ten minutes", len(events))
	}
	events = nil
	clock.SetTime(clock.Now().Add(10 * time.Minute))
	flap()
	if len(events) != 2 || !strings.Contains(events[0], " times since it was last told: no route") {
		t.Errorf("events after ten minutes: %q", events)
	}
	// Something else is told at once.
	board.Tell(t.Context(), "hub", notice.Notice{Reason: notice.HubRefuses, Message: "not accepted", Problem: true})
	if len(events) != 3 {
		t.Errorf("events: %q", events)
	}
}

// counting keeps what is created.
type counting struct {
	client.Client
	events *[]string
}

func (c *counting) Create(_ context.Context, obj client.Object, _ ...client.CreateOption) error {
	event := obj.(*eventsv1.Event)
	*c.events = append(*c.events, event.Type+" "+event.Reason+" "+event.Note)
	return nil
}
