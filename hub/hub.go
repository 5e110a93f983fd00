// Package hub is the hub controller: it compiles definitions, places
// instances, evaluates them per cluster, and distributes the works.
package hub

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/hashicorp/go-multierror"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	clusterv1alpha1 "open-cluster-management.io/api/cluster/v1alpha1"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	clusterv1beta2 "open-cluster-management.io/api/cluster/v1beta2"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	mcmanager "sigs.k8s.io/multicluster-runtime/pkg/manager"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph/schema"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
	"github.com/kronvoy/kronvoy/hub/admission"
	"github.com/kronvoy/kronvoy/hub/clusters"
	"github.com/kronvoy/kronvoy/hub/convert"
	"github.com/kronvoy/kronvoy/hub/dashboard"
	"github.com/kronvoy/kronvoy/hub/definition"
	"github.com/kronvoy/kronvoy/hub/distribution"
	"github.com/kronvoy/kronvoy/hub/events"
	"github.com/kronvoy/kronvoy/hub/expiry"
	"github.com/kronvoy/kronvoy/hub/index"
	"github.com/kronvoy/kronvoy/hub/instance"
	"github.com/kronvoy/kronvoy/hub/kinds"
	"github.com/kronvoy/kronvoy/hub/metrics"
	"github.com/kronvoy/kronvoy/hub/override"
	"github.com/kronvoy/kronvoy/hub/policy"
	"github.com/kronvoy/kronvoy/hub/registration"
	"github.com/kronvoy/kronvoy/hub/rollout"
	"github.com/kronvoy/kronvoy/hub/scheduler"
	"github.com/kronvoy/kronvoy/hub/schemas"
	"github.com/kronvoy/kronvoy/hub/target"
	"github.com/kronvoy/kronvoy/internal/compact"
	"github.com/kronvoy/kronvoy/internal/trace"
)

// Options of the hub. The zero value of a field means what its comment says.
type Options struct {
	// Config reaches the hub's API server.
	Config *rest.Config
	// Namespace holds the hub's own objects.
	Namespace string
	// AllowedNamespaces are reserved namespaces that instances may use.
	AllowedNamespaces []string
	// LeaderElection lets several hub processes run, one of them active.
	LeaderElection bool
	// HealthAddress and MetricsAddress are listened on; "0" turns them off.
	HealthAddress, MetricsAddress string
	// MetricsInstances is how many instances get a metric of their own.
	MetricsInstances int
	// Registry takes the metrics; controller-runtime's when nil, which
	// MetricsAddress serves.
	Registry ctrlmetrics.RegistererGatherer
	// Tracer follows changes; nil follows none.
	Tracer *trace.Tracer
	// Version of the hub, for metrics.
	Version string
	// LocalCluster registers the hub's own cluster as a spoke; whoever sets it
	// runs the agent beside the hub (Add).
	LocalCluster bool
	// DefaultPlacement is where instances run that name no Placement.
	DefaultPlacement rollout.DefaultPlacement
	// DefaultServiceAccount is in whose name agents act for instances that nothing
	// else speaks of; empty for nobody's.
	DefaultServiceAccount policy.ServiceAccount
	// AgentIdentity is where agents may use their own rights unless something else
	// is said.
	AgentIdentity policy.AgentIdentity
	// RemovalGracePeriod is how long a cluster that left its placement keeps an
	// instance, where no Distribution says so.
	RemovalGracePeriod time.Duration
	// Scheduler and Registration are off where OCM's own controllers run.
	WithoutScheduler, WithoutRegistration bool
	// MaxCertificateDuration is the longest that an agent's certificate may last; 0
	// for no bound.
	MaxCertificateDuration time.Duration
	// Webhook checks definitions as they are applied.
	Webhook admission.Options
	// Dashboard is served where its address is given.
	Dashboard dashboard.Options
	// Clock is the real one when nil.
	Clock clock.Clock
}

// Hub runs all controllers.
type Hub struct {
	manager mcmanager.Manager
}

// Scheme holds every kind the hub reads or writes, but the generated ones.
func Scheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		appsv1.AddToScheme, authenticationv1.AddToScheme, authorizationv1.AddToScheme, certificatesv1.AddToScheme, coordinationv1.AddToScheme, corev1.AddToScheme, eventsv1.AddToScheme, rbacv1.AddToScheme,
		admissionregistrationv1.AddToScheme, apiextensionsv1.AddToScheme,
		clusterv1.Install, clusterv1alpha1.Install, clusterv1beta1.Install, clusterv1beta2.Install, workv1.Install,
		krov1alpha1.AddToScheme, kronvoyv1alpha1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("building the scheme: %w", err)
		}
	}
	return scheme, nil
}

