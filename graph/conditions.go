package graph

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kronvoy/kronvoy/graph/expr"
	"github.com/kronvoy/kronvoy/graph/internal/path"
)

// Condition is a condition of the instance, without the times that whoever
// writes it knows.
type Condition struct {
	Type, Status, Reason, Message string
}

// builtinConditions are the conditions that an author's can read.
var builtinConditions = []string{"InstanceManaged", "GraphResolved", "ResourcesReady", "Ready"}

// maxConditions of one instance, and entries that make them.
const maxConditions = 256

// conditionPlan is one entry of the author's conditions: an expression that
// yields a condition or a list of them.
type conditionPlan struct {
	path string
	expr *expr.Expr
}

// HasConditions tells whether the author defines conditions; they then stand in
// the place of the built-in ones.
func (g *Graph) HasConditions() bool { return len(g.conditions) > 0 }

// compileConditions compiles the author's conditions.
func (c *compiler) compileConditions(v any) {
	const at = "spec.schema.status.conditions"
	entries, ok := v.([]any)
	if !ok {
		c.issue(Issue{Path: at, Offset: -1, Reason: "InvalidCondition", Message: "conditions must be a list of expressions"})
		return
	}
	if len(entries) > maxConditions {
		c.issue(Issue{Path: at, Offset: -1, Reason: "TooMany", Message: fmt.Sprintf("there are %d conditions, at most %d are allowed", len(entries), maxConditions)})
		return
	}
	env, err := c.env.WithConditions()
	if err != nil {
		c.issue(Issue{Path: at, Offset: -1, Reason: "Internal", Message: err.Error()})
		return
	}
	// declared is where each type is made that is known now.
	declared := map[string]int{}
	uses := make([]expr.ConditionUse, len(entries))
	offsets := make([]int, len(entries))
	for i, entry := range entries {
		place := path.Index(at, i)
		s, ok := entry.(string)
		if !ok {
			c.issue(Issue{Path: place, Offset: -1, Reason: "InvalidCondition", Message: "a condition must be an expression, as in ${runtime.newCondition({…})}"})
			continue
		}
		segment, ok := c.single(s, place)
		if !ok {
			continue
		}
		x := c.compileValue(env, segment, place, nil)
		if x == nil {
			continue
		}
		if !expr.IsCondition(x.Type) {
			c.issue(Issue{Path: place, Offset: segment.Offset, Reason: "TypeMismatch", Snippet: excerpt(segment.Text, 0),
				Message: "a condition is made with runtime.newCondition({…}), but the expression is " + expr.TypeName(x.Type)})
			continue
		}
		uses[i], offsets[i] = x.ConditionUse("schema"), segment.Offset
		c.conditions = append(c.conditions, conditionPlan{path: place, expr: x})
		c.declareTypes(declared, i, uses[i], place, segment.Offset)
	}
	for i, use := range uses {
		c.checkLookups(declared, use, path.Index(at, i), offsets[i])
	}
}

// declareTypes judges the constant types and statuses of an entry. A type may
// stand in several branches of one entry, but not in two entries.
func (c *compiler) declareTypes(declared map[string]int, entry int, use expr.ConditionUse, at string, offset int) {
	for _, t := range use.Types {
		other, found := declared[t.Value]
		switch {
		case t.Value == "":
			c.issue(Issue{Path: at, Offset: offset + t.Offset, Reason: "InvalidCondition", Message: "the type of a condition must not be empty"})
		case found && other != entry:
			c.issue(Issue{Path: at, Offset: offset + t.Offset, Reason: "InvalidCondition", Snippet: shorten(t.Value),
				Message: fmt.Sprintf("the condition type %q is already declared by entry %d", shorten(t.Value), other)})
		default:
			declared[t.Value] = entry
		}
	}
	for _, s := range use.Statuses {
		if !slices.Contains(expr.ConditionStatuses, s.Value) {
			c.issue(Issue{Path: at, Offset: offset + s.Offset, Reason: "InvalidCondition", Snippet: shorten(s.Value),
				Message: fmt.Sprintf("the status of a condition is one of %s, not %q", strings.Join(expr.ConditionStatuses, ", "), shorten(s.Value))})
		}
	}
}

// checkLookups holds that an entry reads none but the built-in conditions of the
// instance: what another entry makes depends on the order.
func (c *compiler) checkLookups(declared map[string]int, use expr.ConditionUse, at string, offset int) {
	for _, l := range use.Lookups {
		if slices.Contains(builtinConditions, l.Value) {
			continue
		}
		message := fmt.Sprintf("unknown condition %q of the instance", shorten(l.Value))
		if _, own := declared[l.Value]; own {
			message = fmt.Sprintf("custom conditions cannot reference each other: %q is one", shorten(l.Value))
		}
		c.issue(Issue{Path: at, Offset: offset + l.Offset, Reason: "InvalidCondition", Snippet: shorten(l.Value),
			Message: message, Suggestion: "known here: " + strings.Join(builtinConditions, ", ")})
	}
}

// conditions evaluates the author's conditions, each entry for itself.
func (e *evaluator) conditions(out *Evaluation) {
	vars := &conditionVars{evaluator: e, instance: e.withConditions(out)}
	var all []Condition
	size := 0
	for _, c := range e.g.conditions {
		made, outcome := e.entryConditions(c, vars)
		if outcome == nil {
			size += sizeOf(made)
			outcome = tooMuch(c, len(all)+len(made), size)
		}
		if outcome == nil {
			all = append(all, made...)
			continue
		}
		out.ConditionsIncomplete = true
		if outcome.issue != nil {
			e.issues = append(e.issues, *outcome.issue)
		}
		for _, w := range outcome.waits {
			w.Field = strings.TrimPrefix(c.path, "spec.schema.")
			out.ConditionWaits = append(out.ConditionWaits, w)
		}
	}
	out.ConditionWaits = sortWaits(out.ConditionWaits)
	out.Conditions = e.withoutTwins(all, out)
}

