// Package cluster speaks for the cluster itself: it renews the lease by which
// the hub knows that the agent lives, and says in the ManagedCluster's status
// whether the cluster's API server is alive, and what cluster and agent are.
//
// Two write the condition ManagedClusterConditionAvailable, and do not fight:
// the agent says True or False, of the API server that it probes, and only
// while the hub takes its lease; the hub says Unknown, while the lease is not
// renewed, and nothing else.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	clusterv1alpha1 "open-cluster-management.io/api/cluster/v1alpha1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/facts"
)

const (
	// checkEvery is how often the ManagedCluster is looked at although nothing
	// changed here: something may have changed there.
	checkEvery = time.Minute
	// settle is how long changes are collected: nodes change by the hundred.
	settle = 500 * time.Millisecond
	// writePause is the time between two writes.
	writePause = 5 * time.Second
	// firstPatience is how long the first statement waits for nodes and claims.
	firstPatience = 3 * time.Second
	// labelSpokeOnly keeps a ClusterClaim from the hub; OCM's.
	labelSpokeOnly = "open-cluster-management.io/spoke-only"
)

// features is what this agent can do beyond OCM's.
const features = kronvoyv1alpha1.FeatureWorkReport + "," + kronvoyv1alpha1.FeatureHealth

// Options of a Speaker.
type Options struct {
	// Name of the ManagedCluster and its namespace.
	Name string
	// Hub reads and writes the hub, without a cache.
	Hub client.Client
	// Spoke reads Nodes, ClusterClaims and Namespaces of the cluster, without a
	// cache; Config and HTTPClient reach its API server.
	Spoke      client.WithWatch
	Config     *rest.Config
	HTTPClient *http.Client
	// Engaged is closed when the hub was first reached.
	Engaged <-chan struct{}
	// Told is called with what the hub answered, nil when it took what it was told.
	Told func(context.Context, error)
	// Every is the time between two renewals of the lease. Negative is for an
	// agent beside OCM's registration agent, which speaks for the cluster: ours
	// then says its version and features once, and nothing else.
	Every time.Duration
	// HealthPeriod is how often the API server is probed.
	HealthPeriod time.Duration
	// MaxCustomClaims is how many ClusterClaims are told.
	MaxCustomClaims int
	Clock           clock.WithTicker
	Log             logr.Logger
}

// Speaker keeps the hub informed about the cluster.
type Speaker struct {
	Options
	discovery *discovery.DiscoveryClient
	heartbeat *heartbeat
	probe     *probe
	nodes     *source[*corev1.Node]
	claims    *source[*clusterv1alpha1.ClusterClaim]
	// changed holds at most one message: look again.
	changed chan struct{}
	// id is the UID of kube-system, once it was read.
	id string
	// said is what the hub was last found to know.
	said *statement
}

// New makes a Speaker. It asks nobody yet.
func New(o Options) (*Speaker, error) {
	asker, err := discovery.NewDiscoveryClientForConfigAndClient(o.Config, o.HTTPClient)
	if err != nil {
		return nil, fmt.Errorf("making a discovery client: %w", err)
	}
	s := &Speaker{Options: o, discovery: asker, changed: make(chan struct{}, 1)}
	s.heartbeat = &heartbeat{name: o.Name, hub: o.Hub, every: o.Every, clock: o.Clock, told: o.Told, changed: s.poke}
	s.probe = &probe{period: o.HealthPeriod, ask: asking(asker.RESTClient()), clock: o.Clock, log: o.Log, changed: s.poke}
	s.nodes = &source[*corev1.Node]{
		client: o.Spoke, example: &corev1.Node{}, list: func() client.ObjectList { return &corev1.NodeList{} },
		slim: facts.Slim, content: func(n *corev1.Node) any { return []any{n.Labels, n.Annotations, n.Spec, n.Status} },
		changed: s.poke, log: o.Log,
	}
	s.claims = &source[*clusterv1alpha1.ClusterClaim]{
		client: o.Spoke, example: &clusterv1alpha1.ClusterClaim{}, list: func() client.ObjectList { return &clusterv1alpha1.ClusterClaimList{} },
		slim: slimClaim, content: func(c *clusterv1alpha1.ClusterClaim) any { return []any{c.Labels, c.Spec} },
		changed: s.poke, log: o.Log,
	}
	return s, nil
}

