// Package path writes the place of a field the one way the engine does:
// spec.resources[1].template.metadata.labels['example.com/a'].
package path

import (
	"strconv"
	"strings"
)

// Key appends a map key to a path.
func Key(base, key string) string {
	if !plain(key) {
		return base + "['" + strings.ReplaceAll(strings.ReplaceAll(key, `\`, `\\`), "'", `\'`) + "']"
	}
	if base == "" {
		return key
	}
	return base + "." + key
}

// Index appends a list index to a path.
func Index(base string, i int) string {
	return base + "[" + strconv.Itoa(i) + "]"
}

// Fields joins field names to a path.
func Fields(fields ...string) string {
	p := ""
	for _, f := range fields {
		p = Key(p, f)
	}
	return p
}

// plain tells whether a key can stand behind a dot.
func plain(key string) bool {
	if key == "" {
		return false
	}
	for i := 0; i < len(key); i++ {
		c := key[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_', c == '-':
		case c >= '0' && c <= '9' && i > 0:
		default:
			return false
		}
	}
	return true
}