// New makes a hub and registers every controller it has.
func New(ctx context.Context, opts Options) (*Hub, error) {
	if opts.Clock == nil {
		opts.Clock = clock.RealClock{}
	}
	if opts.Registry == nil {
		opts.Registry = ctrlmetrics.Registry
	}
	keeper := &admission.Keeper{Namespace: opts.Namespace, Clock: opts.Clock}
	mgr, err := newManager(opts, keeper)
	if err != nil {
		return nil, err
	}
	local := mgr.GetLocalManager()
	if err := index.Add(ctx, local.GetFieldIndexer()); err != nil {
		return nil, err
	}
	discoveryClient, err := discovery.NewDiscoveryClientForConfigAndClient(opts.Config, local.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("making a discovery client: %w", err)
	}
	counts := metrics.New(opts.Registry)
	served := schemas.NewHub(discoveryClient, local.GetRESTMapper(), opts.Clock).Measured(counts)
	store := definition.NewStore(local.GetAPIReader(), opts.Namespace, schema.Chain(served, builtin.Resolver())).Measured(counts, opts.Clock)
	watched := kinds.New(local.GetCache())
	recorder := events.NewRecorder(local.GetEventRecorder("kronvoy"), local.GetScheme(), opts.Clock)

	// The order is that of the path of the data.
	c, reader := local.GetClient(), local.GetAPIReader()
	placer := rollout.Placer{Reader: c, HubNamespace: opts.Namespace, Default: opts.DefaultPlacement, Unfit: unfit(store)}
	var errs *multierror.Error
	errs = multierror.Append(errs,
		(&definition.Reconciler{
			Client: c, Reader: reader, Store: store, Kinds: watched, Namespace: opts.Namespace, Clock: opts.Clock, Events: recorder,
		}).SetupWithManager(local),
		(&instance.Reconciler{
			Client: c, Reader: reader, Store: store, Namespace: opts.Namespace, Clock: opts.Clock,
			Events: recorder, Placer: placer, Metrics: counts, Tracer: opts.Tracer,
		}).SetupWithManager(local, watched),
		(&rollout.Reconciler{
			Client: c, Reader: reader, Namespace: opts.Namespace, Placer: placer, Store: store, Clock: opts.Clock, Events: recorder,
			GracePeriod: opts.RemovalGracePeriod,
		}).SetupWithManager(local, watched),
		(&rollout.Mover{
			Gatherer: rollout.Gatherer{Cached: c, Namespaces: local.GetCache(), Namespace: opts.Namespace, Placer: placer, Store: store, Clock: opts.Clock},
			Client:   c, Reader: reader, Events: recorder, Metrics: counts,
		}).SetupWithManager(local, watched),
		(&target.Reconciler{
			Gatherer: gatherer(opts, local, reader, store),
			Client:   c, Clock: opts.Clock, Metrics: counts, Tracer: opts.Tracer,
		}).SetupWithManager(mgr, watched),
		(&distribution.Reconciler{Client: c, Store: store, Clock: opts.Clock, Placer: placer}).SetupWithManager(local, watched),
		(&target.Orphans{Client: c, Reader: reader, Clock: opts.Clock}).SetupWithManager(local, watched),
		(&expiry.Reconciler{Client: c, Cache: local.GetCache(), Namespace: opts.Namespace, Clock: opts.Clock}).SetupWithManager(local),
	)
	if !opts.WithoutScheduler {
		errs = multierror.Append(errs, (&scheduler.Reconciler{Client: c, Clock: opts.Clock}).SetupWithManager(local))
	}
	if !opts.WithoutRegistration {
		errs = multierror.Append(errs,
			(&clusters.Reconciler{Client: c, Clock: opts.Clock, Events: recorder}).SetupWithManager(local),
			(&registration.Clusters{Client: c, Reader: reader, Events: recorder}).SetupWithManager(local),
			(&registration.Requests{
				Client: c, Reader: reader, Events: recorder, Clock: opts.Clock, MaxDuration: opts.MaxCertificateDuration,
			}).SetupWithManager(local),
			(&registration.Tokens{Client: c, Events: recorder, Clock: opts.Clock}).SetupWithManager(local),
		)
	}
	if opts.LocalCluster {
		errs = multierror.Append(errs, local.Add(manager.RunnableFunc(func(ctx context.Context) error {
			return registration.RegisterLocal(ctx, c)
		})))
	}
	errs = multierror.Append(errs, addDashboard(opts, local, reader, store), local.Add(&metrics.State{
		Caches: local.GetCache(), Kinds: watched.Each, Sizes: metrics.Sizes{Graphs: store.Graphs, Schemas: served.Size},
		Registry: opts.Registry, Clock: opts.Clock, Version: opts.Version, Instances: opts.MetricsInstances,
	}))
	keeper.Client, keeper.Reader = c, reader
	errs = multierror.Append(errs, opts.Webhook.Setup(local, admission.NewValidator(store, reader), keeper))
	if err := errs.ErrorOrNil(); err != nil {
		return nil, fmt.Errorf("registering controllers: %w", err)
	}
	return &Hub{manager: mgr}, nil
}

