package join

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/notice"
)

// CertificateDuration is the life that is asked for by default.
const CertificateDuration = 30 * 24 * time.Hour

// MinCertificateDuration is the shortest life that a CertificateSigningRequest
// may ask for (validation of certificates.k8s.io/v1).
const MinCertificateDuration = 10 * time.Minute

const (
	// callTimeout bounds one step: either API server may not answer.
	callTimeout = 30 * time.Second
	// afterRefusal is how long a refused request is left alone before another one
	// is made. Hubs forget refused requests after an hour.
	afterRefusal = time.Hour
	// longest is the longest time between two looks at the clock: machines sleep.
	longest = 10 * time.Minute
	// patience is how long a request may wait before anybody is told.
	patience = 3 * time.Second
)

// Options say where an agent's identity is kept, and how the hub is asked.
type Options struct {
	// Cluster reads and writes the agent's own cluster, without a cache.
	Cluster client.WithWatch
	// Namespace of the two Secrets; their names are OCM's by default.
	Namespace       string
	BootstrapSecret string
	HubSecret       string
	// ClusterName counts for more than what the bootstrap Secret says. Empty
	// leaves it to that.
	ClusterName string
	// CertificateDuration is asked of the hub; 30 days by default.
	CertificateDuration time.Duration
	// Configure may set limits and the like of clients of the hub.
	Configure func(*rest.Config)
	Board     *notice.Board
	Clock     clock.WithTicker
	Log       logr.Logger
}

// Hub is the hub that the cluster has joined.
type Hub struct {
	// ClusterName is the cluster's name there.
	ClusterName string
	// Config reaches it, with the certificate that is the agent's at the time.
	Config *rest.Config

	transport *transport
	moved     chan struct{}
}

// Moved is closed when the cluster has joined another hub, or by another name.
func (h *Hub) Moved() <-chan struct{} { return h.moved }

// Joiner keeps a cluster joined.
type Joiner struct {
	options Options
	poke    chan struct{}

	mu        sync.Mutex
	hub       *Hub
	joined    chan struct{} // closed when hub is set
	bootstrap *corev1.Secret
	looked    bool              // whether bootstrap was looked for
	leaf      *x509.Certificate // of identity

	// What follows is Run's own.
	secret   *corev1.Secret // as stored; nil to read it again
	identity *identity
	joining  errand
	renewal  errand
	telling  errand
	told     *metav1.Condition
	broken   *wait.Backoff
}

// errand is something that takes several attempts.
type errand struct {
	// due is when to try again, by our own clock; begun is when the first attempt
	// was made of what is under way.
	due, begun time.Time
	polls      *wait.Backoff
	retries    *wait.Backoff
	// refused is set when what was asked for will never come.
	refused bool
	// by is the hash of the bootstrap that it is made with.
	by string
}

// New makes a Joiner.
func New(o Options) *Joiner {
	if o.BootstrapSecret == "" {
		o.BootstrapSecret = kronvoyv1alpha1.BootstrapSecret
	}
	if o.HubSecret == "" {
		o.HubSecret = kronvoyv1alpha1.HubSecret
	}
	if o.CertificateDuration == 0 {
		o.CertificateDuration = CertificateDuration
	}
	if o.Configure == nil {
		o.Configure = func(*rest.Config) {}
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	return &Joiner{options: o, poke: make(chan struct{}, 1), joined: make(chan struct{})}
}

// Hub waits until the cluster has joined a hub; nil when the context ends.
func (j *Joiner) Hub(ctx context.Context) *Hub {
	select {
	case <-j.joined:
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return nil
	}
	return j.currentHub()
}

// Run joins the cluster, and renews its certificate, until the context ends.
func (j *Joiner) Run(ctx context.Context) error {
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		j.watchBootstrap(ctx)
	}()
	for ctx.Err() == nil {
		bounded, cancel := context.WithTimeout(ctx, callTimeout)
		next := j.step(bounded)
		cancel()
		timer := j.options.Clock.NewTimer(next)
		select {
		case <-timer.C():
		case <-j.poke:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
		}
	}
	<-watching
	return nil
}

