package boundedcel

import (
	"errors"
	"fmt"
	"math"
	"regexp/syntax"
	"strings"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/functions"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"
)

// CEL counts what a call has cost when it is over, and nothing can interrupt one.
// A function whose time or memory grows faster than its arguments is therefore
// judged by its arguments, before it runs.

// perStep is what one step of a call's work costs.
const perStep = 0.1

// What a part of a result counts in steps.
const (
	stepsPerByte    = 4
	stepsPerElement = 20
)

// maxCallWork is what one call may do: what an expression may cost.
const maxCallWork = CostLimit / perStep

// maxUnfolded caps how often the values of an expression are in its result when
// nothing is shared any more: [a, a] is twice a, and CEL compares both.
const maxUnfolded = 10_000

// works estimate the steps of a call by its arguments, by function. A call also
// costs that much.
var works = map[string]func(args []ref.Val) float64{
	"matches":         regexWork,
	"find":            regexWork,
	"findAll":         regexWork,
	"join":            joinWork,
	"replace":         replaceWork,
	"format":          func(args []ref.Val) float64 { return stepsPerByte * textSize(args, 0) },
	"indexOf":         searchWork,
	"lastIndexOf":     searchWork,
	"flatten":         flattenWork,
	"distinct":        func(args []ref.Val) float64 { return Size(args[0]) * Size(args[0]) },
	"sets.contains":   setsWork,
	"sets.intersects": setsWork,
	"sets.equivalent": setsWork,
}

// implementations are the functions of works, by overload and by name.
var implementations = sync.OnceValues(func() (map[string]*functions.Overload, error) {
	env, err := cel.NewEnv(Libraries()...)
	if err != nil {
		return nil, fmt.Errorf("building the CEL environment: %w", err)
	}
	out := map[string]*functions.Overload{}
	for name := range works {
		bindings, err := env.Functions()[name].Bindings()
		if err != nil {
			return nil, fmt.Errorf("finding the function %s: %w", name, err)
		}
		for _, b := range bindings {
			out[b.Operator] = b
		}
	}
	return out, nil
})

// guarded are the options of a program whose calls are judged before they run.
func guarded() []cel.ProgramOption {
	options := []cel.ProgramOption{cel.CustomDecoratorV2(guard)}
	// CEL would put calls of its own in the place of those with a constant pattern.
	for function, overloads := range map[string][]string{"matches": {"matches", "matches_string"},
		"find": {"string_find_string"}, "findAll": {"string_find_all_string", "string_find_all_string_int"}} {
		for _, overload := range overloads {
			options = append(options, cel.OptimizeRegex(&interpreter.RegexOptimization{Function: function, OverloadID: overload, RegexIndex: 1, Factory: keepCall}))
		}
	}
	return options
}

// keepCall finds fault with a constant pattern, and leaves the call as it is.
func keepCall(call interpreter.InterpretableCall, pattern string) (interpreter.InterpretableCall, error) {
	if _, err := programSize(pattern); err != nil {
		return nil, err
	}
	return call, nil
}

// programSize is the number of instructions that a pattern becomes. It does what
// CEL's own limit does not: repetitions are simplified first, without which the
// regexp package panics.
func programSize(pattern string) (int, error) {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return 0, err
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return 0, err
	}
	if size := len(program.Inst); size <= maxRegexProgram {
		return size, nil
	}
	return 0, fmt.Errorf("the pattern has more than %d states", maxRegexProgram)
}

// guard is an interpreter.InterpretableDecoratorV2.
func guard(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	call, ok := i.(interpreter.InterpretableCall)
	if !ok {
		return i, nil
	}
	work, found := works[call.Function()]
	if !found {
		return i, nil
	}
	all, err := implementations()
	if err != nil {
		return nil, err
	}
	implementation := all[call.OverloadID()]
	if implementation == nil {
		implementation = all[call.Function()]
	}
	if implementation == nil {
		return nil, fmt.Errorf("the function %s has no implementation", call.Function())
	}
	return interpreter.NewCall(call.ID(), call.Function(), call.OverloadID(), call.Args(), func(args ...ref.Val) ref.Val {
		if work(args) > maxCallWork {
			return types.WrapErr(ErrCost)
		}
		return invoke(implementation, args)
	}), nil
}

func invoke(f *functions.Overload, args []ref.Val) ref.Val {
	switch {
	case f.OperandTrait != 0 && !args[0].Type().HasTrait(f.OperandTrait):
		return types.MaybeNoSuchOverloadErr(args[0])
	case len(args) == 1 && f.Unary != nil:
		return f.Unary(args[0])
	case len(args) == 2 && f.Binary != nil:
		return f.Binary(args[0], args[1])
	case f.Function != nil:
		return f.Function(args...)
	}
	return types.NoSuchOverloadErr()
}

func lengthOf(v ref.Val) float64 {
	s, _ := v.(types.String)
	return float64(len(s))
}

// regexWork is the length of the text times the size of the pattern's program;
// one that is too large is never run.
func regexWork(args []ref.Val) float64 {
	pattern, ok := args[1].(types.String)
	if !ok {
		return 0 // the call itself says what is wrong
	}
	length := math.Max(1, lengthOf(args[0]))
	if !strings.Contains(string(pattern), "{") {
		// Without repetitions no character of a pattern becomes more than two states.
		if most := 2*len(pattern) + 8; most <= maxRegexProgram {
			return length * float64(most)
		}
	}
	size, err := programSize(string(pattern))
	var fault *syntax.Error
	switch {
	case errors.As(err, &fault):
		return 0 // as above
	case err != nil:
		return math.Inf(1)
	}
	return length * float64(size)
}

