package spoke

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
	mcbuilder "sigs.k8s.io/multicluster-runtime/pkg/builder"
	mcmanager "sigs.k8s.io/multicluster-runtime/pkg/manager"
	"sigs.k8s.io/multicluster-runtime/pkg/multicluster"
	mcreconcile "sigs.k8s.io/multicluster-runtime/pkg/reconcile"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// request is the one key of a work, whatever brought it up.
func request(work string) mcreconcile.Request {
	return mcreconcile.Request{ClusterName: hubName, Request: reconcile.Request{NamespacedName: types.NamespacedName{Name: work}}}
}

// triggers brings works into the controller's queue from outside of it. What
// comes before the queue exists waits.
type triggers struct {
	mu    sync.Mutex
	queue workqueue.TypedRateLimitingInterface[mcreconcile.Request]
	early []string
	clock clock.PassiveClock
	// since is when the first change was seen that a run did not begin after.
	since map[string]time.Time
}

func newTriggers(c clock.PassiveClock) *triggers {
	return &triggers{clock: c, since: map[string]time.Time{}}
}

// noticed takes when the first change of a work's objects was seen since it was
// asked last; zero when none was.
func (t *triggers) noticed(work string) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	since := t.since[work]
	delete(t.since, work)
	return since
}

func (t *triggers) add(work string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.since[work].IsZero() {
		t.since[work] = t.clock.Now()
	}
	if t.queue == nil {
		t.early = append(t.early, work)
		return
	}
	t.queue.Add(request(work))
}

func (t *triggers) start(queue workqueue.TypedRateLimitingInterface[mcreconcile.Request]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queue = queue
	for _, work := range t.early {
		queue.Add(request(work))
	}
	t.early = nil
}

// watch sets up the controller: works and reports on the hub, inventories on
// the cluster, and whatever the live cache sees.
func watch(
	mgr mcmanager.Manager, r *reconciler, queue *triggers, theHub *hub, options controller.TypedOptions[mcreconcile.Request],
) error {
	fromHub := []mcbuilder.WatchesOption{
		mcbuilder.WithEngageWithLocalCluster(false), mcbuilder.WithEngageWithProviderClusters(true),
	}
	return mcbuilder.ControllerManagedBy(mgr).
		Named("work").
		WithOptions(options).
		WithClusterNotFoundWrapper(false).
		Watches(&workv1.ManifestWork{}, byName, fromHub...).
		Watches(&kronvoyv1alpha1.WorkReport{}, byName, append(fromHub, mcbuilder.WithPredicates(reportAppears),
			mcbuilder.WithClusterFilter(func(multicluster.ClusterName, cluster.Cluster) bool { return theHub.Reports() }))...).
		Watches(&workv1.AppliedManifestWork{}, r.byInventory,
			mcbuilder.WithEngageWithLocalCluster(true), mcbuilder.WithEngageWithProviderClusters(false)).
		WatchesRawSource(source.TypedFunc[mcreconcile.Request](
			func(_ context.Context, q workqueue.TypedRateLimitingInterface[mcreconcile.Request]) error {
				queue.start(q)
				close(theHub.started)
				return nil
			})).
		Complete(r)
}

// byName takes an object of the hub for its work: reports have the work's name.
func byName(multicluster.ClusterName, cluster.Cluster) handler.TypedEventHandler[client.Object, mcreconcile.Request] {
	return handler.TypedEnqueueRequestsFromMapFunc(func(_ context.Context, obj client.Object) []mcreconcile.Request {
		return []mcreconcile.Request{request(obj.GetName())}
	})
}

// byInventory takes an inventory for its work. One that is deleted takes what
// was remembered of its work along.
func (r *reconciler) byInventory(multicluster.ClusterName, cluster.Cluster) handler.TypedEventHandler[client.Object, mcreconcile.Request] {
	enqueue := func(obj client.Object, q workqueue.TypedRateLimitingInterface[mcreconcile.Request]) {
		if work, ok := r.applier.WorkOf(obj.GetName()); ok {
			q.Add(request(work))
		}
	}
	type queue = workqueue.TypedRateLimitingInterface[mcreconcile.Request]
	return handler.TypedFuncs[client.Object, mcreconcile.Request]{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { enqueue(e.Object, q) },
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) {
			if work, ok := r.applier.WorkOf(e.Object.GetName()); ok {
				r.applier.InventoryGone(work, e.Object.GetUID())
			}
			enqueue(e.Object, q)
		},
	}
}

// reportAppears lets pass only what changes a report's being there: its status
// is our own.
var reportAppears = predicate.Funcs{
	UpdateFunc:  func(event.UpdateEvent) bool { return false },
	DeleteFunc:  func(event.DeleteEvent) bool { return false },
	GenericFunc: func(event.GenericEvent) bool { return false },
}