// hurry ends the present wait.
func (j *Joiner) hurry() {
	select {
	case j.poke <- struct{}{}:
	default: // somebody was faster
	}
}

// step looks at everything, does what can be done at once, and says how long to
// wait.
func (j *Joiner) step(ctx context.Context) time.Duration {
	if err := j.load(ctx); err != nil {
		if j.broken == nil {
			j.broken = &wait.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 30, Cap: 30 * time.Second}
		}
		j.tell(ctx, notice.Notice{Reason: notice.ClusterUnreachable, Message: err.Error(), Problem: true, Unready: j.identity == nil})
		return j.broken.Step()
	}
	j.broken = nil
	b, err := j.currentBootstrap()
	if err != nil {
		j.tell(ctx, notice.Notice{Reason: notice.InvalidBootstrapSecret, Message: fmt.Sprintf(
			"The Secret %s/%s cannot be used: %v", j.options.Namespace, j.options.BootstrapSecret, err), Problem: true, Unready: j.useless()})
	}
	plan := decide(j.identity, b, j.hubNow())
	now := j.options.Clock.Now()
	next := now.Add(longest)
	soonest := func(at time.Time) {
		if at.Before(next) {
			next = at
		}
	}
	switch {
	case plan.join:
		if j.joining.by != b.hash {
			j.joining = errand{by: b.hash}
		}
		soonest(j.attempt(ctx, &j.joining, now, func() error { return j.join(ctx, b) }))
	case err == nil:
		j.joining = errand{}
		j.rest(ctx, plan)
	}
	if plan.renew {
		soonest(j.attempt(ctx, &j.renewal, now, func() error { return j.renew(ctx) }))
	} else {
		j.renewal = errand{}
	}
	if condition := j.condition(plan); condition != nil {
		soonest(j.attempt(ctx, &j.telling, now, func() error { return j.report(ctx, *condition) }))
	}
	if plan.in > 0 {
		soonest(now.Add(plan.in))
	}
	if j.secret == nil {
		soonest(now) // what is stored is to be read again
	}
	return max(next.Sub(j.options.Clock.Now()), 0)
}

// plan is what there is to do.
type plan struct {
	// join with the bootstrap; renew the certificate.
	join, renew bool
	// expired is whether the certificate is of no use any more.
	expired bool
	// in is how long nothing changes by itself; 0 is for ever.
	in time.Duration
}

// decide says what there is to do for an agent at that time of the hub's clock.
// A bootstrap that has not led to the certificate is new, and what somebody
// wants.
func decide(id *identity, b *bootstrap, now time.Time) plan {
	switch {
	case id == nil:
		return plan{join: b != nil}
	case id.expired(now):
		return plan{join: b != nil, expired: true}
	}
	p := plan{join: b != nil && b.hash != id.bootstrap, renew: !now.Before(id.renewAt())}
	if p.renew {
		p.in = id.notAfter().Sub(now)
	} else {
		p.in = id.renewAt().Sub(now)
	}
	return p
}

// errPending is a request that waits for the hub.
var errPending = errors.New("pending")

// attempt does what is due, and says when to do so again. It asks a hub that has
// not decided after 0.1 s first, and after 10 s at last; one that fails after
// 1 s and 10 min.
func (j *Joiner) attempt(ctx context.Context, e *errand, now time.Time, do func() error) time.Time {
	if e.due.After(now) {
		return e.due
	}
	if e.begun.IsZero() {
		e.begun = now
	}
	switch err := do(); {
	case err == nil:
		*e = errand{}
		return j.options.Clock.Now()
	case errors.Is(err, errPending):
		if e.polls == nil {
			e.polls = &wait.Backoff{Duration: 100 * time.Millisecond, Factor: 1.4, Jitter: 0.1, Steps: 50, Cap: 10 * time.Second}
		}
		e.retries, e.due = nil, j.options.Clock.Now().Add(e.polls.Step())
	case errors.Is(err, errRefused):
		e.refused, e.due = true, j.options.Clock.Now().Add(afterRefusal)
	default:
		if e.retries == nil {
			e.retries = &wait.Backoff{Duration: time.Second, Factor: 2, Jitter: 0.3, Steps: 30, Cap: 10 * time.Minute}
			if !apierrors.IsUnauthorized(err) && !apierrors.IsForbidden(err) {
				e.retries.Cap = 30 * time.Second
			}
		}
		e.due = j.options.Clock.Now().Add(e.retries.Step())
	}
	if ctx.Err() != nil {
		return now
	}
	return e.due
}

