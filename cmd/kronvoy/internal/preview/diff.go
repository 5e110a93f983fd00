package preview

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

// side is an object, and as much of it as may be shown.
type side struct {
	there        bool
	value, shown any
}

func (s side) field(name string) side {
	fields, _ := s.value.(map[string]any)
	value, there := fields[name]
	return side{there, value, within(s.shown, func(shown map[string]any) any { return shown[name] })}
}

// within goes on below what is shown; below something hidden all is.
func within[T any](shown any, next func(T) any) any {
	if container, ok := shown.(T); ok {
		return next(container)
	}
	return graph.Hidden
}

func (s side) item(i int) side {
	list, _ := s.value.([]any)
	if i < 0 || i >= len(list) {
		return side{}
	}
	return side{true, list[i], within(s.shown, func(shown []any) any { return shown[i] })}
}

func (s side) shownValue() *Value {
	if !s.there {
		return nil
	}
	return &Value{s.shown}
}

// differences are the fields in which two objects differ, by path, as policies
// name fields: fields with dots, items of lists by their name where all have one,
// else by their number. A part that is on one side alone is one field.
func differences(old, changed side) []Field {
	var fields []Field
	walk("", old, changed, &fields)
	return fields
}

func walk(path string, old, changed side, into *[]Field) {
	if old.there == changed.there && reflect.DeepEqual(old.value, changed.value) {
		return
	}
	before, wasObject := old.value.(map[string]any)
	after, isObject := changed.value.(map[string]any)
	if wasObject && isObject {
		for _, name := range union(before, after) {
			walk(join(path, name), old.field(name), changed.field(name), into)
		}
		return
	}
	oldList, wasList := old.value.([]any)
	newList, isList := changed.value.([]any)
	switch {
	case !wasList || !isList:
	case named(oldList) != nil && named(newList) != nil:
		// Where only the order changed, that is the difference.
		if count := len(*into); walkNamed(path, old, changed, into) || len(*into) > count {
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
func walkNamed(path string, old, changed side, into *[]Field) bool {
	oldList, _ := old.value.([]any)
	newList, _ := changed.value.([]any)
	before, after := named(oldList), named(newList)
	count := len(*into)
	for _, name := range union(before, after) {
		at := func(s side, index map[string]int) side {
			if i, there := index[name]; there {
				return s.item(i)
			}
			return side{}
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

// text is a value on one line.
func (v *Value) text() string {
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