func sizeOf(conditions []Condition) int {
	size := 0
	for _, c := range conditions {
		size += len(c.Type) + len(c.Status) + len(c.Reason) + len(c.Message)
	}
	return size
}

// tooMuch refuses what no status could hold.
func tooMuch(c conditionPlan, count, size int) *outcome {
	switch {
	case count > maxConditions:
		return failed(&Issue{Path: c.path, Offset: -1, Reason: "TooMany", Message: fmt.Sprintf("the status has more than %d conditions", maxConditions)})
	case size > maxObjectBytes:
		return failed(&Issue{Path: c.path, Offset: -1, Reason: "TooLarge", Message: expr.ErrTooLarge.Error()})
	}
	return nil
}

// entryConditions evaluates one entry.
func (e *evaluator) entryConditions(c conditionPlan, vars expr.Vars) ([]Condition, *outcome) {
	for _, name := range c.expr.Variables {
		if i, found := e.g.index[name]; found && e.results[i].State == Excluded {
			return nil, &outcome{waits: []Wait{{Node: name, Path: name + " is excluded"}}}
		}
	}
	value, outcome := e.run(c.expr, vars, c.path)
	if outcome != nil {
		return nil, outcome
	}
	made, err := expr.Conditions(value)
	if err != nil {
		return nil, failed(&Issue{Path: c.path, Offset: -1, Reason: "InvalidCondition", Message: shorten(err.Error()), Snippet: excerpt(c.expr.Source, 0)})
	}
	out := make([]Condition, len(made))
	texts, secret := e.g.secrets[c.expr]
	for k, m := range made {
		if out[k] = Condition(m); !secret {
			continue
		}
		var shown bool
		if out[k], shown = hideCondition(out[k], texts); !shown {
			return nil, failed(&Issue{Path: c.path, Offset: -1, Reason: "InvalidCondition", Snippet: excerpt(c.expr.Source, 0),
				Message: "a condition that reads values of Secrets has a type that stands in the definition, and the status True, False or Unknown"})
		}
	}
	return out, nil
}

// withoutTwins drops every condition whose type came out more than once: which
// one is meant is not known.
func (e *evaluator) withoutTwins(all []Condition, out *Evaluation) []Condition {
	count := make(map[string]int, len(all))
	for _, c := range all {
		count[c.Type]++
	}
	var twins []string
	for _, t := range slices.Sorted(maps.Keys(count)) {
		if count[t] > 1 {
			twins = append(twins, t)
		}
	}
	if len(twins) == 0 {
		return all
	}
	out.ConditionsIncomplete = true
	e.issues = append(e.issues, Issue{Path: "spec.schema.status.conditions", Offset: -1, Reason: "DuplicateCondition",
		Message: "condition types that came out more than once are left out: " + shorten(strings.Join(twins, ", "))})
	return slices.DeleteFunc(all, func(c Condition) bool { return count[c.Type] > 1 })
}

// conditionVars are the variables of the author's conditions: the instance shows
// the built-in ones, which runtime.condition reads.
type conditionVars struct {
	*evaluator
	instance any
}

// Get implements expr.Vars.
func (v *conditionVars) Get(name string) (any, bool) {
	if name == "schema" {
		return v.instance, true
	}
	return v.evaluator.Get(name)
}

// withConditions is the instance with its built-in conditions.
func (e *evaluator) withConditions(out *Evaluation) any {
	instance, _ := e.instance.(map[string]any)
	shown := maps.Clone(instance)
	if shown == nil {
		shown = map[string]any{}
	}
	builtin := e.in.Conditions
	if builtin == nil {
		builtin = out.builtinConditions()
	}
	list := make([]any, 0, len(builtin))
	for _, c := range builtin {
		list = append(list, map[string]any{"type": c.Type, "status": c.Status, "reason": c.Reason, "message": c.Message})
	}
	shown["status"] = map[string]any{"conditions": list}
	return shown
}

// builtinConditions are the built-in conditions as this evaluation alone sees
// them.
func (e *Evaluation) builtinConditions() []Condition {
	resolved := Condition{Type: "GraphResolved", Status: "True", Reason: "Resolved", Message: "all resources are resolved"}
	ready := Condition{Type: "ResourcesReady", Status: "True", Reason: "AllResourcesReady", Message: "all resources are ready"}
	for _, n := range e.Nodes {
		switch {
		case n.Issue != nil && resolved.Status == "True":
			resolved = Condition{resolved.Type, "False", "ResolutionFailed", n.ID + ": " + n.Issue.Message}
		case n.State != Ready && n.State != Excluded && ready.Status == "True":
			ready = Condition{ready.Type, "False", "NotReady", n.ID + " is " + strings.ToLower(string(n.State))}
		}
	}
	if !e.Ready && ready.Status == "True" {
		ready = Condition{ready.Type, "False", "NotReady", resolved.Message}
	}
	managed := Condition{"InstanceManaged", "True", "Managed", "the instance has its finalizer"}
	root := Condition{"Ready", "True", "Ready", ""}
	for _, c := range []Condition{resolved, ready} {
		if c.Status != "True" && root.Status == "True" {
			root = Condition{root.Type, "False", c.Reason, c.Message}
		}
	}
	return []Condition{managed, resolved, ready, root}
}
