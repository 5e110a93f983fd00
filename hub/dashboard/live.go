package dashboard

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/dashboard/view"
)

const (
	// coalesce is how long changes are gathered before they are told.
	coalesce = 250 * time.Millisecond
	// heartbeat keeps a silent stream alive, and asks whether its session still is.
	heartbeat = 20 * time.Second
	// maxBacklog is how many batches a slow reader may be behind; then he is told
	// to load the page again.
	maxBacklog = 16
	// The numbers of streams at once: of all, and of one user.
	maxStreams, maxStreamsEach = 1000, 40
	// maxAsked is how many objects of one topic in one batch are looked through for
	// one that the viewer may see.
	maxAsked = 100
)

// What pages are about. A topic names what changed, and no more; it is told to
// those who may see one of the objects that did.
const (
	topicClusters    = "clusters"
	topicTargets     = "targets"
	topicDrift       = "drift"
	topicDefinitions = "definitions"
	topicPlacements  = "placements"
	topicApprovals   = "approvals"
	topicRollouts    = "rollouts"
)

func topicCluster(name string) string            { return "cluster/" + name }
func topicInstance(hash string) string           { return "instance/" + hash }
func topicRollout(namespace, name string) string { return "rollout/" + namespace + "/" + name }
func topicDefinition(name string) string         { return "definition/" + name }

// tileChange is what a tile has become; nil for a cluster that went.
type tileChange struct {
	name  string
	after *view.Tile
	// drift is set when its drift changed, which the page lists elsewhere, too.
	drift bool
}

// batch is what changed in one interval. All streams share it: read-only.
type batch struct {
	tiles []tileChange
	// topics with the rights on the objects that changed.
	topics map[string]map[Right]bool
}

// live tells streams what changed. A change is looked at once, however many
// look at it.
type live struct {
	fleet *fleet
	clock clock.Clock
	log   logr.Logger
	wake  chan struct{}

	mu       sync.Mutex
	clusters map[string]bool
	topics   map[string]map[Right]bool
	streams  map[*stream]bool
	// batches is how many there were, and last which one a topic was in at last.
	batches uint64
	last    map[string]uint64
}

// stream is one browser that listens.
type stream struct {
	session *session
	batches chan *batch
	// behind is closed when the reader was too slow, which late says. The stream
	// counts until it has ended: it may hang in a write.
	behind chan struct{}
	late   bool
}

func newLive(f *fleet, c clock.Clock, log logr.Logger) *live {
	return &live{
		fleet: f, clock: c, log: log, wake: make(chan struct{}, 1),
		clusters: map[string]bool{}, topics: map[string]map[Right]bool{}, streams: map[*stream]bool{}, last: map[string]uint64{},
	}
}

// watch marks what informers see change.
func (l *live) watch(ctx context.Context, c cache.Cache) error {
	for _, kind := range []client.Object{
		&clusterv1.ManagedCluster{}, &kronvoyv1alpha1.Target{}, &kronvoyv1alpha1.WorkReport{}, &krov1alpha1.ResourceGraphDefinition{},
		&clusterv1beta1.Placement{}, &clusterv1beta1.PlacementDecision{}, &kronvoyv1alpha1.ApprovalRequest{}, &kronvoyv1alpha1.Rollout{},
	} {
		informer, err := c.GetInformer(ctx, kind)
		if err != nil {
			return fmt.Errorf("watching %T for the dashboard: %w", kind, err)
		}
		_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc:    l.changed,
			UpdateFunc: func(_, o any) { l.changed(o) },
			DeleteFunc: l.changed,
		})
		if err != nil {
			return fmt.Errorf("watching %T for the dashboard: %w", kind, err)
		}
	}
	return nil
}

