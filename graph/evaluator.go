package graph

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"

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
	issues Issues
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

// outcome is why an expression has no value: it waits, or it failed.
type outcome struct {
	waits []Wait
	issue *Issue
}

func failed(issue *Issue) *outcome { return &outcome{issue: issue} }

// run evaluates an expression in three states of a field: a value, absent, not
// observed. What is absent counts as absent first: has() is false. Only when
// that fails are the absent fields taken for not known, which tells a field
// that is still to come from an expression that is wrong.
func (e *evaluator) run(x *expr.Expr, vars expr.Vars, at string) (ref.Val, *outcome) {
	value, err := x.Eval(vars, e.unobserved(x), e.budget)
	if err == nil {
		return value, nil
	}
	var unknown *expr.Unknown
	if errors.As(err, &unknown) {
		return nil, e.waiting(unknown)
	}
	if errors.Is(err, expr.ErrBudget) || errors.Is(err, expr.ErrCost) {
		return nil, failed(e.evaluationIssue(x, at, err))
	}
	patterns := append(e.unobserved(x), e.absent(x)...)
	if len(patterns) > 0 {
		if _, again := x.Eval(vars, patterns, e.budget); errors.As(again, &unknown) {
			return nil, e.missing(x, at, unknown)
		}
	}
	if expr.IsLookup(err) {
		// The lookup went into a list or a map that an expression made, so that no
		// path names it. If it came from observed data, that may still change.
		if _, again := x.Eval(vars, e.everything(x), e.budget); errors.As(again, &unknown) {
			return nil, e.waiting(unknown)
		}
		issue := e.evaluationIssue(x, at, err)
		issue.Reason = "InputMissing"
		return nil, failed(issue)
	}
	return nil, failed(e.evaluationIssue(x, at, err))
}

// unobserved are the reads of an expression whose field has not been observed:
// of a node that was never seen, or whose report is not about its manifest.
func (e *evaluator) unobserved(x *expr.Expr) []expr.Pattern {
	out := e.unread
	for k := range x.Accesses {
		a := &x.Accesses[k]
		i, found := e.g.index[a.Root]
		if !found {
			continue
		}
		objects := e.in.Observed[a.Root].Objects
		if e.g.plans[i].collection {
			if len(objects) == 0 && e.results[i].State != Ready {
				out = append(out, expr.Pattern{Root: a.Root})
			}
			continue
		}
		known := len(objects) > 0 && objects[0].Object != nil
		if known && !objects[0].Current {
			_, missing := firstMissing(objects[0].Object, a.Steps)
			known = !missing
		}
		if !known {
			out = append(out, expr.Pattern{Root: a.Root, Steps: a.Steps})
		}
	}
	return out
}

// absent are the reads of an expression that find nothing, apart from those that
// the expression asks about.
func (e *evaluator) absent(x *expr.Expr) []expr.Pattern {
	var out []expr.Pattern
	for k := range x.Accesses {
		a := &x.Accesses[k]
		at, missing := e.firstMissing(a)
		if missing && at < a.Guard && !asked(x, a, at) {
			out = append(out, expr.Pattern{Root: a.Root, Steps: a.Steps})
		}
	}
	return out
}

// asked tells whether another read of the expression asks whether there is the
// step at which this one finds nothing.
func asked(x *expr.Expr, a *expr.Access, at int) bool {
	for k := range x.Accesses {
		g := &x.Accesses[k]
		if g.Root == a.Root && g.Guard <= at && len(g.Steps) > at && slices.Equal(g.Steps[:at+1], a.Steps[:at+1]) {
			return true
		}
	}
	return false
}

// everything are the observed values that an expression reads.
func (e *evaluator) everything(x *expr.Expr) []expr.Pattern {
	var out []expr.Pattern
	for k := range x.Accesses {
		a := &x.Accesses[k]
		if _, isNode := e.g.index[a.Root]; isNode && !identityFields[strings.Join(a.Fields(), ".")] {
			out = append(out, expr.Pattern{Root: a.Root, Steps: a.Steps})
		}
	}
	return out
}

