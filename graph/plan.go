package graph

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"

	"github.com/kronvoy/kronvoy/graph/expr"
	"github.com/kronvoy/kronvoy/graph/internal/path"
	"github.com/kronvoy/kronvoy/graph/internal/suggest"
	"github.com/kronvoy/kronvoy/graph/schema"
	"github.com/kronvoy/kronvoy/graph/template"
)

// plan is how one value of a template is rendered. Exactly one of the groups of
// fields is set.
type plan struct {
	path string
	// static values hold no expressions and are copied.
	static any
	// fields of an object, sorted by key.
	fields []fieldPlan
	// items of a list.
	items []*plan
	// expr is a standalone expression, whose value keeps its type.
	expr *expr.Expr
	// base64 fields take bytes as text.
	base64 bool
	// parts of a string with expressions in it.
	parts []part

	kind planKind
}

type planKind int

const (
	staticPlan planKind = iota
	objectPlan
	listPlan
	exprPlan
	textPlan
)

type fieldPlan struct {
	key   string
	value *plan
}

// part is literal text, or an expression that yields text.
type part struct {
	text string
	expr *expr.Expr
}

// planner turns templates into plans, and checks them against the schema of the
// kind on the way.
type planner struct {
	c   *compiler
	env *expr.Env
	// use is called with every compiled expression.
	use func(x *expr.Expr, at string, offset int)
	// mayOmit tells whether the value at a path may be left out by omit(); nil
	// when none may.
	mayOmit func(at string) bool
	// lax planners judge expressions alone, not what stands there already: below
	// an object that keeps unknown fields anything may, as in kro.
	lax bool
}

// value plans one value of declaration d at a path.
func (p *planner) value(v any, d *schema.Decl, at string, depth int) *plan {
	if depth > maxDepth {
		p.c.issue(Issue{Path: at, Offset: -1, Reason: "TooDeep", Message: fmt.Sprintf("the template is nested deeper than %d levels", maxDepth)})
		return &plan{path: at}
	}
	if d.Open && !p.lax {
		lax := *p
		lax.lax = true
		p = &lax
	}
	switch v := v.(type) {
	case map[string]any:
		return p.object(v, d, at, depth)
	case []any:
		return p.list(v, d, at, depth)
	case string:
		if strings.Contains(v, "${") {
			return p.text(v, d, at)
		}
	}
	p.checkScalar(v, d, at)
	return &plan{path: at, static: v}
}

func (p *planner) object(v map[string]any, d *schema.Decl, at string, depth int) *plan {
	switch {
	case d.Form == schema.Dyn && len(d.Scalars) == 0, d.Form == schema.Struct, d.Form == schema.Map:
	default:
		p.mismatch(at, d, "an object")
		d = schema.Anything()
	}
	out := &plan{path: at, kind: objectPlan, fields: make([]fieldPlan, 0, len(v))}
	static := true
	for _, key := range slices.Sorted(maps.Keys(v)) {
		elem, found := elemDecl(d, key)
		fieldPath := path.Key(at, key)
		if !found {
			p.unknownField(fieldPath, key, d)
			elem = schema.Anything()
		}
		value := p.value(v[key], elem, fieldPath, depth+1)
		static = static && value.kind == staticPlan
		out.fields = append(out.fields, fieldPlan{key: key, value: value})
	}
	if static {
		return &plan{path: at, static: v}
	}
	return out
}

// elemDecl finds the declaration of a field or of a map's values.
func elemDecl(d *schema.Decl, key string) (*schema.Decl, bool) {
	switch d.Form {
	case schema.Struct:
		f, found := d.Field(key)
		if !found {
			return nil, false
		}
		return f.Decl, true
	case schema.Map:
		return d.Elem, true
	}
	return schema.Anything(), true
}

func (p *planner) list(v []any, d *schema.Decl, at string, depth int) *plan {
	elem := schema.Anything()
	switch {
	case d.Form == schema.List:
		elem = d.Elem
	case d.Form == schema.Dyn && len(d.Scalars) == 0:
	default:
		p.mismatch(at, d, "a list")
	}
	out := &plan{path: at, kind: listPlan, items: make([]*plan, len(v))}
	static := true
	for i, item := range v {
		out.items[i] = p.value(item, elem, path.Index(at, i), depth+1)
		static = static && out.items[i].kind == staticPlan
	}
	if static {
		return &plan{path: at, static: v}
	}
	return out
}

// checkScalar judges a value that holds no expression. null is always accepted.
func (p *planner) checkScalar(v any, d *schema.Decl, at string) {
	if v == nil || d.Form == schema.Dyn && len(d.Scalars) == 0 {
		return
	}
	ok := false
	switch value := v.(type) {
	case string:
		ok = isText(d)
	case bool:
		ok = d.Form == schema.Bool || slices.Contains(d.Scalars, "boolean")
	case int64:
		ok = d.Form == schema.Int || d.Form == schema.Double || slices.Contains(d.Scalars, "integer") || slices.Contains(d.Scalars, "number")
	case float64:
		whole := value == float64(int64(value))
		ok = d.Form == schema.Double || slices.Contains(d.Scalars, "number") || whole && (d.Form == schema.Int || slices.Contains(d.Scalars, "integer"))
	}
	if !ok {
		p.mismatch(at, d, describeScalar(v))
	}
}

// isText tells whether JSON strings are accepted.
func isText(d *schema.Decl) bool {
	switch d.Form {
	case schema.String, schema.Bytes, schema.Timestamp, schema.Duration:
		return true
	case schema.Dyn:
		return len(d.Scalars) == 0 || slices.Contains(d.Scalars, "string")
	}
	return false
}