func slimClaim(c *clusterv1alpha1.ClusterClaim) *clusterv1alpha1.ClusterClaim {
	slim := &clusterv1alpha1.ClusterClaim{Spec: c.Spec}
	slim.Name, slim.UID, slim.ResourceVersion = c.Name, c.UID, c.ResourceVersion
	if _, kept := c.Labels[labelSpokeOnly]; kept {
		slim.Labels = map[string]string{labelSpokeOnly: ""}
	}
	return slim
}

// poke asks for another look, without waiting.
func (s *Speaker) poke() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Start runs until the context ends, or the hub turns out to be restored from a
// backup.
func (s *Speaker) Start(ctx context.Context) error {
	select {
	case <-s.Engaged:
	case <-ctx.Done():
		return nil
	}
	if s.Every < 0 {
		s.introduce(ctx)
		return nil
	}
	if err := errors.Join(s.nodes.start(ctx), s.claims.start(ctx)); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { cancel(s.heartbeat.run(ctx)) }()
	go s.probe.run(ctx)
	s.awaitSources(ctx)
	for ctx.Err() == nil {
		pause(ctx, s.Clock, settle)
		next := checkEvery
		switch wrote, err := s.speak(ctx); {
		case apierrors.IsConflict(err):
			s.poke() // somebody else wrote meanwhile
		case err != nil:
			s.complain(ctx, err)
			next = retryAfter
		case wrote:
			pause(ctx, s.Clock, writePause)
		}
		s.await(ctx, next)
	}
	if err := context.Cause(ctx); errors.Is(err, errRestored) {
		return err
	}
	return nil
}

// await returns when something changed, or it is time to look anyway.
func (s *Speaker) await(ctx context.Context, d time.Duration) {
	timer := s.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-s.changed:
	case <-timer.C():
		s.said = nil
	}
}

// awaitSources waits a little for the first lists and the first verdicts, so
// that the first statement is whole.
func (s *Speaker) awaitSources(ctx context.Context) {
	timer := s.Clock.NewTimer(firstPatience)
	defer timer.Stop()
	for {
		_, nodes := s.nodes.all()
		_, claims := s.claims.all()
		if nodes != pending && claims != pending && s.probe.Verdict() != nil && s.heartbeat.Alive() {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-timer.C():
			return
		case <-s.changed:
		}
	}
}

func (s *Speaker) complain(ctx context.Context, err error) {
	if ctx.Err() == nil {
		s.Log.Info("Telling the hub about the cluster failed", "cluster", s.Name, "reason", err.Error())
	}
}

