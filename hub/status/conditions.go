package status

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// summarizeConditions are kro's InstanceManaged, GraphResolved,
// ResourcesReady and Ready, with Kronvoy's Placed, Progressing, Drifted and,
// when there is something to say, StatusDiffers.
func summarizeConditions(in Input, targets []kronvoyv1alpha1.Target, c counters, differing []string) []metav1.Condition {
	managed := condition("InstanceManaged", true, "Managed", "the instance has its finalizer")
	graph := condition("GraphResolved", in.GraphMessage == "", "Resolved", "the definition is compiled")
	if in.GraphMessage != "" {
		graph.Reason, graph.Message = "ResolutionFailed", in.GraphMessage
	}
	placed := condition("Placed", in.Placed && c.placed > 0, in.PlacedReason, in.PlacedMessage)
	if placed.Status == metav1.ConditionTrue && placed.Message == "" {
		placed.Message = fmt.Sprintf("on %d clusters", c.placed)
	}
	resources := resourcesReady(in, targets, c)
	progressing := condition("Progressing", c.placed > 0 && (c.progressing > 0 || c.updated < c.placed), "Complete",
		fmt.Sprintf("%d of %d clusters have revision %s", c.updated, c.placed, in.Revision))
	if progressing.Status == metav1.ConditionTrue {
		progressing.Reason = "ClustersProgressing"
	}
	drifted := drift(targets)
	ready := root(managed, graph, placed, resources)
	conditions := []metav1.Condition{managed, graph, placed, resources, progressing, drifted, ready}
	if len(differing) > 0 {
		conditions = append(conditions, condition("StatusDiffers", true, "ClustersDisagree",
			"clusters give different values, so these fields are left out: "+join(differing, 10)))
	}
	return conditions
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
		return metav1.Condition{Type: "ResourcesReady", Status: metav1.ConditionUnknown, Reason: "UnderDeletion",
			Message: fmt.Sprintf("%d clusters are still being cleaned up", c.placed)}
	}
	if c.placed > 0 && c.ready == c.placed {
		return condition("ResourcesReady", true, "AllResourcesReady", fmt.Sprintf("all resources are ready on %d clusters", c.placed))
	}
	if c.placed == 0 {
		return condition("ResourcesReady", false, "NotReady", "no cluster has this instance yet")
	}
	worst := slices.Clone(targets)
	slices.SortStableFunc(worst, func(a, b kronvoyv1alpha1.Target) int { return severity(b) - severity(a) })
	var missing []string
	for _, t := range worst {
		if t.Status.State != kronvoyv1alpha1.TargetReady || t.Status.Revision != in.Revision {
			text := t.Status.Message
			if text == "" {
				text = "has not got the newest revision yet"
			}
			missing = append(missing, t.Namespace+": "+text)
		}
	}
	return condition("ResourcesReady", false, "NotReady",
		fmt.Sprintf("%d of %d clusters are ready; %s", c.ready, c.placed, join(missing, 3)))
}

func drift(targets []kronvoyv1alpha1.Target) metav1.Condition {
	var where []string
	for _, t := range targets {
		if t.Status.Drift.Objects > 0 {
			where = append(where, t.Namespace+": "+t.Status.Drift.Last)
		}
	}
	if len(where) == 0 {
		return condition("Drifted", false, "InSync", "what runs is what was applied")
	}
	return condition("Drifted", true, "DriftFound", join(where, 3))
}

// root is Ready: true when all parts are, else the first part's reason.
func root(parts ...metav1.Condition) metav1.Condition {
	for _, part := range parts {
		if part.Status != metav1.ConditionTrue {
			return metav1.Condition{Type: "Ready", Status: part.Status, Reason: part.Reason, Message: part.Message}
		}
	}
	return condition("Ready", true, "Ready", "")
}

// keepTimes moves the transition time only when the status flips, and the
// generation with every look.
func keepTimes(conditions []metav1.Condition, in Input) []any {
	before := previousConditions(in.Previous)
	out := make([]any, 0, len(conditions))
	for _, c := range conditions {
		c.ObservedGeneration = in.Generation
		c.Message = shorten(c.Message)
		c.LastTransitionTime = in.Now
		if old, known := before[c.Type]; known && old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		}
		out = append(out, toMap(c))
	}
	return out
}
