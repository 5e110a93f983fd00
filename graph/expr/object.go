package expr

import (
	"fmt"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/ext"
	"k8s.io/apiserver/pkg/cel/library"

	"sync"

	"github.com/kronvoy/kronvoy/internal/boundedcel"
)

// ObjectVariable is the variable of a rewritten rule: the whole live object.
const ObjectVariable = "object"

// objectEnv is what rewritten rules are compiled in: the object is plain JSON.
var objectEnv = sync.OnceValues(func() (*cel.Env, error) {
	env, err := cel.NewEnv(append(boundedcel.Libraries(), cel.Variable(ObjectVariable, cel.DynType))...)
	if err != nil {
		return nil, fmt.Errorf("building the CEL environment of rules: %w", err)
	}
	return env, nil
})

// basicEnv is what OCM's own agent compiles rules in: BaseEnvOpts of its sdk-go
// v1.2.0, on cel-go v0.26.
var basicEnv = sync.OnceValues(func() (*cel.Env, error) {
	env, err := cel.NewEnv(
		cel.Variable(ObjectVariable, cel.DynType),
		cel.OptionalTypes(),
		ext.Strings(ext.StringsVersion(4)),
		library.Lists(),
		library.Regex(),
		library.URLs(),
		library.Quantity(),
		library.IP(),
		library.CIDR(),
		library.Format(),
		library.SemverLib(),
	)
	if err != nil {
		return nil, fmt.Errorf("building the CEL environment of OCM's agent: %w", err)
	}
	return env, nil
})

// IsBasic tells whether a rule of OnObject uses no more functions than OCM's own
// agent has: without base64, sets, math, cel.bind and macros of two variables.
func IsBasic(rule string) bool {
	env, err := basicEnv()
	if err != nil {
		return false
	}
	_, issues := env.Compile(rule)
	return issues.Err() == nil
}

// OnObject rewrites the expression, which reads one variable and yields a
// boolean, into one that reads the live object as plain JSON, as an agent has
// it. There, bytes and times are text: each is converted where it is read. It
// returns false when that is not possible, as for a value that is handed to a
// macro before it is read.
func (x *Expr) OnObject(variable string) (string, bool) {
	env, err := objectEnv()
	if err != nil {
		return "", false
	}
	r := &objectRewriter{variable: variable}
	optimizer, err := cel.NewStaticOptimizer(r)
	if err != nil {
		return "", false
	}
	rewritten, issues := optimizer.Optimize(env, x.ast)
	if issues.Err() != nil || r.failed {
		return "", false
	}
	text, err := cel.AstToString(rewritten)
	if err != nil {
		return "", false
	}
	if _, optional := Unwrap(x.Type); optional {
		text = "(" + text + ").orValue(false)"
	}
	// The text is what travels: it must be an expression again.
	checked, issues := env.Compile(text)
	if issues.Err() != nil {
		return "", false
	}
	if t := checked.OutputType(); t.Kind() != cel.BoolKind && t.Kind() != cel.DynKind {
		return "", false
	}
	return text, true
}

// objectRewriter is a cel.ASTOptimizer.
type objectRewriter struct {
	variable string
	failed   bool
}

// converters are the functions that make a CEL value of a JSON one.
var converters = map[types.Kind]string{
	types.BytesKind: "base64.decode", types.TimestampKind: "timestamp", types.DurationKind: "duration", types.DoubleKind: "double",
}

// Optimize implements cel.ASTOptimizer.
func (r *objectRewriter) Optimize(ctx *cel.OptimizerContext, a *ast.AST) *ast.AST {
	root := ast.NavigateAST(a)
	r.check(a, root)
	if r.failed {
		return a
	}
	// Deepest first: a conversion may stand inside of an index.
	for _, e := range ast.MatchDescendants(root, ast.AllMatcher()) {
		if e.Kind() == ast.IdentKind && e.AsIdent() == r.variable && !shadowed(e, r.variable) {
			ctx.UpdateExpr(e, ctx.NewIdent(ObjectVariable))
		}
	}
	var convert []ast.NavigableExpr
	for _, e := range ast.MatchDescendants(root, ast.AllMatcher()) {
		if converters[kindOf(a, e)] != "" && isRead(e) {
			convert = append(convert, e)
		}
	}
	for _, e := range convert {
		copied := ctx.CopyASTAndMetadata(ctx.NewAST(e))
		ctx.UpdateExpr(e, ctx.NewCall(converters[kindOf(a, e)], copied))
	}
	return ctx.NewAST(root)
}

func kindOf(a *ast.AST, e ast.Expr) types.Kind { return a.GetType(e.ID()).Kind() }

// isRead tells whether a value comes out of the object's data as it is.
func isRead(e ast.Expr) bool {
	switch e.Kind() {
	case ast.SelectKind:
		return !e.AsSelect().IsTestOnly()
	case ast.CallKind:
		return e.AsCall().FunctionName() == operators.Index
	}
	return false
}

// check finds what cannot be rewritten: data with special values in it that is
// handed on as a list, a map or an optional before it is read.
func (r *objectRewriter) check(a *ast.AST, root ast.NavigableExpr) {
	for _, e := range ast.MatchDescendants(root, ast.AllMatcher()) {
		switch e.Kind() {
		case ast.ComprehensionKind:
			// A macro's variable of that name would capture the object.
			c := e.AsComprehension()
			r.failed = r.failed || c.IterVar() == ObjectVariable || c.IterVar2() == ObjectVariable || c.AccuVar() == ObjectVariable
		case ast.SelectKind:
			// An escaped name is resolved by the type, which plain JSON lacks.
			field := e.AsSelect().FieldName()
			r.failed = r.failed || fieldKey(field) != field && a.GetType(e.AsSelect().Operand().ID()).Kind() == types.StructKind
		}
		switch t := a.GetType(e.ID()); t.Kind() {
		case types.ListKind, types.MapKind, types.OpaqueKind:
			if holdsSpecial(t) && !readsInside(e, t.Kind()) {
				r.failed = true
			}
		}
	}
}

// readsInside tells whether a container is used in a way that does not depend on
// the form of its values: an element is read, keys are looked at, or things are
// counted.
func readsInside(e ast.NavigableExpr, kind types.Kind) bool {
	parent, found := e.Parent()
	if !found {
		return false
	}
	switch parent.Kind() {
	case ast.SelectKind:
		return true
	case ast.ComprehensionKind:
		// With one variable, a macro over a map sees its keys.
		c := parent.AsComprehension()
		return kind == types.MapKind && c.IterRange().ID() == e.ID() && !c.HasIterVar2()
	case ast.CallKind:
		call := parent.AsCall()
		switch call.FunctionName() {
		case operators.Index, operators.OptIndex, operators.OptSelect:
			return call.Args()[0].ID() == e.ID()
		case operators.In:
			return kind == types.MapKind && call.Args()[1].ID() == e.ID()
		case "size", "hasValue":
			return true
		}
	}
	return false
}

// holdsSpecial tells whether a container has values that need a conversion.
func holdsSpecial(t *types.Type) bool {
	for _, p := range t.Parameters() {
		if converters[p.Kind()] != "" || holdsSpecial(p) {
			return true
		}
	}
	return false
}

// shadowed tells whether a macro's variable of that name is in scope.
func shadowed(e ast.NavigableExpr, name string) bool {
	for parent, found := e.Parent(); found; parent, found = parent.Parent() {
		if parent.Kind() != ast.ComprehensionKind {
			continue
		}
		c := parent.AsComprehension()
		if c.IterVar() == name || c.IterVar2() == name || c.AccuVar() == name {
			return true
		}
	}
	return false
}
