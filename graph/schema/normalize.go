package schema

import (
	"encoding/base64"
	"math"
	"time"

	"github.com/google/cel-go/common/types"
)

// Normalize returns v, decoded JSON, as CEL is to see it: bytes, timestamps and
// durations decoded, numbers of the declared kind. What needs no change is
// shared with v, which is never written to. A value that does not fit its
// declaration becomes a CEL error that surfaces where it is read, and only
// there.
func (d *Decl) Normalize(v any) any {
	out, _ := d.normalize(v, 0)
	return out
}

// normalize also tells whether anything changed, so that unchanged subtrees are
// not copied.
func (d *Decl) normalize(v any, depth int) (any, bool) {
	if v == nil || depth > maxDepth*2 {
		return v, false
	}
	switch d.Form {
	case Struct, Map:
		return d.normalizeObject(v, depth)
	case List:
		return d.normalizeList(v, depth)
	case Int:
		if f, ok := v.(float64); ok && f == math.Trunc(f) && math.Abs(f) < 1<<63 {
			return int64(f), true
		}
	case Double:
		if i, ok := v.(int64); ok {
			return float64(i), true
		}
	case Bytes, Timestamp, Duration:
		if s, ok := v.(string); ok {
			return d.decode(s), true
		}
	}
	return v, false
}

func (d *Decl) decode(s string) any {
	switch d.Form {
	case Bytes:
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return types.NewErr("value is not base64: %v", err)
		}
		return b
	case Timestamp:
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return types.NewErr("value is no RFC 3339 time: %v", err)
		}
		return types.Timestamp{Time: t}
	default:
		duration, err := time.ParseDuration(s)
		if err != nil {
			return types.NewErr("value is no duration: %v", err)
		}
		return types.Duration{Duration: duration}
	}
}

func (d *Decl) normalizeObject(v any, depth int) (any, bool) {
	object, ok := v.(map[string]any)
	if !ok {
		return v, false
	}
	var changed map[string]any
	for key, value := range object {
		elem := d.Elem
		if d.Form == Struct {
			f, found := d.Field(key)
			if !found {
				continue
			}
			elem = f.Decl
		}
		if elem.Form == Dyn || elem.Form == String || elem.Form == Bool {
			continue
		}
		out, did := elem.normalize(value, depth+1)
		if !did {
			continue
		}
		if changed == nil {
			changed = make(map[string]any, len(object))
			for k, old := range object {
				changed[k] = old
			}
		}
		changed[key] = out
	}
	if changed == nil {
		return v, false
	}
	return changed, true
}

func (d *Decl) normalizeList(v any, depth int) (any, bool) {
	list, ok := v.([]any)
	if !ok {
		return v, false
	}
	var changed []any
	for i, value := range list {
		out, did := d.Elem.normalize(value, depth+1)
		if !did {
			continue
		}
		if changed == nil {
			changed = append([]any(nil), list...)
		}
		changed[i] = out
	}
	if changed == nil {
		return v, false
	}
	return changed, true
}
