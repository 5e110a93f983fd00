package graph

import (
	"maps"
	"slices"

	"github.com/kronvoy/kronvoy/graph/expr"
	"github.com/kronvoy/kronvoy/graph/hash"
)

// ready decides between Progressing and Ready for a node that is rendered.
func (e *evaluator) ready(i int, result *NodeResult) {
	node, plan := e.g.nodes[i], e.g.plans[i]
	result.State = Progressing
	observed := e.match(i, result.Objects)
	missing := "to be applied"
	if node.Kind == External {
		missing = "to exist"
	}
	if len(observed.Objects) != len(result.Objects) {
		result.WaitsFor = []Wait{{Node: node.ID, Path: node.ID + " " + missing}}
		return
	}
	for k := range observed.Objects {
		o := &observed.Objects[k]
		if o.Object == nil || !o.Current || o.ManifestHash != "" && o.ManifestHash != hash.Of(result.Objects[k]) {
			result.WaitsFor = []Wait{{Node: node.ID, Path: node.ID + " " + missing}}
			return
		}
	}
	result.Applied = true
	e.judgeAll(i, plan, observed.Objects, result)
}

// match keeps of what was observed of a node what it still renders, in the order
// of the rendered objects. What it rendered before is on its way out, which takes
// until all nodes are resolved: nobody waits for it or sees it.
func (e *evaluator) match(i int, rendered []map[string]any) Observed {
	id := e.g.nodes[i].ID
	observed := e.in.Observed[id]
	if len(observed.Objects) == 0 || slices.EqualFunc(observed.Objects, rendered, func(o ObservedObject, r map[string]any) bool { return identityOf(o.Object) == identityOf(r) }) {
		return observed
	}
	known := make(map[string]ObservedObject, len(observed.Objects))
	for _, o := range observed.Objects {
		known[identityOf(o.Object)] = o
	}
	observed.Objects = nil
	for _, r := range rendered {
		if o, found := known[identityOf(r)]; found {
			observed.Objects = append(observed.Objects, o)
		}
	}
	if !e.matched {
		e.matched, e.in.Observed = true, maps.Clone(e.in.Observed)
	}
	e.in.Observed[id] = observed
	return observed
}

// judgeAll decides by readyWhen of each object.
func (e *evaluator) judgeAll(i int, plan *nodePlan, objects []ObservedObject, result *NodeResult) {
	result.State = Progressing
	for k := range objects {
		waits, issue := e.judge(i, plan, &objects[k])
		if issue != nil {
			result.State, result.Issue = Failed, issue
			return
		}
		result.WaitsFor = append(result.WaitsFor, waits...)
	}
	if result.WaitsFor = sortWaits(result.WaitsFor); len(result.WaitsFor) == 0 {
		result.State = Ready
	}
}

// judge decides whether one object satisfies readyWhen, by the spoke's verdict
// if there is one.
func (e *evaluator) judge(i int, plan *nodePlan, o *ObservedObject) ([]Wait, *Issue) {
	id := e.g.nodes[i].ID
	wait := []Wait{{Node: id, Path: id + " to be ready"}}
	if len(plan.ready) == 0 {
		return nil, nil
	}
	if v := o.Verdict; v != nil {
		if v.Err != "" {
			issue := &Issue{Path: plan.path + ".readyWhen", Offset: -1, Reason: "ReadyWhenFailed", Message: "on the cluster: " + shorten(v.Err)}
			if slices.ContainsFunc(plan.ready, func(c condition) bool { return e.g.secrets[c.expr] != nil }) {
				issue.Message = "on the cluster: " + hiddenError
			}
			return nil, issue
		}
		if !v.Ready {
			return wait, nil
		}
		return nil, nil
	}
	scope := &objectScope{id: id, plan: plan, object: o, node: e.g.nodes[i], evaluator: e}
	var waits []Wait
	for _, c := range plan.ready {
		holds, missing, issue := scope.judge(c)
		switch {
		case issue != nil:
			return nil, issue
		case len(missing) > 0:
			for _, w := range missing {
				// In the rules of a collection the node is called each.
				waits = append(waits, Wait{Node: id, Path: w.Path})
			}
		case !holds:
			waits = append(waits, wait...)
		}
	}
	return waits, nil
}

// objectScope judges readyWhen on one object; the node's own name is its only
// variable.
type objectScope struct {
	id        string
	plan      *nodePlan
	node      *Node
	object    *ObservedObject
	evaluator *evaluator
	value     any
}

// Get implements expr.Vars.
func (s *objectScope) Get(string) (any, bool) {
	if s.value == nil {
		s.value = s.plan.decl.Normalize(asAny(s.object.Object))
	}
	return s.value, true
}

// judge runs one condition. A field that is not there yet is waited for; any
// other error stands.
func (s *objectScope) judge(c condition) (bool, []Wait, *Issue) {
	single := &evaluator{g: s.single(), in: Bindings{Observed: map[string]Observed{s.variable(): {Objects: []ObservedObject{*s.object}}}},
		budget: s.evaluator.budget, results: []NodeResult{{State: Ready}}}
	single.unread = s.unread(c)
	return single.boolean(c, s)
}

func (s *objectScope) variable() string {
	if s.plan.collection {
		return "each"
	}
	return s.id
}

// single is a graph of the one node, so that readyWhen is evaluated like
// everything else.
func (s *objectScope) single() *Graph {
	return &Graph{index: map[string]int{s.variable(): 0}, nodes: []*Node{s.node}, plans: []*nodePlan{{decl: s.plan.decl}}, secrets: s.evaluator.g.secrets}
}

// unread are the reads of a condition that were not asked for: in a partial
// object their absence says nothing.
func (s *objectScope) unread(c condition) []expr.Pattern {
	if !s.object.Partial || s.object.Judgeable {
		return nil
	}
	var out []expr.Pattern
	for _, a := range c.expr.Accesses {
		fields := a.Fields()
		covered := slices.ContainsFunc(s.node.Reads, func(r Read) bool { return hasPrefix(fields, r.Fields) })
		if _, missing := firstMissing(s.object.Object, a.Steps); missing && !covered {
			out = append(out, expr.Pattern{Root: a.Root, Steps: a.Steps})
		}
	}
	return out
}
