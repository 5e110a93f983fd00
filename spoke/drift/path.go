package drift

import (
	"encoding/json"
	"strconv"
	"strings"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// Lookup gives the value at a path of an object. List elements are found by
// their keys; a key field that the element does not state (as protocol in a
// manifest's port) counts as equal.
func Lookup(obj any, path fieldpath.Path) (any, bool) {
	current := obj
	for _, element := range path {
		next, ok := step(current, element)
		if !ok {
			return nil, false
		}
		current = next
	}
	return current, true
}

func step(current any, element fieldpath.PathElement) (any, bool) {
	if element.FieldName != nil {
		fields, ok := current.(map[string]any)
		if !ok {
			return nil, false
		}
		v, ok := fields[*element.FieldName]
		return v, ok
	}
	list, ok := current.([]any)
	if !ok {
		return nil, false
	}
	index := indexOf(list, element)
	if index < 0 {
		return nil, false
	}
	return list[index], true
}

// indexOf finds a list element; -1 when it is not there.
func indexOf(list []any, element fieldpath.PathElement) int {
	switch {
	case element.Index != nil:
		if *element.Index >= 0 && *element.Index < len(list) {
			return *element.Index
		}
	case element.Value != nil:
		for i, item := range list {
			if value.Equals(value.NewValueInterface(item), *element.Value) {
				return i
			}
		}
	case element.Key != nil:
		for i, item := range list {
			if fields, ok := item.(map[string]any); ok && hasKey(fields, *element.Key) {
				return i
			}
		}
	}
	return -1
}

func hasKey(fields map[string]any, keys value.FieldList) bool {
	stated := 0
	for _, key := range keys {
		v, ok := fields[key.Name]
		if !ok {
			continue
		}
		if !value.Equals(value.NewValueInterface(v), key.Value) {
			return false
		}
		stated++
	}
	return stated > 0
}

// Replace puts another value in the place of the one at a path, and says
// whether there was one.
func Replace(obj map[string]any, path fieldpath.Path, v any) bool {
	if len(path) == 0 {
		return false
	}
	parent, _ := Lookup(obj, path[:len(path)-1])
	if _, ok := step(parent, path[len(path)-1]); !ok {
		return false
	}
	switch container := parent.(type) {
	case map[string]any:
		container[*path[len(path)-1].FieldName] = v
	case []any:
		container[indexOf(container, path[len(path)-1])] = v
	}
	return true
}

// Covers says whether a set owns a place in an object, or anything below it,
// or a whole that it is part of.
func Covers(set *fieldpath.Set, obj map[string]any, location fieldpath.Path) bool {
	var current any = obj
	for _, element := range location {
		if list, ok := current.([]any); ok && element.Index != nil && *element.Index < len(list) {
			element = elementFor(set, list, *element.Index)
		}
		child, ok := set.Children.Get(element)
		if !ok {
			return set.Members.Has(element)
		}
		set = child
		current, _ = step(current, element)
	}
	return true
}

// Remove takes the value at a path out of an object, and says whether it was
// there. Maps that become empty by it stay.
func Remove(obj map[string]any, path fieldpath.Path) bool {
	if len(path) == 0 {
		return false
	}
	removed, _ := remove(obj, path)
	return removed
}

// remove gives the container back, as a list that lost an element is a new one.
func remove(current any, path fieldpath.Path) (bool, any) {
	element := path[0]
	switch container := current.(type) {
	case map[string]any:
		if element.FieldName == nil {
			return false, container
		}
		child, ok := container[*element.FieldName]
		if !ok {
			return false, container
		}
		if len(path) == 1 {
			delete(container, *element.FieldName)
			return true, container
		}
		removed, changed := remove(child, path[1:])
		container[*element.FieldName] = changed
		return removed, container
	case []any:
		index := indexOf(container, element)
		if index < 0 {
			return false, container
		}
		if len(path) == 1 {
			return true, append(container[:index:index], container[index+1:]...)
		}
		removed, changed := remove(container[index], path[1:])
		container[index] = changed
		return removed, container
	}
	return false, current
}

// PathString writes a path as people write it: spec.containers[name="web"].image.
func PathString(path fieldpath.Path) string {
	var b strings.Builder
	for _, element := range path {
		if element.FieldName == nil {
			b.WriteString(element.String())
			continue
		}
		name := *element.FieldName
		if strings.ContainsAny(name, `.[]"`) {
			b.WriteString("[" + strconv.Quote(name) + "]")
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(name)
	}
	return b.String()
}

// canonical is a value as JSON with sorted keys.
func canonical(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil { // only what JSON brought is ever in here
		return nil
	}
	return text
}

func isEmpty(v any) bool {
	switch typed := v.(type) {
	case map[string]any:
		return len(typed) == 0
	case []any:
		return len(typed) == 0
	}
	return false
}
