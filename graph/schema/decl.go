package schema

import (
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"

	"github.com/google/cel-go/common/types"
	apiservercel "k8s.io/apiserver/pkg/cel"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// Form is what a schema looks like to CEL.
type Form int

// The forms of a Decl.
const (
	// Dyn is anything: preserve-unknown objects, raw JSON, int-or-string.
	Dyn Form = iota
	String
	Int
	Double
	Bool
	// Bytes are base64 strings in JSON.
	Bytes
	// Timestamp values are RFC 3339 strings in JSON.
	Timestamp
	// Duration values are strings such as 1h30m in JSON.
	Duration
	List
	Map
	Struct
)

// Decl is the CEL view of one OpenAPI schema. Fields of structs are converted
// when they are first looked at: a Pod template has some 1,500, and an
// expression reads a handful. A Decl is safe for concurrent use.
type Decl struct {
	Form Form
	// Elem is the element of a List or the value of a Map.
	Elem *Decl
	// Open structs accept fields that they do not declare; those are Dyn.
	Open bool
	// Scalars are the JSON types that a Dyn accepts when it is a union of
	// scalars (int-or-string, quantities); empty for anything.
	Scalars []string

	name    string
	celType *types.Type
	schema  *spec.Schema

	once   sync.Once
	fields map[string]*Field
}

// Field is one field of a Struct.
type Field struct {
	Name string
	Decl *Decl
	cel  *types.FieldType
}

// ErrMissing is the cause of an error about reading a field that has no value.
var ErrMissing = errors.New("no such key")

// NewDecl converts a schema; name is how the type appears in messages.
func NewDecl(name string, s *spec.Schema) *Decl {
	return newDecl(name, s, 0)
}

// maxDepth bounds nesting; what lies deeper is Dyn. Schemas of real kinds end
// at about 15.
const maxDepth = 64

func newDecl(name string, s *spec.Schema, depth int) *Decl {
	if s == nil || depth > maxDepth {
		return dynDecl()
	}
	s = flatten(s)
	if d := scalarUnion(s); d != nil {
		return d
	}
	switch jsonType(s) {
	case "string":
		return stringDecl(s)
	case "integer":
		return &Decl{Form: Int, celType: types.IntType, schema: s}
	case "number":
		return &Decl{Form: Double, celType: types.DoubleType, schema: s}
	case "boolean":
		return &Decl{Form: Bool, celType: types.BoolType, schema: s}
	case "array":
		var items *spec.Schema
		if s.Items != nil {
			items = s.Items.Schema
		}
		elem := newDecl(name+"[]", items, depth+1)
		return &Decl{Form: List, Elem: elem, celType: types.NewListType(elem.celType), schema: s}
	case "object":
		return objectDecl(name, s, depth)
	}
	return dynDecl()
}

func objectDecl(name string, s *spec.Schema, depth int) *Decl {
	open := flag(s, "x-kubernetes-preserve-unknown-fields")
	if len(s.Properties) > 0 {
		return &Decl{Form: Struct, Open: open, name: name, celType: types.NewObjectType(name), schema: s}
	}
	if ap := s.AdditionalProperties; ap != nil && ap.Schema != nil && !open {
		elem := newDecl(name+"{}", ap.Schema, depth+1)
		return &Decl{Form: Map, Elem: elem, celType: types.NewMapType(types.StringType, elem.celType), schema: s}
	}
	// An object about which nothing is said (RawExtension and its like).
	return &Decl{Form: Dyn, celType: types.DynType, schema: s}
}

func stringDecl(s *spec.Schema) *Decl {
	switch s.Format {
	case "byte":
		return &Decl{Form: Bytes, celType: types.BytesType, schema: s}
	case "date-time":
		return &Decl{Form: Timestamp, celType: types.TimestampType, schema: s}
	case "duration":
		return &Decl{Form: Duration, celType: types.DurationType, schema: s}
	}
	return &Decl{Form: String, celType: types.StringType, schema: s}
}

func dynDecl() *Decl { return &Decl{Form: Dyn, celType: types.DynType} }

// scalarUnion recognises int-or-string and quantities.
func scalarUnion(s *spec.Schema) *Decl {
	if flag(s, "x-kubernetes-int-or-string") || s.Format == "int-or-string" {
		return &Decl{Form: Dyn, Scalars: []string{"integer", "string"}, celType: types.DynType, schema: s}
	}
	if len(s.Type) > 0 {
		return nil
	}
	var scalars []string
	for _, alternatives := range [][]spec.Schema{s.OneOf, s.AnyOf} {
		for i := range alternatives {
			switch t := jsonType(&alternatives[i]); t {
			case "string", "integer", "number", "boolean":
				scalars = append(scalars, t)
			default:
				return nil
			}
		}
	}
	if len(scalars) == 0 {
		return nil
	}
	return &Decl{Form: Dyn, Scalars: scalars, celType: types.DynType, schema: s}
}

// flatten follows the form in which OpenAPI v3 documents attach a default or a
// description to a reference: an allOf of one.
func flatten(s *spec.Schema) *spec.Schema {
	for range 8 {
		if len(s.Type) > 0 || len(s.Properties) > 0 || len(s.AllOf) != 1 {
			return s
		}
		s = &s.AllOf[0]
	}
	return s
}

func jsonType(s *spec.Schema) string {
	for _, t := range s.Type {
		if t != "null" {
			return t
		}
	}
	if len(s.Properties) > 0 || s.AdditionalProperties != nil {
		return "object"
	}
	return ""
}

func flag(s *spec.Schema, extension string) bool {
	v, _ := s.Extensions[extension].(bool)
	return v
}

// CelType returns the CEL type of the values.
func (d *Decl) CelType() *types.Type { return d.celType }

// Schema returns the schema behind the declaration; nil when there is none.
func (d *Decl) Schema() *spec.Schema { return d.schema }

// String names the type for messages.
func (d *Decl) String() string {
	if len(d.Scalars) > 0 {
		return strings.Join(d.Scalars, " or ")
	}
	switch d.Form {
	case Struct:
		return "object"
	case Int:
		return "integer"
	case Double:
		return "number"
	case Bool:
		return "boolean"
	case Bytes:
		return "string (base64)"
	case Timestamp:
		return "string (date-time)"
	case Duration:
		return "string (duration)"
	case String:
		return "string"
	case List:
		return "list of " + d.Elem.String()
	case Map:
		return "map of " + d.Elem.String()
	}
	return "any"
}

// Field finds a field of a Struct by the name the JSON has.
func (d *Decl) Field(name string) (*Field, bool) {
	f, found := d.declared(name)
	if !found && d.Form == Struct && d.Open {
		return newField(name, dynDecl()), true
	}
	return f, found
}

func (d *Decl) declared(name string) (*Field, bool) {
	if d.Form != Struct {
		return nil, false
	}
	d.once.Do(d.convertFields)
	f, found := d.fields[name]
	return f, found
}

// FieldNames returns the declared fields of a Struct, sorted.
func (d *Decl) FieldNames() []string {
	if d.Form != Struct {
		return nil
	}
	names := make([]string, 0, len(d.schema.Properties))
	for name := range d.schema.Properties {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// celField finds a field by the name an expression has: keywords and names
// that are no identifiers are escaped as Kubernetes does (`__namespace__`), and
// reserved words are also understood as they are.
func (d *Decl) celField(name string) (*Field, bool) {
	if f, found := d.declared(name); found {
		return f, true
	}
	if unescaped, ok := apiservercel.Unescape(name); ok {
		return d.Field(unescaped)
	}
	return d.Field(name)
}

func (d *Decl) convertFields() {
	depth := strings.Count(d.name, ".")
	d.fields = make(map[string]*Field, len(d.schema.Properties))
	for name := range d.schema.Properties {
		property := d.schema.Properties[name]
		d.fields[name] = newField(name, newDecl(d.name+"."+name, &property, depth))
	}
}

func newField(name string, d *Decl) *Field {
	return &Field{Name: name, Decl: d, cel: &types.FieldType{
		Type: d.celType,
		IsSet: func(target any) bool {
			object, ok := target.(map[string]any)
			return ok && object[name] != nil
		},
		GetFrom: func(target any) (any, error) {
			object, ok := target.(map[string]any)
			if !ok {
				return nil, fmt.Errorf("reading field %q of a %T: an object is needed", name, target)
			}
			if v := object[name]; v != nil {
				return v, nil
			}
			return nil, fmt.Errorf("%w: %s", ErrMissing, name)
		},
	}}
}

// Anything is the declaration of a value about which nothing is known.
func Anything() *Decl { return dynDecl() }

// Object declares a struct with exactly these fields.
func Object(name string, fields map[string]*Decl) *Decl {
	d := &Decl{Form: Struct, name: name, celType: types.NewObjectType(name), fields: make(map[string]*Field, len(fields)),
		schema: &spec.Schema{SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{"object"}, Properties: map[string]spec.Schema{}}}}
	for field, decl := range fields {
		d.fields[field] = newField(field, decl)
		s := spec.Schema{}
		if decl.schema != nil {
			s = *decl.schema
		}
		d.schema.Properties[field] = s
	}
	// The fields are complete: nothing is left to convert.
	d.once.Do(func() {})
	return d
}

// Text declares a string.
func Text() *Decl {
	return stringDecl(&spec.Schema{SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{"string"}}})
}

// MapOf declares a map from strings to elem.
func MapOf(elem *Decl) *Decl {
	s := &spec.Schema{SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{"object"}}}
	return &Decl{Form: Map, Elem: elem, celType: types.NewMapType(types.StringType, elem.celType), schema: s}
}
