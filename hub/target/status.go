package target

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcreconcile "sigs.k8s.io/multicluster-runtime/pkg/reconcile"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/clusters"
	"github.com/kronvoy/kronvoy/hub/index"
	"github.com/kronvoy/kronvoy/hub/metrics"
	"github.com/kronvoy/kronvoy/internal/trace"
)

const (
	// maxWaits and maxText bound what a Target says.
	maxWaits = 10
	maxText  = 1024
	// maxValues is how many bytes the author's values of one cluster may have.
	maxValues = 64 << 10
)

// writeStatus says what came of it, in one patch, only if it changed, at a
// bounded pace.
func (r *Reconciler) writeStatus(ctx context.Context, req mcreconcile.Request, s *scope) (reconcile.Result, error) {
	if r.written.Behind(req, s.target) {
		r.Metrics.Held(metrics.Target, metrics.Cache)
		return index.Later(), nil
	}
	now := r.Clock.Now()
	before := s.target.DeepCopy()
	s.target.Status = decideStatus(s, metav1.NewTime(now))
	if equality.Semantic.DeepEqual(before.Status, s.target.Status) {
		r.answers.settle(req)
		return reconcile.Result{}, nil
	}
	if wait := r.pacing(s.target.Status.State)(req, now); wait > 0 {
		r.Metrics.Held(metrics.Target, metrics.Pace)
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	span := r.step(s, trace.Status, now)
	span.Set(trace.Result, string(s.target.Status.State))
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	err := r.Client.Status().Patch(ctx, s.target, patch, client.FieldOwner(kronvoyv1alpha1.FieldManagerHub))
	span.End(r.Clock.Now(), client.IgnoreNotFound(err))
	if client.IgnoreNotFound(err) != nil {
		return reconcile.Result{}, fmt.Errorf("writing status of target %s/%s: %w", s.target.Namespace, s.target.Name, err)
	}
	if err == nil {
		r.written.Note(req, s.target)
		if seen, answered := r.answers.settle(req); answered {
			r.Metrics.Told(r.Clock.Now().Sub(seen))
		}
		r.Metrics.Corrected(s.in.Identity.GroupKind(), before.Status.Drift.Corrections, s.target.Status.Drift.Corrections)
	}
	return reconcile.Result{}, nil
}

// pacing is how a state is told of.
func (r *Reconciler) pacing(state kronvoyv1alpha1.TargetState) func(mcreconcile.Request, time.Time) time.Duration {
	switch state {
	case kronvoyv1alpha1.TargetPending, kronvoyv1alpha1.TargetProgressing, kronvoyv1alpha1.TargetDeleting:
		return r.pace.Progress
	}
	return r.pace.News
}

// decideStatus is a function of the scope.
func decideStatus(s *scope, now metav1.Time) kronvoyv1alpha1.TargetStatus {
	old := s.target.Status
	status := kronvoyv1alpha1.TargetStatus{
		ObservedGeneration: s.target.Generation,
		Revision:           s.target.Spec.Revision,
		AssignedAt:         s.target.Spec.AssignedAt,
		Drift:              s.plan.Feedback.Drift,
		Clocks:             old.Clocks,
		Nodes:              nodes(s),
		Children:           s.listed(),
	}
	status.Suspended = s.suspension()
	status.Ineffective = s.ineffective()
	status.Reason = s.plan.Reason
	status.State, status.Message = summarize(s, status.Nodes)
	if s.kept && s.plan.Blocked == "" {
		status.State, status.Message = keptState(status.State, status.Message, status.Nodes)
	}
	status.Message = shorten(status.Message)
	status.Health = worstHealth(s, status.Nodes)
	switch {
	case s.plan.Blocked != "":
		// Nothing was decided: what was known stays.
		status.Revision, status.Nodes, status.Drift = old.Revision, old.Nodes, old.Drift
		status.Ineffective = old.Ineffective
	case s.kept:
		// It is of what was evaluated last.
		status.Revision, status.AssignedAt, status.Ineffective = old.Revision, old.AssignedAt, old.Ineffective
	case s.in.Suspended:
		// Nothing was shipped, and policies were not looked at.
		status.Revision, status.Ineffective = old.Revision, old.Ineffective
	}
	status.Values = values(s, old)
	status.Conditions, status.Issues = authored(s, status)
	if old.State != status.State || status.Clocks.StateSince == nil {
		status.Clocks.StateSince = &now
	}
	if old.Revision != status.Revision || status.Clocks.RevisionSince == nil {
		status.Clocks.RevisionSince = &now
	}
	if old.Health != status.Health || status.Clocks.HealthSince == nil {
		status.Clocks.HealthSince = &now
	}
	status.Clocks.HealthySince = healthySince(s.target, status, now)
	switch {
	case status.Drift.Objects == 0:
		status.Clocks.DriftSince = nil
	case status.Clocks.DriftSince == nil:
		status.Clocks.DriftSince = &now
	}
	switch {
	case s.unreachable || status.Suspended != "" || s.in.Cluster != nil && clusters.Maintenance(s.in.Cluster) != "":
		status.Clocks.WritableSince = nil
	case status.Clocks.WritableSince == nil:
		status.Clocks.WritableSince = &now
	}
	return status
}

// suspension says why nothing is written on the cluster. An agent of OCM's own
// goes on with what it has.
func (s *scope) suspension() string {
	why := ""
	switch {
	case s.frozen != "":
		why = s.frozen
	case s.in.Suspended:
		why = "the instance is suspended by the annotation " + kronvoyv1alpha1.AnnotationInstanceReconcile
	}
	if why != "" && s.in.Described && !s.in.Agent.Reports {
		why += "; the cluster's agent is OCM's, which goes on applying what was shipped before"
	}
	return shorten(why)
}

// ineffective says which policies an agent of OCM's own does not follow: it puts
// right and takes over what it can without force.
func (s *scope) ineffective() string {
	if !s.in.Described || s.in.Agent.Reports {
		return ""
	}
	var kinds []string
	if slices.ContainsFunc(s.plan.Policies, func(p kronvoyv1alpha1.DistributionPolicy) bool { return p.Drift != "" }) {
		kinds = append(kinds, "drift")
	}
	if slices.ContainsFunc(s.plan.Policies, func(p kronvoyv1alpha1.DistributionPolicy) bool { return p.Takeover != "" }) {
		kinds = append(kinds, "takeover")
	}
	if len(kinds) == 0 {
		return ""
	}
	return shorten(fmt.Sprintf("policies of Distribution %s about %s have no effect: the cluster's agent is OCM's, which puts right and takes over what belongs to nobody else",
		s.target.Spec.Distribution, strings.Join(kinds, " and ")))
}

// summarize gives the state and, unless all is well, a sentence.
func summarize(s *scope, nodes []kronvoyv1alpha1.NodeStatus) (kronvoyv1alpha1.TargetState, string) {
	switch {
	case s.target.DeletionTimestamp != nil:
		message := fmt.Sprintf("%d objects left", s.plan.Works.Remaining)
		if s.plan.Works.Withheld != "" {
			message += ": " + s.plan.Works.Withheld
		}
		return kronvoyv1alpha1.TargetDeleting, message
	case s.plan.Blocked != "":
		return kronvoyv1alpha1.TargetFailed, s.plan.Blocked
	case s.unreachable:
		return kronvoyv1alpha1.TargetUnreachable, "the cluster's agent does not report; its objects stay as they are"
	case len(s.plan.Works.TooLarge) > 0:
		return kronvoyv1alpha1.TargetFailed, s.plan.Works.TooLarge[0].Error()
	}
	for _, node := range nodes {
		if node.State == string(graph.Failed) {
			return kronvoyv1alpha1.TargetFailed, node.ID + ": " + node.Message
		}
	}
	if s.waiting != "" {
		return kronvoyv1alpha1.TargetPending, "waits for " + s.waiting
	}
	if s.in.Suspended && len(s.in.Works) == 0 && len(s.listed()) == 0 && len(nodes) > 0 {
		return kronvoyv1alpha1.TargetPending, "nothing is shipped while reconciliation is suspended"
	}
	for _, node := range nodes {
		if node.State == kronvoyv1alpha1.NodeDeleting {
			return kronvoyv1alpha1.TargetProgressing, node.ID + ": " + node.Message
		}
	}
	for _, node := range nodes {
		if node.State != string(graph.Ready) && node.State != string(graph.Excluded) {
			return kronvoyv1alpha1.TargetProgressing, node.ID + " waits for " + strings.Join(node.WaitsFor, ", ")
		}
	}
	if s.plan.Works.Remaining > 0 {
		message := fmt.Sprintf("%d objects are leaving", s.plan.Works.Remaining)
		if s.plan.Works.Withheld != "" {
			message += ": " + s.plan.Works.Withheld
		}
		return kronvoyv1alpha1.TargetProgressing, message
	}
	return kronvoyv1alpha1.TargetReady, ""
}

func nodes(s *scope) []kronvoyv1alpha1.NodeStatus {
	switch {
	case s.target.DeletionTimestamp != nil:
		return s.target.Status.Nodes
	case s.kept:
		return keptNodes(s)
	}
	out := make([]kronvoyv1alpha1.NodeStatus, 0, len(s.plan.Evaluation.Nodes))
	for _, result := range s.plan.Evaluation.Nodes {
		health := healthOf(s, result)
		node := kronvoyv1alpha1.NodeStatus{ID: result.ID, State: string(result.State), Health: health.State, HealthMessage: health.Message}
		for _, wait := range result.WaitsFor {
			if len(node.WaitsFor) < maxWaits && !slices.Contains(node.WaitsFor, wait.Path) {
				node.WaitsFor = append(node.WaitsFor, wait.Path)
			}
		}
		switch {
		case result.Issue != nil:
			node.Message = shorten(result.Issue.Error())
		case s.plan.Feedback.Failures[result.ID] != "":
			node.State, node.Message = string(graph.Failed), shorten(s.plan.Feedback.Failures[result.ID])
		case s.plan.Feedback.Terminating[result.ID] != "" && result.State != graph.Excluded:
			node.State, node.Message = kronvoyv1alpha1.NodeDeleting, shorten(s.plan.Feedback.Terminating[result.ID])
		}
		out = append(out, node)
	}
	return out
}

// values are the author's status fields on this cluster. What is blocked, kept,
// unreachable or leaving keeps the last ones.
func values(s *scope, old kronvoyv1alpha1.TargetStatus) *runtime.RawExtension {
	if s.target.DeletionTimestamp != nil || s.plan.Blocked != "" || s.kept || s.unreachable {
		return old.Values
	}
	shown := s.in.Graph.WithoutSecrets(s.plan.Evaluation.Status)
	if len(shown) == 0 {
		return nil
	}
	raw, err := json.Marshal(shown)
	if err != nil || len(raw) > maxValues {
		return old.Values
	}
	return &runtime.RawExtension{Raw: raw}
}

func shorten(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText-3], "") + "..."
}