// hubNow is the time by the hub's clock, as far as it is known.
func (j *Joiner) hubNow() time.Time {
	if hub := j.currentHub(); hub != nil {
		return hub.transport.now()
	}
	return j.options.Clock.Now()
}

func (j *Joiner) currentHub() *Hub {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.hub
}

// useless is whether the hub knows the agent by nothing.
func (j *Joiner) useless() bool { return j.identity == nil || j.identity.expired(j.hubNow()) }

// load reads what is stored, where that is not known.
func (j *Joiner) load(ctx context.Context) error {
	if j.secret != nil {
		return nil
	}
	secret := &corev1.Secret{}
	err := j.options.Cluster.Get(ctx, client.ObjectKey{Namespace: j.options.Namespace, Name: j.options.HubSecret}, secret)
	switch {
	case apierrors.IsNotFound(err):
		secret = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: j.options.Namespace, Name: j.options.HubSecret}}
	case err != nil:
		return fmt.Errorf("The Secret %s/%s cannot be read: %w", j.options.Namespace, j.options.HubSecret, err) //nolint:staticcheck // it becomes a sentence of its own
	}
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	id, err := readIdentity(secret)
	if err != nil {
		j.options.Log.Info("The hub's Secret cannot be used; a bootstrap would replace it",
			"secret", j.options.Namespace+"/"+j.options.HubSecret, "reason", err.Error())
	}
	if err := j.adopt(id); err != nil {
		return err
	}
	j.secret = secret
	return nil
}

// save writes what is to be stored. What became of a write that failed is for
// the next load to see.
func (j *Joiner) save(ctx context.Context) error {
	var err error
	if j.secret.ResourceVersion == "" {
		err = j.options.Cluster.Create(ctx, j.secret)
	} else {
		err = j.options.Cluster.Update(ctx, j.secret)
	}
	if err != nil {
		j.secret = nil
		return fmt.Errorf("writing the Secret %s/%s: %w", j.options.Namespace, j.options.HubSecret, err)
	}
	return nil
}

// Certificate gives from when until when the agent's certificate is good.
func (j *Joiner) Certificate() (from, until time.Time, known bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.leaf == nil {
		return time.Time{}, time.Time{}, false
	}
	return j.leaf.NotBefore, j.leaf.NotAfter, true
}

// adopt makes clients of the hub use an identity from now on.
func (j *Joiner) adopt(id *identity) error {
	if id == nil || j.identity != nil && j.identity.certificate.Leaf.Equal(id.certificate.Leaf) && j.identity.sameHub(id) {
		return nil
	}
	server := rest.CopyConfig(id.config)
	j.options.Configure(server)
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.hub != nil && j.identity.sameHub(id) {
		left := j.identity.notAfter().Sub(j.hub.transport.now())
		if err := j.hub.transport.use(server, id.certificate, max(0, min(maxDrain, left/2))); err != nil {
			return fmt.Errorf("using a new certificate: %w", err)
		}
		j.identity, j.leaf = id, id.certificate.Leaf
		return nil
	}
	t := newTransport(j.options.Clock, j.hurry)
	if err := t.use(server, id.certificate, 0); err != nil {
		return fmt.Errorf("using a certificate: %w", err)
	}
	before := j.hub
	j.hub = &Hub{ClusterName: id.cluster, Config: t.reaching(server), transport: t, moved: make(chan struct{})}
	j.identity, j.told, j.leaf = id, nil, id.certificate.Leaf
	if before == nil {
		close(j.joined)
	} else {
		close(before.moved)
	}
	return nil
}
