package drift

import (
	"encoding/json"
	"strconv"

	"k8s.io/apimachinery/pkg/api/resource"
)

// SameValue compares a manifest's value with a server's. The server may write
// the same thing differently: a quantity in canonical form, an integer for
// 1.0, keys of its own inside a map or list element, nothing for null or empty.
func SameValue(desired, observed any) bool { return same(desired, observed, false) }

// same is SameValue; where the server may drop a zero value, one that is not there
// is the same as none.
func same(desired, observed any, mayDrop bool) bool {
	if observed == nil && mayDrop && isZero(desired) {
		return true
	}
	switch want := desired.(type) {
	case nil:
		return observed == nil || isEmpty(observed)
	case map[string]any:
		return sameMap(want, observed, mayDrop)
	case []any:
		return sameList(want, observed, mayDrop)
	}
	if desired == observed {
		return true
	}
	return sameNumber(desired, observed)
}

// isZero says whether a value is what Go leaves out of JSON with omitempty.
func isZero(v any) bool {
	switch typed := v.(type) {
	case nil:
		return true
	case string:
		return typed == ""
	case bool:
		return !typed
	case int64:
		return typed == 0
	case float64:
		return typed == 0
	}
	return isEmpty(v)
}

func sameMap(want map[string]any, observed any, mayDrop bool) bool {
	have, ok := observed.(map[string]any)
	if !ok {
		return len(want) == 0 && observed == nil
	}
	for key, value := range want {
		if !same(value, have[key], mayDrop) {
			return false
		}
	}
	return true
}

func sameList(want []any, observed any, mayDrop bool) bool {
	have, ok := observed.([]any)
	if !ok {
		return len(want) == 0 && observed == nil
	}
	if len(want) != len(have) {
		return false
	}
	for i := range want {
		if !same(want[i], have[i], mayDrop) {
			return false
		}
	}
	return true
}

// sameNumber covers numbers and quantities, which the server rewrites: 0.5 and
// 500m, 1000m and 1, 1 and 1.0. Only where the two differ as written.
func sameNumber(a, b any) bool {
	textA, okA := number(a)
	textB, okB := number(b)
	if !okA || !okB {
		return false
	}
	quantityA, errA := resource.ParseQuantity(textA)
	quantityB, errB := resource.ParseQuantity(textB)
	return errA == nil && errB == nil && quantityA.Cmp(quantityB) == 0
}

func number(v any) (string, bool) {
	switch typed := v.(type) {
	case string:
		return typed, typed != ""
	case int64:
		return strconv.FormatInt(typed, 10), true
	case float64:
		return strconv.FormatFloat(typed, 'f', -1, 64), true
	case json.Number:
		return typed.String(), true
	}
	return "", false
}
