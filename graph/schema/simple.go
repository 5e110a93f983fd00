package schema

import (
	"fmt"
	"sort"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/utils/ptr"

	"github.com/kronvoy/kronvoy/graph/internal/path"
	"github.com/kronvoy/kronvoy/graph/internal/suggest"
)

// The bounds of nesting.
const (
	// maxFieldDepth of fields, custom types included. kro has no bound; CEL types
	// have one, see maxDepth.
	maxFieldDepth = 50
	// maxTypeDepth of one type's text, as in [][]string; it is kro's.
	maxTypeDepth = 16
)

// maxSchemaSize bounds the fields of a SimpleSchema with its custom types
// expanded: a type that uses another twice doubles it.
const maxSchemaSize = 20_000

// maxFaults bounds what one SimpleSchema can have to say.
const maxFaults = 100

// Simple turns a SimpleSchema into the OpenAPI schema of an object. fields maps
// names to types (`integer | default=1 minimum=0`) or to nested fields; types
// are the custom types that may be used by name. specPath and typesPath are the
// places of the two in the source, for faults.
func Simple(fields, types map[string]any, specPath, typesPath string) (*apiextensionsv1.JSONSchemaProps, []Fault) {
	c := &simpleCompiler{
		types:     types,
		typesPath: typesPath,
		done:      map[string]*apiextensionsv1.JSONSchemaProps{},
		required:  map[string]bool{},
		sizes:     map[string]int{},
	}
	for _, name := range sortedKeys(types) {
		c.customType(name, specPath, nil)
	}
	root := c.object(fields, specPath, 0, nil)
	return root, c.faults
}

type simpleCompiler struct {
	types     map[string]any
	typesPath string
	done      map[string]*apiextensionsv1.JSONSchemaProps
	// required says which custom types demand to be given where they are used.
	required map[string]bool
	// size counts the fields so far; sizes those of each custom type.
	size   int
	sizes  map[string]int
	faults []Fault
}

func (c *simpleCompiler) fault(f Fault) {
	if len(c.faults) < maxFaults {
		c.faults = append(c.faults, f)
	}
}

// object compiles a map of fields. stack holds the custom types under
// construction.
func (c *simpleCompiler) object(fields map[string]any, at string, depth int, stack []string) *apiextensionsv1.JSONSchemaProps {
	out := &apiextensionsv1.JSONSchemaProps{Type: "object"}
	if depth > maxFieldDepth {
		c.fault(Fault{Path: at, Offset: -1, Reason: "TooDeep",
			Message: fmt.Sprintf("the schema is nested deeper than %d levels", maxFieldDepth)})
		return out
	}
	hasDefault := false
	for _, name := range sortedKeys(fields) {
		if out.Properties == nil {
			out.Properties = make(map[string]apiextensionsv1.JSONSchemaProps, len(fields))
		}
		field, required := c.field(fields[name], path.Key(at, name), depth+1, stack)
		if required {
			out.Required = append(out.Required, name)
		}
		hasDefault = hasDefault || field.Default != nil
		out.Properties[name] = *field
	}
	// Without a default of its own an absent object would never be visited by
	// the API server's defaulting, and its fields' defaults would be lost. With a
	// required field inside, {} would not be valid.
	if hasDefault && len(out.Required) == 0 {
		out.Default = &apiextensionsv1.JSON{Raw: []byte("{}")}
	}
	return out
}

// grow counts fields and tells whether they are still within the bound.
func (c *simpleCompiler) grow(n int, at string) bool {
	before := c.size
	c.size = min(c.size+n, maxSchemaSize+1)
	if c.size <= maxSchemaSize {
		return true
	}
	if before <= maxSchemaSize {
		c.fault(Fault{Path: at, Offset: -1, Reason: "TooLarge",
			Message: fmt.Sprintf("the schema has more than %d fields, custom types expanded", maxSchemaSize)})
	}
	return false
}

// field compiles one field and tells whether it is required.
func (c *simpleCompiler) field(v any, at string, depth int, stack []string) (*apiextensionsv1.JSONSchemaProps, bool) {
	if !c.grow(1, at) {
		return &apiextensionsv1.JSONSchemaProps{XPreserveUnknownFields: ptr.To(true)}, false
	}
	switch v := v.(type) {
	case map[string]any:
		return c.object(v, at, depth, stack), false
	case string:
		return c.text(v, at, stack)
	}
	c.fault(Fault{Path: at, Offset: -1, Reason: "InvalidType",
		Message:    fmt.Sprintf("a field is a type, as in `string`, or a map of fields, not %s", describe(v)),
		Suggestion: "write the type as a string"})
	return &apiextensionsv1.JSONSchemaProps{XPreserveUnknownFields: ptr.To(true)}, false
}

