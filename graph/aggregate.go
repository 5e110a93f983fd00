package graph

import (
	"errors"
	"fmt"
	"slices"

	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/kronvoy/kronvoy/graph/expr"
	"github.com/kronvoy/kronvoy/graph/internal/path"
	"github.com/kronvoy/kronvoy/graph/schema"
	"github.com/kronvoy/kronvoy/graph/template"
)

// AggregatesPath is where a definition holds its aggregates, as the path of an
// Issue has it.
const AggregatesPath = "metadata.annotations['kronvoy.io/aggregate']"

const (
	// MaxMembers is how many clusters aggregates are computed over.
	MaxMembers = 10_000
	// maxAggregates is how many there may be.
	maxAggregates = 64
	// aggregatesCost is what all of them may cost together. A sum over MaxMembers
	// costs a quarter of a million, and takes a quarter of a second.
	aggregatesCost = 4_000_000
)

// clustersName is the variable of aggregates.
const clustersName = "clusters"

// Aggregates are compiled expressions over all clusters of an instance: immutable,
// and safe for concurrent use. Nil is none.
type Aggregates struct {
	member *schema.Decl
	// list is sorted by name.
	list []aggregate
}

type aggregate struct {
	name, path string
	expr       *expr.Expr
	// field is true when the author's status has a field of this name and type.
	field bool
}

// Member is what aggregates see of one cluster.
type Member struct {
	Name   string
	Labels map[string]string
	// Group is the decision group, and Revision the one that the cluster has.
	Group, Revision string
	Ready           bool
	// Status holds the author's fields on that cluster.
	Status map[string]any
}

// Aggregated is the value of one aggregate.
type Aggregated struct {
	Name  string
	Value any
	// Field is true when it is the author's status field of that name, too.
	Field bool
}

// Aggregates are the definition's own.
func (g *Graph) Aggregates() *Aggregates { return g.aggregates }

// CompileAggregates checks expressions over the list clusters, by name, that stand
// at a path. It returns either them or everything that is wrong, sorted.
func (g *Graph) CompileAggregates(sources map[string]string, at string) (*Aggregates, Issues) {
	if len(sources) == 0 {
		return nil, nil
	}
	c := &compiler{compilations: map[compilation]compiled{}}
	if len(sources) > maxAggregates {
		c.issue(Issue{Path: at, Offset: -1, Reason: "TooMany", Message: fmt.Sprintf("there are %d aggregates, at most %d are allowed", len(sources), maxAggregates)})
		return nil, c.issues
	}
	status, err := g.statusDecl()
	if err != nil {
		return nil, Issues{{Path: at, Offset: -1, Reason: "Internal", Message: err.Error()}}
	}
	out := &Aggregates{member: memberDecl(status)}
	if c.env, err = expr.NewEnv(expr.Variable{Name: clustersName, Decl: out.member, List: true}); err != nil {
		return nil, Issues{{Path: at, Offset: -1, Reason: "Internal", Message: err.Error()}}
	}
	for _, name := range sortedKeys(sources) {
		if a, ok := c.aggregate(name, sources[name], path.Key(at, name), status); ok {
			out.list = append(out.list, a)
		}
	}
	if len(c.issues) > 0 {
		c.issues.sort()
		return nil, c.issues
	}
	return out, nil
}

// statusDecl declares the author's status, as one cluster gives it.
func (g *Graph) statusDecl() (*schema.Decl, error) {
	name := g.gvk.Kind + ".status"
	if g.statusProps == nil || len(g.statusProps.Properties) == 0 {
		return schema.Object(name, nil), nil
	}
	s, err := schema.FromProps(g.statusProps)
	if err != nil {
		return nil, err
	}
	return schema.NewDecl(name, s), nil
}

func memberDecl(status *schema.Decl) *schema.Decl {
	text := schema.Text()
	return schema.Object("kronvoy.ClusterOfInstance", map[string]*schema.Decl{
		"name": text, "labels": schema.MapOf(text), "group": text, "revision": text,
		"ready": schema.NewDecl("", spec.BooleanProperty()), "status": status,
	})
}

func (c *compiler) aggregate(name, text, at string, status *schema.Decl) (aggregate, bool) {
	if !idPattern.MatchString(name) || len(name) > maxIDLength {
		c.issue(Issue{Path: at, Offset: -1, Reason: "InvalidName", Snippet: shorten(name),
			Message: fmt.Sprintf("the name of an aggregate is lower camelCase, of at most %d characters", maxIDLength), Suggestion: suggestName(name)})
		return aggregate{}, false
	}
	var segment template.Segment
	segment, ok := c.single(text, at)
	if !ok {
		return aggregate{}, false
	}
	x := c.compileValue(c.env, segment, at, nil)
	if x == nil {
		return aggregate{}, false
	}
	if message := c.assignable(x.Type, schema.Anything()); message != "" {
		c.issue(Issue{Path: at, Offset: segment.Offset, Reason: "TypeMismatch", Snippet: excerpt(segment.Text, 0), Message: message, Suggestion: suggestConversion(x.Type, schema.Anything())})
		return aggregate{}, false
	}
	out := aggregate{name: name, path: at, expr: x}
	if f, found := status.Field(name); found {
		out.field = c.fits(x.Type, f.Decl, 0)
	}
	return out, true
}

// memberFields declares what every cluster has, whatever the author's status is.
var memberFields = memberDecl(schema.Anything())

// Same tells whether these are the same expressions as others, over the same kind.
func (a *Aggregates) Same(other *Aggregates) bool {
	if a == nil || other == nil {
		return a == other
	}
	return slices.EqualFunc(a.list, other.list, func(x, y aggregate) bool {
		return x.name == y.name && x.expr.Source == y.expr.Source
	})
}

