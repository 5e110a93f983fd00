// Package hash names content: equal values have equal hashes, whatever the
// order of their map keys.
//
// A hash carries the version of the rules that made it. Two hashes of different
// versions say nothing about each other, so a release that renders or encodes
// differently must raise Version: its targets then move under their rollout
// strategy instead of looking like drift.
package hash

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Version is the current version of the hashing rules, and of all that is rendered:
// see CONTRIBUTING.md for when to raise it. It is a variable for the linker alone,
// which tests of upgrades use to make another release; nothing assigns it.
var Version = "v1"

// Of returns the hash of v as "<version>-<16 hex digits>": short and legal as a
// label value and as a part of an object's name. v is anything that
// encoding/json can encode: decoded JSON, or structs of it. Numbers count by
// value: int64(1) and float64(1) are the same.
func Of(v any) string {
	buffer := buffers.Get().(*[]byte)
	*buffer = appendCanonical((*buffer)[:0], v)
	sum := sha256.Sum256(*buffer)
	// A huge object must not keep its buffer for ever.
	if cap(*buffer) <= 1<<20 {
		buffers.Put(buffer)
	}
	return Version + "-" + hex.EncodeToString(sum[:8])
}

// VersionOf returns the version of the rules that made the hash h; empty when h
// is no hash of this package.
func VersionOf(h string) string {
	version, digits, found := strings.Cut(h, "-")
	if !found || len(digits) != 16 || !strings.HasPrefix(version, "v") {
		return ""
	}
	return version
}

// buffers spare the hub, which hashes every object of every evaluation, most of
// the allocations.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// appendCanonical appends v as encoding/json writes it without HTML escapes:
// keys sorted. Decoded JSON is written directly, everything else by
// encoding/json itself.
func appendCanonical(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		return strconv.AppendBool(b, v)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case string:
		return appendString(b, v)
	case map[string]any:
		if v == nil {
			return append(b, "null"...)
		}
		return appendObject(b, v)
	case []any:
		if v == nil {
			return append(b, "null"...)
		}
		b = append(b, '[')
		for i, item := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendCanonical(b, item)
		}
		return append(b, ']')
	}
	return append(b, encode(v)...)
}

func appendObject(b []byte, v map[string]any) []byte {
	var few [16]string
	keys := few[:0]
	for key := range v {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	b = append(b, '{')
	for i, key := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, key), ':')
		b = appendCanonical(b, v[key])
	}
	return append(b, '}')
}

func appendString(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return append(b, encode(s)...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// encode encodes v by encoding/json. Values that JSON cannot express (NaN,
// channels) never come out of decoded YAML or JSON; they are hashed by their Go
// text rather than all alike.
func encode(v any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Appendf(nil, "unencodable %T %v", v, v)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}