func (l *live) changed(o any) {
	if gone, is := o.(toolscache.DeletedFinalStateUnknown); is {
		o = gone.Obj
	}
	switch o := o.(type) {
	case *clusterv1.ManagedCluster:
		l.mark(o.Name, mayCluster(o.Name), topicClusters, topicCluster(o.Name), topicPlacements)
	case *kronvoyv1alpha1.Target:
		l.mark(o.Namespace, mayList("targets", o.Namespace), topicTargets, topicCluster(o.Namespace), topicInstance(o.Labels[kronvoyv1alpha1.LabelInstance]), topicDrift)
	case *kronvoyv1alpha1.WorkReport:
		l.mark("", mayList("workreports", o.Namespace), topicCluster(o.Namespace), topicInstance(o.Labels[kronvoyv1alpha1.LabelInstance]), topicDrift)
	case *krov1alpha1.ResourceGraphDefinition:
		l.mark("", mayDefinition(o.Name), topicDefinitions, topicDefinition(o.Name))
	case *clusterv1beta1.Placement:
		l.mark("", mayPlacement("list", o.Namespace, ""), topicPlacements)
	case *clusterv1beta1.PlacementDecision:
		l.mark("", mayPlacement("list", o.Namespace, ""), topicPlacements)
	case *kronvoyv1alpha1.ApprovalRequest:
		l.mark("", mayList("approvalrequests", o.Namespace), topicApprovals)
	case *kronvoyv1alpha1.Rollout:
		l.mark("", mayList("rollouts", o.Namespace), topicRollouts, topicRollout(o.Namespace, o.Name))
	}
}

func (l *live) mark(cluster string, right Right, topics ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if cluster != "" {
		l.clusters[cluster] = true
	}
	for _, topic := range topics {
		if l.topics[topic] == nil {
			l.topics[topic] = map[Right]bool{}
		}
		l.topics[topic][right] = true
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run tells what was marked, at most once in an interval.
func (l *live) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		}
		l.flush(ctx)
		select {
		case <-ctx.Done():
			return
		case <-l.clock.After(coalesce):
		}
	}
}

func (l *live) flush(ctx context.Context) {
	l.mu.Lock()
	clusters, topics := l.clusters, l.topics
	l.clusters, l.topics = map[string]bool{}, map[string]map[Right]bool{}
	l.mu.Unlock()
	b := &batch{topics: topics}
	for _, name := range slices.Sorted(maps.Keys(clusters)) {
		before, after, err := l.fleet.refresh(ctx, name)
		if err != nil {
			l.log.Error(err, "A tile was not made anew")
			continue
		}
		if !same(before, after) {
			drift := before == nil || after == nil || before.DriftedObjects != after.DriftedObjects || !before.DriftSince.Equal(after.DriftSince)
			b.tiles = append(b.tiles, tileChange{name, after, drift})
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.batches++
	for topic := range topics {
		l.last[topic] = l.batches
	}
	for s := range l.streams {
		if s.late {
			continue
		}
		select {
		case s.batches <- b:
		default:
			s.late = true
			close(s.behind)
		}
	}
}

// now is how much has been told. A page that takes it before it looks at anything,
// and asks since with it when it listens, misses nothing in between.
func (l *live) now() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.batches
}

func (l *live) since(seen uint64, topics []string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(topics, func(topic string) bool { return l.last[topic] > seen })
}

var errTooManyStreams = errors.New("too many pages are open")

func (l *live) subscribe(v *session) (*stream, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	own := 0
	for s := range l.streams {
		if s.session.viewer.Name == v.viewer.Name {
			own++
		}
	}
	if len(l.streams) >= maxStreams || own >= maxStreamsEach {
		return nil, errTooManyStreams
	}
	s := &stream{session: v, batches: make(chan *batch, maxBacklog), behind: make(chan struct{})}
	l.streams[s] = true
	return s, nil
}

func (l *live) unsubscribe(s *stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.streams, s)
}

// watched is what a page's stream is about: topics, and the rights without which
// there is no such page.
type watched struct {
	Topics []string `json:"topics"`
	Needs  []Right  `json:"needs,omitempty"`
}

// stream is the address of the events of a page. It is signed with a key of the
// session's: a page gives out only what its viewer may see.
func (s *session) stream(topics []string, needs []Right) string {
	text, err := json.Marshal(watched{topics, needs})
	if err != nil {
		return "" // the page is not live then
	}
	return "/live?of=" + encode(text) + "&sign=" + encode(s.signStream(text))
}

func (s *session) signStream(text []byte) []byte {
	mac := hmac.New(sha256.New, s.csrf)
	mac.Write([]byte("stream "))
	mac.Write(text)
	return mac.Sum(nil)
}

// subject is what one stream is about.
type subject struct {
	topics []string
	// open looks at where things stand, and tell turns batches into events. Holds
	// says whether the viewer may still see all of it.
	open  func(ctx context.Context) error
	tell  func(ctx context.Context, b *batch) ([]event, error)
	holds func(ctx context.Context) (bool, error)
}

// event is one server-sent event.
type event struct{ name, data string }

// The events: changed asks to load the page again at once, stale some time, and
// ended to log in.
var (
	changed = event{"changed", "{}"}
	stale   = event{"stale", "{}"}
	ended   = event{"ended", "{}"}
)

