package graph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"

	"github.com/kronvoy/kronvoy/graph/expr"
	"github.com/kronvoy/kronvoy/graph/internal/path"
	"github.com/kronvoy/kronvoy/graph/schema"
	"github.com/kronvoy/kronvoy/graph/template"
)

// compileNode compiles all expressions of a node.
func (c *compiler) compileNode(d *draft) {
	d.env = c.env
	use := c.depend(d)
	for i, s := range d.src.IncludeWhen {
		at := path.Index(path.Key(d.path, "includeWhen"), i)
		if x := c.condition(c.env, s, at, use); x != nil {
			d.plan.include = append(d.plan.include, condition{path: at, expr: x})
		}
	}
	c.compileForEach(d, use)
	switch {
	case d.src.Template != nil && d.src.External == nil:
		c.compileTemplate(d, use)
	case d.src.External != nil && d.src.Template == nil:
		c.compileExternal(d, use)
	}
	c.compileReadyWhen(d)
}

// depend returns the function that records what a node's expressions refer to.
func (c *compiler) depend(d *draft) func(*expr.Expr, string, int) {
	return func(x *expr.Expr, at string, offset int) {
		for _, name := range x.Variables {
			if _, isNode := c.byID[name]; !isNode || d.iterates(name) {
				continue
			}
			if d.usable && name == d.src.ID {
				c.issue(Issue{Path: at, Offset: offset, Reason: "SelfReference", Snippet: excerpt(x.Source, 0),
					Message: "self references are not allowed: " + name + " refers to itself", Suggestion: "only readyWhen may read the resource itself"})
				continue
			}
			d.refs[name] = true
		}
	}
}

// iterates tells whether a name is one of the node's iterators.
func (d *draft) iterates(name string) bool {
	return slices.ContainsFunc(d.plan.forEach, func(dim dimension) bool { return dim.iterator == name })
}

// condition compiles an entry of includeWhen or readyWhen: one expression that
// yields a boolean.
func (c *compiler) condition(env *expr.Env, s, at string, use func(*expr.Expr, string, int)) *expr.Expr {
	segment, ok := c.single(s, at)
	if !ok {
		return nil
	}
	return c.boolean(env, segment, at, use)
}

// boolean compiles an expression that yields a boolean, or an optional one.
func (c *compiler) boolean(env *expr.Env, segment template.Segment, at string, use func(*expr.Expr, string, int)) *expr.Expr {
	x := c.compileValue(env, segment, at, use)
	if x == nil {
		return nil
	}
	if inner, _ := expr.Unwrap(x.Type); inner.Kind() != cel.BoolKind {
		suggestion := ""
		if inner.Kind() == cel.DynKind {
			suggestion = "convert it with bool(…), or compare it with == true"
		}
		c.issue(Issue{Path: at, Offset: segment.Offset, Reason: "TypeMismatch", Snippet: excerpt(segment.Text, 0),
			Message: "a condition must be a boolean, but the expression is " + expr.TypeName(x.Type), Suggestion: suggestion})
		return nil
	}
	return x
}

// single parses a string that must be one expression and nothing else.
func (c *compiler) single(s, at string) (template.Segment, bool) {
	t, terr := template.Parse(s)
	if terr != nil {
		c.issue(templateIssue(at, s, terr))
		return template.Segment{}, false
	}
	if !t.Standalone() {
		c.issue(Issue{Path: at, Offset: 0, Reason: "NotAnExpression", Snippet: shorten(s),
			Message: "this must be a single expression", Suggestion: "write ${…} with nothing around it"})
		return template.Segment{}, false
	}
	return t.Segments[0], true
}

// The bounds of a forEach.
const (
	maxDimensions = 10
	// maxItems that one forEach may span.
	maxItems = 1000
)

