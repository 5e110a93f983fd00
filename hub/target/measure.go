package target

import (
	"sync"
	"time"

	mcreconcile "sigs.k8s.io/multicluster-runtime/pkg/reconcile"

	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/metrics"
	"github.com/kronvoy/kronvoy/internal/trace"
)

// measure counts an evaluation that is over; nothing is evaluated while an instance is
// suspended.
func (r *Reconciler) measure(s *scope, began time.Time) {
	if s.in.Suspended {
		return
	}
	result, ended := outcome(s), r.Clock.Now()
	r.Metrics.Evaluated(s.in.Identity.GroupKind(), result, s.plan.Evaluation.Cost, ended.Sub(began))
	span := r.step(s, trace.Evaluate, began)
	span.Set(trace.Result, result)
	span.End(ended, nil)
}

func outcome(s *scope) string {
	if s.plan.Blocked != "" {
		return metrics.Blocked
	}
	result := metrics.Complete
	for _, node := range s.plan.Evaluation.Nodes {
		switch node.State {
		case graph.Failed:
			return metrics.Failed
		case graph.Pending, graph.Held:
			result = metrics.Waiting
		}
	}
	return result
}

// answers are when the hub saw what agents answered, until the status of their
// Targets tells of it, or has nothing to tell.
type answers struct {
	mu   sync.Mutex
	seen map[mcreconcile.Request]time.Time
}

// see notes an answer; earlier ones that are not told of yet count.
func (a *answers) see(now time.Time, requests ...mcreconcile.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.seen == nil {
		a.seen = map[mcreconcile.Request]time.Time{}
	}
	for _, req := range requests {
		if _, waits := a.seen[req]; !waits {
			a.seen[req] = now
		}
	}
}

// settle is the end of a wait; found is false where there was none.
func (a *answers) settle(req mcreconcile.Request) (since time.Time, found bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	since, found = a.seen[req]
	delete(a.seen, req)
	return since, found
}
