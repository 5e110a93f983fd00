package expr

import (
	"fmt"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"

	"github.com/kronvoy/kronvoy/graph/internal/suggest"
	"github.com/kronvoy/kronvoy/graph/schema"
)

// The functions on conditions of an instance's status. Their namespace is kro's;
// it is no variable, so that nothing else can be done with it.
const (
	runtimeName          = "runtime"
	newConditionFunction = "runtime.newCondition"
	conditionFunction    = "runtime.condition"
)

// Condition is one condition as an expression makes or reads it.
type Condition struct{ Type, Status, Reason, Message string }

// ConditionStatuses are the values of a condition's status.
var ConditionStatuses = []string{"True", "False", "Unknown"}

// The fields of a condition, in the order of newCondition's arguments.
var conditionFields = []string{"type", "status", "reason", "message"}

// The bounds of a condition: those of metav1.Condition.
var conditionLimits = map[string]int{"type": 316, "status": 7, "reason": 1024, "message": 32768}

// maxConditions that one status may have.
const maxConditions = 256

var conditionDecl = func() *schema.Decl {
	fields := make(map[string]*schema.Decl, len(conditionFields))
	for _, name := range conditionFields {
		fields[name] = schema.Text()
	}
	return schema.Object("kro.run.Condition", fields)
}()

// WithConditions returns the environment with the functions that make conditions
// and read them.
func (e *Env) WithConditions() (*Env, error) {
	e.provider.Learn(conditionDecl)
	t := conditionDecl.CelType()
	env, err := e.cel.Extend(
		function(newConditionFunction, t, newCondition, cel.StringType, cel.StringType, cel.StringType, cel.StringType),
		function(conditionFunction, t, findCondition, cel.DynType, cel.StringType),
		cel.Macros(cel.ReceiverMacro("newCondition", 1, expandNewCondition)),
	)
	if err != nil {
		return nil, fmt.Errorf("declaring the functions of conditions: %w", err)
	}
	return &Env{cel: env, provider: e.provider, vars: e.vars}, nil
}

// expandNewCondition turns runtime.newCondition({type: t, status: s}) into a call
// with four arguments: the keys are names, not values.
func expandNewCondition(helper cel.MacroExprFactory, target ast.Expr, args []ast.Expr) (ast.Expr, *common.Error) {
	if target.Kind() != ast.IdentKind || target.AsIdent() != runtimeName {
		return nil, nil
	}
	if args[0].Kind() != ast.MapKind {
		return nil, helper.NewError(args[0].ID(), newConditionFunction+" takes {type: …, status: …, reason: …, message: …}")
	}
	given := map[string]ast.Expr{}
	for _, entry := range args[0].AsMap().Entries() {
		key := entry.AsMapEntry().Key()
		if key.Kind() != ast.IdentKind {
			return nil, helper.NewError(key.ID(), newConditionFunction+": a key is a name without quotes: "+strings.Join(conditionFields, ", "))
		}
		name := key.AsIdent()
		if conditionLimits[name] == 0 {
			return nil, helper.NewError(key.ID(), fmt.Sprintf("%s: unknown key %q, known are %s", newConditionFunction,
				suggest.Shorten(name, 40), strings.Join(conditionFields, ", ")))
		}
		if given[name] != nil {
			return nil, helper.NewError(key.ID(), newConditionFunction+": the key "+name+" is given twice")
		}
		given[name] = entry.AsMapEntry().Value()
	}
	values := make([]ast.Expr, len(conditionFields))
	for i, name := range conditionFields {
		switch {
		case given[name] != nil:
			values[i] = given[name]
		case name == "type" || name == "status":
			return nil, helper.NewError(args[0].ID(), newConditionFunction+": "+name+" is missing")
		default:
			values[i] = helper.NewLiteral(types.String(""))
		}
	}
	return helper.NewCall(newConditionFunction, values...), nil
}

// condition is the value of a condition: a map that is known to be one.
type condition struct{ traits.Mapper }

func conditionOf(c Condition) ref.Val {
	return condition{types.NewStringInterfaceMap(types.DefaultTypeAdapter, map[string]any{
		"type": c.Type, "status": c.Status, "reason": c.Reason, "message": c.Message})}
}

// newCondition makes a condition.
func newCondition(args ...ref.Val) ref.Val {
	values := make([]string, len(conditionFields))
	for i, name := range conditionFields {
		text, ok := args[i].(types.String)
		switch {
		case !ok:
			return invalid(newConditionFunction, "%s must be a string, not %s", name, args[i].Type().TypeName())
		case len(text) > conditionLimits[name] && name != "status":
			return invalid(newConditionFunction, "%s is longer than %d characters", name, conditionLimits[name])
		}
		values[i] = string(text)
	}
	c := Condition{values[0], values[1], values[2], values[3]}
	if fault := c.fault(); fault != "" {
		return invalid(newConditionFunction, "%s", fault)
	}
	return conditionOf(c)
}

