package graph

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/cel-go/common/types/ref"

	"github.com/kronvoy/kronvoy/graph/expr"
)

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
	value, outcome := e.attempt(x, vars, at)
	if outcome != nil {
		for i, w := range outcome.waits {
			outcome.waits[i].Path = e.g.shownPath(x, w.Node, w.Path)
		}
	}
	return value, outcome
}

func (e *evaluator) attempt(x *expr.Expr, vars expr.Vars, at string) (ref.Val, *outcome) {
	unobserved := e.unobserved(x)
	value, err := x.Eval(vars, unobserved, e.budget)
	if err == nil {
		return value, nil
	}
	var unknown *expr.Unknown
	if errors.As(err, &unknown) {
		return nil, e.waiting(unknown, unobserved)
	}
	if errors.Is(err, expr.ErrBudget) || errors.Is(err, expr.ErrCost) {
		return nil, failed(e.evaluationIssue(x, at, err))
	}
	patterns := append(slices.Clip(unobserved), e.absent(x)...)
	if len(patterns) > 0 {
		if _, again := x.Eval(vars, patterns, e.budget); errors.As(again, &unknown) {
			return nil, e.missing(x, at, unknown, patterns)
		}
	}
	if expr.IsLookup(err) {
		// The lookup went into a list or a map that an expression made, so that no
		// path names it. If it came from observed data, that may still change.
		everything := e.everything(x)
		if _, again := x.Eval(vars, everything, e.budget); errors.As(again, &unknown) {
			return nil, e.waiting(unknown, everything)
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
			if !e.listKnown(i) {
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

// listKnown tells whether expressions may see the list of a collection: of a
// selector as soon as it was listed, of a forEach when one of it was observed or
// there is none to wait for.
func (e *evaluator) listKnown(i int) bool {
	observed := e.in.Observed[e.g.nodes[i].ID]
	if e.g.plans[i].selects {
		return observed.answers(e.results[i].Selection)
	}
	return len(observed.Objects) > 0 || e.results[i].State == Ready
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
		if a.Element {
			out = append(out, expr.Pattern{Root: a.Root})
		} else if _, isNode := e.g.index[a.Root]; isNode && !identityFields[strings.Join(a.Fields(), ".")] {
			out = append(out, expr.Pattern{Root: a.Root, Steps: a.Steps})
		}
	}
	return out
}

// firstMissing follows an access through the inputs and returns the first step
// that finds nothing.
func (e *evaluator) firstMissing(a *expr.Access) (int, bool) {
	switch i, isNode := e.g.index[a.Root]; {
	case a.Iterator:
		return 0, false
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
	_, at, missing := follow(v, steps)
	return at, missing
}

// follow goes steps through decoded JSON, up to the first that finds nothing; nil
// is what lies in something else.
func follow(v any, steps []expr.Step) (value any, at int, missing bool) {
	for i, s := range steps {
		switch container := v.(type) {
		case map[string]any:
			v = container[s.Key]
			if s.IsIndex || v == nil {
				return nil, i, true
			}
		case map[string]string:
			value, found := container[s.Key]
			if !found {
				return nil, i, true
			}
			v = value
		case []any:
			if !s.IsIndex || s.Index < 0 || s.Index >= int64(len(container)) {
				return nil, i, true
			}
			v = container[s.Index]
		default:
			return nil, 0, false
		}
	}
	return v, 0, false
}

// waiting turns an unknown into waits. Where an expression hands on a whole
// object, the unknown names no more than that; the patterns say what of it was
// not known.
func (e *evaluator) waiting(u *expr.Unknown, patterns []expr.Pattern) *outcome {
	out := &outcome{}
	for _, p := range u.Paths {
		found := false
		for _, pattern := range patterns {
			if p.Path == p.Variable && pattern.Root == p.Variable && len(pattern.Steps) > 0 {
				out.waits, found = append(out.waits, Wait{Node: p.Variable, Path: expr.Path(pattern.Root, pattern.Steps)}), true
			}
		}
		if !found {
			out.waits = append(out.waits, Wait{Node: p.Variable, Path: p.Path})
		}
	}
	out.waits = sortWaits(out.waits)
	if len(out.waits) == 0 {
		out.waits = []Wait{{Path: "a value that is not known"}}
	}
	return out
}

// missing decides what an unknown of the second run means: a missing input
// fails, an absent field of a live object is waited for.
func (e *evaluator) missing(x *expr.Expr, at string, u *expr.Unknown, patterns []expr.Pattern) *outcome {
	for _, p := range u.Paths {
		if _, isNode := e.g.index[p.Variable]; isNode {
			continue
		}
		issue := &Issue{Path: at, Offset: -1, Snippet: excerpt(x.Source, 0), Reason: "InputMissing", Message: "input missing: " + e.g.shownPath(x, p.Variable, p.Path)}
		if p.Variable == "cluster" {
			issue.Reason, issue.Message = "ClusterValueMissing", e.clusterMessage(e.g.shownPath(x, p.Variable, p.Path))
		}
		return failed(issue)
	}
	return e.waiting(u, patterns)
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
	if _, secret := e.g.secrets[x]; secret {
		issue.Message = hiddenError
	}
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
