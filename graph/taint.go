package graph

import (
	"maps"
	"slices"
	"strings"

	"github.com/kronvoy/kronvoy/graph/dag"
	"github.com/kronvoy/kronvoy/graph/expr"
	"github.com/kronvoy/kronvoy/graph/internal/path"
)

// SecretUse is one place of a definition that a value of a Secret reaches, be it
// by way of another resource.
type SecretUse struct {
	// Path of the expression in the definition.
	Path string
	// Reads is what it reads, as in password.data.key.
	Reads string
	// Status is the author's status field that shows it, up to the first list; nil
	// where it is no status field.
	Status []string
}

// SecretUses are the places that values of Secrets reach, in the order of the
// graph. What readyWhen reads of its own object is not among them where agents
// judge it: only the verdict leaves the cluster.
func (g *Graph) SecretUses() []SecretUse { return slices.Clone(g.secretUses) }

// taint follows the values of Secrets through the templates: a field is tainted
// that an expression fills which reads a tainted one.
type taint struct {
	c *compiler
	// fields that hold them, by node, up to the first list.
	fields map[string][][]string
	// iterators of the node at hand whose list holds them.
	iterators map[string]bool
	uses      []SecretUse
	exprs     map[*expr.Expr]map[string]bool
	// inputs are the fields of instances that become values of Secrets.
	inputs [][]string
}

func (c *compiler) followSecrets(g *Graph, order dag.Order) {
	t := &taint{c: c, fields: map[string][][]string{}, exprs: map[*expr.Expr]map[string]bool{}}
	for _, i := range order.Nodes {
		d := c.nodes[i]
		if d.node.Sensitive {
			t.fields[d.src.ID] = [][]string{{"data"}, {"stringData"}}
			t.input(d.plan.template)
		}
		t.node(d)
	}
	t.iterators = nil
	t.status(c.status, nil, false)
	for _, condition := range c.conditions {
		t.uses = append(t.uses, t.of(condition.expr, condition.path, nil)...)
	}
	g.secretUses, g.secrets, g.secretFields, g.secretInputs = t.uses, t.exprs, t.fields, t.inputs
}

// input notes which fields of the instance the template of a Secret puts into it.
func (t *taint) input(template *plan) {
	if template == nil {
		return
	}
	for _, field := range template.fields {
		if field.key != "data" && field.key != "stringData" {
			continue
		}
		field.value.expressions(func(x *expr.Expr) {
			for _, a := range x.Accesses {
				if fields := a.Fields(); a.Root == "schema" && len(fields) > 0 && fields[0] == "spec" {
					t.inputs = append(t.inputs, fields[1:])
				}
			}
		})
	}
}

func (t *taint) node(d *draft) {
	t.iterators = map[string]bool{}
	for _, dim := range d.plan.forEach {
		if uses := t.of(dim.expr, dim.path, nil); len(uses) > 0 {
			t.uses = append(t.uses, uses...)
			t.iterators[dim.iterator] = true
		}
	}
	for _, include := range d.plan.include {
		t.uses = append(t.uses, t.of(include.expr, include.path, nil)...)
	}
	t.template(d, d.plan.template, nil, false)
	for _, ready := range d.plan.ready {
		if uses := t.of(ready.expr, ready.path, nil); len(d.node.ReadyRules) == 0 {
			t.uses = append(t.uses, uses...)
		}
	}
}

// template taints what the expressions below a field fill.
func (t *taint) template(d *draft, p *plan, at []string, inList bool) {
	if p == nil {
		return
	}
	for _, field := range p.fields {
		below := at
		if !inList {
			below = append(slices.Clone(at), field.key)
		}
		t.template(d, field.value, below, inList)
	}
	for _, item := range p.items {
		t.template(d, item, at, true)
	}
	for _, x := range p.own() {
		if uses := t.of(x, p.path, nil); len(uses) > 0 {
			t.uses = append(t.uses, uses...)
			t.fields[d.src.ID] = append(t.fields[d.src.ID], at)
		}
	}
}

func (t *taint) status(s *statusPlan, at []string, inList bool) {
	if s == nil {
		return
	}
	for _, field := range s.fields {
		below := at
		if !inList {
			below = append(slices.Clone(at), field.key)
		}
		t.status(field.value, below, inList)
	}
	for _, item := range s.items {
		t.status(item, at, true)
	}
	s.value.expressions(func(x *expr.Expr) { t.uses = append(t.uses, t.of(x, s.path, at)...) })
}

