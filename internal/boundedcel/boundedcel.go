// Package boundedcel bounds CEL expressions that strangers wrote: in their length,
// in what one run may cost, and in what a single function may do.
package boundedcel

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/ext"
	"github.com/google/cel-go/interpreter"
	"k8s.io/apiserver/pkg/cel/library"
)

// The bounds of one expression.
const (
	// MaxLength of an expression in bytes.
	MaxLength = 16 << 10
	// CostLimit of one run of an expression, in CEL's cost units: what
	// Kubernetes grants a single validation rule.
	CostLimit = 1_000_000
	// maxRange caps lists.range.
	maxRange = 10_000
	// maxNesting caps the depth of an expression's tree.
	maxNesting = 100
	// maxRegexProgram caps the size of a compiled regular expression.
	maxRegexProgram = 10_000
)

// ErrCost is the cause when one run has become too costly.
var ErrCost = fmt.Errorf("the expression costs more than the limit of %d", CostLimit)

// Libraries are the functions that agents have as well, so that a rewritten rule
// means the same there, and the bounds of what can be parsed.
func Libraries(semver ...library.SemverOption) []cel.EnvOption {
	return []cel.EnvOption{
		cel.EagerlyValidateDeclarations(true),
		cel.DefaultUTCTimeZone(true),
		cel.CrossTypeNumericComparisons(true),
		cel.OptionalTypes(),
		// A rule can only be written as text again when its macros are known.
		cel.EnableMacroCallTracking(),
		cel.ParserExpressionSizeLimit(MaxLength),
		cel.ParserRecursionLimit(maxNesting),
		cel.ExpressionNestingDepthLimit(maxNesting),
		cel.ASTValidators(cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateRegexLiterals()),
		ext.Strings(ext.StringsVersion(4)),
		ext.Lists(ext.ListsMaxRangeSize(maxRange)),
		ext.Encoders(),
		ext.Bindings(),
		ext.TwoVarComprehensions(),
		ext.Math(),
		ext.Sets(),
		library.Lists(),
		library.URLs(),
		library.Regex(),
		library.Quantity(),
		library.IP(),
		library.CIDR(),
		library.SemverLib(semver...),
		library.Format(),
	}
}

// TooCostly is the fault of an expression whose values repeat too often for any
// bound on its run to help.
type TooCostly struct{}

// Error implements error.
func (TooCostly) Error() string {
	return fmt.Sprintf("the expression repeats its values more than %d times", maxUnfolded)
}

// Program prepares a checked expression to run within the bounds. further names
// functions beyond the Libraries that are as cheap as reading a field. The error
// is TooCostly, or CEL's.
func Program(env *cel.Env, checked *cel.Ast, costs interpreter.ActualCostEstimator, further ...string) (cel.Program, error) {
	native := checked.NativeRep()
	options := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize, cel.OptPartialEval)}
	// Tracking costs more than a cheap expression does.
	if !isCheap(native.Expr(), further) {
		if unfolded(native) > maxUnfolded {
			return nil, TooCostly{}
		}
		options = append(options, cel.CostLimit(CostLimit), cel.CostTracking(costs))
		options = append(options, guarded()...)
	}
	return env.Program(checked, options...)
}

// Exceeded says whether a run was ended because of its cost.
func Exceeded(err error) bool {
	var cancelled interpreter.EvalCancelledError
	return errors.As(err, &cancelled) && cancelled.Cause == interpreter.CostLimitExceeded
}

// Estimator tells what the Libraries' functions cost.
type Estimator struct{ library.CostEstimator }

// CallCost implements interpreter.ActualCostEstimator.
func (e *Estimator) CallCost(name, overloadID string, args []ref.Val, result ref.Val) *uint64 {
	if work, found := works[name]; found {
		return Charge(1 + perStep*work(args))
	}
	return e.CostEstimator.CallCost(name, overloadID, args, result)
}

// Charge is a cost as CEL wants it; more than the limit is the limit and one.
func Charge(cost float64) *uint64 {
	total := uint64(math.Ceil(math.Min(cost, CostLimit+1)))
	return &total
}

// Size is the number of elements or characters of a value, 1 for a scalar.
func Size(v ref.Val) float64 {
	if sizer, ok := v.(traits.Sizer); ok {
		if size, ok := sizer.Size().(types.Int); ok {
			return float64(size)
		}
	}
	return 1
}

// cheapFunctions run in a time that is at most linear in their input, and their
// output is no longer than their input.
var cheapFunctions = map[string]bool{
	operators.Conditional: true, operators.LogicalAnd: true, operators.LogicalOr: true, operators.LogicalNot: true,
	operators.Equals: true, operators.NotEquals: true, operators.Less: true, operators.LessEquals: true,
	operators.Greater: true, operators.GreaterEquals: true, operators.Add: true, operators.Subtract: true,
	operators.Multiply: true, operators.Divide: true, operators.Modulo: true, operators.Negate: true,
	operators.Index: true, operators.OptIndex: true, operators.OptSelect: true, operators.In: true,
	operators.NotStrictlyFalse: true, "size": true, "string": true, "int": true, "uint": true, "double": true, "bool": true, "dyn": true,
	"type": true, "startsWith": true, "endsWith": true, "contains": true, "orValue": true, "or": true, "hasValue": true, "value": true,
	"optional.of": true, "optional.none": true, "optional.ofNonZeroValue": true,
}

// The size up to which an expression of cheap functions is cheap. Each `+` may
// copy both its sides, hence the tighter bound.
const (
	maxCheapNodes = 64
	maxCheapAdds  = 8
)

// isCheap proves that an expression needs no cost tracking: a short one without
// comprehensions, made of cheap functions.
func isCheap(root ast.Expr, further []string) bool {
	nodes, adds, cheap := 0, 0, true
	ast.PostOrderVisit(root, ast.NewExprVisitor(func(e ast.Expr) {
		nodes++
		switch e.Kind() {
		case ast.ComprehensionKind, ast.StructKind:
			cheap = false
		case ast.CallKind:
			fn := e.AsCall().FunctionName()
			cheap = cheap && (cheapFunctions[fn] || slices.Contains(further, fn))
			if fn == operators.Add {
				adds++
			}
		}
	}))
	return cheap && nodes <= maxCheapNodes && adds <= maxCheapAdds
}