// text compiles `type | marker=value …`.
func (c *simpleCompiler) text(s, at string, stack []string) (*apiextensionsv1.JSONSchemaProps, bool) {
	if len(s) > maxSimpleLength {
		c.fault(Fault{Path: at, Offset: 0, Reason: "TooLong", Snippet: snippet(s),
			Message: fmt.Sprintf("a type is at most %d bytes long", maxSimpleLength)})
		return &apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: ptr.To(true)}, false
	}
	typeText, markerText, hasMarkers := strings.Cut(s, "|")
	lead := len(typeText) - len(strings.TrimLeft(typeText, " \t\r\n"))
	out, required := c.typeExpr(strings.TrimSpace(typeText), s, at, lead, 0, stack)
	if !hasMarkers {
		return out, required
	}
	markers, err := parseMarkers(markerText)
	if err != nil {
		c.fault(Fault{Path: at, Offset: len(typeText) + 1 + err.offset, Reason: "InvalidMarker",
			Message: err.message, Snippet: snippet(s), Suggestion: err.suggestion})
	}
	isRequired := required
	for _, m := range markers {
		r, err := applyMarker(out, m)
		if err != nil {
			c.fault(Fault{Path: at, Offset: len(typeText) + 1 + m.offset, Reason: "InvalidMarker",
				Message: err.message, Snippet: snippet(s), Suggestion: err.suggestion})
		}
		if m.name == "required" {
			isRequired = r
		}
	}
	if err := checkMarkers(out); err != nil {
		c.fault(Fault{Path: at, Offset: len(typeText) + 1, Reason: "InvalidMarker", Message: err.message, Snippet: snippet(s)})
	}
	return out, isRequired
}

// maxSimpleLength bounds the text of one field.
const maxSimpleLength = 16 << 10

// typeExpr compiles a type: a scalar, object, []T, map[string]T or a custom
// type. offset is where it stands in whole.
func (c *simpleCompiler) typeExpr(t, whole, at string, offset, depth int, stack []string) (*apiextensionsv1.JSONSchemaProps, bool) {
	unknown := func(message, suggestion string) (*apiextensionsv1.JSONSchemaProps, bool) {
		c.fault(Fault{Path: at, Offset: offset, Reason: "UnknownType", Message: message, Snippet: snippet(whole), Suggestion: suggestion})
		return &apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: ptr.To(true)}, false
	}
	if depth > maxTypeDepth {
		c.fault(Fault{Path: at, Offset: offset, Reason: "TooDeep", Snippet: snippet(whole),
			Message: fmt.Sprintf("the type is nested deeper than %d levels", maxTypeDepth)})
		return &apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: ptr.To(true)}, false
	}
	switch t {
	case "":
		return unknown("the type is missing", "write one of "+strings.Join(scalarTypes, ", ")+", object, []T, map[string]T")
	case "string", "integer", "boolean":
		return &apiextensionsv1.JSONSchemaProps{Type: t}, false
	case "float":
		return &apiextensionsv1.JSONSchemaProps{Type: "number"}, false
	case "object":
		return &apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: ptr.To(true)}, false
	}
	if rest, ok := strings.CutPrefix(t, "[]"); ok {
		elem, _ := c.typeExpr(rest, whole, at, offset+2, depth+1, stack)
		return &apiextensionsv1.JSONSchemaProps{Type: "array", Items: &apiextensionsv1.JSONSchemaPropsOrArray{Schema: elem}}, false
	}
	if rest, ok := strings.CutPrefix(t, "map["); ok {
		key, value, closed := strings.Cut(rest, "]")
		if !closed || key != "string" {
			return unknown(fmt.Sprintf("the keys of a map are strings, not %q", key), "write map[string]T")
		}
		elem, _ := c.typeExpr(value, whole, at, offset+len("map[string]"), depth+1, stack)
		return &apiextensionsv1.JSONSchemaProps{Type: "object",
			AdditionalProperties: &apiextensionsv1.JSONSchemaPropsOrBool{Allows: true, Schema: elem}}, false
	}
	if _, found := c.types[t]; found {
		if out := c.customType(t, at, stack); out != nil && c.grow(c.sizes[t], at) {
			return out.DeepCopy(), c.required[t]
		}
		return &apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: ptr.To(true)}, false
	}
	return unknown(fmt.Sprintf("unknown type: %s", t), suggestType(t, c.types))
}

var scalarTypes = []string{"string", "integer", "boolean", "float"}

// suggestType proposes a type for one that is unknown.
func suggestType(t string, custom map[string]any) string {
	switch t {
	case "int", "int32", "int64", "long":
		return "did you mean integer?"
	case "bool":
		return "did you mean boolean?"
	case "number", "double", "float32", "float64":
		return "did you mean float?"
	case "str", "text":
		return "did you mean string?"
	case "array", "list":
		return "did you mean []string?"
	case "map":
		return "did you mean map[string]string?"
	}
	return suggest.DidYouMean(t, append(append([]string{"object"}, scalarTypes...), sortedKeys(custom)...))
}

// customType compiles the custom type once; nil when it is part of a cycle.
func (c *simpleCompiler) customType(name, at string, stack []string) *apiextensionsv1.JSONSchemaProps {
	if out, found := c.done[name]; found {
		return out
	}
	for i, other := range stack {
		if other == name {
			cycle := append(append([]string(nil), stack[i:]...), name)
			c.fault(Fault{Path: path.Key(c.typesPath, name), Offset: -1, Reason: "Cycle",
				Message: "types contain a cycle: " + strings.Join(cycle, " -> ")})
			return nil
		}
	}
	before := c.size
	out, required := c.field(c.types[name], path.Key(c.typesPath, name), len(stack), append(stack, name))
	c.done[name], c.required[name], c.sizes[name] = out, required, c.size-before
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func describe(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case []any:
		return "a list"
	case bool:
		return "a boolean"
	case int64, float64:
		return fmt.Sprintf("the number %v", v)
	}
	return fmt.Sprintf("a %T", v)
}

func snippet(s string) string { return suggest.Shorten(s, 120) }
