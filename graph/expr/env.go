// Package expr compiles and evaluates the CEL expressions of a graph. Every
// expression is bounded, in its length, in what it may cost, and in what it may
// produce.
package expr

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"k8s.io/apiserver/pkg/cel/library"

	"github.com/kronvoy/kronvoy/graph/schema"
	"github.com/kronvoy/kronvoy/internal/boundedcel"
)

// Variable is one name that expressions may use.
type Variable struct {
	Name string
	// Decl of its value.
	Decl *schema.Decl
	// List is true when the value is a list of Decl: a collection.
	List bool
	// iterator is true for those of WithIterators.
	iterator bool
}

// Type of the variable.
func (v Variable) Type() *cel.Type {
	if v.List {
		return cel.ListType(v.Decl.CelType())
	}
	return v.Decl.CelType()
}

// Env is what expressions are compiled in: variables and functions.
type Env struct {
	cel      *cel.Env
	provider *schema.Provider
	vars     map[string]Variable
}

// hubLibraries are the functions of an expression: those that agents have, and
// kro's own.
func hubLibraries() []cel.EnvOption {
	return append(boundedcel.Libraries(library.SemverVersion(1)), kroFunctions()...)
}

// baseEnv holds the libraries; building it costs milliseconds, extending it
// microseconds.
var baseEnv = sync.OnceValues(func() (*cel.Env, error) {
	env, err := cel.NewEnv(hubLibraries()...)
	if err != nil {
		return nil, fmt.Errorf("building the CEL environment: %w", err)
	}
	return env, nil
})

// NewEnv returns an environment with these variables.
func NewEnv(vars ...Variable) (*Env, error) {
	base, err := baseEnv()
	if err != nil {
		return nil, err
	}
	byName := make(map[string]Variable, len(vars))
	roots := make([]*schema.Decl, 0, len(vars))
	for _, v := range vars {
		if _, twice := byName[v.Name]; twice {
			continue
		}
		byName[v.Name] = v
		roots = append(roots, v.Decl)
	}
	return declare(base, schema.NewProvider(base.CELTypeProvider(), roots...), byName)
}

func declare(base *cel.Env, provider *schema.Provider, vars map[string]Variable) (*Env, error) {
	options := make([]cel.EnvOption, 0, len(vars)+1)
	for _, v := range vars {
		options = append(options, cel.Variable(v.Name, v.Type()))
	}
	env, err := base.Extend(append(options, cel.CustomTypeProvider(provider))...)
	if err != nil {
		return nil, fmt.Errorf("declaring the variables of the graph: %w", err)
	}
	return &Env{cel: env, provider: provider, vars: vars}, nil
}

// Iterator is a variable whose type came out of another expression.
type Iterator struct {
	Name string
	Type *cel.Type
}

// WithIterators returns the environment with further variables, in the place of
// those that have their names.
func (e *Env) WithIterators(iterators ...Iterator) (*Env, error) {
	vars := make(map[string]Variable, len(e.vars)+len(iterators))
	for name, v := range e.vars {
		if !slices.ContainsFunc(iterators, func(it Iterator) bool { return it.Name == name }) {
			vars[name] = v
		}
	}
	if len(vars) < len(e.vars) {
		// CEL has no way to take a variable out of an environment.
		base, err := baseEnv()
		if err != nil {
			return nil, err
		}
		if e, err = declare(base, e.provider, vars); err != nil {
			return nil, err
		}
	}
	options := make([]cel.EnvOption, 0, len(iterators))
	for _, it := range iterators {
		options = append(options, cel.Variable(it.Name, it.Type))
		d, found := e.provider.Struct(it.Type.TypeName())
		if !found {
			d = schema.Anything()
		}
		vars[it.Name] = Variable{Name: it.Name, Decl: d, iterator: true}
	}
	env, err := e.cel.Extend(options...)
	if err != nil {
		return nil, fmt.Errorf("declaring iterators: %w", err)
	}
	return &Env{cel: env, provider: e.provider, vars: vars}, nil
}

// names lists the variables, sorted.
func (e *Env) names() []string {
	out := make([]string, 0, len(e.vars))
	for name := range e.vars {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

// Struct finds the declaration of a struct type by its CEL name.
func (e *Env) Struct(name string) (*schema.Decl, bool) { return e.provider.Struct(name) }

// Learn makes the struct types of a declaration known.
func (e *Env) Learn(d *schema.Decl) { e.provider.Learn(d) }

// Unwrap returns the type inside of an optional, or the type itself.
func Unwrap(t *cel.Type) (*cel.Type, bool) {
	if t.Kind() == types.OpaqueKind && t.TypeName() == "optional_type" && len(t.Parameters()) == 1 {
		return t.Parameters()[0], true
	}
	return t, false
}

// TypeName names a CEL type for people, in the words of OpenAPI.
func TypeName(t *cel.Type) string {
	if inner, optional := Unwrap(t); optional {
		return "an optional " + withoutArticle(TypeName(inner))
	}
	switch t.Kind() {
	case cel.StringKind:
		return "a string"
	case cel.IntKind, cel.UintKind:
		return "an integer"
	case cel.DoubleKind:
		return "a number"
	case cel.BoolKind:
		return "a boolean"
	case cel.BytesKind:
		return "bytes"
	case cel.TimestampKind:
		return "a timestamp"
	case cel.DurationKind:
		return "a duration"
	case cel.NullTypeKind:
		return "null"
	case cel.ListKind:
		return "a list of " + withoutArticle(TypeName(t.Parameters()[0]))
	case cel.MapKind:
		return "a map of " + withoutArticle(TypeName(t.Parameters()[1]))
	case cel.StructKind:
		return "an object"
	case cel.DynKind, cel.AnyKind:
		return "dynamic"
	}
	return t.String()
}

func withoutArticle(s string) string {
	return strings.TrimPrefix(strings.TrimPrefix(s, "a "), "an ")
}