// fault says what is wrong with a condition; empty when nothing is.
func (c Condition) fault() string {
	if c.Type == "" {
		return "type must not be empty"
	}
	if c.Status != "True" && c.Status != "False" && c.Status != "Unknown" {
		return fmt.Sprintf("status must be one of True, False, Unknown, not %q", suggest.Shorten(c.Status, 40))
	}
	return ""
}

// findCondition reads the condition of a type from the status of an object; an
// empty one when it has none.
func findCondition(args ...ref.Val) ref.Val {
	object, ok := args[0].(traits.Mapper)
	if !ok {
		return invalid(conditionFunction, "conditions are those of an object, not of a %s", args[0].Type().TypeName())
	}
	list := conditionsIn(object)
	if list == nil {
		return conditionOf(Condition{})
	}
	for it := list.Iterator(); it.HasNext() == types.True; {
		if c, ok := it.Next().(traits.Mapper); ok && textIn(c, "type") == args[1] {
			return conditionOf(Condition{Type: string(textIn(c, "type")), Status: string(textIn(c, "status")),
				Reason: string(textIn(c, "reason")), Message: string(textIn(c, "message"))})
		}
	}
	return conditionOf(Condition{})
}

// conditionsIn are the conditions in the status of an object; nil for none.
func conditionsIn(object ref.Val) traits.Lister {
	for _, field := range []types.String{"status", "conditions"} {
		m, ok := object.(traits.Mapper)
		if !ok {
			return nil
		}
		object, _ = m.Find(field)
	}
	list, _ := object.(traits.Lister)
	return list
}

// textIn is a field of a map when that is text, else empty.
func textIn(m traits.Mapper, field string) types.String {
	v, _ := m.Find(types.String(field))
	text, _ := v.(types.String)
	return text
}

// IsCondition tells whether a type can be that of an entry of the author's
// conditions: a condition, a list of them, or something that is only known when
// it is evaluated.
func IsCondition(t *cel.Type) bool {
	if t.Kind() == cel.ListKind {
		t = t.Parameters()[0]
	}
	return t.Kind() == cel.DynKind || t.TypeName() == conditionDecl.CelType().TypeName()
}

// Conditions reads the result of an entry: one condition or a list of them.
func Conditions(v ref.Val) ([]Condition, error) {
	if c, ok := v.(condition); ok {
		return []Condition{c.value()}, nil
	}
	list, ok := v.(traits.Lister)
	if !ok {
		return nil, fmt.Errorf("a condition is made with %s, this is a %s", newConditionFunction, v.Type().TypeName())
	}
	var out []Condition
	for it := list.Iterator(); it.HasNext() == types.True; {
		item := it.Next()
		c, ok := item.(condition)
		switch {
		case !ok:
			return nil, fmt.Errorf("a condition is made with %s, the list has a %s", newConditionFunction, item.Type().TypeName())
		case len(out) == maxConditions:
			return nil, fmt.Errorf("the list has more than %d conditions", maxConditions)
		}
		out = append(out, c.value())
	}
	return out, nil
}

func (c condition) value() Condition {
	return Condition{Type: string(textIn(c, "type")), Status: string(textIn(c, "status")),
		Reason: string(textIn(c, "reason")), Message: string(textIn(c, "message"))}
}

// Literal is a constant text in an expression.
type Literal struct {
	Value string
	// Offset in the expression in bytes.
	Offset int
}

// ConditionUse is what the text of an expression says about conditions, before
// any of it is evaluated.
type ConditionUse struct {
	// Types and Statuses are the constant ones that it makes.
	Types, Statuses []Literal
	// Lookups are the constant types that it reads from a variable.
	Lookups []Literal
}

// ConditionUse collects the constants; variable is whose conditions are looked up.
func (x *Expr) ConditionUse(variable string) ConditionUse {
	var use ConditionUse
	native := x.ast.NativeRep()
	literal := func(e ast.Expr, into *[]Literal) {
		if e.Kind() != ast.LiteralKind {
			return
		}
		if text, ok := e.AsLiteral().(types.String); ok {
			*into = append(*into, Literal{string(text), byteOffset(x.Source, native.SourceInfo().GetStartLocation(e.ID()))})
		}
	}
	ast.PostOrderVisit(native.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind {
			return
		}
		args := e.AsCall().Args()
		switch e.AsCall().FunctionName() {
		case newConditionFunction:
			literal(args[0], &use.Types)
			literal(args[1], &use.Statuses)
		case conditionFunction:
			if args[0].Kind() == ast.IdentKind && args[0].AsIdent() == variable {
				literal(args[1], &use.Lookups)
			}
		}
	}))
	return use
}

// Texts are the strings that stand in the expression as they are.
func (x *Expr) Texts() map[string]bool {
	texts := map[string]bool{}
	ast.PostOrderVisit(x.ast.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.LiteralKind {
			return
		}
		if text, ok := e.AsLiteral().(types.String); ok {
			texts[string(text)] = true
		}
	}))
	return texts
}
