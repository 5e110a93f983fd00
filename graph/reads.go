package graph

import (
	"maps"
	"slices"
	"sort"

	"github.com/kronvoy/kronvoy/graph/expr"
	"github.com/kronvoy/kronvoy/graph/internal/path"
	"github.com/kronvoy/kronvoy/graph/schema"
)

// identityFields come with every observed object and need not be read.
var identityFields = map[string]bool{"apiVersion": true, "kind": true, "metadata.name": true, "metadata.namespace": true}

// reads collects, by node, what the expressions of the graph read of it.
func (c *compiler) reads() map[string][]Read {
	byNode := map[string]map[string]Read{}
	add := func(x *expr.Expr) {
		for _, a := range x.Accesses {
			if d, found := c.byID[a.Root]; found {
				addRead(byNode, d, a)
			}
		}
	}
	for _, d := range c.nodes {
		d.plan.expressions(add)
		if len(d.plan.ready) > 0 && len(d.node.ReadyRules) == 0 {
			addReadyReads(byNode, d)
		}
	}
	c.status.expressions(add)
	for _, condition := range c.conditions {
		add(condition.expr)
	}
	out := make(map[string][]Read, len(byNode))
	for id, reads := range byNode {
		out[id] = minimal(reads)
	}
	return out
}

// readyReads are what readyWhen of a node reads.
func readyReads(d *draft) []Read {
	byNode := map[string]map[string]Read{}
	addReadyReads(byNode, d)
	return minimal(byNode[d.src.ID])
}

func addReadyReads(byNode map[string]map[string]Read, d *draft) {
	for _, r := range d.plan.ready {
		for _, a := range r.expr.Accesses {
			// Its variable is one object, also where the node is a list.
			addFields(byNode, d, a.Fields())
		}
	}
}

// addRead adds one access; of a list that is handed on the whole objects.
func addRead(byNode map[string]map[string]Read, d *draft, a expr.Access) {
	fields := a.Fields()
	if d.plan.collection {
		fields, _ = a.ElementFields()
	}
	addFields(byNode, d, fields)
}

func addFields(byNode map[string]map[string]Read, d *draft, fields []string) {
	p := path.Fields(fields...)
	if identityFields[p] {
		return
	}
	if byNode[d.src.ID] == nil {
		byNode[d.src.ID] = map[string]Read{}
	}
	decl := declAt(d.plan.decl, fields)
	byNode[d.src.ID][p] = Read{
		Path: p, Fields: fields, Scalar: isScalar(decl),
		Stated: decl.Form == schema.Map && isScalar(decl.Elem) && states(d.src.Template, fields),
	}
}

// states tells whether a template states a field.
func states(template map[string]any, fields []string) bool {
	var value any = template
	for _, field := range fields {
		object, isObject := value.(map[string]any)
		if !isObject || object[field] == nil {
			return false
		}
		value = object[field]
	}
	return len(fields) > 0
}

// declAt finds the declaration of a field; anything where nothing is declared.
func declAt(d *schema.Decl, fields []string) *schema.Decl {
	for _, field := range fields {
		elem, found := elemDecl(d, field)
		if !found {
			return schema.Anything()
		}
		d = elem
	}
	return d
}

// isScalar tells whether the JSON of a field is an integer, a string or a
// boolean.
func isScalar(d *schema.Decl) bool {
	switch d.Form {
	case schema.String, schema.Int, schema.Bool, schema.Bytes, schema.Timestamp, schema.Duration:
		return true
	}
	return false
}

// AllReads are Reads and ReadyReads: what the hub needs back of an agent that
// cannot judge ReadyRules.
func (n *Node) AllReads() []Read {
	byPath := make(map[string]Read, len(n.Reads)+len(n.ReadyReads))
	for _, r := range slices.Concat(n.Reads, n.ReadyReads) {
		byPath[r.Path] = r
	}
	return minimal(byPath)
}

// minimal sorts reads and drops those that lie inside of another.
func minimal(reads map[string]Read) []Read {
	all := slices.Collect(maps.Values(reads))
	sort.Slice(all, func(i, j int) bool { return slices.Compare(all[i].Fields, all[j].Fields) < 0 })
	out := all[:0]
	for _, r := range all {
		if len(out) > 0 && hasPrefix(r.Fields, out[len(out)-1].Fields) {
			continue
		}
		out = append(out, r)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Path < out[j].Path })
	return out
}

func hasPrefix(fields, prefix []string) bool {
	return len(fields) >= len(prefix) && slices.Equal(fields[:len(prefix)], prefix)
}

// expressions calls f for every expression of a node but its readyWhen.
func (n *nodePlan) expressions(f func(*expr.Expr)) {
	for _, c := range n.include {
		f(c.expr)
	}
	for _, d := range n.forEach {
		f(d.expr)
	}
	n.template.expressions(f)
}

func (p *plan) expressions(f func(*expr.Expr)) {
	if p == nil {
		return
	}
	if p.expr != nil {
		f(p.expr)
	}
	for _, field := range p.fields {
		field.value.expressions(f)
	}
	for _, item := range p.items {
		item.expressions(f)
	}
	for _, part := range p.parts {
		if part.expr != nil {
			f(part.expr)
		}
	}
}

func (s *statusPlan) expressions(f func(*expr.Expr)) {
	if s == nil {
		return
	}
	s.value.expressions(f)
	for _, field := range s.fields {
		field.value.expressions(f)
	}
	for _, item := range s.items {
		item.expressions(f)
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