func describeScalar(v any) string {
	switch v := v.(type) {
	case string:
		return fmt.Sprintf("the string %q", suggest.Shorten(v, 40))
	case bool:
		return fmt.Sprintf("the boolean %v", v)
	case int64, float64:
		return fmt.Sprintf("the number %v", v)
	}
	return fmt.Sprintf("a %T", v)
}

func (p *planner) unknownField(at, key string, d *schema.Decl) {
	if p.lax {
		return
	}
	p.c.issue(Issue{Path: at, Offset: -1, Reason: "UnknownField",
		Message: fmt.Sprintf("unknown field %q", suggest.Shorten(key, 80)), Suggestion: suggest.DidYouMean(key, d.FieldNames())})
}

func (p *planner) mismatch(at string, d *schema.Decl, got string) {
	if p.lax {
		return
	}
	p.c.issue(Issue{Path: at, Offset: -1, Reason: "TypeMismatch", Message: fmt.Sprintf("expected %s, got %s", d, got)})
}

// text plans a string that holds at least one `${`.
func (p *planner) text(s string, d *schema.Decl, at string) *plan {
	t, terr := template.Parse(s)
	if terr != nil {
		p.c.issue(templateIssue(at, s, terr))
		return &plan{path: at}
	}
	if t.Standalone() {
		return p.standalone(t.Segments[0], d, at)
	}
	if !isText(d) && !p.lax {
		p.c.issue(Issue{Path: at, Offset: 0, Reason: "TypeMismatch", Snippet: shorten(s),
			Message:    fmt.Sprintf("expected %s, but text around an expression makes it a string", d),
			Suggestion: "let one ${…} span the whole value"})
	}
	out := &plan{path: at, kind: textPlan}
	for _, segment := range t.Segments {
		if !segment.Expr {
			out.parts = append(out.parts, part{text: segment.Text})
			continue
		}
		x := p.c.compileValue(p.env, segment, at, p.use)
		if x == nil {
			continue
		}
		if inner, _ := expr.Unwrap(x.Type); !isStringType(inner) {
			suggestion := "convert it with string(…)"
			if inner.Kind() == cel.BytesKind {
				suggestion = "encode it with base64.encode(…), or convert it with string(…)"
			}
			p.c.issue(Issue{Path: at, Offset: segment.Offset, Reason: "TypeMismatch", Snippet: excerpt(segment.Text, 0),
				Message: fmt.Sprintf("an expression inside of text must be a string, not %s", expr.TypeName(x.Type)), Suggestion: suggestion})
		}
		out.parts = append(out.parts, part{expr: x})
	}
	return out
}

func isStringType(t *cel.Type) bool {
	return t.Kind() == cel.StringKind || t.Kind() == cel.DynKind || t.Kind() == cel.AnyKind
}

func (p *planner) standalone(segment template.Segment, d *schema.Decl, at string) *plan {
	x := p.c.compileExpr(p.env, segment, at, p.use)
	if x == nil {
		return &plan{path: at}
	}
	if x.Omits && (p.mayOmit == nil || !p.mayOmit(at)) {
		p.c.omitNotAllowed(segment, at, "the field needs a value")
		return &plan{path: at}
	}
	if message := p.c.assignable(x.Type, d); message != "" {
		p.c.issue(Issue{Path: at, Offset: segment.Offset, Reason: "TypeMismatch", Snippet: excerpt(segment.Text, 0),
			Message: message, Suggestion: suggestConversion(x.Type, d)})
	}
	return &plan{path: at, kind: exprPlan, expr: x, base64: d.Form == schema.Bytes}
}

// compileValue compiles an expression that must have a value.
func (c *compiler) compileValue(env *expr.Env, segment template.Segment, at string, use func(*expr.Expr, string, int)) *expr.Expr {
	x := c.compileExpr(env, segment, at, use)
	if x != nil && x.Omits {
		c.omitNotAllowed(segment, at, "there is nothing to leave out here")
		return nil
	}
	return x
}

// omitNotAllowed reports an omit() where no field or element can be left out.
func (c *compiler) omitNotAllowed(segment template.Segment, at, why string) {
	c.issue(Issue{Path: at, Offset: segment.Offset, Reason: "OmitNotAllowed", Snippet: excerpt(segment.Text, 0),
		Message: "omit() cannot be used: " + why, Suggestion: "let one ${…} with omit() span the whole value of an optional field of a template"})
}

// compileExpr compiles an expression and reports its faults; nil when it has any.
func (c *compiler) compileExpr(env *expr.Env, segment template.Segment, at string, use func(*expr.Expr, string, int)) *expr.Expr {
	if c.expressions++; c.expressions > maxExpressions {
		if c.expressions == maxExpressions+1 {
			c.issue(Issue{Path: at, Offset: -1, Reason: "TooMany", Message: fmt.Sprintf("the graph has more than %d expressions", maxExpressions)})
		}
		return nil
	}
	x, faults := c.compileOnce(env, segment.Text)
	for _, f := range faults {
		c.issue(exprIssue(at, segment.Offset, segment.Text, f))
	}
	if x == nil {
		return nil
	}
	if use != nil {
		use(x, at, segment.Offset)
	}
	return x
}

// compilation is an expression in the environment it stands in.
type compilation struct {
	env  *expr.Env
	text string
}

// compiled is what came of a compilation.
type compiled struct {
	expr   *expr.Expr
	faults []expr.Fault
}

// compileOnce compiles an expression, or finds what came of the same text before:
// graphs repeat themselves, as in ${schema.spec.name}.
func (c *compiler) compileOnce(env *expr.Env, text string) (*expr.Expr, []expr.Fault) {
	key := compilation{env, text}
	done, found := c.compilations[key]
	if !found {
		done.expr, done.faults = env.Compile(text)
		c.compilations[key] = done
	}
	return done.expr, done.faults
}
