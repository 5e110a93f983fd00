package spoke

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	mcmanager "sigs.k8s.io/multicluster-runtime/pkg/manager"
	mcreconcile "sigs.k8s.io/multicluster-runtime/pkg/reconcile"

	"github.com/kronvoy/kronvoy/spoke/apply"
	"github.com/kronvoy/kronvoy/spoke/cluster"
	"github.com/kronvoy/kronvoy/spoke/feedback"
	"github.com/kronvoy/kronvoy/spoke/keep"
	"github.com/kronvoy/kronvoy/spoke/live"
	"github.com/kronvoy/kronvoy/spoke/metrics"
	"github.com/kronvoy/kronvoy/spoke/report"
)

// shutdownTimeout is how long what is under way may take when the agent stops.
const shutdownTimeout = 8 * time.Second

// startTimeout is how long the agent waits for its own API server before it
// ends, to be started anew.
const startTimeout = 10 * time.Minute

// Agent serves one cluster.
type Agent struct {
	manager mcmanager.Manager
}

// New makes an agent. It reaches neither API server yet.
func New(o Options) (*Agent, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	scheme := newScheme()
	theHub, err := newHub(&o, scheme)
	if err != nil {
		return nil, err
	}
	mgr, err := mcmanager.New(o.Spoke, theHub, manager.Options{
		Scheme: scheme,
		Logger: o.Logger,
		// An API server that is still starting is waited for.
		MapperProvider: newSpokeMapper,
		Cache: cache.Options{
			DefaultTransform: cache.TransformStripManagedFields(),
			NewInformer:      live.NewInformer,
		},
		Metrics:                 metricsserver.Options{BindAddress: o.MetricsBindAddress},
		HealthProbeBindAddress:  "0", // the board answers
		LeaderElection:          false,
		GracefulShutdownTimeout: ptr.To(shutdownTimeout),
	})
	if err != nil {
		return nil, fmt.Errorf("setting up the agent of cluster %q: %w", o.ClusterName, err)
	}
	if err := assemble(&o, mgr, theHub); err != nil {
		return nil, fmt.Errorf("setting up the agent of cluster %q: %w", o.ClusterName, err)
	}
	return &Agent{manager: mgr}, nil
}

// Run serves until the context ends.
func (a *Agent) Run(ctx context.Context) error { return a.manager.Start(ctx) }

// assemble wires the parts together.
func assemble(o *Options, mgr mcmanager.Manager, theHub *hub) error {
	local := mgr.GetLocalManager()
	objects, err := dynamic.NewForConfigAndClient(o.Spoke, local.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("making a client of the cluster: %w", err)
	}
	queue := newTriggers(o.Clock)
	counts := metrics.New(o.Registry)
	mapper := newPatientMapper(local.GetRESTMapper(), o.Clock)
	evaluator := feedback.NewEvaluator()
	r := &reconciler{
		hub: theHub, plans: newPlans(mapper, o.Namespace), observer: report.NewObserver(evaluator), met: newFirsts(), restored: newFirsts(),
		grace: o.EvictionGracePeriod, log: o.Logger, clock: o.Clock, metrics: counts, tracer: o.Tracer, noticed: queue.noticed,
	}
	watches := live.New(objects, o.Logger.WithName("live"), func(event live.Event) {
		for _, work := range r.applier.Works(event) {
			queue.add(work)
		}
	})
	r.applier = apply.New(apply.Options{
		Client: local.GetClient(), Reader: local.GetAPIReader(), Dynamic: objects, Impersonate: impersonating(o.Spoke, local.GetHTTPClient()), RESTMapper: mapper, Live: watches, Evaluator: evaluator,
		HubHash: o.HubHash, AgentID: o.AgentID, FlushDelay: o.FlushDelay, Clock: o.Clock, Log: o.Logger.WithName("apply"),
		Elsewhere: r.elsewhere,
	})
	r.keeper = keep.New(local.GetClient(), local.GetAPIReader(), o.Namespace, o.HubHash, o.FlushDelay, o.Clock, o.Logger.WithName("keep"))
	r.writer = report.NewWriter(theHub, o.ClusterName, o.Clock, o.Logger.WithName("report")).Measured(counts).Traced(o.Tracer)
	source := &metrics.Source{Watches: watches.Size, Works: r.applier.Size, Hub: func() string { return o.Board.Notice(hubTopic).Reason }, Certificate: o.Certificate}
	state := metrics.NewState(o.Registry)
	if err := watch(mgr, r, queue, theHub, controller.TypedOptions[mcreconcile.Request]{
		MaxConcurrentReconciles: o.Workers,
		SkipNameValidation:      ptr.To(true), // several agents may share a process
		CacheSyncTimeout:        startTimeout,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[mcreconcile.Request](100*time.Millisecond, time.Minute),
	}); err != nil {
		return err
	}
	speaker, err := newSpeaker(o, local, theHub)
	if err != nil {
		return err
	}
	gone := &vanishing{
		hub: theHub, inventories: local.GetCache(), workOf: r.applier.WorkOf, grace: o.EvictionGracePeriod,
		clock: o.Clock, log: o.Logger.WithName("vanishing"), changed: make(chan struct{}, 1),
	}
	for _, runnable := range []manager.Runnable{
		manager.RunnableFunc(watches.Start), manager.RunnableFunc(r.writer.Start), manager.RunnableFunc(speaker.Start), manager.RunnableFunc(gone.Start),
		manager.RunnableFunc(func(ctx context.Context) error {
			state.Serve(ctx, source)
			return nil
		}),
	} {
		if err := local.Add(runnable); err != nil {
			return err
		}
	}
	o.Board.Check(clusterTopic, func(ctx context.Context) error { return answers(ctx, local) })
	o.Board.Check(hubTopic, theHub.asked)
	return nil
}

// newSpeaker reads the cluster's nodes without the manager's cache: an agent that
// may not read them must be ready all the same.
func newSpeaker(o *Options, local manager.Manager, theHub *hub) (*cluster.Speaker, error) {
	reader, err := client.NewWithWatch(local.GetConfig(), client.Options{
		HTTPClient: local.GetHTTPClient(), Scheme: local.GetScheme(), Mapper: newOwnMapper(),
	})
	if err != nil {
		return nil, fmt.Errorf("making a client of the cluster: %w", err)
	}
	return cluster.New(cluster.Options{
		Name: o.ClusterName, Hub: theHub.direct, Spoke: reader, Config: local.GetConfig(), HTTPClient: local.GetHTTPClient(),
		Engaged: theHub.engaged, Told: theHub.told, Every: o.LeaseDuration, HealthPeriod: o.HealthCheckPeriod, MaxCustomClaims: o.MaxCustomClaims,
		Clock: o.Clock, Log: o.Logger.WithName("cluster"),
	})
}

// impersonating makes clients that act in another user's name, over the agent's
// own connection.
func impersonating(config *rest.Config, own *http.Client) func(user string) (dynamic.Interface, error) {
	return func(user string) (dynamic.Interface, error) {
		other := *own
		other.Transport = transport.NewImpersonatingRoundTripper(transport.ImpersonationConfig{UserName: user}, own.Transport)
		return dynamic.NewForConfigAndClient(config, &other)
	}
}

// answers says why the agent cannot look after its own cluster.
func answers(ctx context.Context, local manager.Manager) error {
	bounded, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if !local.GetCache().WaitForCacheSync(bounded) {
		return errors.New("the cluster's inventories are not read yet")
	}
	return nil
}
