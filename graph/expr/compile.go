package expr

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common"
	"github.com/google/cel-go/common/ast"

	"github.com/kronvoy/kronvoy/graph/internal/suggest"
	"github.com/kronvoy/kronvoy/internal/boundedcel"
)

// Expr is one compiled expression. It is immutable and safe for concurrent use.
type Expr struct {
	Source string
	// Type of the result as checked.
	Type *cel.Type
	// Variables are the variables it refers to, sorted.
	Variables []string
	// Accesses are the fields it reads, in the order of the text.
	Accesses []Access
	// Omits is true when it calls omit(), so that it may have no value.
	Omits bool

	ast     *cel.Ast
	program cel.Program
}

// Fault is one thing that is wrong with an expression.
type Fault struct {
	// Offset in the expression in bytes.
	Offset     int
	Reason     string
	Message    string
	Suggestion string
}

// Compile parses and checks an expression and prepares it to run.
func (e *Env) Compile(source string) (*Expr, []Fault) {
	if len(source) > boundedcel.MaxLength {
		return nil, []Fault{{Reason: "TooLong", Message: fmt.Sprintf("the expression is %d bytes long, at most %d are allowed", len(source), boundedcel.MaxLength)}}
	}
	parsed, issues := e.cel.Parse(source)
	if issues.Err() != nil {
		return nil, e.faults(source, nil, issues)
	}
	if names := rooted(parsed.NativeRep()); len(names) > 0 {
		return nil, e.unknownNames(source, parsed.NativeRep(), names)
	}
	checked, issues := e.cel.Check(parsed)
	if issues.Err() != nil {
		return nil, e.faults(source, parsed, issues)
	}
	native := checked.NativeRep()
	accesses, foreign := e.accesses(native)
	if len(foreign) > 0 {
		return nil, e.unknownNames(source, native, foreign)
	}
	x := &Expr{
		Source:    source,
		Type:      checked.OutputType(),
		Accesses:  accesses,
		Variables: roots(accesses),
		ast:       checked,
		Omits:     omits(native.Expr()),
	}
	program, err := boundedcel.Program(e.cel, checked, &costs{}, omitFunction)
	if errors.Is(err, boundedcel.TooCostly{}) {
		return nil, []Fault{{Reason: "TooCostly", Message: err.Error()}}
	}
	if err != nil {
		return nil, []Fault{{Reason: "InvalidExpression", Message: oneLine(err.Error())}}
	}
	x.program = program
	return x, nil
}

func roots(accesses []Access) []string {
	seen := map[string]bool{}
	out := []string{}
	for _, a := range accesses {
		if !seen[a.Root] {
			seen[a.Root] = true
			out = append(out, a.Root)
		}
	}
	sort.Strings(out)
	return out
}

// rooted are the names with a dot before them, as in .schema, which CEL looks up
// from the root of a container. There is none here, and kro knows no such names.
func rooted(a *ast.AST) []ast.Expr {
	var out []ast.Expr
	ast.PostOrderVisit(a.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.IdentKind && strings.HasPrefix(e.AsIdent(), ".") {
			out = append(out, e)
		}
	}))
	return out
}

// unknownNames are the faults of names that stand for no variable.
func (e *Env) unknownNames(source string, a *ast.AST, names []ast.Expr) []Fault {
	out := make([]Fault, 0, min(len(names), maxFaultsPerExpression))
	for _, name := range names[:min(len(names), maxFaultsPerExpression)] {
		text := name.AsIdent()
		f := Fault{Offset: byteOffset(source, a.SourceInfo().GetStartLocation(name.ID())), Reason: "UnknownIdentifier",
			Message: fmt.Sprintf("unknown identifier %q", text)}
		switch plain, dot := strings.CutPrefix(text, "."); {
		case dot:
			f.Suggestion = "write " + plain
		default:
			f.Suggestion = "a type is no value: compare with type(…) of a value of that type"
		}
		out = append(out, f)
	}
	return out
}

// maxFaultsPerExpression keeps one broken expression from drowning the others.
const maxFaultsPerExpression = 5

// faults translates CEL's errors. parsed is nil when parsing failed.
func (e *Env) faults(source string, parsed *cel.Ast, issues *cel.Issues) []Fault {
	errs := issues.Errors()
	out := make([]Fault, 0, min(len(errs), maxFaultsPerExpression))
	for _, err := range errs {
		if len(out) == maxFaultsPerExpression {
			break
		}
		f := Fault{Offset: byteOffset(source, err.Location), Message: oneLine(err.Message)}
		if parsed == nil {
			f.Reason, f.Message = "SyntaxError", syntaxMessage(f.Message)
			if strings.HasPrefix(f.Message, newConditionFunction) {
				f.Reason = "InvalidCondition"
			}
		} else {
			e.explain(&f, err, parsed.NativeRep())
			// CEL places a field at its dot.
			if f.Reason == "UnknownField" && strings.HasPrefix(source[f.Offset:], ".") {
				f.Offset++
			}
		}
		out = append(out, f)
	}
	// Where a function of runtime is not known, that is what is wrong.
	if further := slices.DeleteFunc(slices.Clone(out), func(f Fault) bool { return f.Reason == runtimeAlone }); len(further) > 0 {
		return further
	}
	for i := range out {
		out[i].Reason = "UnknownIdentifier"
	}
	return out
}

// runtimeAlone marks a fault that another one may say better.
const runtimeAlone = "runtime"

