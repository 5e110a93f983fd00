package dashboard

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

func claim(name, value string) clusterv1.ManagedClusterClaim {
	return clusterv1.ManagedClusterClaim{Name: name, Value: value}
}

// listener reads a stream's events.
type listener struct {
	*testbed
	lines chan string
}

func (b *browser) listen(path string) *listener {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	b.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.web.URL+path, nil)
	if err != nil {
		b.Fatal(err)
	}
	for _, cookie := range b.cookies {
		r.AddCookie(cookie)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "text/event-stream" {
		b.Fatalf("the stream gives %s", answer.Status)
	}
	l := &listener{b.testbed, make(chan string, 100)}
	b.Cleanup(func() { _ = answer.Body.Close() })
	go func() {
		defer close(l.lines)
		for scanner := bufio.NewScanner(answer.Body); scanner.Scan(); {
			if strings.HasPrefix(scanner.Text(), "event: ") || strings.HasPrefix(scanner.Text(), "data: ") {
				l.lines <- scanner.Text()
			}
		}
	}()
	return l
}

// next is the next event with its data.
func (l *listener) next() string {
	l.Helper()
	var event string
	for {
		select {
		case line, open := <-l.lines:
			if !open {
				return "closed"
			}
			if data, is := strings.CutPrefix(line, "data: "); is {
				return event + " " + data
			}
			event = strings.TrimPrefix(line, "event: ")
		case <-time.After(5 * time.Second):
			l.Fatal("no event came")
		}
	}
}

// change writes an object and tells of it, as the informer and the clock would.
func (b *testbed) change(o client.Object) {
	b.Helper()
	if err := b.client.Update(b.Context(), o); err != nil {
		b.Fatal(err)
	}
	b.server.live.changed(o)
	b.server.live.flush(b.Context())
}

func TestAChangeReachesThePageThatShowsIt(t *testing.T) {
	eu, us := targetOn("eu-west", "shop", kronvoyv1alpha1.TargetReady), targetOn("us-east", "shop", kronvoyv1alpha1.TargetReady)
	b := newTestbed(t, managed("eu-west", "eu"), managed("us-east", "us"), eu, us)
	b.api.rights["nobody"] = []Right{{Verb: "get", Group: clusterGroup, Resource: "managedclusters", Name: "us-east"}}
	all, failed, bare := b.as("admin-token").listen("/live?fleet=1&seen=0"), b.as("admin-token").listen("/live?fleet=1&state=failed&seen=0"), b.as("none-token").listen("/live?fleet=1&seen=0")

	eu.Status.State = kronvoyv1alpha1.TargetFailed
	b.change(eu)
	if got := all.next(); !strings.Contains(got, `"id":"eu-west"`) || !strings.Contains(got, `"says":"eu-west: failed"`) || !strings.Contains(got, "✕") {
		t.Errorf("the tile that failed comes as %s", got)
	}
	if got := all.next(); got != `counters {"failed":1,"ready":1}` {
		t.Errorf("then comes %s", got)
	}
	if got := failed.next(); got != "changed {}" {
		t.Errorf("a page of what failed, which lacks the tile, gets %s", got)
	}

	us.Status.State = kronvoyv1alpha1.TargetFailed
	b.change(us)
	var cluster clusterv1.ManagedCluster
	if err := b.client.Get(t.Context(), client.ObjectKey{Name: "us-east"}, &cluster); err != nil {
		t.Fatal(err)
	}
	cluster.Labels["region"] = "us-2"
	b.change(&cluster)
	// Only the second one is for everybody's eyes.
	if got := bare.next(); got != "changed {}" {
		t.Errorf("who may see the cluster alone is told %s", got)
	}
	if got := bare.next(); got != `counters {"unknown":1}` {
		t.Errorf("then he is told %s", got)
	}
}

func TestAPageThatIsOlderThanTheLastChangeIsLoadedAgain(t *testing.T) {
	eu := targetOn("eu-west", "shop", kronvoyv1alpha1.TargetReady)
	b := newTestbed(t, managed("eu-west", "eu"), eu)
	eu.Status.State = kronvoyv1alpha1.TargetFailed
	b.change(eu)
	user := b.as("admin-token")
	if got := user.listen("/live?fleet=1&seen=0").next(); got != "changed {}" {
		t.Errorf("a page from before gets %s", got)
	}
	current := user.listen("/live?fleet=1&seen=1")
	eu.Status.State = kronvoyv1alpha1.TargetReady
	b.change(eu)
	if got := current.next(); !strings.HasPrefix(got, "tile") {
		t.Errorf("a current page gets %s", got)
	}
}

func TestAStreamOfTopicsIsForTheSessionThatWasGivenIt(t *testing.T) {
	b := newTestbed(t)
	user, other := b.as("admin-token"), b.as("admin-token")
	cookie := user.cookies["kronvoy"]
	session, err := b.server.sessions.resume(t.Context(), cookie.Value, true)
	if err != nil {
		t.Fatal(err)
	}
	address := session.stream([]string{"cluster/eu-west"}, nil) + "&seen=0"
	altered := strings.Replace(address, "of=", "of="+encode([]byte("x")), 1)
	for name, got := range map[string]answer{
		"another session": other.get(address), "another topic": user.get(altered), "no signature": user.get("/live?of=" + encode([]byte(`{"topics":["drift"]}`))),
	} {
		if got.status != http.StatusForbidden {
			t.Errorf("%s: it gives %d", name, got.status)
		}
	}
	own := user.listen(address)
	b.server.live.mark("", everything, topicDrift)
	b.server.live.flush(t.Context())
	b.server.live.mark("", mayCluster("eu-west"), topicCluster("eu-west"))
	b.server.live.flush(t.Context())
	if got := own.next(); got != "changed {}" {
		t.Errorf("the topic changed, and there came %s", got)
	}
}

func TestAStreamEndsWithItsSession(t *testing.T) {
	b := newTestbed(t)
	user := b.as("admin-token")
	stream := user.listen("/live?fleet=1&seen=0")
	delete(b.api.users, "admin-token")
	for !b.clock.HasWaiters() {
		if t.Context().Err() != nil {
			t.Fatal("the stream does not wait")
		}
	}
	b.clock.Step(time.Minute)
	if got := stream.next(); got != "ended {}" {
		t.Errorf("there comes %s", got)
	}
	if got := stream.next(); got != "closed" {
		t.Errorf("then comes %s", got)
	}
}

func TestASlowReaderIsToldToLoadThePageAgain(t *testing.T) {
	b := newTestbed(t)
	s, err := b.server.live.subscribe(&session{access: access{viewer: &Viewer{Name: "slow"}}})
	if err != nil {
		t.Fatal(err)
	}
	for range maxBacklog + 1 {
		b.server.live.flush(t.Context())
	}
	select {
	case <-s.behind:
	default:
		t.Error("it is not")
	}
	if b.server.live.flush(t.Context()); len(b.server.live.streams) != 1 {
		t.Error("it counts no longer, though it may hang in a write")
	}
	if b.server.live.unsubscribe(s); len(b.server.live.streams) != 0 {
		t.Error("it counts after its end")
	}
}
