package compare

import (
	"math/rand/v2"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/runtime"
)

// Mutate returns a definition in which one part is taken out, or one text is
// changed a little; most of these are wrong.
func Mutate(r *rand.Rand, rgd map[string]any) (mutated map[string]any, path []string) {
	mutated = runtime.DeepCopyJSON(rgd)
	all := slices.DeleteFunc(parts([]string{"spec"}, mutated["spec"]), judgedByServer)
	path = all[r.IntN(len(all))]
	if r.IntN(2) == 0 || !rewrite(mutated, path, func(s string) string { return misspell(r, s) }) {
		remove(mutated, path)
	}
	return mutated, path
}

// judgedByServer tells whether what is at a path is refused by the API server,
// so that kro's engine never sees it.
func judgedByServer(path []string) bool {
	return len(path) < 3 || len(path) == 3 && path[1] == "schema" && slices.Contains([]string{"apiVersion", "kind", "group", "scope"}, path[2])
}

// misspell takes out, doubles or replaces one character.
func misspell(r *rand.Rand, s string) string {
	if s == "" {
		return "x"
	}
	i := r.IntN(len(s))
	switch r.IntN(3) {
	case 0:
		return s[:i] + s[i+1:]
	case 1:
		return s[:i] + s[i:i+1] + s[i:]
	}
	const letters = `abz09 .+-"'{}()[]$?!=<&|`
	return s[:i] + string(letters[r.IntN(len(letters))]) + s[i+1:]
}

// rewrite changes the text at a path; false when there is none.
func rewrite(v any, path []string, change func(string) string) bool {
	key := path[0]
	switch at := v.(type) {
	case map[string]any:
		if s, ok := at[key].(string); ok && len(path) == 1 {
			at[key] = change(s)
			return true
		}
		return len(path) > 1 && rewrite(at[key], path[1:], change)
	case []any:
		i, err := strconv.Atoi(key)
		if err != nil || i >= len(at) {
			return false
		}
		if s, ok := at[i].(string); ok && len(path) == 1 {
			at[i] = change(s)
			return true
		}
		return len(path) > 1 && rewrite(at[i], path[1:], change)
	}
	return false
}