// compileForEach compiles the lists and declares the iterators.
func (c *compiler) compileForEach(d *draft, use func(*expr.Expr, string, int)) {
	at := path.Key(d.path, "forEach")
	if len(d.src.ForEach) > 0 && d.src.External != nil {
		c.issue(Issue{Path: at, Offset: -1, Reason: "InvalidNode", Message: "forEach and externalRef cannot be used together"})
		return
	}
	if len(d.src.ForEach) > maxDimensions {
		c.issue(Issue{Path: at, Offset: -1, Reason: "TooMany", Message: fmt.Sprintf("forEach has %d dimensions, at most %d are allowed", len(d.src.ForEach), maxDimensions)})
		return
	}
	var iterators []expr.Iterator
	for i, entry := range d.src.ForEach {
		dim, elem, ok := c.dimension(d, entry, path.Index(at, i), use)
		if !ok {
			continue
		}
		if slices.ContainsFunc(iterators, func(it expr.Iterator) bool { return it.Name == dim.iterator }) {
			c.issue(Issue{Path: path.Index(at, i), Offset: -1, Reason: "DuplicateID", Snippet: dim.iterator, Message: "iterator " + dim.iterator + " is used twice"})
			continue
		}
		d.plan.forEach = append(d.plan.forEach, dim)
		iterators = append(iterators, expr.Iterator{Name: dim.iterator, Type: elem})
	}
	if len(iterators) == 0 {
		return
	}
	env, err := c.env.WithIterators(iterators...)
	if err != nil {
		c.issue(Issue{Path: at, Offset: -1, Reason: "Internal", Message: err.Error()})
		return
	}
	d.env = env
}

// dimension compiles one entry of a forEach and returns the type of its items.
func (c *compiler) dimension(d *draft, entry map[string]string, at string, use func(*expr.Expr, string, int)) (dimension, *cel.Type, bool) {
	if len(entry) != 1 {
		c.issue(Issue{Path: at, Offset: -1, Reason: "InvalidForEach", Message: "an entry of forEach names exactly one iterator"})
		return dimension{}, nil, false
	}
	for name, s := range entry {
		at = path.Key(at, name)
		if reason, message, suggestion := checkName("iterator", name); reason != "" {
			c.issue(Issue{Path: at, Offset: -1, Reason: reason, Message: message, Snippet: shorten(name), Suggestion: suggestion})
			return dimension{}, nil, false
		}
		if other, found := c.byID[name]; found {
			c.issue(Issue{Path: at, Offset: -1, Reason: "DuplicateID", Snippet: name, Message: fmt.Sprintf("iterator %s is already the id of %s", name, other.path)})
			return dimension{}, nil, false
		}
		segment, ok := c.single(s, at)
		if !ok {
			return dimension{}, nil, false
		}
		x := c.compileValue(c.env, segment, at, use)
		if x == nil {
			return dimension{}, nil, false
		}
		if x.Type.Kind() != cel.ListKind {
			suggestion := ""
			if _, optional := expr.Unwrap(x.Type); optional {
				suggestion = "say what holds without a value, as in .orValue([])"
			}
			c.issue(Issue{Path: at, Offset: segment.Offset, Reason: "TypeMismatch", Snippet: excerpt(segment.Text, 0),
				Message: "forEach needs a list, but the expression is " + expr.TypeName(x.Type), Suggestion: suggestion})
			return dimension{}, nil, false
		}
		return dimension{path: at, iterator: name, expr: x}, x.Type.Parameters()[0], true
	}
	return dimension{}, nil, false
}

// compileTemplate plans the manifest of a node.
func (c *compiler) compileTemplate(d *draft, use func(*expr.Expr, string, int)) {
	at := path.Key(d.path, "template")
	c.checkMetadata(d, at)
	if d.node.GVK.Group == "apiextensions.k8s.io" && d.node.GVK.Kind == "CustomResourceDefinition" {
		c.checkCRDTemplate(d.src.Template, at)
	}
	iterators := map[string]bool{}
	p := &planner{c: c, env: d.env, mayOmit: c.optional(d, path.Key(at, "metadata")), use: func(x *expr.Expr, where string, offset int) {
		use(x, where, offset)
		if where == at+".metadata.name" || where == at+".metadata.namespace" {
			for _, name := range x.Variables {
				iterators[name] = true
			}
		}
	}}
	d.plan.template = p.value(d.src.Template, d.plan.decl, at, 0)
	for _, dim := range d.plan.forEach {
		if !iterators[dim.iterator] {
			c.issue(Issue{Path: dim.path, Offset: -1, Reason: "AmbiguousIdentity", Snippet: dim.iterator,
				Message:    "all forEach dimensions must be used to produce a unique resource identity: " + dim.iterator + " is not part of metadata.name",
				Suggestion: fmt.Sprintf("add ${%s} to metadata.name", dim.iterator)})
		}
	}
}