// syntaxMessage leaves out the parser's list of all that could have stood there.
func syntaxMessage(message string) string {
	message = strings.TrimPrefix(message, "Syntax error: ")
	for _, prefix := range []string{"mismatched input ", "extraneous input ", "no viable alternative at input "} {
		if rest, found := strings.CutPrefix(message, prefix); found {
			rest, _, _ = strings.Cut(rest, " expecting ")
			if rest == "'<EOF>'" {
				return "the expression ends too early"
			}
			return "unexpected " + rest
		}
	}
	return message
}

// explain sorts a checker's error into a reason, and adds what was probably
// meant. CEL gives no codes, so that the text decides here; it decides nothing
// but wording.
func (e *Env) explain(f *Fault, err *common.Error, parsed *ast.AST) {
	f.Reason = "InvalidExpression"
	switch {
	case strings.HasPrefix(f.Message, "undeclared reference to"):
		name := quoted(f.Message)
		if node := find(parsed.Expr(), err.ExprID); node != nil && node.Kind() == ast.CallKind {
			e.explainFunction(f, name)
			return
		}
		if name == runtimeName {
			f.Reason = runtimeAlone
			f.Message = fmt.Sprintf("%s is no value: there are %s and %s, in status.conditions only", runtimeName, conditionFunction, newConditionFunction)
			return
		}
		f.Reason = "UnknownIdentifier"
		f.Message = fmt.Sprintf("unknown identifier %q", name)
		f.Suggestion = suggest.DidYouMean(name, e.names())
		if f.Suggestion == "" && len(e.vars) > 0 && len(e.vars) <= 12 {
			f.Suggestion = "known here: " + strings.Join(e.names(), ", ")
		}
	case strings.HasPrefix(f.Message, "undefined field"):
		name := quoted(f.Message)
		f.Reason = "UnknownField"
		f.Message = fmt.Sprintf("unknown field %q", name)
		f.Suggestion = e.suggestField(parsed.Expr(), err.ExprID, name)
	case strings.HasSuffix(f.Message, "does not support field selection") && strings.HasPrefix(f.Message, "type 'list("):
		f.Reason, f.Message = "TypeMismatch", "a list has no fields"
		f.Suggestion = "choose an element, as in x[0], or use a macro, as in x.map(e, e.name)"
	case strings.HasPrefix(f.Message, "found no matching overload"):
		f.Reason = "TypeMismatch"
		f.Suggestion = suggestOverload(f.Message)
	}
}

func (e *Env) explainFunction(f *Fault, name string) {
	f.Reason = "UnknownFunction"
	f.Message = fmt.Sprintf("unknown function %q", name)
	if full := runtimeName + "." + name; full == conditionFunction || full == newConditionFunction {
		f.Message = full + " can only be used in status.conditions"
		return
	}
	functions := make([]string, 0, 256)
	for fn := range e.cel.Functions() {
		if !strings.ContainsAny(fn, "_@!") {
			functions = append(functions, fn)
		}
	}
	sort.Strings(functions)
	f.Suggestion = suggest.DidYouMean(name, functions)
}

// suggestField proposes a field of the struct in which the unknown one was
// looked for, when that is a plain chain of fields from a variable.
func (e *Env) suggestField(root ast.Expr, id int64, name string) string {
	node := find(root, id)
	if node == nil || node.Kind() != ast.SelectKind {
		return ""
	}
	var steps []string
	operand := node.AsSelect().Operand()
	for operand.Kind() == ast.SelectKind {
		steps = append(steps, operand.AsSelect().FieldName())
		operand = operand.AsSelect().Operand()
	}
	if operand.Kind() != ast.IdentKind {
		return ""
	}
	v, found := e.vars[operand.AsIdent()]
	if !found || v.List {
		return ""
	}
	d := v.Decl
	for i := len(steps) - 1; i >= 0; i-- {
		f, found := d.Field(steps[i])
		if !found {
			return ""
		}
		d = f.Decl
	}
	if s := suggest.DidYouMean(name, d.FieldNames()); s != "" {
		return s
	}
	if names := d.FieldNames(); len(names) > 0 && len(names) <= 12 {
		return "known here: " + strings.Join(names, ", ")
	}
	return ""
}

func suggestOverload(message string) string {
	if strings.Contains(message, "'_+_'") && strings.Contains(message, "string") {
		return "convert the other value with string(…)"
	}
	return ""
}

// find returns the node with an id; nil when there is none.
func find(root ast.Expr, id int64) ast.Expr {
	var found ast.Expr
	ast.PostOrderVisit(root, ast.NewExprVisitor(func(node ast.Expr) {
		if node.ID() == id && found == nil {
			found = node
		}
	}))
	return found
}

// quoted returns what stands in the first pair of single quotes.
func quoted(s string) string {
	_, rest, _ := strings.Cut(s, "'")
	name, _, _ := strings.Cut(rest, "'")
	return name
}

func oneLine(s string) string { return suggest.Shorten(s, 500) }

// byteOffset turns CEL's line and column (in runes) into an offset in bytes.
func byteOffset(source string, at common.Location) int {
	if at == nil || at.Line() < 1 {
		return 0
	}
	offset := 0
	for line := 1; line < at.Line(); line++ {
		next := strings.IndexByte(source[offset:], '\n')
		if next < 0 {
			return len(source)
		}
		offset += next + 1
	}
	column := 0
	for i := range source[offset:] {
		if column == at.Column() {
			return offset + i
		}
		column++
	}
	return len(source)
}
