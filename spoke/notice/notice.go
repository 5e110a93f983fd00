// Package notice tells people on a cluster how its agent gets on with the hub:
// in the log, as events in the agent's namespace, and in the answer of /readyz.
package notice

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kronvoy/kronvoy/internal/ration"
)

const (
	// controller is what reports the events.
	controller = "kronvoy.io/agent"
	// writeTimeout bounds the write of an event.
	writeTimeout = 5 * time.Second
	// maxNote is the longest note that an event may carry, in bytes
	// (validation of events.k8s.io/v1).
	maxNote = 1024
	// burst is how many events of a reason there may be at once, as while somebody
	// tries to join, and every how soon there may be another one: a connection to
	// the hub that comes and goes must not fill the cluster with events.
	burst = 5
	every = 10 * time.Minute
)

// Topic is what a notice is about. There is one notice for each, the latest.
type Topic string

// Notice is what people should know.
type Notice struct {
	// Reason is one of those of this package.
	Reason string
	// Message says what is the matter, and what to do.
	Message string
	// Problem is whether something has to be done; Unready whether the agent is of
	// no use until then.
	Problem, Unready bool
}

// Board holds the notices of one agent. The zero value logs nothing and writes
// no events.
type Board struct {
	// Client writes events about Regarding, where it is not nil.
	Client    client.Client
	Regarding corev1.ObjectReference
	Clock     clock.PassiveClock
	Log       logr.Logger

	mu      sync.Mutex
	notices map[Topic]Notice
	checks  map[Topic]func(context.Context) error
	// told holds back events, by topic and reason.
	told *ration.Ration[[2]string]
}

// Tell replaces the notice of a topic. What is new is logged; a new reason is
// worth an event.
func (b *Board) Tell(ctx context.Context, topic Topic, n Notice) {
	b.mu.Lock()
	if b.notices == nil {
		b.notices = map[Topic]Notice{}
		b.told = ration.New[[2]string](burst, every)
	}
	before := b.notices[topic]
	b.notices[topic] = n
	b.mu.Unlock()
	if before == n {
		return
	}
	b.Log.Info("The agent's state changed", "topic", topic, "reason", n.Reason, "message", n.Message)
	if before.Reason == n.Reason || b.Client == nil {
		return
	}
	left, granted := b.told.Take([2]string{string(topic), n.Reason}, b.Clock.Now())
	if !granted {
		return
	}
	if err := b.event(ctx, n, left); err != nil {
		b.Log.Info("An event could not be written", "event", n.Reason, "reason", err.Error())
	}
}

func (b *Board) event(ctx context.Context, n Notice, left int) error {
	kind := corev1.EventTypeNormal
	if n.Problem {
		kind = corev1.EventTypeWarning
	}
	note := n.Message
	if left > 0 {
		note = fmt.Sprintf("%d times since it was last told: %s", left+1, note)
	}
	bounded, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return b.Client.Create(bounded, &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.Regarding.Namespace, GenerateName: "kronvoy-agent-"},
		EventTime:  metav1.NewMicroTime(b.Clock.Now()), ReportingController: controller, ReportingInstance: "kronvoy-agent",
		Action: "Join", Reason: n.Reason, Regarding: b.Regarding, Note: strings.ToValidUTF8(note[:min(len(note), maxNote)], ""), Type: kind,
	})
}

// Check adds what has to hold for the agent to be ready, in place of an earlier
// check of the topic.
func (b *Board) Check(topic Topic, check func(context.Context) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.checks == nil {
		b.checks = map[Topic]func(context.Context) error{}
	}
	b.checks[topic] = check
}

// Ready says in one line per topic how things are, and whether the agent is of
// use.
func (b *Board) Ready(ctx context.Context) (text string, ready bool) {
	b.mu.Lock()
	checks := make(map[Topic]func(context.Context) error, len(b.checks))
	for topic, check := range b.checks {
		checks[topic] = check
	}
	ready = len(b.notices)+len(b.checks) > 0 // who has said nothing has not begun
	var lines []string
	for topic, n := range b.notices {
		mark := "+"
		if n.Unready {
			mark, ready = "-", false
		}
		lines = append(lines, fmt.Sprintf("[%s]%s %s: %s\n", mark, topic, n.Reason, n.Message))
	}
	b.mu.Unlock()
	for topic, check := range checks {
		if err := check(ctx); err != nil {
			ready = false
			lines = append(lines, fmt.Sprintf("[-]%s %s\n", topic, err))
		} else {
			lines = append(lines, fmt.Sprintf("[+]%s ok\n", topic))
		}
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[3:], b[3:]) })
	return strings.Join(lines, ""), ready
}

// Handler serves /healthz, which answers as long as the process does, and
// /readyz, which says why not. Neither asks the hub: that it is away is no reason
// to restart an agent.
func (b *Board) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, r *http.Request) {
		text, ready := b.Ready(r.Context())
		if !ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, text)
	})
	return mux
}

// Notice is the latest about a topic; the zero value when there is none.
func (b *Board) Notice(topic Topic) Notice {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.notices[topic]
}