func joinWork(args []ref.Val) float64 {
	work := textSize(args[:1], 0)
	if len(args) > 1 {
		work += Size(args[0]) * lengthOf(args[1])
	}
	return stepsPerByte * work
}

// replaceWork is the length of the result.
func replaceWork(args []ref.Val) float64 {
	text, ok1 := args[0].(types.String)
	from, ok2 := args[1].(types.String)
	if !ok1 || !ok2 {
		return 0
	}
	count := float64(strings.Count(string(text), string(from)))
	if len(args) > 3 {
		if limit, ok := args[3].(types.Int); ok && limit >= 0 {
			count = math.Min(count, float64(limit))
		}
	}
	return stepsPerByte * (lengthOf(text) + count*lengthOf(args[2]))
}

// searchWork is how often two characters are compared; in a list elements are.
func searchWork(args []ref.Val) float64 {
	return math.Max(1, lengthOf(args[0])) * math.Max(1, lengthOf(args[1]))
}

func setsWork(args []ref.Val) float64 { return Size(args[0]) * Size(args[1]) }

// flattenWork is the number of elements that come out.
func flattenWork(args []ref.Val) float64 {
	depth := 1
	if len(args) > 1 {
		if given, ok := args[1].(types.Int); ok {
			depth = int(min(given, maxNesting))
		}
	}
	return stepsPerElement * elements(args[0], depth)
}

func elements(v ref.Val, depth int) float64 {
	list, ok := v.(traits.Lister)
	if !ok {
		return 1
	}
	if depth < 0 {
		return 1
	}
	work := Size(list)
	for it := list.Iterator(); depth > 0 && work <= maxCallWork && it.HasNext() == types.True; {
		work += elements(it.Next(), depth-1)
	}
	return work
}

// textSize is the length of the text in some values, those inside of lists and maps
// included; beyond the limit it stops counting.
func textSize(values []ref.Val, depth int) float64 {
	size := 0.0
	for _, v := range values {
		switch v := v.(type) {
		case traits.Lister:
			for it := v.Iterator(); size <= maxCallWork && depth < maxNesting && it.HasNext() == types.True; {
				size += 1 + textSize([]ref.Val{it.Next()}, depth+1)
			}
		case traits.Mapper:
			for it := v.Iterator(); size <= maxCallWork && depth < maxNesting && it.HasNext() == types.True; {
				key := it.Next()
				size += 1 + textSize([]ref.Val{key, v.Get(key)}, depth+1)
			}
		default:
			size += math.Max(16, lengthOf(v))
		}
	}
	return size
}

// unfolder estimates how many values an expression holds when each use of one
// counts: cel.bind(a, [x, x], [a, a]) is four times x.
type unfolder struct {
	ast *ast.AST
	// scope holds it for the variables of macros.
	scope map[string]float64
	// most is the most that any part of the expression holds.
	most float64
}

func unfolded(a *ast.AST) float64 {
	u := &unfolder{ast: a, scope: map[string]float64{}}
	u.value(a.Expr())
	return u.most
}

// value returns the size of a value; a scalar is one, whatever it was made of.
func (u *unfolder) value(e ast.Expr) float64 {
	size := u.parts(e)
	u.most = math.Max(u.most, size)
	switch u.ast.GetType(e.ID()).Kind() {
	case types.BoolKind, types.IntKind, types.UintKind, types.DoubleKind, types.StringKind, types.BytesKind:
		return 1
	}
	return size
}

func (u *unfolder) parts(e ast.Expr) float64 {
	switch e.Kind() {
	case ast.IdentKind:
		if size, local := u.scope[e.AsIdent()]; local {
			return size
		}
	case ast.SelectKind:
		return u.value(e.AsSelect().Operand())
	case ast.ListKind:
		return u.sum(e.AsList().Elements()...)
	case ast.MapKind:
		size := 1.0
		for _, entry := range e.AsMap().Entries() {
			size += u.sum(entry.AsMapEntry().Key(), entry.AsMapEntry().Value())
		}
		return size
	case ast.CallKind:
		call := e.AsCall()
		if call.FunctionName() == operators.Conditional {
			u.value(call.Args()[0])
			return math.Max(u.value(call.Args()[1]), u.value(call.Args()[2]))
		}
		size := u.sum(call.Args()...)
		if call.IsMemberFunction() {
			size += u.value(call.Target())
		}
		return size
	case ast.ComprehensionKind:
		return u.comprehension(e.AsComprehension())
	}
	return 1
}

func (u *unfolder) sum(parts ...ast.Expr) float64 {
	size := 1.0
	for _, part := range parts {
		size += u.value(part)
	}
	return size
}

func (u *unfolder) comprehension(c ast.ComprehensionExpr) float64 {
	element, start := u.value(c.IterRange()), u.value(c.AccuInit())
	outer := u.scope
	defer func() { u.scope = outer }()
	u.scope = make(map[string]float64, len(outer)+3)
	for name, size := range outer {
		u.scope[name] = size
	}
	u.scope[c.IterVar()], u.scope[c.IterVar2()], u.scope[c.AccuVar()] = element, element, start
	u.value(c.LoopCondition())
	u.scope[c.AccuVar()] = math.Max(start, u.value(c.LoopStep()))
	return u.value(c.Result())
}
