package expr

import (
	"errors"
	"fmt"
	"reflect"
	"sort"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/interpreter"

	"github.com/kronvoy/kronvoy/graph/internal/path"
	"github.com/kronvoy/kronvoy/graph/schema"
	"github.com/kronvoy/kronvoy/internal/boundedcel"
)

// Vars are the values of the variables of one evaluation.
type Vars interface {
	// Get returns the value of a variable in the form Decl.Normalize gives it.
	Get(name string) (any, bool)
}

// Budget is what one evaluation may still spend, over all its expressions.
type Budget struct {
	// Cost left in CEL's cost units.
	Cost uint64
	// Bytes of output left.
	Bytes int
}

// The budget of one evaluation: what Kubernetes grants all rules of one request
// together, and more output than etcd could hold for it.
const (
	BudgetCost  = 10_000_000
	BudgetBytes = 32 << 20
)

// NewBudget returns a full budget.
func NewBudget() *Budget { return &Budget{Cost: BudgetCost, Bytes: BudgetBytes} }

// cheapCost is what a run without cost tracking is charged.
const cheapCost = 50

// Unknown is the outcome of an expression that reads what is not known: the
// paths it would need, sorted.
type Unknown struct {
	Paths []UnknownPath
}

// UnknownPath is one value that is not known.
type UnknownPath struct {
	// Variable it belongs to.
	Variable string
	// Path with the variable, as in service.spec.clusterIP.
	Path string
}

// Error implements error.
func (u *Unknown) Error() string {
	if len(u.Paths) == 0 {
		return "a value is not known"
	}
	return u.Paths[0].Path + " is not known"
}

// ErrBudget is the cause when the evaluation as a whole has become too costly.
var ErrBudget = errors.New("the evaluation exceeds its budget")

// ErrCost is the cause when one expression has become too costly.
var ErrCost = boundedcel.ErrCost

// Pattern names a path that counts as not known.
type Pattern struct {
	Root  string
	Steps []Step
}

// Eval runs the expression. Reads that match a pattern are not known: when the
// result depends on one, the error is *Unknown.
func (x *Expr) Eval(vars Vars, patterns []Pattern, budget *Budget) (ref.Val, error) {
	if budget.Cost == 0 {
		return nil, ErrBudget
	}
	var input interpreter.Activation = activation{vars}
	if len(patterns) > 0 {
		attributes := make([]*cel.AttributePatternType, len(patterns))
		for i, p := range patterns {
			attributes[i] = p.attribute()
		}
		partial, err := cel.PartialVars(input, attributes...)
		if err != nil {
			return nil, fmt.Errorf("preparing the unknown values: %w", err)
		}
		input = partial
	}
	out, details, err := x.program.Eval(input)
	cost := uint64(cheapCost)
	if actual := details.ActualCost(); actual != nil {
		cost = *actual
	}
	stopped := boundedcel.Exceeded(err)
	if stopped {
		cost = boundedcel.CostLimit
	}
	if cost > budget.Cost {
		budget.Cost = 0
		return nil, ErrBudget
	}
	budget.Cost -= cost
	if err != nil {
		if stopped {
			return nil, ErrCost
		}
		return nil, err
	}
	if unknown, ok := out.(*types.Unknown); ok {
		return nil, newUnknown(unknown)
	}
	return out, nil
}

func (p Pattern) attribute() *cel.AttributePatternType {
	a := cel.AttributePattern(p.Root)
	for _, s := range p.Steps {
		if s.IsIndex {
			a = a.QualInt(s.Index)
		} else {
			a = a.QualString(s.Key)
		}
	}
	return a
}

func newUnknown(u *types.Unknown) *Unknown {
	seen := map[string]bool{}
	out := &Unknown{}
	for _, id := range u.IDs() {
		trails, _ := u.GetAttributeTrails(id)
		for _, trail := range trails {
			p := trail.Variable()
			for _, q := range trail.QualifierPath() {
				switch q := q.(type) {
				case string:
					p = path.Key(p, q)
				case int64:
					p = path.Index(p, int(q))
				default:
					p = path.Key(p, fmt.Sprint(q))
				}
			}
			if !seen[p] {
				seen[p] = true
				out.Paths = append(out.Paths, UnknownPath{Variable: trail.Variable(), Path: p})
			}
		}
	}
	sort.Slice(out.Paths, func(i, j int) bool { return out.Paths[i].Path < out.Paths[j].Path })
	return out
}

// IsLookup tells whether an error is about a field, key or index that is not
// there. It goes by type: CEL's own error for it is not exported, and its text
// could be any user's.
func IsLookup(err error) bool {
	if errors.Is(err, schema.ErrMissing) {
		return true
	}
	for err != nil {
		if reflect.TypeOf(err).String() == "*interpreter.resolutionError" {
			return true
		}
		err = errors.Unwrap(err)
	}
	return false
}

// activation resolves the variables of an environment for CEL.
type activation struct{ vars Vars }

// ResolveName implements interpreter.Activation.
func (a activation) ResolveName(name string) (any, bool) { return a.vars.Get(name) }

// Parent implements interpreter.Activation.
func (a activation) Parent() interpreter.Activation { return nil }
