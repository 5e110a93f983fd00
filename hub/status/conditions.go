package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// The types of the built-in conditions: kro's first four, then Kronvoy's.
const (
	InstanceManaged = "InstanceManaged"
	GraphResolved   = "GraphResolved"
	ResourcesReady  = "ResourcesReady"
	Ready           = "Ready"

	Placed        = "Placed"
	Progressing   = "Progressing"
	Drifted       = "Drifted"
	StatusDiffers = "StatusDiffers"
	// PlacementShadowed is True while the instance's label names a Placement and
	// its Distribution says where it runs; it is not there otherwise.
	PlacementShadowed = "PlacementShadowed"
	// RemovalHeld is the Distribution's, for one instance.
	RemovalHeld = kronvoyv1alpha1.ConditionRemovalHeld
)

// ReasonDistributionPlaces is the reason of PlacementShadowed.
const ReasonDistributionPlaces = "DistributionPlaces"

// Reasons of ResourcesReady, as in kro.
const (
	// ReasonAllResourcesReady: every cluster is ready at the newest revision.
	ReasonAllResourcesReady = "AllResourcesReady"
	// ReasonNotReady: a cluster is not, or failed.
	ReasonNotReady = "NotReady"
	// ReasonResourceDeleting: nothing failed, but on some cluster somebody
	// deleted an object that is not gone yet. All others are kept up meanwhile.
	ReasonResourceDeleting = "ResourceDeleting"
	// ReasonSuspended: the instance is left as it is.
	ReasonSuspended = "ReconciliationSuspended"
	// ReasonUnderDeletion: the instance is on its way out.
	ReasonUnderDeletion = "UnderDeletion"
)

// OnOneCluster are kro's built-in conditions as an instance would have them
// that runs on one cluster alone and is not deleted.
func OnOneCluster(target *kronvoyv1alpha1.Target, suspended bool) []metav1.Condition {
	targets := []kronvoyv1alpha1.Target{*target}
	in := Input{Suspended: suspended, Revision: target.Status.Revision, Placed: true}
	var own []metav1.Condition
	for _, c := range summarizeConditions(in, targets, tally(targets, in.Revision), nil) {
		switch c.Type {
		case InstanceManaged, GraphResolved, ResourcesReady, Ready:
			c.Message = shorten(c.Message)
			own = append(own, c)
		}
	}
	return own
}

// summarizeConditions are kro's InstanceManaged, GraphResolved,
// ResourcesReady and Ready, with Kronvoy's Placed, Progressing, Drifted and,
// when there is something to say, PlacementShadowed and StatusDiffers.
func summarizeConditions(in Input, targets []kronvoyv1alpha1.Target, c counters, differing []string) []metav1.Condition {
	managed := condition(InstanceManaged, true, "Managed", "the instance has its finalizer")
	graph := condition(GraphResolved, in.GraphMessage == "", "Resolved", "the definition is compiled")
	if in.GraphMessage != "" {
		graph.Reason, graph.Message = "ResolutionFailed", in.GraphMessage
	}
	placed := condition(Placed, in.Placed && c.placed > 0, in.PlacedReason, in.PlacedMessage)
	if placed.Status == metav1.ConditionTrue && placed.Message == "" {
		placed.Message = fmt.Sprintf("on %d clusters", c.placed)
	}
	if in.Suspended && in.Placed && c.placed == 0 {
		placed.Reason, placed.Message = ReasonSuspended, "its clusters are chosen, but nothing goes there while reconciliation is suspended"
	}
	if refused := notShipped(targets); placed.Status == metav1.ConditionTrue && len(refused) > 0 {
		placed = condition(Placed, false, refused[0].Status.Reason, refusals(refused))
	}
	resources := resourcesReady(in, targets, c)
	progressing := condition(Progressing, c.placed > 0 && (c.progressing > 0 || c.updated < c.placed), "Complete",
		fmt.Sprintf("%d of %d clusters have revision %s", c.updated, c.placed, in.Revision))
	if progressing.Status == metav1.ConditionTrue {
		progressing.Reason = "ClustersProgressing"
	}
	if in.Suspended {
		progressing = condition(Progressing, false, ReasonSuspended, progressing.Message)
	}
	drifted := drift(targets)
	ready := root(managed, graph, placed, resources)
	conditions := []metav1.Condition{managed, graph, placed, resources, progressing, drifted, ready}
	if in.Shadowed != "" {
		conditions = append(conditions, condition(PlacementShadowed, true, ReasonDistributionPlaces, in.Shadowed))
	}
	if len(differing) > 0 {
		conditions = append(conditions, condition(StatusDiffers, true, "ClustersDisagree",
			"clusters give different values, so these fields are left out: "+join(differing, 10)))
	}
	return append(conditions, removalHeld(in.Approvals)...)
}

// some names the first few of count clusters.
func some(names []string, count int) string {
	const few = 3
	if count <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:min(len(names), few)], ", "), count-few)
}

