package graph

import (
	"fmt"

	"github.com/google/cel-go/cel"

	"github.com/kronvoy/kronvoy/graph/expr"
	"github.com/kronvoy/kronvoy/graph/schema"
)

// assignable tells why a value of a CEL type cannot stand where d is declared;
// empty when it can. What is dynamic on either side is left to the cluster.
func (c *compiler) assignable(t *cel.Type, d *schema.Decl) string {
	t, _ = expr.Unwrap(t)
	if c.fits(t, d, 0) {
		return ""
	}
	return fmt.Sprintf("expected %s, but the expression is %s", d, expr.TypeName(t))
}

// fits compares structurally. Beyond a depth it trusts.
func (c *compiler) fits(t *cel.Type, d *schema.Decl, depth int) bool {
	t, _ = expr.Unwrap(t)
	if depth > 16 {
		return true
	}
	switch t.Kind() {
	case cel.DynKind, cel.AnyKind, cel.NullTypeKind, cel.TypeParamKind:
		return true
	}
	switch d.Form {
	case schema.Dyn:
		// JSON has no bytes; everything else is for the cluster to judge, the values
		// of a union such as int-or-string too.
		return t.Kind() != cel.BytesKind
	case schema.String:
		return t.Kind() == cel.StringKind
	case schema.Timestamp:
		return t.Kind() == cel.TimestampKind || t.Kind() == cel.StringKind
	case schema.Duration:
		return t.Kind() == cel.DurationKind || t.Kind() == cel.StringKind
	case schema.Bytes:
		return t.Kind() == cel.BytesKind || t.Kind() == cel.StringKind
	case schema.Int:
		return t.Kind() == cel.IntKind || t.Kind() == cel.UintKind
	case schema.Double:
		return t.Kind() == cel.DoubleKind || t.Kind() == cel.IntKind || t.Kind() == cel.UintKind
	case schema.Bool:
		return t.Kind() == cel.BoolKind
	case schema.List:
		return t.Kind() == cel.ListKind && c.fits(t.Parameters()[0], d.Elem, depth+1)
	case schema.Map:
		return c.fitsMap(t, d, depth)
	case schema.Struct:
		return c.fitsStruct(t, d, depth)
	}
	return false
}

func (c *compiler) fitsMap(t *cel.Type, d *schema.Decl, depth int) bool {
	switch t.Kind() {
	case cel.MapKind:
		key := t.Parameters()[0]
		return isStringType(key) && c.fits(t.Parameters()[1], d.Elem, depth+1)
	case cel.StructKind:
		from, found := c.structs(t)
		if !found {
			return false
		}
		for _, name := range from.FieldNames() {
			if f, _ := from.Field(name); !c.fits(c.learn(f.Decl), d.Elem, depth+1) {
				return false
			}
		}
		return true
	}
	return false
}

// fitsStruct accepts a struct whose fields are all declared, and a map whose
// values could be some field's.
func (c *compiler) fitsStruct(t *cel.Type, d *schema.Decl, depth int) bool {
	switch t.Kind() {
	case cel.StructKind:
		if t.TypeName() == d.CelType().TypeName() {
			return true
		}
		from, found := c.structs(t)
		if !found {
			return false
		}
		for _, name := range from.FieldNames() {
			to, found := d.Field(name)
			if !found {
				return false
			}
			if f, _ := from.Field(name); !c.fits(c.learn(f.Decl), to.Decl, depth+1) {
				return false
			}
		}
		return true
	case cel.MapKind:
		if !isStringType(t.Parameters()[0]) {
			return false
		}
		value := t.Parameters()[1]
		if d.Open || value.Kind() == cel.DynKind {
			return true
		}
		for _, name := range d.FieldNames() {
			if f, _ := d.Field(name); c.fits(value, f.Decl, depth+1) {
				return true
			}
		}
	}
	return false
}

// structs finds the declaration of a struct type by its name.
func (c *compiler) structs(t *cel.Type) (*schema.Decl, bool) { return c.env.Struct(t.TypeName()) }

// learn makes the structs of a declaration known by name and returns its type.
func (c *compiler) learn(d *schema.Decl) *cel.Type {
	c.env.Learn(d)
	return d.CelType()
}

// suggestConversion proposes how to make a type fit.
func suggestConversion(t *cel.Type, d *schema.Decl) string {
	t, _ = expr.Unwrap(t)
	switch {
	case t.Kind() == cel.BytesKind:
		return "encode it with base64.encode(…), or convert it with string(…)"
	case d.Form == schema.String && (t.Kind() == cel.IntKind || t.Kind() == cel.DoubleKind || t.Kind() == cel.BoolKind || t.Kind() == cel.UintKind):
		return "convert it with string(…)"
	case d.Form == schema.Int && (t.Kind() == cel.StringKind || t.Kind() == cel.DoubleKind):
		return "convert it with int(…)"
	case d.Form == schema.Double && t.Kind() == cel.StringKind:
		return "convert it with double(…)"
	case d.Form == schema.Bool && t.Kind() == cel.StringKind:
		return "convert it with bool(…)"
	}
	return ""
}
