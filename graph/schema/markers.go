package schema

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/utils/ptr"

	"github.com/kronvoy/kronvoy/graph/internal/suggest"
)

// marker is one `name=value` behind the type of a field.
type marker struct {
	name, value string
	// quoted values are strings whatever they look like.
	quoted bool
	// offset in the marker text.
	offset int
}

// markerError is a fault without its path; offset is used by the parser only.
type markerError struct {
	offset              int
	message, suggestion string
}

func markerErrorf(format string, args ...any) *markerError {
	return &markerError{message: fmt.Sprintf(format, args...)}
}

var markerNames = []string{"required", "default", "description", "minimum", "maximum", "validation", "enum", "immutable",
	"pattern", "uniqueItems", "minLength", "maxLength", "minItems", "maxItems", "listType", "listMapKey"}

// parseMarkers splits `a=1 b="two words" c={"x": 1}`. Values end at a space
// outside of double quotes, brackets and braces; `\` escapes inside quotes.
func parseMarkers(s string) ([]marker, *markerError) {
	var out []marker
	for i := 0; i < len(s); {
		if isSpace(s[i]) {
			i++
			continue
		}
		start := i
		for i < len(s) && s[i] != '=' && !isSpace(s[i]) {
			i++
		}
		name := s[start:i]
		if i >= len(s) || s[i] != '=' {
			return out, &markerError{offset: start, message: fmt.Sprintf("marker %q has no value", name), suggestion: fmt.Sprintf("write %s=<value>", name)}
		}
		i++
		value, quoted, next, err := markerValue(s, i)
		if err != nil {
			return out, err
		}
		if value == "" && !quoted {
			return out, &markerError{offset: start, message: fmt.Sprintf("marker %q has no value", name), suggestion: fmt.Sprintf("write %s=<value>", name)}
		}
		out = append(out, marker{name: name, value: value, quoted: quoted, offset: start})
		i = next
	}
	return out, nil
}