// optional tells which fields of a template may be left out: all but those that
// identify the object. A namespace may be when the instance has one to give.
func (c *compiler) optional(d *draft, metadata string) func(at string) bool {
	name, namespace := path.Key(metadata, "name"), path.Key(metadata, "namespace")
	return func(at string) bool {
		return at != name && (at != namespace || !d.node.Namespaced || c.scope() == Namespaced)
	}
}

// ownedPrefixes of labels and annotations are written by the engine's users
// alone.
var ownedPrefixes = []string{"kro.run/", "internal.kro.run/", "kronvoy.io/"}

// checkMetadata judges a template's metadata: name, namespace, and the labels
// and annotations that are not the author's to set.
func (c *compiler) checkMetadata(d *draft, at string) {
	at = path.Key(at, "metadata")
	metadata, ok := d.src.Template["metadata"].(map[string]any)
	if !ok {
		c.issue(Issue{Path: at, Offset: -1, Reason: "MissingField", Message: "metadata must be an object with a name", Suggestion: "add metadata.name"})
		return
	}
	if name, ok := metadata["name"].(string); !ok || name == "" {
		suggestion := "add metadata.name"
		if _, found := metadata["generateName"]; found {
			suggestion = "generateName makes a new object at every apply; use a fixed name"
		}
		c.issue(Issue{Path: path.Key(at, "name"), Offset: -1, Reason: "MissingField", Message: "metadata.name is missing", Suggestion: suggestion})
	}
	namespace, given := metadata["namespace"]
	given = given && namespace != nil && namespace != ""
	switch {
	case d.typ == nil:
	case !d.node.Namespaced && given:
		c.issue(Issue{Path: path.Key(at, "namespace"), Offset: -1, Reason: "InvalidNamespace",
			Message: fmt.Sprintf("%s is cluster-scoped and has no namespace", d.node.GVK.Kind), Suggestion: "remove metadata.namespace"})
	case d.node.Namespaced && !given && c.scope() == ClusterScoped:
		c.issue(Issue{Path: path.Key(at, "namespace"), Offset: -1, Reason: "MissingField",
			Message: "metadata.namespace is missing: the instance is cluster-scoped and has none to give", Suggestion: "add metadata.namespace"})
	}
	d.plan.fillNamespace = d.node.Namespaced
	for _, field := range []string{"annotations", "labels"} {
		values, _ := metadata[field].(map[string]any)
		for key := range values {
			for _, prefix := range ownedPrefixes {
				if strings.HasPrefix(key, prefix) {
					c.issue(Issue{Path: path.Key(path.Key(at, field), key), Offset: -1, Reason: "ReservedName", Snippet: shorten(key),
						Message: fmt.Sprintf("%s with the prefix %s cannot be set by a template", field, prefix)})
				}
			}
		}
	}
}

// checkCRDTemplate keeps expressions out of the schema of a kind, which must be
// the same everywhere.
func (c *compiler) checkCRDTemplate(t map[string]any, at string) {
	var visit func(v any, at string, depth int)
	visit = func(v any, at string, depth int) {
		switch v := v.(type) {
		case string:
			if i := strings.Index(v, "${"); i >= 0 {
				c.issue(Issue{Path: at, Offset: i, Reason: "NotAnExpression", Snippet: shorten(v),
					Message: "in a CustomResourceDefinition expressions are only allowed in metadata"})
			}
		case map[string]any:
			for key, value := range v {
				if depth < maxDepth && (depth > 0 || key != "metadata") {
					visit(value, path.Key(at, key), depth+1)
				}
			}
		case []any:
			for i, value := range v {
				if depth < maxDepth {
					visit(value, path.Index(at, i), depth+1)
				}
			}
		}
	}
	visit(t, at, 0)
}

