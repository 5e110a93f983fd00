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
	// Iterator is true when Root is one of a forEach, whatever else has its name.
	Iterator bool
	// Element is true when the variable is a list, and Steps are those from each of
	// its elements, as a macro makes them.
	Element bool
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
func (a Access) Fields() []string { return fields(a.Steps) }

// ElementFields are the fields that are read of the elements of a list; false
// when the list is handed on, so that everything may be.
func (a Access) ElementFields() ([]string, bool) {
	switch {
	case a.Element:
		return a.Fields(), true
	case len(a.Steps) > 0 && a.Steps[0].IsIndex:
		return fields(a.Steps[1:]), true
	}
	return nil, false
}

func fields(steps []Step) []string {
	var out []string
	for _, s := range steps {
		if s.IsIndex {
			break
		}
		out = append(out, s.Key)
	}
	return out
}

// accessWalker collects accesses; locals are the variables of macros, which
// shadow those of the environment: by name, the innermost last, the list of the
// environment whose elements they stand for, if any.
type accessWalker struct {
	env    *Env
	locals map[string][]string
	out    []Access
	// foreign are the names that are no variables: CEL takes names of types for
	// values.
	foreign []ast.Expr
}

func (e *Env) accesses(a *ast.AST) ([]Access, []ast.Expr) {
	w := &accessWalker{env: e, locals: map[string][]string{}}
	w.walk(a.Expr())
	return w.out, w.foreign
}

func (w *accessWalker) walk(e ast.Expr) {
	if root, steps, guard, ok := w.chain(e); ok {
		if guard < 0 {
			guard = len(steps)
		}
		w.add(root, steps, guard)
		return
	}
	switch e.Kind() {
	case ast.IdentKind:
		if len(w.locals[e.AsIdent()]) == 0 {
			w.foreign = append(w.foreign, e)
		}
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

// add records an access from a variable, or from what stands for the elements of
// one.
func (w *accessWalker) add(root string, steps []Step, guard int) {
	if outer := w.locals[root]; len(outer) > 0 {
		w.out = append(w.out, Access{Root: outer[len(outer)-1], Steps: steps, Guard: guard, Element: true})
		return
	}
	w.out = append(w.out, Access{Root: root, Steps: steps, Guard: guard, Iterator: w.env.vars[root].iterator})
}

// list tells whether an expression is a list of the environment, and nothing of
// it.
func (w *accessWalker) list(e ast.Expr) (string, bool) {
	if e.Kind() != ast.IdentKind || len(w.locals[e.AsIdent()]) > 0 || !w.env.vars[e.AsIdent()].List {
		return "", false
	}
	return e.AsIdent(), true
}

// identity records that a list is looked at, and of its elements no more than
// what every object has.
func (w *accessWalker) identity(list string) {
	steps := []Step{{Key: "metadata"}, {Key: "name"}}
	w.out = append(w.out, Access{Root: list, Steps: steps, Guard: len(steps), Element: true})
}

func (w *accessWalker) call(e ast.Expr) {
	call := e.AsCall()
	args := call.Args()
	if call.FunctionName() == "size" {
		operands := args
		if call.IsMemberFunction() {
			operands = []ast.Expr{call.Target()}
		}
		if list, ok := w.list(operands[0]); ok {
			w.identity(list)
			return
		}
	}
	if call.FunctionName() == conditionFunction {
		// Of the object it is handed, it looks at the conditions, if there are any.
		if root, steps, guard, ok := w.chain(args[0]); ok {
			guard = guardAt(guard, steps, true)
			w.add(root, append(steps, Step{Key: "status"}, Step{Key: "conditions"}), guard)
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
	element := c.IterVar()
	if c.HasIterVar2() {
		// The first variable is then the index.
		element = c.IterVar2()
	}
	list, overList := w.list(c.IterRange())
	if overList {
		w.identity(list)
	} else {
		w.walk(c.IterRange())
	}
	w.walk(c.AccuInit())
	names := []string{c.AccuVar(), c.IterVar()}
	if c.HasIterVar2() {
		names = append(names, c.IterVar2())
	}
	for _, name := range names {
		stands := ""
		if overList && name == element {
			stands = list
		}
		w.locals[name] = append(w.locals[name], stands)
	}
	w.walk(c.LoopCondition())
	w.walk(c.LoopStep())
	w.walk(c.Result())
	for _, name := range names {
		w.locals[name] = w.locals[name][:len(w.locals[name])-1]
	}
}

// chain reads an expression as constant steps from a variable of the
// environment; guard is the first step that is asked for, or -1.
func (w *accessWalker) chain(e ast.Expr) (root string, steps []Step, guard int, ok bool) {
	switch e.Kind() {
	case ast.IdentKind:
		name := e.AsIdent()
		if outer := w.locals[name]; len(outer) > 0 {
			return name, nil, -1, outer[len(outer)-1] != ""
		}
		_, declared := w.env.vars[name]
		return name, nil, -1, declared
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
