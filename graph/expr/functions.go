package expr

import (
	"fmt"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"

	"github.com/kronvoy/kronvoy/internal/boundedcel"
)

// The bounds of kro's functions. CEL counts what a call has cost when it is
// over, so that a single call must be bounded by itself.
const (
	// maxRandomLength caps random.seededString.
	maxRandomLength = 64 << 10
	// maxJSONBytes caps what json.unmarshal takes and json.marshal gives: no API
	// server stores a larger object.
	maxJSONBytes = 3 << 19
	// maxMergeDepth caps how deep deepMerge goes.
	maxMergeDepth = maxValueDepth
)

// What a function costs, in CEL's unit of some 50 ns.
const (
	// perHashedByte is what Kubernetes charges for going through a string.
	perHashedByte = 0.1
	// perJSONByte: decoding allocates.
	perJSONByte = 0.5
	// perCondition is for the map that a condition is.
	perCondition = 20
)

// kroFunctions are the functions that kro adds to CEL. Agents do not have them.
func kroFunctions() []cel.EnvOption {
	t, list := cel.TypeParamType("T"), cel.ListType(cel.TypeParamType("T"))
	mapping := cel.MapType(cel.TypeParamType("K"), cel.TypeParamType("V"))
	return []cel.EnvOption{
		function("random.seededString", cel.StringType, seededString, cel.IntType, cel.StringType),
		function("random.seededInt", cel.IntType, seededInt, cel.IntType, cel.IntType, cel.StringType),
		function("hash.fnv64a", cel.BytesType, hashed(fnv64a), cel.StringType),
		function("hash.sha256", cel.BytesType, hashed(sha256Sum), cel.StringType),
		function("hash.md5", cel.BytesType, hashed(md5Sum), cel.StringType),
		function("json.marshal", cel.StringType, marshalJSON, cel.DynType),
		function("json.unmarshal", cel.DynType, unmarshalJSON, cel.StringType),
		function("lists.setAtIndex", list, setAtIndex, list, cel.IntType, t),
		function("lists.insertAtIndex", list, insertAtIndex, list, cel.IntType, t),
		function("lists.removeAtIndex", list, removeAtIndex, list, cel.IntType),
		method("merge", mapping, merge, mapping, mapping),
		method("deepMerge", cel.DynType, deepMerge, cel.DynType, cel.DynType),
		function(omitFunction, cel.DynType, func(...ref.Val) ref.Val { return omitted{} }),
	}
}

func function(name string, result *cel.Type, f func(...ref.Val) ref.Val, args ...*cel.Type) cel.EnvOption {
	return cel.Function(name, cel.Overload(overload(name), args, result, cel.FunctionBinding(f)))
}

func method(name string, result *cel.Type, f func(...ref.Val) ref.Val, args ...*cel.Type) cel.EnvOption {
	return cel.Function(name, cel.MemberOverload(overload(name), args, result, cel.FunctionBinding(f)))
}

// overload names the only overload of a function.
func overload(name string) string { return "kro_" + name }

// costs adds the cost of kro's functions to that of the libraries.
type costs struct{ boundedcel.Estimator }

// CallCost implements interpreter.ActualCostEstimator.
func (c *costs) CallCost(name, overloadID string, args []ref.Val, result ref.Val) *uint64 {
	if overloadID != overload(name) {
		return c.Estimator.CallCost(name, overloadID, args, result)
	}
	cost := float64(1)
	switch name {
	case "random.seededString":
		cost += textCost(perHashedByte, result, args[1])
	case "random.seededInt":
		cost += textCost(perHashedByte, args[2])
	case "hash.fnv64a", "hash.sha256", "hash.md5":
		cost += textCost(perHashedByte, args[0])
	case "json.unmarshal":
		cost += textCost(perJSONByte, args[0])
	case "json.marshal":
		// A failure may have come late.
		if cost += maxJSONBytes * perJSONByte; !types.IsError(result) {
			cost = 1 + textCost(perJSONByte, result)
		}
	case "lists.setAtIndex", "lists.insertAtIndex", "lists.removeAtIndex":
		cost += boundedcel.Size(args[0])
	case "merge":
		cost += boundedcel.Size(args[0]) + boundedcel.Size(args[1])
	case "deepMerge":
		cost += mergeCost(args[0], args[1], 0)
	case newConditionFunction:
		cost += perCondition + textCost(perHashedByte, args...)
	case conditionFunction:
		cost += perCondition + boundedcel.Size(conditionsIn(args[0]))
	}
	return boundedcel.Charge(cost)
}

func textCost(factor float64, texts ...ref.Val) float64 {
	length := 0
	for _, text := range texts {
		if s, ok := text.(types.String); ok {
			length += len(s)
		}
	}
	return factor * float64(length)
}

// mergeCost counts the entries that a deep merge touches.
func mergeCost(into, from ref.Val, depth int) float64 {
	left, ok1 := into.(traits.Mapper)
	right, ok2 := from.(traits.Mapper)
	if !ok1 || !ok2 || depth > maxMergeDepth {
		return 1
	}
	cost := boundedcel.Size(left) + boundedcel.Size(right)
	for it := right.Iterator(); it.HasNext() == types.True; {
		key := it.Next()
		if old, found := left.Find(key); found {
			cost += mergeCost(old, right.Get(key), depth+1)
		}
	}
	return cost
}

// invalid is the error of a call; its text names the function.
func invalid(name, format string, args ...any) ref.Val {
	return types.NewErr("%s: %s", name, fmt.Sprintf(format, args...))
}
