package expr

import (
	"fmt"
	"reflect"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

const omitFunction = "omit"

// Omitted is what JSON returns for omit(): the field or element that the
// expression stands for is to be left out.
var Omitted any = omitted{}

// omitted is the value of omit(). It can be handed on, in a list or a map too,
// and nothing else.
type omitted struct{}

var omittedType = types.NewOpaqueType("kro.omit")

// ConvertToNative implements ref.Val.
func (omitted) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("omit() has no value that could become a %v", t)
}

// ConvertToType implements ref.Val.
func (omitted) ConvertToType(t ref.Type) ref.Val {
	if t == types.TypeType {
		return omittedType
	}
	return types.NewErr("omit() has no value that could become a %s", t.TypeName())
}

// Equal implements ref.Val.
func (omitted) Equal(ref.Val) ref.Val { return types.NewErr("omit() cannot be compared") }

// Type implements ref.Val.
func (omitted) Type() ref.Type { return omittedType }

// Value implements ref.Val.
func (omitted) Value() any { return omitted{} }

// omits tells whether an expression calls omit().
func omits(root ast.Expr) bool {
	found := false
	ast.PostOrderVisit(root, ast.NewExprVisitor(func(e ast.Expr) {
		found = found || e.Kind() == ast.CallKind && e.AsCall().FunctionName() == omitFunction
	}))
	return found
}