// Under are these aggregates with others over them, which count where names are
// the same. Both are of one kind.
func (a *Aggregates) Under(over *Aggregates) *Aggregates {
	switch {
	case a == nil:
		return over
	case over == nil:
		return a
	}
	out := &Aggregates{member: over.member, list: slices.Clone(over.list)}
	for _, x := range a.list {
		if !slices.ContainsFunc(over.list, func(y aggregate) bool { return y.name == x.name }) {
			out.list = append(out.list, x)
		}
	}
	slices.SortFunc(out.list, func(x, y aggregate) int {
		if x.name < y.name {
			return -1
		}
		return 1
	})
	return out
}

// Evaluate computes the aggregates over the clusters of an instance, in the order
// of their names. One that reads what a cluster has not given has no value, and
// an issue that names the cluster and what is missing. All of them together have
// one budget; over more than MaxMembers clusters nothing is computed.
func (a *Aggregates) Evaluate(members []Member) ([]Aggregated, Issues) {
	if a == nil {
		return nil, nil
	}
	var issues Issues
	if len(members) > MaxMembers {
		for _, x := range a.list {
			issues = append(issues, Issue{Path: x.path, Offset: -1, Reason: "TooMany",
				Message: fmt.Sprintf("the instance has %d clusters, and aggregates are computed over %d at most", len(members), MaxMembers)})
		}
		return nil, issues
	}
	rows := make([]any, len(members))
	for i, m := range members {
		status := m.Status
		if status == nil {
			status = map[string]any{}
		}
		rows[i] = a.member.Normalize(map[string]any{"name": m.Name, "labels": m.Labels, "group": m.Group, "revision": m.Revision, "ready": m.Ready, "status": status})
	}
	budget := expr.NewBudget()
	budget.Cost, budget.Bytes = aggregatesCost, maxAggregatesBytes
	var out []Aggregated
	for _, x := range a.list {
		value, err := x.value(rows, budget)
		if err != nil {
			issues = append(issues, x.explain(err, members, rows, budget))
			continue
		}
		if value != nil {
			out = append(out, Aggregated{Name: x.name, Value: value, Field: x.field})
		}
	}
	return out, issues
}

// How large the value of one aggregate may be, and those of all: they are in one
// object's status.
const (
	maxAggregateBytes  = 8 << 10
	maxAggregatesBytes = 64 << 10
)

func (x *aggregate) value(rows []any, budget *expr.Budget) (any, error) {
	value, err := x.expr.Eval(members(rows), nil, budget)
	if err != nil {
		return nil, err
	}
	room := &expr.Budget{Bytes: min(budget.Bytes, maxAggregateBytes)}
	granted := room.Bytes
	out, err := expr.JSON(value, false, room)
	if err == nil {
		budget.Bytes -= granted - room.Bytes
	}
	return out, err
}

// members are the variables of an aggregate.
type members []any

// Get implements expr.Vars.
func (m members) Get(name string) (any, bool) { return []any(m), name == clustersName }

// explain says why an aggregate has no value: which cluster lacks what, if one
// cluster alone is enough for that.
func (x *aggregate) explain(err error, members []Member, rows []any, budget *expr.Budget) Issue {
	issue := Issue{Path: x.path, Offset: -1, Reason: "EvaluationFailed", Message: shorten(err.Error()), Snippet: excerpt(x.expr.Source, 0)}
	switch {
	case errors.Is(err, expr.ErrCost), errors.Is(err, expr.ErrBudget):
		issue.Reason = "TooCostly"
		return issue
	case errors.Is(err, expr.ErrTooLarge):
		issue.Reason = "TooLarge"
		issue.Message = fmt.Sprintf("the value is larger than %d bytes, or all values together than %d", maxAggregateBytes, maxAggregatesBytes)
		return issue
	case expr.IsLookup(err):
		issue.Reason = "ValueMissing"
	}
	i, why := x.culprit(rows, budget)
	if i < 0 {
		return issue
	}
	issue.Message = fmt.Sprintf("cluster %s: %s", members[i].Name, shorten(why))
	for _, access := range x.expr.Accesses {
		if !access.Element || len(access.Steps) == 0 {
			continue
		}
		// That a list is looked at counts as a read of what every object has.
		_, declared := memberFields.Field(access.Steps[0].Key)
		if at, missing := firstMissing(rows[i], access.Steps); declared && missing && at < access.Guard {
			issue.Message = fmt.Sprintf("cluster %s has no %s yet", members[i].Name, expr.Path("", access.Steps))
		}
	}
	issue.Suggestion = "clusters.filter(c, c.ready) leaves out those that are not ready, and c.?status.field.orValue(0) says what holds without a value"
	return issue
}

// culprit finds a cluster for which alone the expression fails, by halves: that
// costs about as much as one evaluation over all. -1 is none: no cluster is to
// blame for what fails over none, either.
func (x *aggregate) culprit(rows []any, budget *expr.Budget) (index int, why string) {
	fails := func(from, to int) (string, bool) {
		_, err := x.value(rows[from:to], budget)
		if err == nil || errors.Is(err, expr.ErrCost) || errors.Is(err, expr.ErrBudget) {
			return "", false
		}
		return err.Error(), true
	}
	if _, anyway := fails(0, 0); anyway || len(rows) == 0 {
		return -1, ""
	}
	from, to := 0, len(rows)
	for to-from > 1 {
		middle := (from + to) / 2
		if _, here := fails(from, middle); here {
			to = middle
		} else {
			from = middle
		}
	}
	if why, alone := fails(from, to); alone {
		return from, why
	}
	return -1, ""
}