// own are the expressions of a value itself, without those below it.
func (p *plan) own() []*expr.Expr {
	var all []*expr.Expr
	if p.expr != nil {
		all = append(all, p.expr)
	}
	for _, part := range p.parts {
		if part.expr != nil {
			all = append(all, part.expr)
		}
	}
	return all
}

// of gives what an expression reads that is tainted.
func (t *taint) of(x *expr.Expr, at string, status []string) []SecretUse {
	var uses []SecretUse
	for _, a := range x.Accesses {
		if t.tainted(a) {
			uses = append(uses, SecretUse{Path: at, Reads: a.Path(), Status: status})
		}
	}
	if len(uses) > 0 {
		t.exprs[x] = x.Texts()
	}
	return uses
}

func (t *taint) tainted(a expr.Access) bool {
	if a.Iterator && t.iterators[a.Root] {
		return true
	}
	d, found := t.c.byID[a.Root]
	if !found {
		return false
	}
	fields := a.Fields()
	if d.plan.collection {
		fields, _ = a.ElementFields()
	}
	if identityFields[path.Fields(fields...)] {
		return false
	}
	return slices.ContainsFunc(t.fields[a.Root], func(secret []string) bool {
		return hasPrefix(fields, secret) || hasPrefix(secret, fields)
	})
}

// WithoutSecrets is the author's status without the fields that show values of
// Secrets; it does not change the status that it is given.
func (g *Graph) WithoutSecrets(status map[string]any) map[string]any {
	for _, use := range g.secretUses {
		if len(use.Status) > 0 {
			status = without(status, use.Status)
		}
	}
	return status
}

func without(object map[string]any, at []string) map[string]any {
	value, found := object[at[0]]
	if !found {
		return object
	}
	out := make(map[string]any, len(object))
	for key, kept := range object {
		out[key] = kept
	}
	inner, isObject := value.(map[string]any)
	if len(at) == 1 || !isObject {
		delete(out, at[0])
		return out
	}
	out[at[0]] = without(inner, at[1:])
	return out
}

// Hidden stands in the place of a value of a Secret.
const Hidden = "***"

// hiddenError stands in the place of what CEL says when an expression fails that
// reads values of Secrets: it names values, as in `parsing "swordfish": invalid
// syntax`.
const hiddenError = "it cannot be evaluated; what is wrong is not shown, as it reads values of Secrets"

// HideSecrets is an object of a node with Hidden in the place of every value of a
// Secret; it does not change the object that it is given.
func (g *Graph) HideSecrets(node string, object map[string]any) map[string]any {
	for _, field := range g.secretFields[node] {
		object = hide(object, field)
	}
	return object
}

// HideInputs is an instance's spec with Hidden in the place of every value that
// the definition puts into a Secret; it does not change the spec that it is given.
func (g *Graph) HideInputs(spec map[string]any) map[string]any {
	for _, field := range g.secretInputs {
		spec = hide(spec, field)
	}
	return spec
}

func hide(object map[string]any, at []string) map[string]any {
	if len(at) == 0 {
		out, _ := hidden(object).(map[string]any)
		return out
	}
	value, found := object[at[0]]
	if !found {
		return object
	}
	out := maps.Clone(object)
	switch inner, isObject := value.(map[string]any); {
	case len(at) == 1:
		out[at[0]] = hidden(value)
	case isObject:
		out[at[0]] = hide(inner, at[1:])
	}
	return out
}

// hidden keeps the keys of maps: they say what there is.
func hidden(value any) any {
	object, isObject := value.(map[string]any)
	if !isObject {
		return Hidden
	}
	out := make(map[string]any, len(object))
	for key, below := range object {
		out[key] = hidden(below)
	}
	return out
}

// shownPath is the path of what an expression lacks as far as it stands in its
// text: the key of a map may be a value of a Secret.
func (g *Graph) shownPath(x *expr.Expr, root, at string) string {
	if _, secret := g.secrets[x]; secret && !slices.ContainsFunc(x.Accesses, func(a expr.Access) bool { return a.Path() == at }) {
		return root
	}
	return at
}

// hideCondition leaves of a condition that is made of values of Secrets what
// stands in the definition as it is, so that whether it is true can still be told.
func hideCondition(c Condition, texts map[string]bool) (Condition, bool) {
	if !texts[c.Type] || !slices.Contains(expr.ConditionStatuses, c.Status) {
		return Condition{}, false
	}
	for _, text := range []*string{&c.Reason, &c.Message} {
		if *text != "" && !texts[*text] {
			*text = Hidden
		}
	}
	return c, true
}

// String is as in "spec.resources[1].template.data.url reads db.data.password".
func (u SecretUse) String() string { return strings.TrimSpace(u.Path + " reads " + u.Reads) }