// compileExternal plans the identity of an object that is read.
func (c *compiler) compileExternal(d *draft, use func(*expr.Expr, string, int)) {
	at := path.Key(path.Key(d.path, "externalRef"), "metadata")
	e := d.src.External
	switch {
	case e.Selector != nil && e.Name != "":
		c.issue(Issue{Path: at, Offset: -1, Reason: "InvalidNode", Message: "exactly one of name or selector must be given, not both"})
		return
	case e.Selector != nil:
		c.compileSelector(d, at, use)
		return
	case strings.TrimSpace(e.Name) == "":
		c.issue(Issue{Path: path.Key(at, "name"), Offset: -1, Reason: "MissingField", Message: "exactly one of name or selector must be given"})
		return
	}
	p := &planner{c: c, env: d.env, use: use, mayOmit: c.optional(d, at)}
	text := schema.Text()
	metadata := &plan{path: at, kind: objectPlan, fields: []fieldPlan{{"name", p.value(e.Name, text, path.Key(at, "name"), 0)}}}
	switch {
	case e.Namespace != "" && d.typ != nil && !d.node.Namespaced:
		c.issue(Issue{Path: path.Key(at, "namespace"), Offset: -1, Reason: "InvalidNamespace", Message: d.node.GVK.Kind + " is cluster-scoped and has no namespace"})
	case e.Namespace != "":
		metadata.fields = append(metadata.fields, fieldPlan{"namespace", p.value(e.Namespace, text, path.Key(at, "namespace"), 0)})
		d.plan.fillNamespace = d.node.Namespaced
	case d.node.Namespaced && c.scope() == ClusterScoped:
		c.issue(Issue{Path: path.Key(at, "namespace"), Offset: -1, Reason: "MissingField", Message: "namespace is missing: the instance is cluster-scoped and has none to give"})
	default:
		d.plan.fillNamespace = d.node.Namespaced
	}
	d.plan.template = &plan{path: path.Key(d.path, "externalRef"), kind: objectPlan, fields: []fieldPlan{
		{"apiVersion", &plan{static: e.APIVersion}}, {"kind", &plan{static: e.Kind}}, {"metadata", metadata}}}
}

// compileReadyWhen compiles the conditions under which a node is ready. They
// may read the node alone: that makes them judgeable next to the object.
func (c *compiler) compileReadyWhen(d *draft) {
	if len(d.src.ReadyWhen) == 0 || !d.usable {
		return
	}
	name := d.src.ID
	if d.plan.collection {
		name = "each"
	}
	env, err := expr.NewEnv(expr.Variable{Name: name, Decl: d.plan.decl})
	if err != nil {
		c.issue(Issue{Path: d.path, Offset: -1, Reason: "Internal", Message: err.Error()})
		return
	}
	for i, s := range d.src.ReadyWhen {
		at := path.Index(path.Key(d.path, "readyWhen"), i)
		before := len(c.issues)
		if x := c.condition(env, s, at, nil); x != nil {
			d.plan.ready = append(d.plan.ready, condition{path: at, expr: x})
			continue
		}
		for k := before; k < len(c.issues); k++ {
			if c.issues[k].Reason == "UnknownIdentifier" {
				c.issues[k].Suggestion = "readyWhen can only read " + name
			}
		}
	}
	// What a selector finds is in no manifest that a rule could travel with.
	if len(d.plan.ready) == len(d.src.ReadyWhen) && !d.plan.selects {
		d.node.ReadyRules = readyRules(d.plan.ready, name)
		d.node.BasicRules = basicRules(d.node.ReadyRules)
	}
}
