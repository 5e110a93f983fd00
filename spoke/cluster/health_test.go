package cluster

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
)

// answers are what an API server says to each path in turn, the last one for
// ever; an empty code is a connection that fails.
type answer struct {
	code int
	body string
}

func newProbe(t *testing.T, ask func(path string) answer) (p *probe, c *clocktesting.FakeClock, changes *int) {
	t.Helper()
	c, changes = clocktesting.NewFakeClock(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)), new(int)
	return &probe{
		period: time.Minute, clock: c, log: logr.Discard(), changed: func() { *changes++ },
		ask: func(_ context.Context, path string) (int, string, error) {
			if a := ask(path); a.code != 0 {
				return a.code, a.body, nil
			}
			return 0, "", errors.New("connection refused")
		},
	}, c, changes
}

func TestTheProbeBelievesAFailureThatLasts(t *testing.T) {
	now := answer{code: http.StatusOK, body: "ok"}
	p, c, changes := newProbe(t, func(string) answer { return now })
	step := func(wantNext time.Duration, want string, wantChanges int) {
		t.Helper()
		next, got := p.look(t.Context()), ""
		if verdict := p.Verdict(); verdict != nil {
			got = string(verdict.Status) + "/" + verdict.Reason
		}
		if next != wantNext || got != want || *changes != wantChanges {
			t.Fatalf("the verdict is %q after %d changes, looking again in %s; want %q after %d, in %s", got, *changes, next, want, wantChanges, wantNext)
		}
		c.Step(next)
	}
	const up, down = "True/ManagedClusterAvailable", "False/ManagedClusterKubeAPIServerUnavailable"
	step(time.Minute, up, 1)
	step(time.Minute, up, 1)
	now = answer{}
	for range 4 { // 15 seconds
		step(5*time.Second, up, 1)
	}
	now = answer{code: http.StatusOK}
	step(time.Minute, up, 1)
	now = answer{}
	for range 4 { // it counts from the first of the new failures
		step(5*time.Second, up, 1)
	}
	step(5*time.Second, down, 2)
	if got, want := p.Verdict().Message, "the cluster's API server cannot be reached: connection refused"; got != want {
		t.Errorf("it says %q, want %q", got, want)
	}
	now = answer{code: http.StatusInternalServerError, body: "[-]etcd failed\n"}
	step(5*time.Second, down, 2) // another problem is no other verdict
	now = answer{code: http.StatusOK}
	step(time.Minute, up, 3)
}

func TestAnAgentThatStartsWithADeadAPIServer(t *testing.T) {
	p, c, changes := newProbe(t, func(string) answer {
		return answer{code: http.StatusInternalServerError, body: strings.Repeat("é", 2000)}
	})
	for range 4 {
		c.Step(p.look(t.Context()))
	}
	if p.Verdict() != nil {
		t.Fatalf("the verdict is %v after 15 seconds", p.Verdict())
	}
	p.look(t.Context())
	verdict := p.Verdict()
	if *changes != 1 || verdict == nil || verdict.Status != metav1.ConditionFalse {
		t.Fatalf("the verdict is %v after 20 seconds", verdict)
	}
	if len(verdict.Message) > maxMessage || !strings.HasPrefix(verdict.Message, "/livez of the cluster's API server answers 500: é") || !strings.HasSuffix(verdict.Message, "é…") {
		t.Errorf("it says %d bytes: %s", len(verdict.Message), verdict.Message)
	}
}

func TestHealthzStandsInForLivez(t *testing.T) {
	for _, code := range []int{http.StatusNotFound, http.StatusForbidden} {
		var paths []string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			paths = append(paths, r.URL.Path)
			if r.URL.Path == "/livez" {
				w.WriteHeader(code)
			}
		}))
		asker, err := discovery.NewDiscoveryClientForConfig(&rest.Config{Host: server.URL})
		if err != nil {
			t.Fatal(err)
		}
		p := &probe{ask: asking(asker.RESTClient())}
		if problem := p.check(t.Context()); problem != "" || strings.Join(paths, " ") != "/livez /healthz" {
			t.Errorf("%d: asked %v, and says %q", code, paths, problem)
		}
		server.Close()
		if problem := p.check(t.Context()); !strings.Contains(problem, "cannot be reached") {
			t.Errorf("of a server that is gone it says %q", problem)
		}
	}
}
