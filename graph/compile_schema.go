package graph

import (
	"fmt"
	"regexp"

	"github.com/kronvoy/kronvoy/graph/expr"
	"github.com/kronvoy/kronvoy/graph/internal/path"
	"github.com/kronvoy/kronvoy/graph/internal/suggest"
	"github.com/kronvoy/kronvoy/graph/schema"
	"github.com/kronvoy/kronvoy/graph/template"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

var (
	kindPattern    = regexp.MustCompile(`^[A-Z][a-zA-Z0-9]{0,62}$`)
	versionPattern = regexp.MustCompile(`^v[0-9]+(alpha[0-9]+|beta[0-9]+)?$`)
)

// compileSchema turns the SimpleSchema of the instances into OpenAPI and into
// the variable `schema`.
func (c *compiler) compileSchema() {
	s := c.src.Schema
	if !kindPattern.MatchString(s.Kind) {
		c.issue(Issue{Path: "spec.schema.kind", Offset: -1, Reason: "InvalidName", Snippet: shorten(s.Kind),
			Message: "kind must be PascalCase, at most 63 letters and digits"})
	}
	if !versionPattern.MatchString(s.Version) {
		c.issue(Issue{Path: "spec.schema.apiVersion", Offset: -1, Reason: "InvalidName", Snippet: shorten(s.Version),
			Message: "apiVersion must be a version without its group, as in v1alpha1"})
	}
	if s.Scope != "" && s.Scope != Namespaced && s.Scope != ClusterScoped {
		c.issue(Issue{Path: "spec.schema.scope", Offset: -1, Reason: "InvalidValue", Snippet: shorten(string(s.Scope)),
			Message: "scope must be Namespaced or Cluster"})
	}
	props, faults := schema.Simple(s.Spec, s.Types, "spec.schema.spec", "spec.schema.types")
	for _, f := range faults {
		c.issue(schemaIssue(f))
	}
	c.spec = props
	c.instance = c.instanceDecl(props)
}

// instanceDecl declares the variable `schema`: the instance without its status.
func (c *compiler) instanceDecl(props *apiextensionsv1.JSONSchemaProps) *schema.Decl {
	text := schema.Text()
	name := c.src.Schema.Kind
	meta := schema.ObjectMeta()
	if c.scope() == ClusterScoped {
		delete(meta.Properties, "namespace")
	}
	// An instance without fields has an object without fields, not one in which
	// anything goes.
	specDecl := schema.Object(name+".spec", nil)
	if len(props.Properties) > 0 {
		s, err := schema.FromProps(props)
		if err != nil {
			c.issue(Issue{Path: "spec.schema.spec", Offset: -1, Reason: "InvalidSchema", Message: err.Error()})
		} else {
			specDecl = schema.NewDecl(name+".spec", s)
		}
	}
	return schema.Object(name, map[string]*schema.Decl{
		"apiVersion": text, "kind": text, "metadata": schema.NewDecl(name+".metadata", meta), "spec": specDecl,
	})
}

// statusPlan is how the author's status is projected: an object, a list, or a
// leaf, whose value is set.
type statusPlan struct {
	path   string
	isList bool
	fields []statusField
	items  []*statusPlan
	value  *plan
}

type statusField struct {
	key   string
	value *statusPlan
}

// builtinStatus fields are written by the controller alone; an author's field of
// that name is not projected.
var builtinStatus = map[string]bool{"state": true, "conditions": true}

// compileStatus plans the projection and infers its schema.
func (c *compiler) compileStatus() {
	if c.src.Schema.Status == nil {
		return
	}
	at := "spec.schema.status"
	own := make(map[string]any, len(c.src.Schema.Status))
	for key, value := range c.src.Schema.Status {
		if key == "conditions" {
			c.compileConditions(value)
			continue
		}
		if !builtinStatus[key] {
			own[key] = value
		}
	}
	c.status, c.statusProps = c.statusValue(own, at, 0)
}

func (c *compiler) statusValue(v any, at string, depth int) (*statusPlan, *apiextensionsv1.JSONSchemaProps) {
	nothing := &apiextensionsv1.JSONSchemaProps{Type: "object"}
	if depth > maxDepth {
		c.issue(Issue{Path: at, Offset: -1, Reason: "TooDeep", Message: fmt.Sprintf("the status is nested deeper than %d levels", maxDepth)})
		return nil, nothing
	}
	switch v := v.(type) {
	case map[string]any:
		out := &statusPlan{path: at}
		props := &apiextensionsv1.JSONSchemaProps{Type: "object", Properties: map[string]apiextensionsv1.JSONSchemaProps{}}
		for _, key := range sortedKeys(v) {
			field, fieldProps := c.statusValue(v[key], path.Key(at, key), depth+1)
			out.fields = append(out.fields, statusField{key, field})
			props.Properties[key] = *fieldProps
		}
		return out, props
	case []any:
		return c.statusList(v, at, depth)
	case string:
		return c.statusText(v, at)
	}
	c.issue(Issue{Path: at, Offset: -1, Reason: "NotAnExpression",
		Message: "status fields without expressions are not supported: " + describeScalar(v), Suggestion: "write an expression, as in ${…}"})
	return nil, nothing
}

func (c *compiler) statusList(v []any, at string, depth int) (*statusPlan, *apiextensionsv1.JSONSchemaProps) {
	out := &statusPlan{path: at, isList: true}
	var elem *apiextensionsv1.JSONSchemaProps
	for i, item := range v {
		value, props := c.statusValue(item, path.Index(at, i), depth+1)
		out.items = append(out.items, value)
		switch {
		case elem == nil:
			elem = props
		case elem.Type != props.Type || elem.Type == "object" || elem.Type == "array":
			elem = schema.AnyProps()
		}
	}
	if elem == nil {
		elem = schema.AnyProps()
	}
	// A missing element in the middle of the list is null.
	elem = elem.DeepCopy()
	elem.Nullable = elem.Type != ""
	return out, &apiextensionsv1.JSONSchemaProps{Type: "array", Items: &apiextensionsv1.JSONSchemaPropsOrArray{Schema: elem}}
}

// statusText plans one leaf: text that reads at least one variable.
func (c *compiler) statusText(s, at string) (*statusPlan, *apiextensionsv1.JSONSchemaProps) {
	nothing := schema.AnyProps()
	t, terr := template.Parse(s)
	if terr != nil {
		c.issue(templateIssue(at, s, terr))
		return nil, nothing
	}
	if t.Static() {
		c.issue(Issue{Path: at, Offset: -1, Reason: "NotAnExpression", Snippet: shorten(s),
			Message: "status fields without expressions are not supported", Suggestion: "write an expression, as in ${…}"})
		return nil, nothing
	}
	reads := false
	before := len(c.issues)
	p := &planner{c: c, env: c.env, use: func(x *expr.Expr, _ string, _ int) { reads = reads || len(x.Variables) > 0 }}
	value := p.text(s, schema.Anything(), at)
	if len(c.issues) > before {
		return nil, nothing
	}
	if !reads {
		c.issue(Issue{Path: at, Offset: 0, Reason: "NotAnExpression", Snippet: suggest.Shorten(s, 120),
			Message: "an expression in the status must refer to a resource or schema"})
		return nil, nothing
	}
	out := &statusPlan{path: at, value: value}
	if value.kind == textPlan {
		return out, &apiextensionsv1.JSONSchemaProps{Type: "string"}
	}
	return out, schema.Infer(value.expr.Type, c.env.Struct)
}