// serveLive streams events.
func (s *Server) serveLive(w http.ResponseWriter, r *http.Request) {
	viewer, err := s.session(r, true)
	if err != nil {
		http.Error(w, "log in first", http.StatusUnauthorized)
		return
	}
	about, err := s.subject(r, viewer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	// The stream is there before the state it starts from is looked at: what
	// changes in between is told twice rather than not at all.
	stream, err := s.live.subscribe(viewer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusTooManyRequests)
		return
	}
	defer s.live.unsubscribe(stream)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	if err := s.pump(w, r, stream, about); err != nil && r.Context().Err() == nil {
		s.log.Info("A stream of events ended early", "reason", err.Error())
	}
}

func (s *Server) subject(r *http.Request, v *session) (subject, error) {
	q := r.URL.Query()
	if q.Get("fleet") != "" {
		return s.fleetSubject(v, view.ParseFilter(q)), nil
	}
	text, err := decode(q.Get("of"))
	sign, signErr := decode(q.Get("sign"))
	var of watched
	if err != nil || signErr != nil || !hmac.Equal(sign, v.signStream(text)) || json.Unmarshal(text, &of) != nil {
		return subject{}, errors.New("this address is of another session: load the page again")
	}
	return subject{
		topics: of.Topics,
		open:   func(context.Context) error { return nil },
		tell: func(ctx context.Context, b *batch) ([]event, error) {
			for _, topic := range of.Topics {
				if seen, err := v.seesAny(ctx, b.topics[topic]); seen || err != nil {
					return []event{changed}, err
				}
			}
			return nil, nil
		},
		holds: func(ctx context.Context) (bool, error) {
			missing, err := v.missing(ctx, of.Needs...)
			return missing == nil, err
		},
	}, nil
}

// seesAny says whether a viewer may see one of the objects that changed.
func (s *session) seesAny(ctx context.Context, rights map[Right]bool) (bool, error) {
	asked := 0
	for right := range rights {
		allowed, err := s.May(ctx, right)
		if asked++; allowed || err != nil || asked == maxAsked {
			return allowed || asked == maxAsked, err
		}
	}
	return false, nil
}

// pump writes events until somebody goes.
func (s *Server) pump(w http.ResponseWriter, r *http.Request, stream *stream, about subject) error {
	control, ctx := http.NewResponseController(w), r.Context()
	// The request was read long ago: the connection may stay silent.
	if err := control.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	send := func(text string) error {
		//nolint:forbidigo // the deadline of a connection is by the machine's clock
		if err := control.SetWriteDeadline(time.Now().Add(s.limits.write)); err != nil {
			return err
		}
		if _, err := w.Write([]byte(text)); err != nil {
			return err
		}
		return control.Flush()
	}
	if err := about.open(ctx); err != nil {
		return err
	}
	first := "retry: 2000\n\n"
	if seen, err := strconv.ParseUint(r.URL.Query().Get("seen"), 10, 64); err != nil || s.live.since(seen, about.topics) {
		first += changed.String()
	}
	if err := send(first); err != nil {
		return err
	}
	// Events do not put it off: a session that ended is told nothing more.
	again := s.opts.Clock.After(heartbeat)
	for {
		var events []event
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-stream.session.over:
			return send(ended.String())
		case <-stream.behind:
			return send(changed.String())
		case b := <-stream.batches:
			events, err = about.tell(ctx, b)
		case <-again:
			again = s.opts.Clock.After(heartbeat)
			var holds bool
			if _, err = s.session(r, true); errors.Is(err, errNoSession) {
				return send(ended.String())
			}
			if err == nil {
				holds, err = about.holds(ctx)
			}
			if err == nil && !holds {
				return send(changed.String()) // the page says what is missing now
			}
			if err == nil {
				err = send(": still there\n\n")
			}
		}
		if err != nil {
			return err
		}
		var text strings.Builder
		for _, e := range events {
			text.WriteString(e.String())
		}
		if text.Len() == 0 {
			continue
		}
		if err := send(text.String()); err != nil {
			return err
		}
	}
}

// String is the event on the wire.
func (e event) String() string { return "event: " + e.name + "\ndata: " + e.data + "\n\n" }

func encodeEvent(name string, data any) event {
	text, err := json.Marshal(data)
	if err != nil {
		return changed // the page shows it then
	}
	return event{name, string(text)}
}
