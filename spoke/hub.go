package spoke

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
	"unique"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/multicluster-runtime/pkg/multicluster"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/live"
	"github.com/kronvoy/kronvoy/spoke/notice"
)

// hubName is the hub among the engaged clusters.
const hubName multicluster.ClusterName = "hub"

// Topics of what is told about the agent.
const (
	hubTopic     notice.Topic = "hub"
	clusterTopic notice.Topic = "cluster"
)

const (
	// probeTimeout bounds the first questions to a hub that may not answer.
	probeTimeout = 10 * time.Second
	// lookForReports is how often a hub without WorkReports is asked again.
	lookForReports = time.Minute
)

// hub is the multicluster provider of exactly one cluster, which may be out of
// reach for as long as it likes: it is engaged when it first answers.
//
// multicluster-runtime's own pkg/clusters would do the same for many clusters;
// it compares them with go-cmp, whose use of reflection makes the linker keep
// every method of every type: 20 MB of the agent's memory.
type hub struct {
	config    *rest.Config
	scheme    *runtime.Scheme
	namespace string
	clock     clock.Clock
	log       logr.Logger
	direct    client.Client
	board     *notice.Board
	// started is closed when the controller takes sources: engaging earlier
	// would make a hub that falls silent fatal to the start.
	started chan struct{}
	engaged chan struct{}

	once    sync.Once // closes engaged
	mu      sync.Mutex
	cluster cluster.Cluster
	// away is set when the hub did not answer when it was first asked.
	away bool
	// reports is whether the hub has WorkReports; one that runs plain OCM has
	// none.
	reports bool
}

var (
	_ multicluster.Provider         = &hub{}
	_ multicluster.ProviderRunnable = &hub{}
)

func newHub(o *Options, scheme *runtime.Scheme) (*hub, error) {
	direct, err := client.New(o.Hub, client.Options{Scheme: scheme, Mapper: newHubMapper()})
	if err != nil {
		return nil, fmt.Errorf("making a client of the hub: %w", err)
	}
	h := &hub{
		config: o.Hub, scheme: scheme, namespace: o.ClusterName,
		clock: o.Clock, log: o.Logger.WithName("hub"), direct: direct, board: o.Board,
		started: make(chan struct{}), engaged: make(chan struct{}),
	}
	return h, nil
}

// Start engages the hub, trying until it answers.
func (h *hub) Start(ctx context.Context, aware multicluster.Aware) error {
	select {
	case <-h.started:
	case <-ctx.Done():
		return nil
	}
	retry := newRetry()
	for {
		stop, err := h.engage(ctx, aware)
		if err == nil {
			retry = newRetry()
			h.stayEngaged(ctx)
			stop()
		} else {
			h.told(ctx, err)
			h.mu.Lock()
			h.away = true
			h.mu.Unlock()
			h.pause(ctx, retry.Step())
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // to be told to stop is no failure
		}
	}
}

func newRetry() wait.Backoff {
	return wait.Backoff{Duration: 500 * time.Millisecond, Factor: 1.5, Jitter: 0.2, Steps: 20, Cap: 15 * time.Second}
}

// stayEngaged waits until the hub has to be engaged anew: when it has come to
// serve reports.
func (h *hub) stayEngaged(ctx context.Context) {
	for !h.Reports() {
		h.pause(ctx, lookForReports)
		if ctx.Err() != nil {
			return
		}
		probe, cancel := context.WithTimeout(ctx, probeTimeout)
		reports, err := h.hasReports(probe)
		cancel()
		if err == nil && reports {
			return
		}
	}
	<-ctx.Done()
}

// pause waits, unless the agent stops.
func (h *hub) pause(ctx context.Context, wait time.Duration) {
	timer := h.clock.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C():
	}
}

