package graph

import (
	"fmt"
	"slices"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/kronvoy/kronvoy/graph/expr"
	"github.com/kronvoy/kronvoy/graph/internal/path"
	"github.com/kronvoy/kronvoy/graph/internal/suggest"
	"github.com/kronvoy/kronvoy/graph/schema"
)

// maxOverrides of one list, and expressions of one override.
const (
	maxOverrides   = 100
	maxAssignments = 100
)

// OverrideSource is a change of an instance's spec as its author wrote it.
type OverrideSource struct {
	// Spec is merged into the instance's (a JSON merge patch, RFC 7386). It holds
	// no expressions.
	Spec map[string]any
	// Expressions set fields after that: texts with ${} by their path in the spec.
	Expressions map[string]string
}

// Overrides are a compiled list of them: immutable, and safe for concurrent use.
type Overrides struct {
	// bare is the graph without its nodes: an override reads none.
	bare *Graph
	spec *apiextensionsv1.JSONSchemaProps
	list []override
	// clusterReads are what expressions read of the cluster.
	clusterReads ClusterReads
}

type override struct {
	patch       map[string]any
	assignments []assignment
}

// assignment sets one field of the spec.
type assignment struct {
	fields []string
	value  *plan
}

// OverridePath is where an override stands, as the path of an Issue has it;
// expression is the key of one of its expressions, or empty.
func OverridePath(index int, expression string) string {
	at := path.Index("spec.overrides", index)
	if expression == "" {
		return at
	}
	return path.Key(path.Key(at, "expressions"), expression)
}

// CompileOverrides checks a list of overrides against the instance's kind. It
// returns either them or everything that is wrong, sorted. Expressions read
// schema, the instance without any override, and cluster: both also where a node
// has that name.
func (g *Graph) CompileOverrides(sources []OverrideSource) (*Overrides, Issues) {
	c := &compiler{compilations: map[compilation]compiled{}}
	if len(sources) > maxOverrides {
		c.issue(Issue{Path: "spec.overrides", Offset: -1, Reason: "TooMany", Message: fmt.Sprintf("there are %d overrides, at most %d are allowed", len(sources), maxOverrides)})
		return nil, c.issues
	}
	env, err := expr.NewEnv(expr.Variable{Name: "schema", Decl: g.instance}, expr.Variable{Name: "cluster", Decl: g.cluster})
	if err != nil {
		return nil, Issues{{Path: "spec.overrides", Offset: -1, Reason: "Internal", Message: err.Error()}}
	}
	c.env = env
	spec, _ := g.instance.Field("spec")
	props := g.crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	out := &Overrides{bare: g.bare(), spec: &props}
	for i, source := range sources {
		out.list = append(out.list, c.override(source, spec.Decl, &props, i))
	}
	if len(c.issues) > 0 {
		c.issues.sort()
		return nil, c.issues
	}
	out.findClusterReads()
	return out, nil
}

// bare is the graph as expressions see it that read no node.
func (g *Graph) bare() *Graph {
	return &Graph{name: g.name, gvk: g.gvk, scope: g.scope, instance: g.instance, cluster: g.cluster}
}

func (c *compiler) override(source OverrideSource, spec *schema.Decl, props *apiextensionsv1.JSONSchemaProps, index int) override {
	at := path.Key(OverridePath(index, ""), "spec")
	if tooDeep(source.Spec, 0) {
		c.issue(Issue{Path: at, Offset: -1, Reason: "TooDeep", Message: fmt.Sprintf("nested deeper than %d levels", maxDepth)})
		return override{}
	}
	if source.Spec != nil {
		for _, f := range schema.ValidatePatch(props, source.Spec, at) {
			c.issue(schemaIssue(f))
		}
	}
	if len(source.Expressions) > maxAssignments {
		c.issue(Issue{Path: path.Key(OverridePath(index, ""), "expressions"), Offset: -1, Reason: "TooMany",
			Message: fmt.Sprintf("there are %d expressions, at most %d are allowed", len(source.Expressions), maxAssignments)})
		return override{}
	}
	out := override{patch: source.Spec}
	p := &planner{c: c, env: c.env}
	for _, key := range sortedKeys(source.Expressions) {
		if a, ok := c.assignment(p, spec, key, source.Expressions[key], OverridePath(index, key)); ok {
			out.assignments = append(out.assignments, a)
		}
	}
	// What is above comes before what is below it, however they are written.
	slices.SortStableFunc(out.assignments, func(a, b assignment) int { return slices.Compare(a.fields, b.fields) })
	for i := 1; i < len(out.assignments); i++ {
		if a := out.assignments[i]; slices.Equal(a.fields, out.assignments[i-1].fields) {
			c.issue(Issue{Path: a.value.path, Offset: -1, Reason: "DuplicateField", Message: path.Fields(a.fields...) + " is set twice"})
		}
	}
	return out
}

// assignment compiles one expression for the field that its key names.
func (c *compiler) assignment(p *planner, spec *schema.Decl, key, text, at string) (assignment, bool) {
	fields, offset, err := path.Parse(key)
	if err != nil {
		c.issue(Issue{Path: at, Offset: -1, Reason: "InvalidPath", Snippet: excerpt(key, offset), Message: fmt.Sprintf("the path %q cannot be read: %v", suggest.Shorten(key, 80), err)})
		return assignment{}, false
	}
	if len(fields) > maxDepth {
		c.issue(Issue{Path: at, Offset: -1, Reason: "TooDeep", Message: fmt.Sprintf("the path has more than %d fields", maxDepth)})
		return assignment{}, false
	}
	d := spec
	for i, field := range fields {
		switch {
		case d.Form == schema.Struct, d.Form == schema.Map, d.Form == schema.Dyn && len(d.Scalars) == 0:
		default:
			c.issue(Issue{Path: at, Offset: -1, Reason: "UnknownField",
				Message: fmt.Sprintf("spec.%s has no fields: it is %s", path.Fields(fields[:i]...), d)})
			return assignment{}, false
		}
		below, found := elemDecl(d, field)
		if !found {
			c.issue(Issue{Path: at, Offset: -1, Reason: "UnknownField",
				Message: fmt.Sprintf("unknown field %q of %s", suggest.Shorten(field, 80), path.Fields(append([]string{"spec"}, fields[:i]...)...)), Suggestion: suggest.DidYouMean(field, d.FieldNames())})
			return assignment{}, false
		}
		d = below
	}
	before := len(c.issues)
	value := p.value(text, d, at, 0)
	value.path = at
	return assignment{fields: fields, value: value}, len(c.issues) == before
}

func tooDeep(v any, depth int) bool {
	if depth > maxDepth {
		return true
	}
	switch v := v.(type) {
	case map[string]any:
		for _, value := range v {
			if tooDeep(value, depth+1) {
				return true
			}
		}
	case []any:
		for _, value := range v {
			if tooDeep(value, depth+1) {
				return true
			}
		}
	}
	return false
}