// speak tells the hub what it does not know, and says whether it wrote.
func (s *Speaker) speak(ctx context.Context) (wrote bool, err error) {
	if !s.heartbeat.Alive() {
		return false, nil // a hub that does not take the lease is not listening
	}
	if s.heartbeat.Lapsed() {
		s.said = nil
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	now, err := s.gather(ctx)
	if err != nil {
		return false, err
	}
	if s.said != nil && equality.Semantic.DeepEqual(s.said, now) {
		return false, nil
	}
	wrote, err = s.write(ctx, now.applyTo)
	if err == nil {
		s.said = now
	}
	return wrote, err
}

// gather looks at the cluster. An API server that is down is asked nothing.
func (s *Speaker) gather(ctx context.Context) (*statement, error) {
	verdict := s.probe.Verdict()
	now := &statement{Available: verdict}
	if verdict == nil || verdict.Status != metav1.ConditionTrue {
		return now, nil
	}
	version, err := s.version()
	if err != nil {
		return nil, err
	}
	if err := s.identify(ctx); err != nil {
		return nil, err
	}
	now.Version = version
	nodes, nodesKnown := s.nodes.all()
	if nodesKnown != open {
		nodes = nil
	}
	now.Facts = facts.Of(facts.Cluster{ID: s.id, Version: now.Version, Nodes: nodes})
	now.NodesPending = nodesKnown == pending

	objects, claimsKnown := s.claims.all()
	now.ClaimsPending = claimsKnown == pending
	said := make(map[string]string, len(objects))
	for _, claim := range objects {
		if _, kept := claim.Labels[labelSpokeOnly]; !kept {
			said[claim.Name] = claim.Spec.Value
		}
	}
	now.Facts.Claims[kronvoyv1alpha1.ClaimFeatures] = features
	now.Claims, now.Left = facts.Claims(now.Facts.Claims, said, s.MaxCustomClaims)
	return now, nil
}

// errOwn is a failure of the cluster itself: it says nothing about the hub.
var errOwn = errors.New("asking the cluster's version")

// version is that of the cluster's API server.
func (s *Speaker) version() (string, error) {
	version, err := s.discovery.ServerVersion()
	if err != nil {
		return "", errors.Join(errOwn, err)
	}
	return version.GitVersion, nil
}

// identify reads the cluster's identity, by which Kubernetes' users agree to
// know a cluster: the UID of namespace kube-system. It never changes.
func (s *Speaker) identify(ctx context.Context) error {
	if s.id != "" {
		return nil
	}
	system := &metav1.PartialObjectMetadata{}
	system.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	err := s.Spoke.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, system)
	switch {
	case apierrors.IsForbidden(err), apierrors.IsNotFound(err):
		return nil // it is not said then
	case err != nil:
		return fmt.Errorf("reading the cluster's identity: %w", err)
	}
	s.id = string(system.UID)
	return nil
}

// write makes the ManagedCluster's status what it should be. A hub without
// ManagedClusters is none of the agent's business.
func (s *Speaker) write(ctx context.Context, wanted func(clusterv1.ManagedClusterStatus) clusterv1.ManagedClusterStatus) (wrote bool, err error) {
	known := &clusterv1.ManagedCluster{}
	err = s.Hub.Get(ctx, client.ObjectKey{Name: s.Name}, known)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the ManagedCluster: %w", err)
	}
	changed := known.DeepCopy()
	changed.Status = wanted(known.Status)
	if equality.Semantic.DeepEqual(known.Status, changed.Status) {
		return false, nil
	}
	// Lists are replaced as a whole: nobody else may have written meanwhile.
	err = s.Hub.Status().Patch(ctx, changed, client.MergeFromWithOptions(known, client.MergeFromWithOptimisticLock{}))
	if err != nil {
		return false, fmt.Errorf("writing the ManagedCluster's status: %w", err)
	}
	return true, nil
}

// introduce says what the agent is, and no more.
func (s *Speaker) introduce(ctx context.Context) {
	for {
		bounded, cancel := context.WithTimeout(ctx, writeTimeout)
		version, err := s.version()
		if err == nil {
			_, err = s.write(bounded, func(status clusterv1.ManagedClusterStatus) clusterv1.ManagedClusterStatus {
				wanted := *status.DeepCopy()
				wanted.Version.Kubernetes = version
				wanted.ClusterClaims = withFeatures(wanted.ClusterClaims)
				return wanted
			})
		}
		cancel()
		wait := retryAfter
		switch {
		case err == nil:
			s.Told(ctx, nil)
			return
		case errors.Is(err, errOwn):
			s.complain(ctx, err)
		case apierrors.IsForbidden(err):
			// OCM's hub gives a work agent no right to ManagedClusters, but works.
			s.complain(ctx, err)
			s.Told(ctx, nil)
			wait = checkEvery
		default:
			s.Told(ctx, err)
		}
		if !pause(ctx, s.Clock, wait) {
			return
		}
	}
}

// withFeatures leaves all other claims as they are.
func withFeatures(claims []clusterv1.ManagedClusterClaim) []clusterv1.ManagedClusterClaim {
	for i := range claims {
		if claims[i].Name == kronvoyv1alpha1.ClaimFeatures {
			claims[i].Value = features
			return claims
		}
	}
	return append(claims, clusterv1.ManagedClusterClaim{Name: kronvoyv1alpha1.ClaimFeatures, Value: features})
}
