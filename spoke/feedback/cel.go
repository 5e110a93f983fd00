package feedback

import (
	"container/list"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/ext"
	"k8s.io/apiserver/pkg/cel/library"
)

const (
	// costLimit bounds one evaluation: the constant that the API server uses.
	costLimit = 1_000_000
	// maxExpression bounds an expression's length.
	maxExpression = 16 << 10
	// maxRange bounds the argument of lists.range.
	maxRange = 10_000
	// maxPrograms bounds the compiled programs kept, at some 50 KiB each.
	maxPrograms = 64
)

// Evaluator evaluates condition rules. Its CEL environment is built with the
// first rule: an agent that has none never pays for it.
type Evaluator struct {
	environment func() (*cel.Env, error)

	mu       sync.Mutex
	programs map[string]*list.Element
	recent   *list.List // of *program, the last used in front
}

type program struct {
	expression string
	compiled   cel.Program
	err        error
}

// NewEvaluator gives an evaluator, which may be shared.
func NewEvaluator() *Evaluator {
	return &Evaluator{
		environment: sync.OnceValues(newEnvironment),
		programs:    map[string]*list.Element{},
		recent:      list.New(),
	}
}

func newEnvironment() (*cel.Env, error) {
	env, err := cel.NewEnv(
		cel.Variable("object", cel.DynType),
		cel.Variable("result", cel.BoolType),
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
		cel.OptionalTypes(),
		ext.Strings(), ext.Lists(), ext.Encoders(), ext.Bindings(), ext.Math(), ext.Sets(), ext.TwoVarComprehensions(),
		library.Lists(), library.Regex(), library.URLs(), library.Quantity(), library.IP(), library.CIDR(),
		library.SemverLib(), library.Format(),
		cel.Function("hasConditions", cel.Overload("has_conditions_dyn", []*cel.Type{cel.DynType}, cel.BoolType,
			cel.UnaryBinding(hasConditions))),
	)
	if err != nil {
		return nil, fmt.Errorf("building the environment for condition rules: %w", err)
	}
	return env, nil
}

// hasConditions is OCM's helper: whether a status has a list of conditions.
func hasConditions(status ref.Val) ref.Val {
	fields, ok := status.(traits.Mapper)
	if !ok {
		return types.False
	}
	conditions, ok := fields.Find(types.String("conditions"))
	if !ok {
		return types.False
	}
	_, ok = conditions.(traits.Lister)
	return types.Bool(ok)
}

func (e *Evaluator) bool(expression string, object map[string]any) (bool, error) {
	value, err := e.eval(expression, map[string]any{"object": object, "result": false})
	if err != nil {
		return false, err
	}
	holds, ok := value.Value().(bool)
	if !ok {
		return false, fmt.Errorf("the result is a %s, not a bool", value.Type().TypeName())
	}
	return holds, nil
}

func (e *Evaluator) text(expression string, object map[string]any, result bool) (string, error) {
	value, err := e.eval(expression, map[string]any{"object": object, "result": result})
	if err != nil {
		return "", err
	}
	text, ok := value.Value().(string)
	if !ok {
		return "", fmt.Errorf("the result is a %s, not a string", value.Type().TypeName())
	}
	return text, nil
}

func (e *Evaluator) eval(expression string, vars map[string]any) (ref.Val, error) {
	compiled, err := e.program(expression)
	if err != nil {
		return nil, err
	}
	value, _, err := compiled.Eval(vars)
	return value, err
}

// program compiles an expression, or finds it among the last ones.
func (e *Evaluator) program(expression string) (cel.Program, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if element, ok := e.programs[expression]; ok {
		e.recent.MoveToFront(element)
		known := element.Value.(*program) //nolint:forcetypeassert // the list holds nothing else
		return known.compiled, known.err
	}
	compiled, err := e.compile(expression)
	e.programs[expression] = e.recent.PushFront(&program{expression: expression, compiled: compiled, err: err})
	if e.recent.Len() > maxPrograms {
		oldest := e.recent.Back()
		delete(e.programs, oldest.Value.(*program).expression) //nolint:forcetypeassert // see above
		e.recent.Remove(oldest)
	}
	return compiled, err
}

func (e *Evaluator) compile(expression string) (cel.Program, error) {
	if len(expression) > maxExpression {
		return nil, fmt.Errorf("the expression has %d characters, %d are allowed", len(expression), maxExpression)
	}
	env, err := e.environment()
	if err != nil {
		return nil, err
	}
	checked, issues := env.Compile(expression)
	if issues.Err() != nil {
		return nil, errors.New(strings.ReplaceAll(issues.Err().Error(), "\n", " "))
	}
	if err := boundRanges(checked); err != nil {
		return nil, err
	}
	return env.Program(checked,
		cel.CostLimit(costLimit),
		cel.CostTracking(&library.CostEstimator{}),
	)
}

// boundRanges refuses ranges that are not known to be short: cel-go allocates
// a range in full before any cost limit sees it.
func boundRanges(checked *cel.Ast) error {
	var bad error
	ast.PostOrderVisit(checked.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != "lists.range" {
			return
		}
		size := e.AsCall().Args()[0]
		if size.Kind() == ast.LiteralKind {
			if n, ok := size.AsLiteral().Value().(int64); ok && n <= maxRange {
				return
			}
		}
		bad = fmt.Errorf("lists.range takes a literal of at most %d here", maxRange)
	}))
	return bad
}

// missingTexts are how cel-go begins errors about absent content. It exports
// no type for them; the table of this package's test holds them to its release.
var missingTexts = []string{
	"no such key", "no such attribute", "index out of bounds", "optional.none() dereference",
}

// isMissing tells an absent field from a wrong rule.
func isMissing(err error) bool {
	text := err.Error()
	for _, missing := range missingTexts {
		if strings.HasPrefix(text, missing) {
			return true
		}
	}
	return strings.HasPrefix(text, "index '") && strings.Contains(text, "out of range in list")
}
