package status

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// authorConditions are the conditions of an instance whose definition has its
// own: they stand in the place of the built-in ones (kro, Status Conditions).
// While the instance is deleted nothing is evaluated any more; what was said
// last stays, and only ResourcesReady tells how far the deletion is.
func authorConditions(in Input, targets []kronvoyv1alpha1.Target, resources metav1.Condition) []any {
	before, _ := in.Previous["conditions"].([]any)
	if !in.Deleting {
		return stamp(merge(in, targets, byType(before)), before, in)
	}
	out := stamp([]metav1.Condition{resources}, before, in)
	for _, c := range before {
		if m, ok := c.(map[string]any); ok && m["type"] != resources.Type {
			out = append(out, c)
		}
	}
	return out
}

// merge makes one condition of each type out of what the clusters say. On one
// cluster it is that cluster's. On several it is what all of them say, and
// Unknown where they disagree: which status is the bad one only the author
// knows, and neither is true of all. The message says which cluster says what.
//
// A condition is of the instance's generation only if every cluster judged it,
// now, at the newest revision.
func merge(in Input, targets []kronvoyv1alpha1.Target, before map[string]metav1.Condition) []metav1.Condition {
	targets = staying(targets)
	types := typesOf(targets)
	types = types[:min(len(types), maxConditions)]
	said := make(map[string][]answer, len(types))
	for _, t := range types {
		said[t] = make([]answer, len(targets))
	}
	for i := range targets {
		for _, c := range targets[i].Status.Conditions {
			if answers := said[c.Type]; answers != nil {
				answers[i] = answer{c, current(&targets[i], in.Revision) && !c.Kept}
			}
		}
	}
	merged := make([]metav1.Condition, 0, len(types))
	for _, t := range types {
		c := unite(t, targets, said[t])
		c.ObservedGeneration = in.Generation
		if slices.ContainsFunc(said[t], func(a answer) bool { return !a.current }) {
			c.ObservedGeneration = before[t].ObservedGeneration
		}
		merged = append(merged, c)
	}
	return merged
}

// answer is what one cluster says of one type; without a status when it has
// not said anything yet.
type answer struct {
	kronvoyv1alpha1.TargetCondition
	current bool
}

// maxConditions of an instance: as many as one cluster may give.
const maxConditions = 256

// typesOf are the types in the order in which the clusters name them.
func typesOf(targets []kronvoyv1alpha1.Target) []string {
	var types []string
	known := map[string]bool{}
	for i := range targets {
		for _, c := range targets[i].Status.Conditions {
			if !known[c.Type] {
				known[c.Type] = true
				types = append(types, c.Type)
			}
		}
	}
	return types
}

// staying leaves out the clusters that the instance is leaving, unless it is
// leaving them all.
func staying(targets []kronvoyv1alpha1.Target) []kronvoyv1alpha1.Target {
	stay := make([]kronvoyv1alpha1.Target, 0, len(targets))
	for i := range targets {
		if targets[i].DeletionTimestamp == nil {
			stay = append(stay, targets[i])
		}
	}
	if len(stay) == 0 {
		return targets
	}
	return stay
}

// ReasonClustersDiffer is the reason of an author's condition whose status or
// reason is not the same on all clusters.
const ReasonClustersDiffer = "ClustersDiffer"

func unite(conditionType string, targets []kronvoyv1alpha1.Target, answers []answer) metav1.Condition {
	first := answers[0]
	all := metav1.Condition{Type: conditionType, Status: first.Status, Reason: first.Reason, Message: first.Message}
	sameStatus, sameReason, sameMessage := true, true, true
	for _, a := range answers[1:] {
		sameStatus = sameStatus && a.Status == first.Status
		sameReason = sameReason && a.Reason == first.Reason
		sameMessage = sameMessage && a.Message == first.Message
	}
	if !sameStatus {
		all.Status = metav1.ConditionUnknown
	}
	if !sameStatus || !sameReason {
		all.Reason = ReasonClustersDiffer
	}
	if !sameStatus || !sameReason || !sameMessage {
		all.Message = shorten(tell(targets, answers))
	}
	return all
}

// tell says which cluster says what, as in "False on 1 of 3 clusters (eu-west:
// no space left); True on 2 of 3 (ap-south, us-east)".
func tell(targets []kronvoyv1alpha1.Target, answers []answer) string {
	var parts []string
	for _, status := range []metav1.ConditionStatus{metav1.ConditionFalse, metav1.ConditionUnknown, "", metav1.ConditionTrue} {
		var names []string
		for i, a := range answers {
			if a.Status != status {
				continue
			}
			name := targets[i].Namespace
			if a.Message != "" {
				name += ": " + a.Message
			}
			names = append(names, name)
		}
		if len(names) == 0 {
			continue
		}
		said := string(status)
		if said == "" {
			said = "not known yet"
		}
		parts = append(parts, fmt.Sprintf("%s on %d of %d clusters (%s)", said, len(names), len(answers), join(names, 3)))
	}
	return strings.Join(parts, "; ")
}

// maxIssues is how many issues of the author's status the fleet's summary
// names.
const maxIssues = 10

// authorIssues are what is wrong with the author's status fields and
// conditions, each with the clusters where it is.
func authorIssues(targets []kronvoyv1alpha1.Target) []any {
	var out []any
	if n := len(typesOf(staying(targets))); n > maxConditions {
		out = append(out, fmt.Sprintf("the clusters give conditions of %d types, of which %d are shown", n, maxConditions))
	}
	var texts []string
	where := map[string][]string{}
	for i := range targets {
		for _, issue := range targets[i].Status.Issues {
			if where[issue] == nil {
				texts = append(texts, issue)
			}
			where[issue] = append(where[issue], targets[i].Namespace)
		}
	}
	for _, text := range texts[:min(len(texts), maxIssues)] {
		out = append(out, shorten("on "+join(where[text], 3)+": "+text))
	}
	return out
}
