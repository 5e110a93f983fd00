package graph

import (
	"fmt"
	"strings"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/traits"

	"github.com/kronvoy/kronvoy/graph/expr"
)

// value renders a plan; expr.Omitted when there is none.
func (e *evaluator) value(p *plan, vars expr.Vars) (any, *outcome) {
	switch p.kind {
	case objectPlan:
		out := make(map[string]any, len(p.fields)+1)
		for i := range p.fields {
			value, outcome := e.value(p.fields[i].value, vars)
			if outcome != nil {
				return nil, outcome
			}
			if value != expr.Omitted {
				out[p.fields[i].key] = value
			}
		}
		return out, nil
	case listPlan:
		out := make([]any, 0, len(p.items))
		for _, item := range p.items {
			value, outcome := e.value(item, vars)
			if outcome != nil {
				return nil, outcome
			}
			if value != expr.Omitted {
				out = append(out, value)
			}
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