// firstMissing follows an access through the inputs and returns the first step
// that finds nothing.
func (e *evaluator) firstMissing(a *expr.Access) (int, bool) {
	switch i, isNode := e.g.index[a.Root]; {
	case isNode && e.g.plans[i].collection:
		return 0, false
	case isNode:
		objects := e.in.Observed[a.Root].Objects
		if len(objects) == 0 {
			return 0, false
		}
		return firstMissing(objects[0].Object, a.Steps)
	case a.Root == "schema":
		return firstMissing(e.in.Instance, a.Steps)
	case a.Root == "cluster":
		return firstMissing(e.cluster, a.Steps)
	}
	return 0, false
}

func firstMissing(v any, steps []expr.Step) (int, bool) {
	for i, s := range steps {
		switch container := v.(type) {
		case map[string]any:
			v = container[s.Key]
			if s.IsIndex || v == nil {
				return i, true
			}
		case map[string]string:
			value, found := container[s.Key]
			if !found {
				return i, true
			}
			v = value
		case []any:
			if !s.IsIndex || s.Index < 0 || s.Index >= int64(len(container)) {
				return i, true
			}
			v = container[s.Index]
		default:
			return 0, false
		}
	}
	return 0, false
}

// waiting turns an unknown into waits.
func (e *evaluator) waiting(u *expr.Unknown) *outcome {
	out := &outcome{}
	for _, p := range u.Paths {
		out.waits = append(out.waits, Wait{Node: p.Variable, Path: p.Path})
	}
	out.waits = sortWaits(out.waits)
	if len(out.waits) == 0 {
		out.waits = []Wait{{Path: "a value that is not known"}}
	}
	return out
}

// missing decides what an unknown of the second run means: a missing input
// fails, an absent field of a live object is waited for.
func (e *evaluator) missing(x *expr.Expr, at string, u *expr.Unknown) *outcome {
	for _, p := range u.Paths {
		if _, isNode := e.g.index[p.Variable]; isNode {
			continue
		}
		issue := &Issue{Path: at, Offset: -1, Snippet: excerpt(x.Source, 0), Reason: "InputMissing", Message: "input missing: " + p.Path}
		if p.Variable == "cluster" {
			issue.Reason, issue.Message = "ClusterValueMissing", e.clusterMessage(p.Path)
		}
		return failed(issue)
	}
	return e.waiting(u)
}

// clusterMessage says what a cluster lacks: "cluster eu-west has no label region".
func (e *evaluator) clusterMessage(path string) string {
	rest := strings.TrimPrefix(path, "cluster.")
	for _, field := range [][2]string{{"labels", "label"}, {"annotations", "annotation"}, {"claims", "claim"},
		{"allocatable", "allocatable resource"}, {"capacity", "capacity of the resource"}} {
		if key, found := strings.CutPrefix(rest, field[0]); found && key != "" {
			key = strings.TrimPrefix(strings.TrimSuffix(strings.TrimPrefix(key, "['"), "']"), ".")
			return fmt.Sprintf("cluster %s has no %s %s", e.in.Cluster.Name, field[1], key)
		}
	}
	return fmt.Sprintf("cluster %s has no %s", e.in.Cluster.Name, rest)
}

func (e *evaluator) evaluationIssue(x *expr.Expr, at string, err error) *Issue {
	issue := &Issue{Path: at, Offset: -1, Reason: "EvaluationFailed", Message: shorten(err.Error()), Snippet: excerpt(x.Source, 0)}
	switch {
	case errors.Is(err, expr.ErrCost):
		issue.Reason, issue.Message = "TooCostly", expr.ErrCost.Error()
	case errors.Is(err, expr.ErrBudget):
		issue.Reason, issue.Message = "TooCostly", expr.ErrBudget.Error()
	case errors.Is(err, expr.ErrTooLarge):
		issue.Reason = "TooLarge"
	}
	return issue
}

// value renders a plan.
func (e *evaluator) value(p *plan, vars expr.Vars) (any, *outcome) {
	switch p.kind {
	case objectPlan:
		out := make(map[string]any, len(p.fields)+1)
		for i := range p.fields {
			value, outcome := e.value(p.fields[i].value, vars)
			if outcome != nil {
				return nil, outcome
			}
			out[p.fields[i].key] = value
		}
		return out, nil
	case listPlan:
		out := make([]any, len(p.items))
		for i, item := range p.items {
			value, outcome := e.value(item, vars)
			if outcome != nil {
				return nil, outcome
			}
			out[i] = value
		}
		return out, nil
	case exprPlan:
		return e.expression(p, vars)
	case textPlan:
		return e.text(p, vars)
	}
	return copyJSON(p.static), nil
}