// engage starts the cache of a hub that answers. What it gives stops it.
func (h *hub) engage(ctx context.Context, aware multicluster.Aware) (stop context.CancelFunc, err error) {
	probe, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if err := h.direct.List(probe, &workv1.ManifestWorkList{}, client.InNamespace(h.namespace), client.Limit(1)); err != nil {
		return nil, fmt.Errorf("listing works: %w", err)
	}
	reports, err := h.hasReports(probe)
	if err != nil {
		return nil, err
	}
	if !reports {
		h.log.Info("The hub has no WorkReports; only the status of works is answered")
	}
	cl, err := h.newCluster()
	if err != nil {
		return nil, fmt.Errorf("making a cache of the hub: %w", err)
	}
	running, leave := context.WithCancel(ctx)
	defer func() {
		if err != nil {
			leave()
		}
	}()
	go func() {
		if err := cl.Start(running); err != nil {
			h.log.Error(err, "The cache of the hub ended")
		}
	}()
	if !cl.GetCache().WaitForCacheSync(running) {
		return nil, fmt.Errorf("waiting for the cache of the hub: %w", ctx.Err())
	}
	h.mu.Lock()
	h.cluster, h.reports = cl, reports
	h.mu.Unlock()
	if err := aware.Engage(running, hubName, cl); err != nil {
		return nil, fmt.Errorf("watching the hub: %w", err)
	}
	h.log.Info("The hub is engaged", "cluster", h.namespace)
	h.once.Do(func() { close(h.engaged) })
	return leave, nil
}

func (h *hub) newCluster() (cluster.Cluster, error) {
	return cluster.New(h.config, func(o *cluster.Options) {
		o.Scheme = h.scheme
		o.MapperProvider = newStaticMapper
		o.Logger = h.log
		o.Cache = cache.Options{
			DefaultNamespaces: map[string]cache.Config{h.namespace: {}},
			DefaultTransform:  lighten,
			// Works are large: what is read of them is shared, and never changed.
			DefaultUnsafeDisableDeepCopy: ptr.To(true),
			NewInformer:                  live.NewInformer,
		}
	})
}

// lighten drops what the agent never reads of the hub's objects, and holds the
// few texts once that every condition repeats.
func lighten(obj any) (any, error) {
	if object, ok := obj.(client.Object); ok {
		object.SetManagedFields(nil)
	}
	work, ok := obj.(*workv1.ManifestWork)
	if !ok {
		return obj, nil
	}
	share := func(text *string) { *text = unique.Make(*text).Value() }
	for i := range work.Status.ResourceStatus.Manifests {
		manifest := &work.Status.ResourceStatus.Manifests[i]
		meta := &manifest.ResourceMeta
		for _, text := range []*string{&meta.Group, &meta.Version, &meta.Kind, &meta.Resource, &meta.Namespace} {
			share(text)
		}
		for j := range manifest.Conditions {
			condition := &manifest.Conditions[j]
			for _, text := range []*string{&condition.Type, (*string)(&condition.Status), &condition.Reason, &condition.Message} {
				share(text)
			}
		}
	}
	return obj, nil
}

// hasReports says whether the hub serves WorkReports to this agent. To wait for
// them where there are none would be to wait forever.
func (h *hub) hasReports(ctx context.Context) (bool, error) {
	err := h.direct.List(ctx, &kronvoyv1alpha1.WorkReportList{}, client.InNamespace(h.namespace), client.Limit(1))
	switch {
	case err == nil:
		return true, nil
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err):
		return false, nil
	}
	return false, fmt.Errorf("listing reports: %w", err)
}

