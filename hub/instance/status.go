package instance

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/definition"
	"github.com/kronvoy/kronvoy/hub/events"
	"github.com/kronvoy/kronvoy/hub/index"
	"github.com/kronvoy/kronvoy/hub/kinds"
	"github.com/kronvoy/kronvoy/hub/metrics"
	"github.com/kronvoy/kronvoy/hub/policy"
	"github.com/kronvoy/kronvoy/hub/rollout"
	"github.com/kronvoy/kronvoy/hub/status"
)

// RegionLabels are the labels of a cluster that name its region, in order.
var RegionLabels = []string{"region", "topology.kubernetes.io/region"}

// writeStatus sums up and writes what changed, in one patch, at a bounded pace.
func (r *Reconciler) writeStatus(ctx context.Context, req kinds.Request, s *scope) (reconcile.Result, error) {
	if r.written.Behind(req, s.instance) {
		r.Metrics.Held(metrics.Instance, metrics.Cache)
		return index.Later(), nil
	}
	if !s.served {
		if unknown, err := r.Store.Unjudged(ctx, r.Client, req.GVK().GroupKind()); err != nil || unknown {
			return reconcile.Result{RequeueAfter: definition.UnjudgedRecheck}, err
		}
	}
	decision, err := r.Placer.Decide(ctx, s.instance, s.owner)
	if err != nil {
		return reconcile.Result{}, err
	}
	previous, _ := s.instance.Object["status"].(map[string]any)
	in := status.Input{
		Generation:    s.instance.GetGeneration(),
		Deleting:      s.instance.GetDeletionTimestamp() != nil,
		Suspended:     rollout.Suspended(s.instance),
		Targets:       s.targets,
		Previous:      previous,
		Now:           metav1.NewTime(r.Clock.Now()),
		Placed:        decision.Decided && len(decision.Clusters) > 0,
		PlacedReason:  decision.Reason,
		PlacedMessage: decision.Message,
	}
	if decision.Shadowed != "" {
		in.Shadowed = fmt.Sprintf("the label %s names Placement %s, which counts for nothing, for %s says where this instance runs: take the label away, or spec.placement there",
			kronvoyv1alpha1.LabelPlacement, decision.Shadowed, decision.By)
	}
	if !decision.Decided && len(s.targets) > 0 {
		in.PlacedMessage = decision.Message + "; the instance is kept where it is"
	}
	if in.Approvals, err = index.ApprovalRequests(ctx, r.Client, rollout.RevisionNamespace(s.instance, r.Namespace), s.identity); err != nil {
		return reconcile.Result{}, err
	}
	if in.Rollout, err = rollout.Of(ctx, r.Client, s.identity, s.owner); err != nil {
		return reconcile.Result{}, err
	}
	if s.refused != "" {
		// The Placer says it, too, but not of an instance that the hub made: that
		// one is placed whatever its Distribution says.
		in.Placed, in.PlacedReason = false, kronvoyv1alpha1.ReasonInvalidDistribution
		in.PlacedMessage = fmt.Sprintf("Distribution %s cannot be used: %s; what is shipped of the instance stays as it is", s.owner.Name, s.refused)
	}
	r.describe(ctx, &in)
	in.Groups = make(map[string]string, len(decision.Places))
	for cluster, place := range decision.Places {
		in.Groups[cluster] = place.Group
	}
	if s.newest != nil {
		in.Revision = s.newest.Name
	}
	if s.served {
		in.FleetField, in.AuthorConditions = s.serving.Graph.FleetField(), s.serving.Graph.HasConditions()
		// What is wrong with those of the Distribution its condition Accepted says.
		in.Aggregates, _ = policy.Aggregates(s.serving.Graph, s.owner)
	} else {
		in.FleetField = status.FleetFieldIn(previous)
		in.AuthorConditions = status.HadAuthorConditions(previous, in.FleetField)
		if !in.Deleting {
			in.GraphMessage = "no accepted definition serves this kind"
		}
	}
	summary := status.Summarize(in)
	if equality.Semantic.DeepEqual(previous, summary) {
		return reconcile.Result{}, nil
	}
	tell := r.pace.News
	// That it is not as it should be any more is news, too.
	if state := summary["state"]; (state == status.InProgress || state == status.Deleting) && previous["state"] != status.Active {
		tell = r.pace.Progress
	}
	if wait := tell(req, r.Clock.Now()); wait > 0 {
		r.Metrics.Held(metrics.Instance, metrics.Pace)
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	if err := r.patchStatus(ctx, req, s, summary); err != nil {
		return reconcile.Result{}, err
	}
	r.announce(s, previous, summary, in.FleetField)
	return reconcile.Result{}, nil
}

func (r *Reconciler) patchStatus(ctx context.Context, req kinds.Request, s *scope, summary map[string]any) error {
	before := s.instance.DeepCopy()
	s.instance.Object["status"] = summary
	err := r.Client.Status().Patch(ctx, s.instance, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}),
		client.FieldOwner(kronvoyv1alpha1.FieldManagerHub))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing status of %s: %w", s.identity, err)
	}
	if err == nil {
		r.written.Note(req, s.instance)
	}
	return nil
}

// announce records an event when the instance fails, and when it recovers, and so
// for drift: one for all clusters together.
func (r *Reconciler) announce(s *scope, previous, summary map[string]any, fleetField string) {
	before, _ := previous["state"].(string)
	switch after, _ := summary["state"].(string); {
	case after == before:
	case after == status.Error:
		r.Events.Tell(s.instance, nil, events.InstanceFailed, "%s", status.Fault(summary, fleetField))
	case after == status.Active && before == status.Error:
		r.Events.Tell(s.instance, nil, events.InstanceRecovered, "ready on all clusters again")
	}
	was, is := status.BuiltIn(previous, fleetField, status.Drifted), status.BuiltIn(summary, fleetField, status.Drifted)
	switch {
	case is.Status == was.Status:
	case is.Status == metav1.ConditionTrue:
		r.Events.Tell(s.instance, nil, events.DriftFound, "%s", is.Message)
	case was.Status == metav1.ConditionTrue:
		r.Events.Tell(s.instance, nil, events.DriftGone, "%s", is.Message)
	}
}

// describe adds the labels and regions of the instance's clusters.
func (r *Reconciler) describe(ctx context.Context, in *status.Input) {
	in.Labels, in.Regions = make(map[string]map[string]string, len(in.Targets)), make(map[string]string, len(in.Targets))
	for i := range in.Targets {
		var c clusterv1.ManagedCluster
		if err := r.Client.Get(ctx, client.ObjectKey{Name: in.Targets[i].Namespace}, &c, client.UnsafeDisableDeepCopy); err != nil {
			continue
		}
		in.Labels[c.Name] = c.Labels
		for _, label := range RegionLabels {
			if region := c.Labels[label]; region != "" {
				in.Regions[c.Name] = region
				break
			}
		}
	}
}
