package graph

import (
	"github.com/kronvoy/kronvoy/graph/expr"
)

// evaluator is the state of one Evaluate. It is the expr.Vars of everything but
// the items of a collection and readyWhen.
type evaluator struct {
	g         *Graph
	in        Bindings
	budget    *expr.Budget
	namespace string
	instance  any
	cluster   any
	// results of the nodes so far; a node's dependencies come before it.
	results []NodeResult
	// values of the nodes, normalised when they are first read.
	values []any
	read   []bool
	// matched is true when in.Observed is no longer the caller's map.
	matched bool
	issues  Issues
	// unread are reads that a partial object says nothing about.
	unread []expr.Pattern
}

func newEvaluator(g *Graph, b Bindings) *evaluator {
	e := &evaluator{g: g, in: b, budget: expr.NewBudget(), values: make([]any, len(g.nodes)), read: make([]bool, len(g.nodes))}
	if b.Instance == nil {
		b.Instance = map[string]any{}
	}
	e.instance = g.instance.Normalize(b.Instance)
	if metadata, ok := b.Instance["metadata"].(map[string]any); ok && g.scope == Namespaced {
		e.namespace, _ = metadata["namespace"].(string)
	}
	c := b.Cluster
	cluster := map[string]any{"name": c.Name, "labels": c.Labels, "annotations": c.Annotations, "claims": c.Claims,
		"allocatable": c.Allocatable, "capacity": c.Capacity}
	if c.Version != "" {
		cluster["version"] = c.Version
	}
	e.cluster = cluster
	return e
}

// Get implements expr.Vars.
func (e *evaluator) Get(name string) (any, bool) {
	if name == "schema" {
		return e.instance, true
	}
	i, found := e.g.index[name]
	if !found {
		if name == "cluster" {
			return e.cluster, true
		}
		return nil, false
	}
	if !e.read[i] {
		e.read[i], e.values[i] = true, e.observedValue(i)
	}
	return e.values[i], true
}

// observedValue is what expressions see of a node: its live object, or a list of
// them.
func (e *evaluator) observedValue(i int) any {
	plan := e.g.plans[i]
	objects := e.in.Observed[e.g.nodes[i].ID].Objects
	if plan.selects {
		objects = byIdentity(objects)
	}
	if plan.collection {
		list := make([]any, len(objects))
		for k := range objects {
			list[k] = plan.decl.Normalize(asAny(objects[k].Object))
		}
		return list
	}
	if len(objects) == 0 {
		return map[string]any{}
	}
	return plan.decl.Normalize(asAny(objects[0].Object))
}

// asAny turns a nil object into an empty one.
func asAny(object map[string]any) any {
	if object == nil {
		return map[string]any{}
	}
	return object
}

// itemVars adds the iterators of one item to the variables of the evaluation.
type itemVars struct {
	*evaluator
	plan   *nodePlan
	values []any
}

// Get implements expr.Vars.
func (v *itemVars) Get(name string) (any, bool) {
	for k := range v.plan.forEach {
		if v.plan.forEach[k].iterator == name {
			return v.values[k], true
		}
	}
	return v.evaluator.Get(name)
}
