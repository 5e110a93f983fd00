package schema

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/kronvoy/kronvoy/graph/internal/path"
	"github.com/kronvoy/kronvoy/graph/internal/suggest"
)

// ApplyDefaults returns v with the defaults of a structural schema filled in, as
// the API server does it; what it changes is copied first.
func ApplyDefaults(props *apiextensionsv1.JSONSchemaProps, v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			if value == nil && props.Properties[key].Default != nil && !props.Properties[key].Nullable {
				continue
			}
			out[key] = value
		}
		for name := range props.Properties {
			property := props.Properties[name]
			if _, given := out[name]; !given && property.Default != nil {
				var value any
				if err := utiljson.Unmarshal(property.Default.Raw, &value); err == nil {
					out[name] = value
				}
			}
			if value, given := out[name]; given {
				out[name] = ApplyDefaults(&property, value)
			}
		}
		if ap := props.AdditionalProperties; ap != nil && ap.Schema != nil {
			for key, value := range out {
				out[key] = ApplyDefaults(ap.Schema, value)
			}
		}
		return out
	case []any:
		if props.Items == nil || props.Items.Schema == nil {
			return v
		}
		out := make([]any, len(v))
		for i, value := range v {
			out[i] = ApplyDefaults(props.Items.Schema, value)
		}
		return out
	}
	return v
}

// Validate judges a value by a structural schema: types, unknown fields, and the
// limits that SimpleSchema can express. Rules in CEL are left to the API server.
func Validate(props *apiextensionsv1.JSONSchemaProps, v any, at string) []Fault {
	c := &validator{}
	c.value(props, v, at, 0)
	sort.SliceStable(c.faults, func(i, j int) bool { return c.faults[i].Path < c.faults[j].Path })
	return c.faults
}

// ValidatePatch judges a JSON merge patch (RFC 7386) of a value: null takes a
// field away, and what is required may be there already.
func ValidatePatch(props *apiextensionsv1.JSONSchemaProps, patch any, at string) []Fault {
	c := &validator{patch: true}
	c.value(props, patch, at, 0)
	sort.SliceStable(c.faults, func(i, j int) bool { return c.faults[i].Path < c.faults[j].Path })
	return c.faults
}

type validator struct {
	faults []Fault
	// patch is true as long as the value is merged into another one, field by
	// field: in a list it is not any more.
	patch bool
}

func (c *validator) fault(at, reason, format string, args ...any) *Fault {
	if len(c.faults) >= maxFaults {
		return &Fault{}
	}
	c.faults = append(c.faults, Fault{Path: at, Offset: -1, Reason: reason, Message: fmt.Sprintf(format, args...)})
	return &c.faults[len(c.faults)-1]
}

func (c *validator) value(props *apiextensionsv1.JSONSchemaProps, v any, at string, depth int) {
	if depth > maxDepth || v == nil && (props.Nullable || c.patch) {
		return
	}
	if v == nil && props.Type != "" {
		c.fault(at, "TypeMismatch", "expected %s, got null", props.Type)
		return
	}
	switch v := v.(type) {
	case map[string]any:
		if c.typed(props, at, "an object", "object") {
			c.object(props, v, at, depth)
		}
	case []any:
		if c.typed(props, at, "a list", "array") {
			c.list(props, v, at, depth)
		}
	case string:
		if c.typed(props, at, "a string", "string") {
			c.text(props, v, at)
		}
	case bool:
		c.typed(props, at, "a boolean", "boolean")
	case int64:
		if c.typed(props, at, "an integer", "integer", "number") {
			c.number(props, float64(v), at)
		}
	case float64:
		accepted := []string{"number"}
		if v == math.Trunc(v) {
			accepted = append(accepted, "integer")
		}
		if c.typed(props, at, fmt.Sprintf("the number %v", v), accepted...) {
			c.number(props, v, at)
		}
	}
	c.enum(props, v, at)
}

func (c *validator) typed(props *apiextensionsv1.JSONSchemaProps, at, got string, accepted ...string) bool {
	if props.Type == "" || slices.Contains(accepted, props.Type) {
		return true
	}
	c.fault(at, "TypeMismatch", "expected %s, got %s", props.Type, got)
	return false
}

func (c *validator) object(props *apiextensionsv1.JSONSchemaProps, v map[string]any, at string, depth int) {
	for _, name := range props.Required {
		if _, given := v[name]; !given && !c.patch {
			c.fault(path.Key(at, name), "MissingField", "this field is required")
		}
	}
	open := props.XPreserveUnknownFields != nil && *props.XPreserveUnknownFields
	for _, key := range sortedKeys(v) {
		switch property, declared := props.Properties[key]; {
		case declared:
			c.value(&property, v[key], path.Key(at, key), depth+1)
		case props.AdditionalProperties != nil && props.AdditionalProperties.Schema != nil:
			c.value(props.AdditionalProperties.Schema, v[key], path.Key(at, key), depth+1)
		case props.Type == "object" && !open:
			c.fault(path.Key(at, key), "UnknownField", "unknown field %q", suggest.Shorten(key, 80)).Suggestion =
				suggest.DidYouMean(key, sortedKeys(props.Properties))
		}
	}
}

func (c *validator) list(props *apiextensionsv1.JSONSchemaProps, v []any, at string, depth int) {
	if props.MinItems != nil && int64(len(v)) < *props.MinItems {
		c.fault(at, "OutOfRange", "%d items, at least %d are needed", len(v), *props.MinItems)
	}
	if props.MaxItems != nil && int64(len(v)) > *props.MaxItems {
		c.fault(at, "OutOfRange", "%d items, at most %d are allowed", len(v), *props.MaxItems)
	}
	if props.Items == nil || props.Items.Schema == nil {
		return
	}
	patch := c.patch
	c.patch = false
	for i, item := range v {
		c.value(props.Items.Schema, item, path.Index(at, i), depth+1)
	}
	c.patch = patch
}

func (c *validator) text(props *apiextensionsv1.JSONSchemaProps, v, at string) {
	length := int64(utf8.RuneCountInString(v))
	if props.MinLength != nil && length < *props.MinLength {
		c.fault(at, "OutOfRange", "%d characters, at least %d are needed", length, *props.MinLength)
	}
	if props.MaxLength != nil && length > *props.MaxLength {
		c.fault(at, "OutOfRange", "%d characters, at most %d are allowed", length, *props.MaxLength)
	}
	if props.Pattern != "" {
		if re, err := regexp.Compile(props.Pattern); err == nil && !re.MatchString(v) {
			c.fault(at, "InvalidValue", "%q does not match the pattern %s", suggest.Shorten(v, 40), props.Pattern)
		}
	}
}

func (c *validator) number(props *apiextensionsv1.JSONSchemaProps, v float64, at string) {
	if props.Minimum != nil && v < *props.Minimum {
		c.fault(at, "OutOfRange", "%v is less than the minimum of %v", v, *props.Minimum)
	}
	if props.Maximum != nil && v > *props.Maximum {
		c.fault(at, "OutOfRange", "%v is more than the maximum of %v", v, *props.Maximum)
	}
}

func (c *validator) enum(props *apiextensionsv1.JSONSchemaProps, v any, at string) {
	if len(props.Enum) == 0 {
		return
	}
	raw, err := json.Marshal(v)
	allowed := make([]string, 0, len(props.Enum))
	for _, e := range props.Enum {
		if err == nil && string(raw) == string(e.Raw) {
			return
		}
		allowed = append(allowed, string(e.Raw))
	}
	c.fault(at, "InvalidValue", "%s is not one of %s", suggest.Shorten(string(raw), 40), strings.Join(allowed, ", "))
}
