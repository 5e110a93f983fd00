// Package expr compiles the CEL expressions of placements: conditions on the
// variable managedCluster, the whole ManagedCluster as JSON, with OCM's functions
// (spec.predicates[].requiredClusterSelector.celSelector) and more.
package expr

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apiserver/pkg/cel/library"

	"github.com/kronvoy/kronvoy/internal/boundedcel"
	"github.com/kronvoy/kronvoy/placement"
)

// variable is what expressions look at (OCM).
const variable = "managedCluster"

// perJSONByte is what decoding costs beyond what CEL charges for a call.
const perJSONByte = 0.5

// Expression is immutable and safe for concurrent use.
type Expression struct {
	source  string
	program cel.Program
	// rests is true unless it reads nothing of a cluster but what is the hub's.
	rests bool
}

// Compile checks an expression. The error says where it is wrong.
func Compile(source string) (*Expression, error) {
	if len(source) > boundedcel.MaxLength {
		return nil, fmt.Errorf("the expression is %d bytes long, at most %d are allowed", len(source), boundedcel.MaxLength)
	}
	env, err := environment()
	if err != nil {
		return nil, err
	}
	checked, issues := env.Compile(source)
	if issues.Err() != nil {
		return nil, errors.New(describe(issues))
	}
	if t := checked.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("the expression must be true or false, its type is %s", t)
	}
	program, err := boundedcel.Program(env, checked, &costs{})
	if err != nil {
		return nil, fmt.Errorf("preparing the expression: %w", err)
	}
	return &Expression{source: source, program: program, rests: rests(checked)}, nil
}

// describe gives position and message of each fault, without the source.
func describe(issues *cel.Issues) string {
	faults := make([]string, 0, len(issues.Errors()))
	for _, e := range issues.Errors() {
		// The parser lists all that could have stood there.
		message, _, _ := strings.Cut(strings.Join(strings.Fields(e.Message), " "), " expecting ")
		faults = append(faults, fmt.Sprintf("line %d, column %d: %s", e.Location.Line(), max(e.Location.Column()+1, 1), message))
	}
	return strings.Join(faults, "; ")
}

// String is the expression as it was written.
func (e *Expression) String() string { return e.source }

// RestsOnClaims implements placement.Expression.
func (e *Expression) RestsOnClaims() bool { return e.rests }

// rests looks for uses of the variable other than those of metadata and spec, which
// belong to the hub.
func rests(checked *cel.Ast) bool {
	all, known := 0, 0
	ast.PostOrderVisit(checked.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.IdentKind:
			if e.AsIdent() == variable {
				all++
			}
		case ast.SelectKind:
			of, field := e.AsSelect().Operand(), e.AsSelect().FieldName()
			if of.Kind() == ast.IdentKind && of.AsIdent() == variable && (field == "metadata" || field == "spec") {
				known++
			}
		}
	}))
	return all > known
}

// cheapCost is what a run without cost tracking is charged.
const cheapCost = 50

// Matches runs the expression on Object and Scores of a cluster. It implements
// placement.Expression.
func (e *Expression) Matches(c *placement.Cluster, now time.Time) (matches bool, cost uint64, err error) {
	object := types.NewStringInterfaceMap(types.DefaultTypeAdapter, c.Object)
	out, details, err := e.program.Eval(activation{cluster{Mapper: object, scores: c.Scores, now: now}})
	if boundedcel.Exceeded(err) {
		return false, boundedcel.CostLimit, boundedcel.ErrCost
	}
	cost = cheapCost
	if actual := details.ActualCost(); actual != nil {
		cost = *actual
	}
	if err != nil {
		return false, cost, err
	}
	matches, ok := out.Value().(bool)
	if !ok {
		return false, cost, fmt.Errorf("the result is of type %s, not true or false", out.Type().TypeName())
	}
	return matches, cost, nil
}

// activation holds the only variable.
type activation struct{ cluster ref.Val }

func (a activation) ResolveName(name string) (any, bool) { return a.cluster, name == variable }
func (a activation) Parent() interpreter.Activation      { return nil }

// cluster is the value of the variable: a map that knows the cluster's scores.
type cluster struct {
	traits.Mapper
	scores map[string]placement.AddOnScores
	now    time.Time
}

// environment costs milliseconds to build.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	env, err := cel.NewEnv(append(boundedcel.Libraries(library.SemverVersion(1)),
		cel.Variable(variable, cel.DynType),
		// managedCluster.scores('name') lists {name, value} of the AddOnPlacementScore
		// of that name in the cluster's namespace (OCM).
		cel.Function("scores", cel.MemberOverload("cluster_scores", []*cel.Type{cel.DynType, cel.StringType},
			cel.ListType(cel.MapType(cel.StringType, cel.DynType)), cel.BinaryBinding(scores))),
		// text.parseJSON() is the value that a JSON text stands for (OCM).
		cel.Function("parseJSON", cel.MemberOverload("string_parse_json", []*cel.Type{cel.StringType}, cel.DynType, cel.UnaryBinding(parseJSON))),
	)...)
	if err != nil {
		return nil, fmt.Errorf("building the CEL environment of placements: %w", err)
	}
	return env, nil
})

func scores(receiver, name ref.Val) ref.Val {
	c, ok := receiver.(cluster)
	text, isText := name.(types.String)
	if !ok || !isText {
		return types.MaybeNoSuchOverloadErr(receiver)
	}
	addOn, found := c.scores[string(text)]
	if !found {
		return types.NewErr("the cluster has no AddOnPlacementScore %s", text)
	}
	if !addOn.Valid(c.now) {
		return types.NewErr("the cluster's AddOnPlacementScore %s was valid until %s", text, addOn.ValidUntil.UTC().Format(time.RFC3339))
	}
	list := make([]map[string]any, 0, len(addOn.Values))
	for score, value := range addOn.Values {
		list = append(list, map[string]any{"name": score, "value": value})
	}
	slices.SortFunc(list, func(a, b map[string]any) int { return cmp.Compare(a["name"].(string), b["name"].(string)) })
	return types.DefaultTypeAdapter.NativeToValue(list)
}

func parseJSON(text ref.Val) ref.Val {
	s, ok := text.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(text)
	}
	var value any
	if err := utiljson.Unmarshal([]byte(s), &value); err != nil {
		return types.NewErr("parseJSON: %v", err)
	}
	return types.DefaultTypeAdapter.NativeToValue(value)
}

// costs adds the cost of the functions here to that of the libraries.
type costs struct{ boundedcel.Estimator }

// CallCost implements interpreter.ActualCostEstimator.
func (c *costs) CallCost(name, overloadID string, args []ref.Val, result ref.Val) *uint64 {
	switch overloadID {
	case "cluster_scores":
		return boundedcel.Charge(1 + boundedcel.Size(result))
	case "string_parse_json":
		return boundedcel.Charge(1 + perJSONByte*boundedcel.Size(args[0]))
	}
	return c.Estimator.CallCost(name, overloadID, args, result)
}