func (e *evaluator) expression(p *plan, vars expr.Vars) (any, *outcome) {
	result, outcome := e.run(p.expr, vars, p.path)
	if outcome != nil {
		return nil, outcome
	}
	value, err := expr.JSON(result, p.base64, e.budget)
	if err != nil {
		return nil, failed(e.evaluationIssue(p.expr, p.path, err))
	}
	return value, nil
}

func (e *evaluator) text(p *plan, vars expr.Vars) (any, *outcome) {
	var b strings.Builder
	for i := range p.parts {
		part := &p.parts[i]
		text := part.text
		if part.expr != nil {
			result, outcome := e.run(part.expr, vars, p.path)
			if outcome != nil {
				return nil, outcome
			}
			if optional, ok := result.(*types.Optional); ok && optional.HasValue() {
				result = optional.GetValue()
			}
			s, ok := result.(types.String)
			if !ok {
				return nil, failed(&Issue{Path: p.path, Offset: -1, Reason: "TypeMismatch", Snippet: excerpt(part.expr.Source, 0),
					Message: fmt.Sprintf("an expression inside of text must be a string, not %s", result.Type().TypeName())})
			}
			text = string(s)
		}
		if e.budget.Bytes -= len(text); e.budget.Bytes < 0 {
			e.budget.Bytes = 0
			return nil, failed(&Issue{Path: p.path, Offset: -1, Reason: "TooLarge", Message: expr.ErrTooLarge.Error()})
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

// condition evaluates an entry of includeWhen.
func (e *evaluator) condition(c condition) (bool, []Wait, *Issue) {
	return e.boolean(c, e)
}

func (e *evaluator) boolean(c condition, vars expr.Vars) (bool, []Wait, *Issue) {
	result, outcome := e.run(c.expr, vars, c.path)
	if outcome != nil {
		return false, outcome.waits, outcome.issue
	}
	if optional, ok := result.(*types.Optional); ok {
		if !optional.HasValue() {
			return false, nil, nil
		}
		result = optional.GetValue()
	}
	b, ok := result.(types.Bool)
	if !ok {
		if result == types.NullValue {
			return false, nil, nil
		}
		return false, nil, &Issue{Path: c.path, Offset: -1, Reason: "TypeMismatch", Snippet: excerpt(c.expr.Source, 0),
			Message: "a condition must be a boolean, not " + result.Type().TypeName()}
	}
	return bool(b), nil, nil
}

// items evaluates one list of a forEach.
func (e *evaluator) items(d dimension) ([]any, *outcome) {
	result, outcome := e.run(d.expr, e, d.path)
	if outcome != nil {
		return nil, outcome
	}
	if optional, ok := result.(*types.Optional); ok && optional.HasValue() {
		result = optional.GetValue()
	}
	list, ok := result.(traits.Lister)
	if !ok {
		return nil, failed(&Issue{Path: d.path, Offset: -1, Reason: "TypeMismatch", Snippet: excerpt(d.expr.Source, 0),
			Message: "forEach needs a list, not " + result.Type().TypeName()})
	}
	var out []any
	for it := list.Iterator(); it.HasNext() == types.True; {
		if out = append(out, it.Next()); len(out) > maxItems {
			return nil, failed(&Issue{Path: d.path, Offset: -1, Reason: "TooMany", Message: fmt.Sprintf("the collection has more than %d items", maxItems)})
		}
	}
	return out, nil
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

// copyJSON copies decoded JSON.
func copyJSON(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			out[key] = copyJSON(value)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, value := range v {
			out[i] = copyJSON(value)
		}
		return out
	}
	return v
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
	return &Graph{index: map[string]int{s.variable(): 0}, nodes: []*Node{s.node}, plans: []*nodePlan{{decl: s.plan.decl}}}
}

// unread are the reads of a condition that were not asked for: in a partial
// object their absence says nothing.
func (s *objectScope) unread(c condition) []expr.Pattern {
	if !s.object.Partial {
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
