// Package fields compares two objects field by field, and shows no more of them
// than may be shown. It is pure: what is hidden is decided by whoever asks.
package fields

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/kronvoy/kronvoy/graph"
)

// Value of a field, as JSON holds it.
type Value struct{ Of any }

// MarshalJSON writes the value alone.
func (v Value) MarshalJSON() ([]byte, error) { return json.Marshal(v.Of) }

// Field is one in which two objects differ. Old and New are nil where it is not
// there.
type Field struct {
	Path string `json:"path"`
	Old  *Value `json:"old,omitempty"`
	New  *Value `json:"new,omitempty"`
}

// Side is an object, if it is there, and as much of it as may be shown.
type Side struct {
	There        bool
	Value, Shown any
}

func (s Side) field(name string) Side {
	fields, _ := s.Value.(map[string]any)
	value, there := fields[name]
	return Side{there, value, within(s.Shown, func(shown map[string]any) any { return shown[name] })}
}

// within goes on below what is shown; below something hidden all is.
func within[T any](shown any, next func(T) any) any {
	if container, ok := shown.(T); ok {
		return next(container)
	}
	return graph.Hidden
}

func (s Side) item(i int) Side {
	list, _ := s.Value.([]any)
	if i < 0 || i >= len(list) {
		return Side{}
	}
	return Side{true, list[i], within(s.Shown, func(shown []any) any { return shown[i] })}
}

func (s Side) shownValue() *Value {
	if !s.There {
		return nil
	}
	return &Value{s.Shown}
}

// Compare gives the fields in which two objects differ, by path, as policies
// name fields: fields with dots, items of lists by their name where all have one,
// else by their number. A part that is on one side alone is one field.
func Compare(old, changed Side) []Field {
	var fields []Field
	walk("", old, changed, &fields)
	return fields
}

func walk(path string, old, changed Side, into *[]Field) {
	if old.There == changed.There && reflect.DeepEqual(old.Value, changed.Value) {
		return
	}
	before, wasObject := old.Value.(map[string]any)
	after, isObject := changed.Value.(map[string]any)
	if wasObject && isObject {
		for _, name := range union(before, after) {
			walk(join(path, name), old.field(name), changed.field(name), into)
		}
		return
	}
	oldList, wasList := old.Value.([]any)
	newList, isList := changed.Value.([]any)
	switch {
	case !wasList || !isList:
	case named(oldList) != nil && named(newList) != nil:
		// Where only the order changed, that is the difference.
		if walkNamed(path, old, changed, into) {
			return
		}
	case len(oldList) == len(newList) && structured(oldList) && structured(newList):
		for i := range oldList {
			walk(path+"["+strconv.Itoa(i)+"]", old.item(i), changed.item(i), into)
		}
		return
	}
	*into = append(*into, Field{Path: path, Old: old.shownValue(), New: changed.shownValue()})
}

// walkNamed compares lists whose items have names; it is false where nothing but
// their order differs.
func walkNamed(path string, old, changed Side, into *[]Field) bool {
	oldList, _ := old.Value.([]any)
	newList, _ := changed.Value.([]any)
	before, after := named(oldList), named(newList)
	count := len(*into)
	for _, name := range union(before, after) {
		at := func(s Side, index map[string]int) Side {
			if i, there := index[name]; there {
				return s.item(i)
			}
			return Side{}
		}
		walk(path+"[name="+name+"]", at(old, before), at(changed, after), into)
	}
	return len(*into) > count
}

// named are the places of a list's items by their name; nil unless each has one
// of its own.
func named(list []any) map[string]int {
	names := make(map[string]int, len(list))
	for i, item := range list {
		fields, _ := item.(map[string]any)
		name, ok := fields["name"].(string)
		if _, twice := names[name]; !ok || twice || strings.ContainsAny(name, `[]"`) {
			return nil
		}
		names[name] = i
	}
	return names
}

func structured(list []any) bool {
	return !slices.ContainsFunc(list, func(item any) bool {
		switch item.(type) {
		case map[string]any, []any:
			return false
		}
		return true
	})
}

func union[V any](a, b map[string]V) []string {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]V{}
	}
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}

func join(path, name string) string {
	switch {
	case name == "" || strings.ContainsAny(name, `.[]"*/`):
		return path + "[" + strconv.Quote(name) + "]"
	case path == "":
		return name
	}
	return path + "." + name
}

// Text is a value on one line.
func (v *Value) Text() string {
	if v == nil {
		return "(none)"
	}
	if s, ok := v.Of.(string); ok && s != "" && !strings.ContainsAny(s, "\n\t\"") && strings.TrimSpace(s) == s {
		return s
	}
	raw, err := json.Marshal(v.Of)
	if err != nil { // only what JSON brought is in here
		return fmt.Sprint(v.Of)
	}
	return string(raw)
}

// Of is an object of a node of a graph, without the values of Secrets in what is
// shown.
func Of(g *graph.Graph, node string, object map[string]any) Side {
	return Side{There: true, Value: object, Shown: Hide(g, node, object)}
}

// Hide is an object of a node of a graph with values of Secrets hidden; it does
// not change the object that it is given. A Secret is one whatever the graph says.
func Hide(g *graph.Graph, node string, object map[string]any) map[string]any {
	return HideSecret(g.HideSecrets(node, object))
}

// HideSecret is an object, or the template of one, without the values that it has
// if it is a Secret.
func HideSecret(object map[string]any) map[string]any {
	if object["apiVersion"] != "v1" || object["kind"] != "Secret" {
		return object
	}
	object = maps.Clone(object)
	for _, field := range []string{"data", "stringData"} {
		values, is := object[field].(map[string]any)
		if !is {
			if object[field] != nil {
				object[field] = graph.Hidden
			}
			continue
		}
		hidden := make(map[string]any, len(values))
		for key := range values {
			hidden[key] = graph.Hidden
		}
		object[field] = hidden
	}
	return object
}