// markerValue reads the value that starts at i and returns where it ends.
func markerValue(s string, i int) (value string, quoted bool, next int, err *markerError) {
	var b strings.Builder
	start, depth := i, 0
	inQuotes := false
	quoted = i < len(s) && s[i] == '"'
	for ; i < len(s); i++ {
		c := s[i]
		switch {
		case inQuotes && c == '\\' && i+1 < len(s):
			i++
			if depth > 0 || (s[i] != '"' && s[i] != '\\') {
				b.WriteByte('\\')
			}
			b.WriteByte(s[i])
			continue
		case c == '"':
			inQuotes = !inQuotes
			// Quotes around the value go; quotes inside of JSON stay.
			if depth == 0 {
				continue
			}
		case inQuotes:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		case isSpace(c) && depth <= 0:
			return b.String(), quoted, i, nil
		}
		b.WriteByte(c)
	}
	if inQuotes {
		return "", false, i, &markerError{offset: start, message: "the quoted value does not end", suggestion: `add the closing "`}
	}
	return b.String(), quoted, i, nil
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// applyMarker puts a marker onto a schema; for `required` it returns its value.
func applyMarker(s *apiextensionsv1.JSONSchemaProps, m marker) (required bool, err *markerError) {
	switch m.name {
	case "required":
		return boolean(m)
	case "default":
		return false, setDefault(s, m)
	case "description":
		s.Description = m.value
	case "minimum":
		s.Minimum, err = number(m)
	case "maximum":
		s.Maximum, err = number(m)
	case "validation":
		if strings.TrimSpace(m.value) == "" {
			return false, markerErrorf("validation is empty")
		}
		s.XValidations = append(s.XValidations, apiextensionsv1.ValidationRule{Rule: m.value, Message: "validation failed"})
	case "enum":
		return false, setEnum(s, m)
	case "immutable":
		var immutable bool
		if immutable, err = boolean(m); immutable {
			s.XValidations = append(s.XValidations, apiextensionsv1.ValidationRule{Rule: "self == oldSelf", Message: "field is immutable"})
		}
	case "pattern":
		if _, e := regexp.Compile(m.value); e != nil {
			return false, markerErrorf("invalid pattern: %v", e)
		}
		if s.Type != "string" {
			return false, markerErrorf("pattern is for strings, not %s", s.Type)
		}
		s.Pattern = m.value
	case "minLength", "maxLength", "minItems", "maxItems":
		return false, setLength(s, m)
	case "uniqueItems":
		var unique bool
		if unique, err = boolean(m); err == nil && s.Type != "array" {
			return false, markerErrorf("uniqueItems is for lists, not %s", s.Type)
		}
		// The API server forbids uniqueItems itself, whose check is quadratic.
		if unique {
			s.XListType = ptr.To("set")
		}
	case "listType":
		if m.value != "atomic" && m.value != "set" && m.value != "map" {
			return false, &markerError{message: fmt.Sprintf("unknown listType %q", m.value), suggestion: "write atomic, set or map"}
		}
		if s.Type != "array" {
			return false, markerErrorf("listType is for lists, not %s", s.Type)
		}
		s.XListType = ptr.To(m.value)
	case "listMapKey":
		s.XListMapKeys = append(s.XListMapKeys, m.value)
	default:
		return false, &markerError{message: fmt.Sprintf("unknown marker: %s", m.name), suggestion: suggest.DidYouMean(m.name, markerNames)}
	}
	return false, err
}

// checkMarkers judges markers that depend on one another.
func checkMarkers(s *apiextensionsv1.JSONSchemaProps) *markerError {
	isMap := s.XListType != nil && *s.XListType == "map"
	switch {
	case len(s.XListMapKeys) > 0 && !isMap:
		return markerErrorf("listMapKey needs listType=map")
	case isMap && len(s.XListMapKeys) == 0:
		return markerErrorf("listType=map needs at least one listMapKey")
	case s.Minimum != nil && s.Maximum != nil && *s.Minimum > *s.Maximum:
		return markerErrorf("minimum %v is greater than maximum %v", *s.Minimum, *s.Maximum)
	}
	return nil
}

func boolean(m marker) (bool, *markerError) {
	b, err := strconv.ParseBool(m.value)
	if err != nil {
		return false, &markerError{message: fmt.Sprintf("%s is true or false, not %q", m.name, m.value)}
	}
	return b, nil
}

func number(m marker) (*float64, *markerError) {
	f, err := strconv.ParseFloat(m.value, 64)
	if err != nil {
		return nil, markerErrorf("%s is a number, not %q", m.name, m.value)
	}
	return &f, nil
}

func setLength(s *apiextensionsv1.JSONSchemaProps, m marker) *markerError {
	n, err := strconv.ParseInt(m.value, 10, 64)
	if err != nil || n < 0 {
		return markerErrorf("%s is a whole number from 0 up, not %q", m.name, m.value)
	}
	want := "string"
	if strings.HasSuffix(m.name, "Items") {
		want = "array"
	}
	if s.Type != want {
		return markerErrorf("%s is not for fields of type %s", m.name, s.Type)
	}
	switch m.name {
	case "minLength":
		s.MinLength = &n
	case "maxLength":
		s.MaxLength = &n
	case "minItems":
		s.MinItems = &n
	case "maxItems":
		s.MaxItems = &n
	}
	return nil
}

func setDefault(s *apiextensionsv1.JSONSchemaProps, m marker) *markerError {
	raw, err := literal(s, m)
	if err != nil {
		return err
	}
	s.Default = &apiextensionsv1.JSON{Raw: raw}
	return nil
}

// literal encodes a marker's value as JSON of the schema's type. What Go takes for
// a number or a boolean is one, as in kro, though JSON may write it in another way.
func literal(s *apiextensionsv1.JSONSchemaProps, m marker) ([]byte, *markerError) {
	var v any
	var err error
	switch s.Type {
	case "string":
		v = m.value
	case "integer":
		v, err = strconv.ParseInt(m.value, 10, 64)
	case "boolean":
		v, err = strconv.ParseBool(m.value)
	case "number":
		if json.Valid([]byte(m.value)) {
			v = json.Number(m.value)
		} else {
			v, err = strconv.ParseFloat(m.value, 64)
		}
	default:
		v, err = composite(s.Type, m.value)
	}
	if err == nil {
		var raw []byte
		if raw, err = json.Marshal(v); err == nil {
			return raw, nil
		}
	}
	return nil, markerErrorf("%s %q is no %s", m.name, m.value, s.Type)
}

// composite checks a list or an object, which stays as it is written.
func composite(typ, text string) (json.RawMessage, error) {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return nil, err
	}
	_, isList := v.([]any)
	_, isObject := v.(map[string]any)
	if typ == "array" && !isList || typ == "object" && !isObject {
		return nil, fmt.Errorf("it is no %s", typ)
	}
	return json.RawMessage(text), nil
}

func setEnum(s *apiextensionsv1.JSONSchemaProps, m marker) *markerError {
	if s.Type != "string" && s.Type != "integer" {
		return markerErrorf("enum is for strings and integers, not %s", s.Type)
	}
	for _, part := range strings.Split(m.value, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			return markerErrorf("enum has an empty value")
		}
		raw, err := literal(s, marker{name: "enum value", value: part})
		if err != nil {
			return err
		}
		s.Enum = append(s.Enum, apiextensionsv1.JSON{Raw: raw})
	}
	return nil
}
