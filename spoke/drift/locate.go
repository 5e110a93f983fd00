package drift

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/itchyny/gojq"
	"k8s.io/client-go/util/jsonpath"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

const (
	// maxLocator bounds an expression, maxLocations what it may find, and
	// locateTimeout how long it may look: a work's author writes it, and the
	// agent's other works wait.
	maxLocator    = 1 << 10
	maxLocations  = 1000
	locateTimeout = time.Second
)

// Locator names fields of an object by one of the languages of a work's
// ignoreFields. All of them become one jq path expression.
type Locator struct {
	text string
	code *gojq.Code
}

// String is the expression as it was written.
func (l *Locator) String() string { return l.text }

// JSONPath reads a path as kubectl writes it. A key in brackets is one key,
// dots and all, in single or double quotes.
func JSONPath(text string) (*Locator, error) {
	path := strings.TrimSuffix(strings.TrimPrefix(text, "{"), "}")
	if !strings.HasPrefix(path, "$") && !strings.HasPrefix(path, ".") && !strings.HasPrefix(path, "[") {
		path = "." + path
	}
	path = bracketed.ReplaceAllStringFunc(path, func(key string) string {
		return "['" + dots.ReplaceAllString(key[2:len(key)-2], `$1\.`) + "']"
	})
	parsed, err := jsonpath.Parse("path", "{"+path+"}")
	if err != nil {
		return nil, fmt.Errorf("reading JSONPath %q: %w", text, err)
	}
	expression, err := jqOf(parsed.Root)
	if err != nil {
		return nil, fmt.Errorf("reading JSONPath %q: %w", text, err)
	}
	return newLocator(text, expression)
}

var (
	bracketed = regexp.MustCompile(`\['[^']*'\]|\["[^"]*"\]`)
	dots      = regexp.MustCompile(`(^|[^\\])\.`)
)

// JSONPointer reads a pointer of RFC 6901.
func JSONPointer(text string) (*Locator, error) {
	if !strings.HasPrefix(text, "/") {
		return nil, fmt.Errorf("reading JSON pointer %q: it does not begin with a slash", text)
	}
	expression := "."
	for token := range strings.SplitSeq(text[1:], "/") {
		// A token is a key in a map and, where it is a number, a place in a list.
		key := strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		step := fmt.Sprintf(`.[%s]?`, quote(key))
		if place.MatchString(key) {
			step = fmt.Sprintf(`if type == "array" then .[%s] else %s end`, key, step)
		}
		expression += " | " + step
	}
	return newLocator(text, expression)
}

var place = regexp.MustCompile(`^(0|[1-9][0-9]{0,8})$`)

// JQ reads a path expression of jq: fields, lists and what selects among them.
// What could run away, or computes a value that is nowhere in the object, is
// refused.
func JQ(text string) (*Locator, error) {
	if len(text) > maxLocator {
		return nil, fmt.Errorf("reading a jq expression: it has %d characters, %d are allowed", len(text), maxLocator)
	}
	query, err := gojq.Parse(text)
	if err == nil {
		err = harmless(query)
	}
	if err != nil {
		return nil, fmt.Errorf("reading jq expression %q: %w", text, err)
	}
	return newLocator(text, query.String())
}

func newLocator(text, expression string) (*Locator, error) {
	query, err := gojq.Parse("path(" + expression + ")")
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", text, err)
	}
	code, err := gojq.Compile(query)
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", text, err)
	}
	return &Locator{text: text, code: code}, nil
}

// Locate gives the places in an object that the expression names, in terms of
// fields and indexes. A field that is not there, but could be, is one too.
func (l *Locator) Locate(object map[string]any) ([]fieldpath.Path, error) {
	ctx, cancel := context.WithTimeout(context.Background(), locateTimeout)
	defer cancel()
	found := l.code.RunWithContext(ctx, forJQ(object))
	var paths []fieldpath.Path
	for {
		next, more := found.Next()
		if !more {
			return paths, nil
		}
		switch typed := next.(type) {
		case error:
			if ctx.Err() != nil {
				return nil, fmt.Errorf("evaluating %q: it takes longer than %s", l.text, locateTimeout)
			}
			return nil, fmt.Errorf("evaluating %q: %w", l.text, typed)
		case []any:
			if path, ok := pathOf(typed); ok {
				paths = append(paths, path)
			}
		}
		if len(paths) > maxLocations {
			return nil, fmt.Errorf("evaluating %q: it names more than %d fields", l.text, maxLocations)
		}
	}
}

// forJQ copies a value with the only integers that jq knows.
func forJQ(v any) any {
	switch typed := v.(type) {
	case map[string]any:
		fields := make(map[string]any, len(typed))
		for key, field := range typed {
			fields[key] = forJQ(field)
		}
		return fields
	case []any:
		items := make([]any, len(typed))
		for i, item := range typed {
			items[i] = forJQ(item)
		}
		return items
	case int64:
		return int(typed)
	}
	return v
}

func pathOf(steps []any) (fieldpath.Path, bool) {
	var path fieldpath.Path
	for _, step := range steps {
		switch typed := step.(type) {
		case string:
			path = append(path, fieldpath.FieldNameElement(typed))
		case int:
			path = append(path, fieldpath.IndexElement(typed))
		default:
			return nil, false
		}
	}
	return path, len(path) > 0
}

