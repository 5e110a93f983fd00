package target

import (
	"context"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	mcreconcile "sigs.k8s.io/multicluster-runtime/pkg/reconcile"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// followPatience is how long a report waits for the status of its work that its
// agent was about to write: some hundred times what lies between the two.
const followPatience = 250 * time.Millisecond

// fromAgents handles the objects in which an agent answers, the status of a work
// and its report, and notes when it does: an update that leaves the generation as
// it is was not the hub's own. What an agent tells in both is one change, and is
// evaluated once.
type fromAgents[T client.Object] struct {
	handler.TypedEventHandler[T, mcreconcile.Request]
	reconciler *Reconciler
	// first is true for what the agent writes before something else.
	first func(T) bool
}

func (r *Reconciler) fromWorks() handler.TypedEventHandler[*workv1.ManifestWork, mcreconcile.Request] {
	return fromAgents[*workv1.ManifestWork]{
		TypedEventHandler: handler.TypedEnqueueRequestsFromMapFunc(func(ctx context.Context, w *workv1.ManifestWork) []mcreconcile.Request { return r.ofWork(ctx, w) }),
		reconciler:        r, first: func(*workv1.ManifestWork) bool { return false },
	}
}

func (r *Reconciler) fromReports() handler.TypedEventHandler[*kronvoyv1alpha1.WorkReport, mcreconcile.Request] {
	return fromAgents[*kronvoyv1alpha1.WorkReport]{
		TypedEventHandler: handler.TypedEnqueueRequestsFromMapFunc(func(ctx context.Context, w *kronvoyv1alpha1.WorkReport) []mcreconcile.Request {
			return r.ofWork(ctx, w)
		}),
		reconciler: r, first: func(report *kronvoyv1alpha1.WorkReport) bool { return report.Status.WorkStatusFollows },
	}
}

// Update implements handler.TypedEventHandler.
func (f fromAgents[T]) Update(ctx context.Context, e event.TypedUpdateEvent[T], q workqueue.TypedRateLimitingInterface[mcreconcile.Request]) {
	if e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() || e.ObjectOld.GetResourceVersion() == e.ObjectNew.GetResourceVersion() {
		f.TypedEventHandler.Update(ctx, e, q)
		return
	}
	requests := f.reconciler.ofWork(ctx, e.ObjectNew)
	f.reconciler.answers.see(f.reconciler.Clock.Now(), requests...)
	for _, req := range requests {
		if f.first(e.ObjectNew) {
			f.reconciler.halves.wait(req, q)
			continue
		}
		f.reconciler.halves.complete(req)
		q.Add(req)
	}
}

// halves are Targets of which an agent has told half of a change. The zero value is
// ready for use, by many goroutines.
type halves struct {
	mu    sync.Mutex
	known map[mcreconcile.Request]*time.Timer
}

// wait adds the request in followPatience, unless the other half comes before.
func (h *halves) wait(req mcreconcile.Request, q workqueue.TypedInterface[mcreconcile.Request]) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known[req] != nil {
		return
	}
	if h.known == nil {
		h.known = map[mcreconcile.Request]*time.Timer{}
	}
	h.known[req] = time.AfterFunc(followPatience, func() {
		h.complete(req)
		q.Add(req)
	})
}

// complete ends the wait.
func (h *halves) complete(req mcreconcile.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if timer := h.known[req]; timer != nil {
		timer.Stop()
		delete(h.known, req)
	}
}
