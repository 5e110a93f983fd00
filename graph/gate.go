package graph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kronvoy/kronvoy/graph/expr"
	"github.com/kronvoy/kronvoy/graph/internal/path"
	"github.com/kronvoy/kronvoy/graph/internal/suggest"
	"github.com/kronvoy/kronvoy/graph/template"
)

// valuesName is the variable of a gate that holds what the author's status gives.
const valuesName = "values"

const (
	// maxGateExpressions of one gate.
	maxGateExpressions = 32
	// gateCost is what all expressions of a gate may cost together, on one cluster:
	// they are evaluated again with each report of it.
	gateCost = 1_000_000
)

// Gate holds compiled expressions that must all be true of a cluster: immutable,
// and safe for concurrent use. Nil is always open.
type Gate struct {
	// bare is the graph with one node, which is called values.
	bare *Graph
	list []condition
}

// GatePath is where an expression of a gate stands that is a list at a path, as
// the path of an Issue has it.
func GatePath(at string, index int) string { return path.Index(at, index) }

// CompileGate checks expressions over values, the author's status fields as one
// cluster gives them, and cluster. They stand in a list at a path, without ${}. It
// returns either the gate or everything that is wrong, sorted.
func (g *Graph) CompileGate(sources []string, at string) (*Gate, Issues) {
	if len(sources) == 0 {
		return nil, nil
	}
	c := &compiler{compilations: map[compilation]compiled{}}
	if len(sources) > maxGateExpressions {
		c.issue(Issue{Path: at, Offset: -1, Reason: "TooMany", Message: fmt.Sprintf("there are %d expressions, at most %d are allowed", len(sources), maxGateExpressions)})
		return nil, c.issues
	}
	values, err := g.statusDecl()
	if err != nil {
		return nil, Issues{{Path: at, Offset: -1, Reason: "Internal", Message: err.Error()}}
	}
	env, err := expr.NewEnv(expr.Variable{Name: valuesName, Decl: values}, expr.Variable{Name: clusterName, Decl: g.cluster})
	if err != nil {
		return nil, Issues{{Path: at, Offset: -1, Reason: "Internal", Message: err.Error()}}
	}
	out := &Gate{bare: g.bare()}
	out.bare.nodes, out.bare.plans = []*Node{{ID: valuesName}}, []*nodePlan{{decl: values}}
	out.bare.index = map[string]int{valuesName: 0}
	for i, source := range sources {
		if x := c.gateExpression(env, source, GatePath(at, i)); x != nil {
			out.list = append(out.list, condition{path: GatePath(at, i), expr: x})
		}
	}
	if len(c.issues) > 0 {
		c.issues.sort()
		return nil, c.issues
	}
	return out, nil
}

func (c *compiler) gateExpression(env *expr.Env, source, at string) *expr.Expr {
	if strings.HasPrefix(strings.TrimSpace(source), "${") {
		c.issue(Issue{Path: at, Offset: strings.Index(source, "${"), Reason: "SyntaxError", Snippet: excerpt(source, 0),
			Message: "an expression of a gate stands alone", Suggestion: "write it without ${}, as in values.errors < 10"})
		return nil
	}
	return c.boolean(env, template.Segment{Text: source, Expr: true}, at, nil)
}

// Evaluate judges a cluster by what it gives of the author's status fields. closed
// says why the gate is not open, in the order of the expressions; it is empty where
// all are true. A value that is not there closes the gate, and is named; unless the
// expression says what holds without it. Issues are about expressions that fail:
// then the gate is closed, too.
func (g *Gate) Evaluate(values map[string]any, cluster Cluster) (closed string, issues Issues) {
	if g == nil {
		return "", nil
	}
	if values == nil {
		values = map[string]any{}
	}
	e := newEvaluator(g.bare, Bindings{Cluster: cluster, Observed: map[string]Observed{
		// What the status does not have is absent, not on its way.
		valuesName: {Objects: []ObservedObject{{Object: values, Current: true}}},
	}})
	e.budget.Cost = gateCost
	var reasons []string
	for _, c := range g.list {
		open, waits, issue := e.boolean(c, e)
		switch {
		case issue != nil:
			issues = append(issues, *issue)
			reasons = append(reasons, issue.Message)
		case len(waits) > 0:
			for _, w := range waits {
				reasons = append(reasons, w.Path+" is not known")
			}
		case !open:
			reasons = append(reasons, shorten(c.expr.Source)+" is false"+e.shown(c.expr))
		}
	}
	issues.sort()
	return strings.Join(slices.Compact(reasons), "; "), issues
}

// maxShown is how many values a closed gate shows for one expression.
const maxShown = 3

// shown are the values that an expression reads, where they are single ones.
func (e *evaluator) shown(x *expr.Expr) string {
	var out []string
	for i := range x.Accesses {
		a := &x.Accesses[i]
		text, single := e.single(a)
		if text = a.Path() + " is " + text; single && len(out) < maxShown && !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	if len(out) == 0 {
		return ""
	}
	return ": " + strings.Join(out, ", ")
}

// single is the text, number or boolean that an access finds.
func (e *evaluator) single(a *expr.Access) (string, bool) {
	value := e.cluster
	if i, isNode := e.g.index[a.Root]; isNode {
		value = any(e.in.Observed[e.g.nodes[i].ID].Objects[0].Object)
	}
	value, _, _ = follow(value, a.Steps)
	switch value := value.(type) {
	case string:
		return fmt.Sprintf("%q", suggest.Shorten(value, 40)), true
	case bool, int64, float64:
		return fmt.Sprint(value), true
	}
	return "", false
}