// Within says whether a path is at or below a place that Locate found in the
// same object.
func Within(object map[string]any, path, location fieldpath.Path) bool {
	if len(path) < len(location) {
		return false
	}
	var current any = object
	for i, at := range location {
		if at.FieldName != nil && (path[i].FieldName == nil || *path[i].FieldName != *at.FieldName) {
			return false
		}
		if at.Index != nil {
			list, ok := current.([]any)
			if !ok || indexOf(list, path[i]) != *at.Index {
				return false
			}
		}
		current, _ = step(current, at)
	}
	return true
}

// jqOf writes a JSONPath as a jq path expression.
func jqOf(node jsonpath.Node) (string, error) {
	switch typed := node.(type) {
	case *jsonpath.ListNode:
		steps := []string{"."}
		for _, next := range typed.Nodes {
			step, err := jqOf(next)
			if err != nil {
				return "", err
			}
			steps = append(steps, step)
		}
		return strings.Join(steps, " | "), nil
	case *jsonpath.FieldNode:
		if typed.Value == "" {
			return ".", nil
		}
		return fmt.Sprintf(".[%s]?", quote(typed.Value)), nil
	case *jsonpath.ArrayNode:
		switch {
		case typed.Params[1].Derived:
			return fmt.Sprintf(".[%d]?", typed.Params[0].Value), nil
		case !typed.Params[0].Known && !typed.Params[1].Known && !typed.Params[2].Known:
			return ".[]?", nil
		}
	case *jsonpath.WildcardNode:
		return ".[]?", nil
	case *jsonpath.RecursiveNode:
		return "..", nil
	case *jsonpath.FilterNode:
		return jqFilter(typed)
	case *jsonpath.UnionNode:
		var parts []string
		for _, part := range typed.Nodes {
			text, err := jqOf(part)
			if err != nil {
				return "", err
			}
			parts = append(parts, text)
		}
		return "(" + strings.Join(parts, ", ") + ")", nil
	case *jsonpath.TextNode:
		return quote(typed.Text), nil
	case *jsonpath.IntNode:
		return fmt.Sprint(typed.Value), nil
	case *jsonpath.FloatNode:
		return fmt.Sprint(typed.Value), nil
	case *jsonpath.BoolNode:
		return fmt.Sprint(typed.Value), nil
	}
	return "", fmt.Errorf("%s cannot be ignored", node)
}

func jqFilter(filter *jsonpath.FilterNode) (string, error) {
	left, err := jqOf(filter.Left)
	if err != nil {
		return "", err
	}
	if filter.Operator == "exists" {
		return fmt.Sprintf(".[]? | select((%s) != null)", left), nil
	}
	right, err := jqOf(filter.Right)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(".[]? | select((%s) %s (%s))", left, filter.Operator, right), nil
}

func quote(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil { // a string always marshals
		return `""`
	}
	return string(quoted)
}

// harmlessFuncs answer in time linear in their input and make nothing larger
// than it.
var harmlessFuncs = []string{
	"select", "has", "any", "all", "not", "length", "type", "startswith", "endswith", "contains", "test",
	"ascii_downcase", "tostring", "first", "empty", "arrays", "objects", "strings", "true", "false", "null",
}

var harmlessOps = []gojq.Operator{
	0, gojq.OpPipe, gojq.OpComma, gojq.OpAlt, gojq.OpAnd, gojq.OpOr,
	gojq.OpEq, gojq.OpNe, gojq.OpGt, gojq.OpLt, gojq.OpGe, gojq.OpLe,
}

// harmless refuses what jq offers besides finding fields.
func harmless(query *gojq.Query) error {
	if query == nil {
		return nil
	}
	if query.Meta != nil || len(query.Imports)+len(query.FuncDefs)+len(query.Patterns) > 0 || !slices.Contains(harmlessOps, query.Op) {
		return fmt.Errorf("%q only finds no fields", query)
	}
	if err := errors.Join(harmless(query.Left), harmless(query.Right)); err != nil || query.Term == nil {
		return err
	}
	return harmlessTerm(query.Term)
}

func harmlessTerm(term *gojq.Term) error {
	var inner []*gojq.Query
	switch term.Type {
	case gojq.TermTypeIdentity, gojq.TermTypeRecurse, gojq.TermTypeNull, gojq.TermTypeTrue, gojq.TermTypeFalse, gojq.TermTypeNumber:
	case gojq.TermTypeQuery:
		inner = append(inner, term.Query)
	case gojq.TermTypeString:
		inner = append(inner, term.Str.Queries...)
	case gojq.TermTypeFunc:
		if !slices.Contains(harmlessFuncs, term.Func.Name) {
			return fmt.Errorf("%s is not available here", term.Func.Name)
		}
		inner = append(inner, term.Func.Args...)
	case gojq.TermTypeIndex:
		inner = append(inner, indexQueries(term.Index)...)
	default:
		return fmt.Errorf("%q only finds no fields", term)
	}
	for _, suffix := range term.SuffixList {
		if suffix.Index != nil {
			inner = append(inner, indexQueries(suffix.Index)...)
		}
	}
	for _, query := range inner {
		if err := harmless(query); err != nil {
			return err
		}
	}
	return nil
}

func indexQueries(index *gojq.Index) []*gojq.Query {
	queries := []*gojq.Query{index.Start, index.End}
	if index.Str != nil {
		queries = append(queries, index.Str.Queries...)
	}
	return queries
}
