// Package fieldpattern reads the paths by which policies name fields of objects. Hub
// and agent share it: what the one accepts the other can follow.
package fieldpattern

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// Pattern names fields, and all below them.
//
//	spec.replicas
//	metadata.annotations["example.com/note"]
//	spec.template.spec.containers[name=web].image
//	spec.template.spec.containers[*].image
type Pattern []segment

type segment struct {
	field    string // a field of a map
	any      bool   // [*]: any list element, or any field
	keyName  string // [name=web]
	keyValue string
}

// Parse reads one pattern.
func Parse(text string) (Pattern, error) {
	rest := strings.TrimPrefix(strings.TrimPrefix(text, "$"), ".")
	var pattern Pattern
	for rest != "" {
		if rest[0] == '[' {
			seg, after, err := parseBracket(rest)
			if err != nil {
				return nil, fmt.Errorf("reading path %q: %w", text, err)
			}
			pattern, rest = append(pattern, seg), strings.TrimPrefix(after, ".")
			continue
		}
		end := strings.IndexAny(rest, ".[")
		if end < 0 {
			end = len(rest)
		}
		if end == 0 {
			return nil, fmt.Errorf("reading path %q: an empty field name", text)
		}
		pattern = append(pattern, segment{field: rest[:end], any: rest[:end] == "*"})
		rest = strings.TrimPrefix(rest[end:], ".")
	}
	if len(pattern) == 0 {
		return nil, fmt.Errorf("reading path %q: it names no field", text)
	}
	return pattern, nil
}

// ParseAll reads a list of patterns; the good ones count even when one is
// bad.
func ParseAll(texts []string) ([]Pattern, error) {
	var patterns []Pattern
	var firstErr error
	for _, text := range texts {
		pattern, err := Parse(text)
		if err != nil {
			if firstErr == nil {
				firstErr = err
			}
			continue
		}
		patterns = append(patterns, pattern)
	}
	return patterns, firstErr
}

func parseBracket(text string) (segment, string, error) {
	var inner, after string
	if len(text) > 1 && (text[1] == '"' || text[1] == '\'') {
		end := strings.IndexByte(text[2:], text[1])
		if end < 0 || !strings.HasPrefix(text[2+end+1:], "]") {
			return segment{}, "", fmt.Errorf("the bracket in %q is not closed", text)
		}
		return segment{field: text[2 : 2+end]}, text[2+end+2:], nil
	}
	end := strings.IndexByte(text, ']')
	if end < 0 {
		return segment{}, "", fmt.Errorf("the bracket in %q is not closed", text)
	}
	inner, after = text[1:end], text[end+1:]
	if inner == "*" {
		return segment{any: true}, after, nil
	}
	name, val, ok := strings.Cut(inner, "=")
	if !ok || name == "" {
		return segment{}, "", fmt.Errorf("%q is neither *, a quoted field nor key=value", inner)
	}
	if unquoted, err := strconv.Unquote(val); err == nil {
		val = unquoted
	}
	return segment{keyName: name, keyValue: val}, after, nil
}

// Matches says whether a path is at or below the pattern.
func (p Pattern) Matches(path fieldpath.Path) bool {
	if len(path) < len(p) {
		return false
	}
	for i, seg := range p {
		if !seg.matches(path[i]) {
			return false
		}
	}
	return true
}

func (s segment) matches(element fieldpath.PathElement) bool {
	switch {
	case s.any:
		return true
	case s.keyName == "":
		return element.FieldName != nil && *element.FieldName == s.field
	case element.Key == nil:
		return false
	}
	for _, key := range *element.Key {
		if key.Name == s.keyName {
			return keyText(key.Value) == s.keyValue
		}
	}
	return false
}

func keyText(v value.Value) string {
	if v.IsString() {
		return v.AsString()
	}
	text, err := json.Marshal(v.Unstructured())
	if err != nil { // only what JSON brought is ever in here
		return ""
	}
	return string(text)
}

// Match says whether any of the patterns matches a path.
func Match(patterns []Pattern, path fieldpath.Path) bool {
	for _, pattern := range patterns {
		if pattern.Matches(path) {
			return true
		}
	}
	return false
}