// unfit compiles what a Distribution says in expressions for the kind as it is
// served, and reads its strategy.
func unfit(store *definition.Store) func(*kronvoyv1alpha1.Distribution) error {
	cache := &override.Cache{}
	return func(d *kronvoyv1alpha1.Distribution) error {
		serving, served := store.Serving(policy.KindOf(d))
		if !served {
			return nil
		}
		if _, err := convert.Strategy(d.Spec.Rollout); err != nil {
			return err
		}
		if _, err := policy.Gate(serving.Graph, d); err != nil {
			return err
		}
		_, err := cache.Compile(serving.Graph, d.Spec.Overrides)
		return err
	}
}

// gatherer reads what decides about Targets.
func gatherer(opts Options, mgr manager.Manager, reader client.Reader, store *definition.Store) target.Gatherer {
	return target.Gatherer{
		Cached: mgr.GetClient(), Reader: reader, Namespaces: mgr.GetCache(), Store: store, Namespace: opts.Namespace,
		AllowedNamespaces: opts.AllowedNamespaces, DefaultServiceAccount: opts.DefaultServiceAccount, AgentIdentity: opts.AgentIdentity,
	}
}

// addDashboard serves the dashboard, where it is asked for.
func addDashboard(opts Options, mgr manager.Manager, reader client.Reader, store *definition.Store) error {
	d := opts.Dashboard
	if d.Address == "" {
		return nil
	}
	d.Config, d.Client, d.Cache, d.Graphs = opts.Config, mgr.GetClient(), mgr.GetCache(), store
	plans := gatherer(opts, mgr, reader, store)
	d.Plans = &plans
	d.Namespace, d.Clock, d.Log = opts.Namespace, opts.Clock, mgr.GetLogger().WithName("dashboard")
	server, err := dashboard.New(d)
	if err != nil {
		return err
	}
	return mgr.Add(server)
}

// newManager limits the caches to what the hub needs, stripped of what it
// never reads.
func newManager(opts Options, keeper *admission.Keeper) (mcmanager.Manager, error) {
	scheme, err := Scheme()
	if err != nil {
		return nil, err
	}
	grace := 10 * time.Second
	watched, err := registration.CacheOptions()
	if err != nil {
		return nil, fmt.Errorf("limiting the cache: %w", err)
	}
	maps.Copy(watched, admission.CacheOptions(opts.Namespace))
	watched[&coordinationv1.Lease{}] = cache.ByObject{Field: fields.OneTermEqualSelector("metadata.name", clusters.LeaseName)}
	mgr, err := mcmanager.New(opts.Config, nil, manager.Options{
		Scheme:                        scheme,
		LeaderElection:                opts.LeaderElection,
		LeaderElectionID:              "kronvoy-hub",
		LeaderElectionNamespace:       opts.Namespace,
		LeaderElectionReleaseOnCancel: true,
		GracefulShutdownTimeout:       &grace,
		HealthProbeBindAddress:        opts.HealthAddress,
		Metrics:                       metricsserver.Options{BindAddress: opts.MetricsAddress},
		WebhookServer:                 opts.Webhook.Server(keeper),
		Cache: cache.Options{
			DefaultTransform: compact.Transform,
			ByObject:         watched,
		},
		Client: client.Options{Cache: &client.CacheOptions{Unstructured: true, DisableFor: []client.Object{
			&corev1.Namespace{}, &apiextensionsv1.CustomResourceDefinition{},
		}}},
	})
	if err != nil {
		return nil, fmt.Errorf("connecting to the hub's API server: %w", err)
	}
	return mgr, addChecks(opts, mgr.GetLocalManager(), keeper)
}

// Add runs something beside the controllers, on the active hub alone.
func (h *Hub) Add(r manager.Runnable) error { return h.manager.GetLocalManager().Add(r) }

// Run blocks until ctx ends or the hub cannot go on.
func (h *Hub) Run(ctx context.Context) error { return h.manager.Start(ctx) }
