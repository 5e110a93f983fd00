package expr

import (
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	apiservercel "k8s.io/apiserver/pkg/cel"

	"github.com/kronvoy/kronvoy/graph/internal/path"
)

// Access is one read of a variable: the longest chain of constant steps from it.
type Access struct {
	Root  string
	Steps []Step
	// Guard is the first step that may find nothing without an error, because
	// has() or `?.` asks for it; len(Steps) when there is none.
	Guard int
}

// Step is a field or key, or an index into a list.
type Step struct {
	Key     string
	Index   int64
	IsIndex bool
}

// Path of the access with its root, as in service.spec.ports[0].port.
func (a Access) Path() string { return Path(a.Root, a.Steps) }

// Path writes a variable and steps from it as text.
func Path(root string, steps []Step) string {
	p := root
	for _, s := range steps {
		if s.IsIndex {
			p = path.Index(p, int(s.Index))
		} else {
			p = path.Key(p, s.Key)
		}
	}
	return p
}

// Fields are the steps before the first index.
func (a Access) Fields() []string {
	var out []string
	for _, s := range a.Steps {
		if s.IsIndex {
			break
		}
		out = append(out, s.Key)
	}
	return out
}

// accessWalker collects accesses; locals are the variables of macros, which
// shadow those of the environment.
type accessWalker struct {
	env    *Env
	locals map[string]int
	out    []Access
}

func (e *Env) accesses(a *ast.AST) []Access {
	w := &accessWalker{env: e, locals: map[string]int{}}
	w.walk(a.Expr())
	return w.out
}

func (w *accessWalker) walk(e ast.Expr) {
	if root, steps, guard, ok := w.chain(e); ok {
		if guard < 0 {
			guard = len(steps)
		}
		w.out = append(w.out, Access{Root: root, Steps: steps, Guard: guard})
		return
	}
	switch e.Kind() {
	case ast.SelectKind:
		w.walk(e.AsSelect().Operand())
	case ast.CallKind:
		w.call(e)
	case ast.ListKind:
		for _, item := range e.AsList().Elements() {
			w.walk(item)
		}
	case ast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			w.walk(entry.AsMapEntry().Key())
			w.walk(entry.AsMapEntry().Value())
		}
	case ast.StructKind:
		for _, field := range e.AsStruct().Fields() {
			w.walk(field.AsStructField().Value())
		}
	case ast.ComprehensionKind:
		w.comprehension(e.AsComprehension())
	}
}

func (w *accessWalker) call(e ast.Expr) {
	call := e.AsCall()
	args := call.Args()
	if call.FunctionName() == conditionFunction {
		// Of the object it is handed, it looks at the conditions, if there are any.
		if root, steps, guard, ok := w.chain(args[0]); ok {
			guard = guardAt(guard, steps, true)
			w.out = append(w.out, Access{Root: root, Steps: append(steps, Step{Key: "status"}, Step{Key: "conditions"}), Guard: guard})
			args = args[1:]
		}
	}
	// An index that is no constant: what is before it is read whole.
	if call.IsMemberFunction() {
		w.walk(call.Target())
	}
	for _, arg := range args {
		w.walk(arg)
	}
}

func (w *accessWalker) comprehension(c ast.ComprehensionExpr) {
	w.walk(c.IterRange())
	w.walk(c.AccuInit())
	names := []string{c.AccuVar(), c.IterVar()}
	if c.HasIterVar2() {
		names = append(names, c.IterVar2())
	}
	for _, name := range names {
		w.locals[name]++
	}
	w.walk(c.LoopCondition())
	w.walk(c.LoopStep())
	w.walk(c.Result())
	for _, name := range names {
		w.locals[name]--
	}
}

// chain reads an expression as constant steps from a variable of the
// environment; guard is the first step that is asked for, or -1.
func (w *accessWalker) chain(e ast.Expr) (root string, steps []Step, guard int, ok bool) {
	switch e.Kind() {
	case ast.IdentKind:
		name := e.AsIdent()
		_, declared := w.env.vars[name]
		return name, nil, -1, declared && w.locals[name] == 0
	case ast.SelectKind:
		s := e.AsSelect()
		root, steps, guard, ok = w.chain(s.Operand())
		return root, append(steps, Step{Key: fieldKey(s.FieldName())}), guardAt(guard, steps, s.IsTestOnly()), ok
	case ast.CallKind:
		return w.chainCall(e.AsCall())
	}
	return "", nil, -1, false
}

func guardAt(guard int, steps []Step, asks bool) int {
	if guard < 0 && asks {
		return len(steps)
	}
	return guard
}

func (w *accessWalker) chainCall(call ast.CallExpr) (root string, steps []Step, guard int, ok bool) {
	switch call.FunctionName() {
	case operators.Index, operators.OptIndex, operators.OptSelect:
	default:
		return "", nil, -1, false
	}
	args := call.Args()
	if len(args) != 2 || args[1].Kind() != ast.LiteralKind {
		return "", nil, -1, false
	}
	var step Step
	switch v := args[1].AsLiteral().(type) {
	case types.String:
		step = Step{Key: string(v)}
	case types.Int:
		step = Step{Index: int64(v), IsIndex: true}
	default:
		return "", nil, -1, false
	}
	if call.FunctionName() == operators.OptSelect {
		step.Key = fieldKey(step.Key)
	}
	root, steps, guard, ok = w.chain(args[0])
	return root, append(steps, step), guardAt(guard, steps, call.FunctionName() != operators.Index), ok
}

// fieldKey turns a name as an expression writes it into the key in the JSON.
func fieldKey(name string) string {
	if unescaped, ok := apiservercel.Unescape(name); ok {
		return unescaped
	}
	return name
}

// cheapFunctions run in a time that is at most linear in their input, and their
// output is no longer than their input.
var cheapFunctions = map[string]bool{
	operators.Conditional: true, operators.LogicalAnd: true, operators.LogicalOr: true, operators.LogicalNot: true,
	operators.Equals: true, operators.NotEquals: true, operators.Less: true, operators.LessEquals: true,
	operators.Greater: true, operators.GreaterEquals: true, operators.Add: true, operators.Subtract: true,
	operators.Multiply: true, operators.Divide: true, operators.Modulo: true, operators.Negate: true,
	operators.Index: true, operators.OptIndex: true, operators.OptSelect: true, operators.In: true,
	operators.NotStrictlyFalse: true, "size": true, "string": true, "int": true, "uint": true, "double": true, "bool": true, "dyn": true,
	"type": true, "startsWith": true, "endsWith": true, "contains": true, "orValue": true, "or": true, "hasValue": true, "value": true,
	omitFunction: true, "optional.of": true, "optional.none": true, "optional.ofNonZeroValue": true,
}

// The size up to which an expression of cheap functions is cheap. Each `+` may
// copy both its sides, hence the tighter bound.
const (
	maxCheapNodes = 64
	maxCheapAdds  = 8
)

// isCheap proves that an expression needs no cost tracking: a short one without
// comprehensions, made of cheap functions.
func isCheap(root ast.Expr) bool {
	nodes, adds, cheap := 0, 0, true
	ast.PostOrderVisit(root, ast.NewExprVisitor(func(e ast.Expr) {
		nodes++
		switch e.Kind() {
		case ast.ComprehensionKind, ast.StructKind:
			cheap = false
		case ast.CallKind:
			fn := e.AsCall().FunctionName()
			cheap = cheap && cheapFunctions[fn]
			if fn == operators.Add {
				adds++
			}
		}
	}))
	return cheap && nodes <= maxCheapNodes && adds <= maxCheapAdds
}