// removalHeld is there while a question has no answer, or a No.
func removalHeld(approvals []kronvoyv1alpha1.ApprovalRequest) []metav1.Condition {
	for _, a := range approvals {
		if a.Spec.Action != kronvoyv1alpha1.ApprovalRemove || a.Status.Decision == kronvoyv1alpha1.Approved {
			continue
		}
		left := fmt.Sprintf("%d clusters (%s) left the placement and keep the instance", a.Spec.ClusterCount, some(a.Spec.Clusters, int(a.Spec.ClusterCount)))
		c := condition(RemovalHeld, true, kronvoyv1alpha1.ReasonNeedsApproval, fmt.Sprintf("%s until somebody approves: kronvoy rollout approve %s -n %s", left, a.Name, a.Namespace))
		if a.Status.Decision == kronvoyv1alpha1.Rejected {
			c.Reason = kronvoyv1alpha1.ReasonApprovalRejected
			c.Message = fmt.Sprintf("%s: %s rejected ApprovalRequest %s; the hub asks again when it is deleted", left, a.Status.DecidedBy, a.Name)
		}
		return []metav1.Condition{c}
	}
	return nil
}

// notShipped are the Targets whose clusters cannot take the instance.
func notShipped(targets []kronvoyv1alpha1.Target) []kronvoyv1alpha1.Target {
	return slices.DeleteFunc(slices.Clone(targets), func(t kronvoyv1alpha1.Target) bool { return t.Status.Reason == "" || t.DeletionTimestamp != nil })
}

func refusals(targets []kronvoyv1alpha1.Target) string {
	texts := make([]string, 0, len(targets))
	for _, t := range targets {
		texts = append(texts, t.Namespace+": "+t.Status.Message)
	}
	return join(texts, 3)
}

func condition(kind string, holds bool, reason, message string) metav1.Condition {
	status := metav1.ConditionFalse
	if holds {
		status = metav1.ConditionTrue
	}
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message}
}

func resourcesReady(in Input, targets []kronvoyv1alpha1.Target, c counters) metav1.Condition {
	if in.Deleting {
		return metav1.Condition{Type: ResourcesReady, Status: metav1.ConditionUnknown, Reason: ReasonUnderDeletion,
			Message: fmt.Sprintf("%d clusters are still being cleaned up", c.placed)}
	}
	if in.Suspended {
		return condition(ResourcesReady, false, ReasonSuspended,
			fmt.Sprintf("reconciliation is suspended by the annotation %s", kronvoyv1alpha1.AnnotationInstanceReconcile))
	}
	if c.placed > 0 && c.ready == c.placed {
		return condition(ResourcesReady, true, ReasonAllResourcesReady, fmt.Sprintf("all resources are ready on %d clusters", c.placed))
	}
	if c.placed == 0 {
		return condition(ResourcesReady, false, ReasonNotReady, "no cluster has this instance yet")
	}
	reason := ReasonNotReady
	if c.failed == 0 && slices.ContainsFunc(targets, terminating) {
		reason = ReasonResourceDeleting
	}
	worst := slices.Clone(targets)
	slices.SortStableFunc(worst, func(a, b kronvoyv1alpha1.Target) int { return severity(b) - severity(a) })
	var missing []string
	for _, t := range worst {
		if t.Status.State != kronvoyv1alpha1.TargetReady || t.Status.Revision != in.Revision {
			text := cmp.Or(t.Status.Suspended, t.Status.Message, "has not got the newest revision yet")
			missing = append(missing, t.Namespace+": "+text)
		}
	}
	return condition(ResourcesReady, false, reason,
		fmt.Sprintf("%d of %d clusters are ready; %s", c.ready, c.placed, join(missing, 3)))
}

// terminating is true where somebody deleted an object that is not gone yet.
func terminating(t kronvoyv1alpha1.Target) bool {
	return t.DeletionTimestamp == nil && slices.ContainsFunc(t.Status.Nodes, func(n kronvoyv1alpha1.NodeStatus) bool {
		return n.State == kronvoyv1alpha1.NodeDeleting
	})
}

func drift(targets []kronvoyv1alpha1.Target) metav1.Condition {
	var where []string
	for _, t := range targets {
		if t.Status.Drift.Objects > 0 {
			where = append(where, t.Namespace+": "+t.Status.Drift.Last)
		}
	}
	if len(where) == 0 {
		return condition(Drifted, false, "InSync", "what runs is what was applied")
	}
	return condition(Drifted, true, "DriftFound", join(where, 3))
}

// root is Ready: true when all parts are, else the first part's reason.
func root(parts ...metav1.Condition) metav1.Condition {
	for _, part := range parts {
		if part.Status != metav1.ConditionTrue {
			return metav1.Condition{Type: Ready, Status: part.Status, Reason: part.Reason, Message: part.Message}
		}
	}
	return condition(Ready, true, "Ready", "")
}

// ofInstance are the built-in conditions, which are always of the instance as it
// is now.
func ofInstance(conditions []metav1.Condition, in Input) []metav1.Condition {
	out := slices.Clone(conditions)
	for i := range out {
		out[i].ObservedGeneration = in.Generation
		out[i].Message = shorten(out[i].Message)
	}
	return out
}

// stamp moves the transition time only when the status flips.
func stamp(conditions []metav1.Condition, previous []any, in Input) []any {
	before := byType(previous)
	out := make([]any, 0, len(conditions))
	for _, c := range conditions {
		c.LastTransitionTime = in.Now
		if old, known := before[c.Type]; known && old.Status == c.Status && !old.LastTransitionTime.IsZero() {
			c.LastTransitionTime = old.LastTransitionTime
		}
		out = append(out, toMap(c))
	}
	return out
}
