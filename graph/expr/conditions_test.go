package expr

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kronvoy/kronvoy/graph/schema"
)

func conditionEnv(t testing.TB) *Env {
	t.Helper()
	env, err := NewEnv(Variable{Name: "x", Decl: schema.Anything()}, Variable{Name: "list", Decl: schema.Anything(), List: true})
	if err != nil {
		t.Fatal(err)
	}
	with, err := env.WithConditions()
	if err != nil {
		t.Fatal(err)
	}
	return with
}

func TestConditions(t *testing.T) {
	object := map[string]any{"status": map[string]any{"conditions": []any{
		"no condition", map[string]any{"type": int64(1)},
		map[string]any{"type": "Ready", "status": "True", "reason": "Fine", "message": "all of it"},
	}}}
	tests := map[string]struct {
		expr  string
		value any
		want  []Condition
		err   bool
	}{
		"made":                      {expr: `runtime.newCondition({type: 'A', status: 'True'})`, want: []Condition{{Type: "A", Status: "True"}}},
		"made of all four":          {expr: `runtime.newCondition({message: 'm', reason: 'r', status: 'Unknown', type: 'A'})`, want: []Condition{{"A", "Unknown", "r", "m"}}},
		"a list":                    {expr: `['a', 'b'].map(n, runtime.newCondition({type: n, status: 'False'}))`, want: []Condition{{Type: "a", Status: "False"}, {Type: "b", Status: "False"}}},
		"handed on":                 {expr: `runtime.condition(x, 'Ready')`, value: object, want: []Condition{{"Ready", "True", "Fine", "all of it"}}},
		"read":                      {expr: `runtime.newCondition({type: 'A', status: runtime.condition(x, 'Ready').status})`, value: object, want: []Condition{{Type: "A", Status: "True"}}},
		"of an object without any":  {expr: `runtime.newCondition({type: 'A' + runtime.condition(x, 'Ready').type, status: 'True'})`, value: map[string]any{"status": "none"}, want: []Condition{{Type: "A", Status: "True"}}},
		"of no object":              {expr: `runtime.condition(x, 'Ready')`, value: "text", err: true},
		"a map is none":             {expr: `dyn({'type': 'A', 'status': 'True'})`, err: true},
		"a list of maps has none":   {expr: `[dyn({'type': 'A', 'status': 'True'})]`, err: true},
		"a status that is unknown":  {expr: `runtime.newCondition({type: 'A', status: x})`, value: "true", err: true},
		"a type that is no text":    {expr: `runtime.newCondition({type: x, status: 'True'})`, value: int64(1), err: true},
		"a type that comes out bad": {expr: `runtime.newCondition({type: x, status: 'True'})`, value: "", err: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			compiled, faults := conditionEnv(t).Compile(test.expr)
			if len(faults) > 0 {
				t.Fatal(faults)
			}
			if !IsCondition(compiled.Type) {
				t.Errorf("%s is no condition", compiled.Type)
			}
			value, err := compiled.Eval(oneVar{test.value}, nil, NewBudget())
			var got []Condition
			if err == nil {
				got, err = Conditions(value)
			}
			if (err != nil) != test.err {
				t.Fatalf("error %v", err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestConditionsHaveACost: neither a million conditions nor a huge list of them
// runs to its end.
func TestConditionsHaveACost(t *testing.T) {
	conditions := make([]any, 100_000)
	for i := range conditions {
		conditions[i] = map[string]any{"type": "A"}
	}
	object := map[string]any{"status": map[string]any{"conditions": conditions}}
	for name, source := range map[string]string{
		"made": `lists.range(10000).all(i, lists.range(10).all(j, runtime.newCondition({type: 'A', status: 'True'}).status == 'True'))`,
		"read": `lists.range(100).all(i, runtime.condition(x, 'B').status == '')`,
	} {
		t.Run(name, func(t *testing.T) {
			compiled, faults := conditionEnv(t).Compile(source)
			if len(faults) > 0 {
				t.Fatal(faults)
			}
			if _, err := compiled.Eval(oneVar{object}, nil, NewBudget()); !errors.Is(err, ErrCost) {
				t.Errorf("%v, want %v", err, ErrCost)
			}
		})
	}
}

// TestAccessesOfLists: what a macro reads of a list's elements is read of each;
// a list that is handed on may be read as a whole.
func TestAccessesOfLists(t *testing.T) {
	tests := map[string]struct {
		expr string
		// want are the fields that are read of elements; (all) for all of them.
		want []string
	}{
		"mapped":                         {expr: `list.map(o, o.a.b)`, want: []string{"metadata.name", "a.b"}},
		"an element":                     {expr: `list[0].a`, want: []string{"a"}},
		"some element":                   {expr: `list[size(list) - 1].a`, want: []string{"(all)", "metadata.name"}},
		"two variables":                  {expr: `list.all(i, o, o.a == i)`, want: []string{"metadata.name", "a"}},
		"two variables, used wrongly":    {expr: `list.all(i, o, i == 1)`, want: []string{"metadata.name"}},
		"nested":                         {expr: `list.all(o, list.exists(p, p.a == o.b))`, want: []string{"metadata.name", "metadata.name", "a", "b"}},
		"shadowed":                       {expr: `list.all(o, [1].all(o, o == 1) && o.a == 1)`, want: []string{"metadata.name", "a"}},
		"an element's list":              {expr: `list.all(o, o.a.all(i, i.b == 1))`, want: []string{"metadata.name", "a"}},
		"handed on":                      {expr: `json.marshal(list)`, want: []string{"(all)"}},
		"an element handed on":           {expr: `list.all(o, json.marshal(o) == '')`, want: []string{"metadata.name", "(all)"}},
		"filtered":                       {expr: `list.filter(o, o.a == 1)`, want: []string{"metadata.name", "a", "(all)"}},
		"bound":                          {expr: `cel.bind(l, list, l.map(o, o.a))`, want: []string{"(all)"}},
		"added to another":               {expr: `(list + [x]).map(o, o.a)`, want: []string{"(all)"}},
		"a condition of each":            {expr: `list.map(o, runtime.condition(o, 'A').status)`, want: []string{"metadata.name", "status.conditions"}},
		"the size":                       {expr: `list.size() + size(list)`, want: []string{"metadata.name", "metadata.name"}},
		"the size of an element's field": {expr: `list.map(o, size(o.a))`, want: []string{"metadata.name", "a"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			compiled, faults := conditionEnv(t).Compile(test.expr)
			if len(faults) > 0 {
				t.Fatal(faults)
			}
			var got []string
			for _, a := range compiled.Accesses {
				if a.Root != "list" {
					continue
				}
				fields, ok := a.ElementFields()
				if !ok || len(fields) == 0 {
					got = append(got, "(all)")
					continue
				}
				text := ""
				for i, f := range fields {
					if i > 0 {
						text += "."
					}
					text += f
				}
				got = append(got, text)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
