package compare

import (
	"slices"
	"strings"

	"github.com/kronvoy/kronvoy/graph"
)

// refusalOf turns issues into a refusal.
func refusalOf(issues graph.Issues) Outcome {
	out := Outcome{Refused: true, Refusal: issues.Err().Error()}
	for _, issue := range issues {
		out.Reasons = append(out.Reasons, issue.Reason)
	}
	return out
}

// describeOurs is what our engine says of a definition that it accepts.
func describeOurs(g *graph.Graph) Outcome {
	out := Outcome{Dependencies: map[string][]string{}, Passes: map[string]Pass{}}
	out.CRD, out.InvalidCRD = comparableCRD(g.CRD())
	for _, node := range g.Nodes() {
		out.Order = append(out.Order, node.ID)
		if len(node.Dependencies) > 0 {
			out.Dependencies[node.ID] = node.Dependencies
		}
	}
	return out
}

// PassOfOurs evaluates a graph with our engine.
func PassOfOurs(g *graph.Graph, instance map[string]any, observed Objects) Pass {
	e, issues := g.Evaluate(OurBindings(g, instance, observed))
	if slices.ContainsFunc(issues, func(i graph.Issue) bool { return i.Reason == "IdentityConflict" }) {
		return Pass{Conflict: true}
	}
	out := Pass{Nodes: map[string]NodeOutcome{}, Ready: e.Ready, Incomplete: e.ConditionsIncomplete}
	for _, c := range e.Conditions {
		out.Conditions = append(out.Conditions, Condition(c))
	}
	for _, n := range e.Nodes {
		result := NodeOutcome{State: stateOf(n.State)}
		for _, object := range n.Objects {
			result.Objects = append(result.Objects, comparableObject(object))
		}
		if n.Issue != nil {
			result.Why = n.Issue.Error()
		}
		out.Nodes[n.ID] = result
	}
	if len(e.Status) > 0 {
		out.Status = e.Status
	}
	out.StatusFails = slices.ContainsFunc(issues, func(i graph.Issue) bool { return isStatus(i.Path) })
	return out
}

// isStatus tells a field of the status from a condition.
func isStatus(path string) bool {
	return strings.HasPrefix(path, "spec.schema.status") && !strings.HasPrefix(path, "spec.schema.status.conditions")
}

// OurBindings are whole live objects that are up to date.
func OurBindings(g *graph.Graph, instance map[string]any, observed Objects) graph.Bindings {
	b := graph.Bindings{Instance: instance, Cluster: graph.Cluster{Name: "local-cluster"}, Observed: map[string]graph.Observed{}}
	for _, c := range builtins {
		b.Conditions = append(b.Conditions, graph.Condition(c))
	}
	for _, node := range g.Nodes() {
		objects, listed := observed[node.ID]
		o := graph.Observed{Listed: node.Selects && listed}
		for _, object := range objects {
			o.Objects = append(o.Objects, graph.ObservedObject{Object: object, Current: true})
		}
		if o.Listed || len(o.Objects) > 0 {
			b.Observed[node.ID] = o
		}
	}
	return b
}

func stateOf(s graph.NodeState) State {
	switch s {
	case graph.Pending, graph.Held:
		return Waiting
	case graph.Excluded:
		return Excluded
	case graph.Failed:
		return Failed
	case graph.Progressing:
		return Progressing
	}
	return Ready
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }
