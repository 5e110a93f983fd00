package compare

import (
	"maps"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/runtime"
)

// Minimise takes parts out of a value as long as the rest keeps a property, and
// returns what is left. It stops after a number of attempts.
func Minimise(v map[string]any, attempts int, keeps func(map[string]any) bool) map[string]any {
	for progress := true; progress; {
		progress = false
		for _, path := range parts(nil, v) {
			if attempts--; attempts < 0 {
				return v
			}
			smaller := runtime.DeepCopyJSON(v)
			if remove(smaller, path) && keeps(smaller) {
				v, progress = smaller, true
			}
		}
	}
	return v
}

// parts are the paths of everything that can be taken out, the largest first.
func parts(path []string, v any) [][]string {
	var out, deeper [][]string
	add := func(key string, value any) {
		at := append(append([]string{}, path...), key)
		out = append(out, at)
		deeper = append(deeper, parts(at, value)...)
	}
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			add(key, v[key])
		}
	case []any:
		for i := range v {
			add(strconv.Itoa(len(v)-1-i), v[len(v)-1-i])
		}
	}
	return append(out, deeper...)
}

// remove takes out what is at a path; false when nothing is there any more.
func remove(v any, path []string) bool {
	switch at := v.(type) {
	case map[string]any:
		if _, found := at[path[0]]; !found {
			return false
		}
		if len(path) == 1 {
			delete(at, path[0])
			return true
		}
		if list, ok := at[path[0]].([]any); ok && len(path) == 2 {
			i, err := strconv.Atoi(path[1])
			if err != nil || i >= len(list) {
				return false
			}
			at[path[0]] = append(append([]any{}, list[:i]...), list[i+1:]...)
			return true
		}
		return remove(at[path[0]], path[1:])
	case []any:
		i, err := strconv.Atoi(path[0])
		if err != nil || i >= len(at) || len(path) == 1 {
			return false
		}
		return remove(at[i], path[1:])
	}
	return false
}
