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
	"strings"
)

// Version is the current version of the hashing rules.
const Version = "v1"

// Of returns the hash of v as "<version>-<16 hex digits>": short and legal as a
// label value and as a part of an object's name. v is anything that
// encoding/json can encode: decoded JSON, or structs of it. Numbers count by
// value: int64(1) and float64(1) are the same.
func Of(v any) string {
	sum := sha256.Sum256(canonical(v))
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

// canonical encodes v as JSON with sorted keys and without HTML escapes. Values
// that JSON cannot express (NaN, channels) never come out of decoded YAML or
// JSON; they are hashed by their Go text rather than all alike.
func canonical(v any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Appendf(nil, "unencodable %T %v", v, v)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}
