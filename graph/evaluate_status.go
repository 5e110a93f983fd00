package graph

import "strings"

// status projects the author's fields, each for itself: one that waits or fails
// is left out and named, and never hides another.
func (e *evaluator) status() (map[string]any, []Wait) {
	p := &projection{e: e}
	value, _ := p.value(e.g.status)
	status, _ := value.(map[string]any)
	return status, sortWaits(p.waits)
}

type projection struct {
	e     *evaluator
	waits []Wait
}

// value projects one value and tells whether there is any.
func (p *projection) value(s *statusPlan) (any, bool) {
	switch {
	case s.value != nil:
		return p.leaf(s)
	case s.isList:
		return p.list(s)
	}
	return p.object(s)
}

// object leaves out the fields that have no value, and itself when none has.
func (p *projection) object(s *statusPlan) (any, bool) {
	out := make(map[string]any, len(s.fields))
	for _, field := range s.fields {
		if value, ok := p.value(field.value); ok {
			out[field.key] = value
		}
	}
	return out, len(out) > 0
}

// list keeps the places of its elements: one that has no value yet is null, as
// long as a later one has a value.
func (p *projection) list(s *statusPlan) (any, bool) {
	out := make([]any, len(s.items))
	length := 0
	for i, item := range s.items {
		if value, ok := p.value(item); ok {
			out[i], length = value, i+1
		}
	}
	return out[:length], length > 0 || len(s.items) == 0
}

func (p *projection) leaf(s *statusPlan) (any, bool) {
	field := strings.TrimPrefix(s.path, "spec.schema.")
	if excluded := p.excluded(s); excluded != "" {
		p.waits = append(p.waits, Wait{Node: excluded, Path: excluded + " is excluded", Field: field})
		return nil, false
	}
	value, outcome := p.e.value(s.value, p.e)
	switch {
	case outcome == nil:
		return value, true
	case outcome.issue != nil:
		p.e.issues = append(p.e.issues, *outcome.issue)
	}
	for _, w := range outcome.waits {
		w.Field = field
		p.waits = append(p.waits, w)
	}
	return nil, false
}

// excluded returns the first excluded node that a leaf reads.
func (p *projection) excluded(s *statusPlan) string {
	for _, x := range s.value.variables() {
		if i, found := p.e.g.index[x]; found && p.e.results[i].State == Excluded {
			return x
		}
	}
	return ""
}

// variables are the variables that a leaf reads.
func (p *plan) variables() []string {
	if p.expr != nil {
		return p.expr.Variables
	}
	var out []string
	for _, part := range p.parts {
		if part.expr != nil {
			out = append(out, part.expr.Variables...)
		}
	}
	return out
}