// told notes how the hub answered last. While it refuses the cluster, or cannot be
// reached, the cluster is kept as it was told.
func (h *hub) told(ctx context.Context, err error) {
	n := notice.Notice{Reason: notice.HubAnswers, Message: "The hub answers"}
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return // the agent stops
	case apierrors.IsForbidden(err):
		n = notice.Notice{Reason: notice.HubRefuses, Problem: true, Unready: true, Message: fmt.Sprintf(
			"The hub does not accept cluster %s, or not any more; the cluster is kept as it is. On the hub its administrator lets it in with `kronvoy accept %s`",
			h.namespace, h.namespace)}
	case apierrors.IsUnauthorized(err):
		n = notice.Notice{Reason: notice.HubRefusesCertificate, Problem: true, Unready: true, Message: fmt.Sprintf(
			"The hub does not know the agent's certificate, or it has ended; the cluster is kept as it is. Come back with `kronvoy hub token --cluster %s --rejoin | kronvoy join`",
			h.namespace)}
	default:
		n = notice.Notice{Reason: notice.HubUnreachable, Problem: true, Message: "The hub cannot be reached; the cluster is kept as it is: " + err.Error()}
	}
	h.board.Tell(ctx, hubTopic, n)
}

// asked says that it is not known yet how the hub answers.
func (h *hub) asked(context.Context) error {
	if h.board.Notice(hubTopic).Reason == "" {
		return errors.New("the hub has not been asked yet")
	}
	return nil
}

// Away says whether the hub was asked and did not answer, and was never reached
// by this process.
func (h *hub) Away() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.away && h.cluster == nil
}

// Reports implements report.Hub.
func (h *hub) Reports() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reports
}

// Get implements multicluster.Provider.
func (h *hub) Get(_ context.Context, name multicluster.ClusterName) (cluster.Cluster, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if name != hubName || h.cluster == nil {
		return nil, fmt.Errorf("cluster %q: %w", name, multicluster.ErrClusterNotFound)
	}
	return h.cluster, nil
}

// IndexField implements multicluster.Provider; the agent needs no indexes.
func (h *hub) IndexField(context.Context, client.Object, string, client.IndexerFunc) error {
	return errors.New("the hub's cache takes no indexes")
}

// Reader reads from the cache of the hub; nil until it is engaged.
func (h *hub) Reader() client.Reader {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cluster == nil {
		return nil
	}
	return h.cluster.GetCache()
}

// Writer writes to the hub.
func (h *hub) Writer() client.Client { return h.direct }

// work reads a work; known is false while nobody can say whether it exists.
func (h *hub) work(ctx context.Context, name string) (work *workv1.ManifestWork, known bool, err error) {
	reader := h.Reader()
	if reader == nil {
		return nil, false, nil
	}
	work = &workv1.ManifestWork{}
	err = reader.Get(ctx, client.ObjectKey{Namespace: h.namespace, Name: name}, work)
	switch {
	case err == nil:
		return work, true, nil
	case apierrors.IsNotFound(err):
		return nil, true, nil
	case errors.Is(err, context.DeadlineExceeded):
		return nil, false, nil // the cache has not seen the hub's works yet
	}
	return nil, false, fmt.Errorf("reading work %q: %w", name, err)
}

// report reads a work's report; nil when there is none.
func (h *hub) report(ctx context.Context, name string) (*kronvoyv1alpha1.WorkReport, error) {
	reader := h.Reader()
	if reader == nil || !h.Reports() {
		return nil, nil
	}
	report := &kronvoyv1alpha1.WorkReport{}
	err := reader.Get(ctx, client.ObjectKey{Namespace: h.namespace, Name: name}, report)
	switch {
	case err == nil:
		return report, nil
	case apierrors.IsNotFound(err):
		return nil, nil
	}
	return nil, fmt.Errorf("reading report %q: %w", name, err)
}

// works lists the works of the hub's cache.
func (h *hub) works(ctx context.Context) ([]workv1.ManifestWork, error) {
	reader := h.Reader()
	if reader == nil {
		return nil, errors.New("listing works: the hub was not reached yet")
	}
	list := &workv1.ManifestWorkList{}
	if err := reader.List(ctx, list, client.InNamespace(h.namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing works: %w", err)
	}
	return list.Items, nil
}
