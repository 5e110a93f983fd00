package expr

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"k8s.io/apiserver/pkg/cel"
)

// ErrTooLarge is the cause when a result is larger than the budget.
var ErrTooLarge = errors.New("the result is too large")

// ErrBytes is the cause when a result is bytes where JSON needs text.
var ErrBytes = errors.New("bytes cannot be written to this field as they are: encode them with base64.encode(…)")

// maxValueDepth bounds the nesting of a result.
const maxValueDepth = 64

// JSON turns a result into decoded JSON that shares nothing with its inputs.
// bytesAsBase64 is for fields whose text is base64. The result is Omitted when
// the value is omit(); inside of a list or a map it is left out.
func JSON(v ref.Val, bytesAsBase64 bool, budget *Budget) (any, error) {
	c := converter{budget: budget, base64: bytesAsBase64}
	return c.value(v, 0)
}

type converter struct {
	budget *Budget
	base64 bool
}

func (c converter) spend(n int) error {
	if c.budget.Bytes -= n; c.budget.Bytes < 0 {
		c.budget.Bytes = 0
		return ErrTooLarge
	}
	return nil
}

func (c converter) value(v ref.Val, depth int) (any, error) {
	if depth > maxValueDepth {
		return nil, fmt.Errorf("%w: nested deeper than %d levels", ErrTooLarge, maxValueDepth)
	}
	switch v := v.(type) {
	case types.String:
		return string(v), c.spend(len(v) + 2)
	case types.Int:
		return int64(v), c.spend(8)
	case types.Uint:
		if uint64(v) > math.MaxInt64 {
			return nil, fmt.Errorf("the number %d is too large", uint64(v))
		}
		return int64(v), c.spend(8)
	case types.Double:
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return nil, fmt.Errorf("%v is no JSON number", float64(v))
		}
		return float64(v), c.spend(8)
	case types.Bool:
		return bool(v), c.spend(4)
	case types.Null:
		return nil, c.spend(4)
	case types.Bytes:
		return c.bytes(v)
	case types.Timestamp:
		return v.UTC().Format(time.RFC3339Nano), c.spend(24)
	case types.Duration:
		return v.String(), c.spend(16)
	case *types.Optional:
		if !v.HasValue() {
			return nil, c.spend(4)
		}
		return c.value(v.GetValue(), depth)
	case *types.Err:
		return nil, v
	case omitted:
		return Omitted, nil
	}
	return c.composite(v, depth)
}

func (c converter) bytes(b []byte) (any, error) {
	if !c.base64 {
		return nil, ErrBytes
	}
	return base64.StdEncoding.EncodeToString(b), c.spend(len(b) * 4 / 3)
}

func (c converter) composite(v ref.Val, depth int) (any, error) {
	switch native := v.Value().(type) {
	case map[string]any:
		return c.native(native, depth)
	case []any:
		return c.native(native, depth)
	}
	switch v := v.(type) {
	case traits.Lister:
		return c.list(v, depth)
	case traits.Mapper:
		return c.mapping(v, depth)
	case cel.Quantity:
		return v.String(), c.spend(16)
	}
	return nil, fmt.Errorf("a value of type %s cannot be written as JSON", v.Type().TypeName())
}

func (c converter) list(l traits.Lister, depth int) (any, error) {
	size, ok := l.Size().(types.Int)
	if !ok {
		return nil, fmt.Errorf("a list of unknown size")
	}
	if err := c.spend(int(size) * 2); err != nil {
		return nil, err
	}
	out := make([]any, 0, int(size))
	for it := l.Iterator(); it.HasNext() == types.True; {
		item, err := c.value(it.Next(), depth+1)
		if err != nil {
			return nil, err
		}
		if item == Omitted {
			continue
		}
		out = append(out, item)
	}
	return out, nil
}

func (c converter) mapping(m traits.Mapper, depth int) (any, error) {
	out := map[string]any{}
	for it := m.Iterator(); it.HasNext() == types.True; {
		key := it.Next()
		text, ok := key.(types.String)
		if !ok {
			return nil, fmt.Errorf("the keys of an object are strings, not %s", key.Type().TypeName())
		}
		value, err := c.value(m.Get(key), depth+1)
		if err != nil {
			return nil, err
		}
		if value == Omitted {
			continue
		}
		if err := c.spend(len(text) + 4); err != nil {
			return nil, err
		}
		out[string(text)] = value
	}
	return out, nil
}

// native copies decoded JSON, in which Normalize may have put CEL values.
func (c converter) native(v any, depth int) (any, error) {
	if depth > maxValueDepth {
		return nil, fmt.Errorf("%w: nested deeper than %d levels", ErrTooLarge, maxValueDepth)
	}
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			if err := c.spend(len(key) + 4); err != nil {
				return nil, err
			}
			item, err := c.native(value, depth+1)
			if err != nil {
				return nil, err
			}
			out[key] = item
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i, value := range v {
			item, err := c.native(value, depth+1)
			if err != nil {
				return nil, err
			}
			out[i] = item
		}
		return out, nil
	case ref.Val:
		return c.value(v, depth)
	case []byte:
		// Bytes inside of a whole object are bytes again where the object goes.
		return base64.StdEncoding.EncodeToString(v), c.spend(len(v) * 4 / 3)
	case string:
		return v, c.spend(len(v) + 2)
	}
	return v, c.spend(8)
}
