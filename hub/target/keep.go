package target

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcreconcile "sigs.k8s.io/multicluster-runtime/pkg/reconcile"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/work"
)

const (
	keptWhy    = "another release of Kronvoy rendered it: it stays as it is until it is moved to a revision of this one"
	unkeptWhy  = "nothing is shipped: another release of Kronvoy made the revision, and it has to be moved to one of this release"
	keptsWaits = "its rollout"
)

// keep leaves a cluster as it is that should have a revision of another release of
// Kronvoy: rendered by this one it would change, and nobody has moved it. Only the
// mark of what is suspended comes and goes, and what agents say is told.
func (r *Reconciler) keep(ctx context.Context, req mcreconcile.Request, s *scope) (reconcile.Result, error) {
	var err error
	if s.plan.Feedback, err = work.Read(nil, s.in.Works, s.in.Reports, s.in.Agent); !s.blockedBy(err) {
		s.plan.Works = work.Keep(s.in.Works, s.in.Suspended)
		if err := r.distribute(ctx, s); err != nil {
			return reconcile.Result{}, err
		}
	}
	return r.writeStatus(ctx, req, s)
}

// keptNodes are those that were known last, with what the agent says of their
// objects now. Whether what had failed is ready again only the graph could tell.
func keptNodes(s *scope) []kronvoyv1alpha1.NodeStatus {
	out := make([]kronvoyv1alpha1.NodeStatus, 0, len(s.target.Status.Nodes))
	for _, node := range s.target.Status.Nodes {
		health, shipped := s.plan.Feedback.Health[node.ID]
		if shipped {
			node.Health, node.HealthMessage = health.State, health.Message
		}
		failure, leaving := s.plan.Feedback.Failures[node.ID], s.plan.Feedback.Terminating[node.ID]
		switch known := node.State; {
		case failure != "":
			node.State, node.Message = string(graph.Failed), shorten(failure)
		case leaving != "":
			node.State, node.Message = kronvoyv1alpha1.NodeDeleting, shorten(leaving)
		case shipped && (known == string(graph.Failed) || known == kronvoyv1alpha1.NodeDeleting):
			node.State, node.Message, node.WaitsFor = string(graph.Progressing), "", []string{keptsWaits}
		}
		out = append(out, node)
	}
	return out
}

// keptState is the state as it is known of what was rendered before, and why that
// is not rendered anew.
func keptState(state kronvoyv1alpha1.TargetState, message string, nodes []kronvoyv1alpha1.NodeStatus) (kronvoyv1alpha1.TargetState, string) {
	switch {
	case len(nodes) == 0 && state == kronvoyv1alpha1.TargetReady:
		return kronvoyv1alpha1.TargetPending, unkeptWhy
	case message != "":
		return state, message + "; " + keptWhy
	}
	return state, keptWhy
}
