// Package path writes the place of a field the one way the engine does:
// spec.resources[1].template.metadata.labels['example.com/a'].
package path

import (
	"fmt"
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

// Parse reads a path of fields and map keys, as Fields writes it; keys may also
// stand in double quotes. offset is where a fault is.
func Parse(text string) (fields []string, offset int, err error) {
	for at := 0; at < len(text) || len(fields) == 0; {
		if strings.HasPrefix(text[at:], "[") {
			key, end, err := quotedKey(text, at)
			if err != nil {
				return nil, at, err
			}
			fields, at = append(fields, key), end
			continue
		}
		if len(fields) > 0 {
			if text[at] != '.' {
				return nil, at, fmt.Errorf("a dot or a bracket must stand before the next field")
			}
			at++
		}
		end := at
		for end < len(text) && text[end] != '.' && text[end] != '[' {
			end++
		}
		if !plain(text[at:end]) {
			return nil, at, fmt.Errorf("%q is no name of a field: a key with other characters is written as ['a.b/c']", text[at:end])
		}
		fields, at = append(fields, text[at:end]), end
	}
	return fields, 0, nil
}

// quotedKey reads what Key writes for a key that is not plain, and returns where
// it ends.
func quotedKey(text string, at int) (key string, end int, err error) {
	open := fmt.Errorf("only keys in quotes stand in brackets, as in ['a.b/c']: lists are replaced as a whole")
	if len(text) < at+2 || text[at+1] != '\'' && text[at+1] != '"' {
		return "", 0, open
	}
	quote := text[at+1]
	var b strings.Builder
	for i := at + 2; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		case c == quote && strings.HasPrefix(text[i+1:], "]"):
			return b.String(), i + 2, nil
		default:
			b.WriteByte(c)
		}
	}
	return "", 0, fmt.Errorf("the bracket is not closed")
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
