package expr

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/cel-go/cel"
	"github.com/google/go-cmp/cmp"

	"github.com/kronvoy/kronvoy/graph/schema"
)

// evaluate compiles and runs an expression over the variable x.
func evaluate(t testing.TB, source string, x any) (any, error) {
	t.Helper()
	env, err := NewEnv(Variable{Name: "x", Decl: schema.Anything()})
	if err != nil {
		t.Fatal(err)
	}
	compiled, faults := env.Compile(source)
	if len(faults) > 0 {
		return nil, errors.New(faults[0].Message)
	}
	value, err := compiled.Eval(oneVar{x}, nil, NewBudget())
	if err != nil {
		return nil, err
	}
	return JSON(value, true, NewBudget())
}

// TestFunctionsOfKro holds the results that kro v0.9.4 gives for the same
// expressions.
func TestFunctionsOfKro(t *testing.T) {
	tests := map[string]struct {
		expr string
		want any
		err  string
	}{
		"one character":                     {expr: `random.seededString(1,'a')`, want: "2"},
		"eight characters of no seed":       {expr: `random.seededString(8,'')`, want: "ew0w84jl"},
		"characters repeat after eight":     {expr: `random.seededString(10,'shop')`, want: "nhzf7nuknh"},
		"a long random string":              {expr: `random.seededString(37,'0d2d8c9e-7b1f-4a0e-9a52-1f6e7d8c9b0a')`, want: "rt5v9olnrt5v9olnrt5v9olnrt5v9olnrt5v9"},
		"a length of none":                  {expr: `random.seededString(0,'a')`, err: "must be positive"},
		"a length of a billion":             {expr: `random.seededString(1000000000,'a')`, err: "more than the limit"},
		"a length beyond any memory":        {expr: `random.seededString(9223372036854775807,'a')`, err: "more than the limit"},
		"a port":                            {expr: `random.seededInt(30000, 32768,'shop')`, want: int64(32429)},
		"a number from a negative range":    {expr: `random.seededInt(-5,5,'x')`, want: int64(1)},
		"a number from the widest range":    {expr: `random.seededInt(-9223372036854775807,9223372036854775807,'wide')`, want: int64(-8450261383382865264)},
		"the only number":                   {expr: `random.seededInt(0,1,'')`, want: int64(0)},
		"a number from an empty range":      {expr: `random.seededInt(1,1,'')`, err: "min must be less than max"},
		"fnv":                               {expr: `base64.encode(hash.fnv64a('hello world'))`, want: "d5pl5wI80uc="},
		"md5":                               {expr: `base64.encode(hash.md5('hello world'))`, want: "XrY7u+Ae7tCTyyK7j1rNww=="},
		"sha256":                            {expr: `base64.encode(hash.sha256(''))`, want: "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="},
		"a hash of no text":                 {expr: `hash.md5(1)`, err: "no matching overload"},
		"JSON has sorted keys and escapes":  {expr: `json.marshal({'b':[1,2.5,true,null],'a':'<&>é'})`, want: `{"a":"\u003c\u0026\u003eé","b":[1,2.5,true,null]}`},
		"JSON of bytes":                     {expr: `json.marshal(b'ab')`, want: `"YWI="`},
		"JSON of a time":                    {expr: `json.marshal(timestamp('2026-01-02T03:04:05Z'))`, want: `"2026-01-02T03:04:05Z"`},
		"JSON of a duration":                {expr: `json.marshal(duration('90m'))`, want: `"1h30m0s"`},
		"JSON of an unsigned number":        {expr: `json.marshal(3u)`, want: "3"},
		"JSON of nothing":                   {expr: `json.marshal(optional.none())`, want: "null"},
		"JSON of an optional":               {expr: `json.marshal(optional.of('x'))`, want: `"x"`},
		"JSON of a whole double":            {expr: `json.marshal(2.0)`, want: "2"},
		"JSON of an object":                 {expr: `json.marshal(x)`, want: `{"a":{"b":[1,2]},"n":1}`},
		"JSON of what is omitted":           {expr: `json.marshal(omit())`, err: "has no value"},
		"JSON without what is omitted":      {expr: `json.marshal({'a': omit(), 'b': [omit(), 1]})`, want: `{"b":[1]}`},
		"an object out of JSON":             {expr: `json.unmarshal('{"a":1,"b":[true,null,"x"]}')`, want: map[string]any{"a": 1.0, "b": []any{true, nil, "x"}}},
		"a number out of JSON is a double":  {expr: `json.unmarshal('1') / 2.0`, want: 0.5},
		"the last of two keys wins":         {expr: `json.unmarshal('{"a":1,"a":2}').a == 2`, want: true},
		"no JSON":                           {expr: `json.unmarshal('')`, err: "json.unmarshal"},
		"more than one JSON value":          {expr: `json.unmarshal('1 2')`, err: "json.unmarshal"},
		"there and back":                    {expr: `json.unmarshal(json.marshal(x)).a.b[1] == 2`, want: true},
		"merge overwrites":                  {expr: `{'a':1}.merge({'a':2,'b':3})`, want: map[string]any{"a": int64(2), "b": int64(3)}},
		"merge is shallow":                  {expr: `{'a':{'x':1}}.merge({'a':{'y':2}})`, want: map[string]any{"a": map[string]any{"y": int64(2)}}},
		"merge of different values":         {expr: `{'a':1}.merge({'a':'b'})`, err: "no matching overload"},
		"deepMerge merges maps":             {expr: `{'a':{'x':1}}.deepMerge({'a':{'y':2}})`, want: map[string]any{"a": map[string]any{"x": int64(1), "y": int64(2)}}},
		"deepMerge replaces maps by values": {expr: `{'a':{'x':1}}.deepMerge({'a':3})`, want: map[string]any{"a": int64(3)}},
		"deepMerge replaces lists":          {expr: `{'a':[1,2]}.deepMerge({'a':[3]})`, want: map[string]any{"a": []any{int64(3)}}},
		"deepMerge of data":                 {expr: `x.deepMerge({'a': {'c': 'd'}})`, want: map[string]any{"a": map[string]any{"b": []any{int64(1), int64(2)}, "c": "d"}, "n": int64(1)}},
		"deepMerge of no map":               {expr: `dyn(1).deepMerge({})`, err: "no such overload"},
		"setAtIndex":                        {expr: `lists.setAtIndex([1,2,3],1,9)`, want: []any{int64(1), int64(9), int64(3)}},
		"setAtIndex beyond the end":         {expr: `lists.setAtIndex([1],1,2)`, err: "the index 1 is not in a list of 1"},
		"insertAtIndex at the start":        {expr: `lists.insertAtIndex([1,2],0,9)`, want: []any{int64(9), int64(1), int64(2)}},
		"insertAtIndex at the end":          {expr: `lists.insertAtIndex([1,2],2,9)`, want: []any{int64(1), int64(2), int64(9)}},
		"insertAtIndex before the start":    {expr: `lists.insertAtIndex([1],-1,2)`, err: "the index -1 is not in a list of 1"},
		"removeAtIndex":                     {expr: `lists.removeAtIndex([1,2],0)`, want: []any{int64(2)}},
		"removeAtIndex of nothing":          {expr: `lists.removeAtIndex([],0)`, err: "the index 0 is not in a list of 0"},
		"lists of one type":                 {expr: `lists.setAtIndex([1],0,'a')`, err: "no matching overload"},
		"omit":                              {expr: `omit()`, want: Omitted},
		"omit in a branch":                  {expr: `x.n == 1 ? omit() : dyn('a')`, want: Omitted},
		"omit cannot be compared":           {expr: `omit() == 'a'`, err: "cannot be compared"},
		"omit cannot be converted":          {expr: `string(omit())`, err: "no such overload"},
	}
	x := map[string]any{"a": map[string]any{"b": []any{int64(1), int64(2)}}, "n": int64(1)}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := evaluate(t, test.expr, x)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("%v, %v, want an error with %q", got, err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(omitted{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestFunctionsHaveACost runs each function so often that the limit stops it,
// also where its error is caught.
func TestFunctionsHaveACost(t *testing.T) {
	large := strings.Repeat("x", 1<<20)
	wide := map[string]any{"text": large, "json": `"` + large + `"`, "bad": strings.Repeat("[", 1<<20), "list": make([]any, 5000), "map": map[string]any{}}
	for i := range 5000 {
		wide["map"].(map[string]any)[strings.Repeat("k", i%7)+string(rune('a'+i%26))+strings.Repeat("z", i/182)] = map[string]any{"a": int64(i)}
	}
	for name, call := range map[string]string{
		"seededString":         `random.seededString(65536, 'a') == ''`,
		"seededString's seed":  `random.seededString(1, x.text) == ''`,
		"seededInt":            `random.seededInt(0, 10, x.text) == 11`,
		"md5":                  `hash.md5(x.text) == b''`,
		"sha256":               `hash.sha256(x.text) == b''`,
		"fnv64a":               `hash.fnv64a(x.text) == b''`,
		"marshal":              `json.marshal(x.text) == ''`,
		"marshal of too much":  `json.marshal([x.text, x.text]) == ''`,
		"unmarshal":            `json.unmarshal(x.json) == ''`,
		"unmarshal of no JSON": `json.unmarshal(x.bad) == ''`,
		"setAtIndex":           `lists.setAtIndex(x.list, 0, 1) == []`,
		"removeAtIndex":        `lists.removeAtIndex(x.list, 0) == []`,
		"insertAtIndex":        `lists.insertAtIndex(x.list, 0, 1) == []`,
		"merge":                `x.map.merge(x.map) == {}`,
		"deepMerge":            `x.map.deepMerge(x.map) == {}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := evaluate(t, "lists.range(1000).exists(i, "+call+")", wide)
			if !errors.Is(err, ErrCost) {
				t.Errorf("%v, want %v", err, ErrCost)
			}
		})
	}
}

// TestTheFunctionsOfKroStayOnTheHub: agents do not have them.
func TestTheFunctionsOfKroStayOnTheHub(t *testing.T) {
	env, err := NewEnv(Variable{Name: "x", Decl: schema.Anything()})
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{
		`random.seededString(3, x.a) == x.b`, `hash.md5(x.a) == b'a'`, `json.unmarshal(x.a).ready == true`,
		`size(x.a.deepMerge(x.b)) == 3`, `lists.removeAtIndex([1, 2], 0) == [2]`, `semver('v1.0', true) == semver('1.0.0')`,
	} {
		compiled, faults := env.Compile(source)
		if len(faults) > 0 {
			t.Fatalf("%s: %v", source, faults)
		}
		if compiled.Type.Kind() != cel.BoolKind {
			t.Fatalf("%s is no condition", source)
		}
		if rule, ok := compiled.OnObject("x"); ok {
			t.Errorf("%s travels as %s", source, rule)
		}
	}
}

// FuzzFunctions: whatever is handed to kro's functions, they answer within their
// bounds.
func FuzzFunctions(f *testing.F) {
	f.Add(int64(10), int64(-3), "seed", `{"a":[1,{"b":null}]}`)
	f.Add(int64(1_000_000_000), int64(1<<62), "", strings.Repeat("[", 20_000))
	env, err := NewEnv(Variable{Name: "x", Decl: schema.Anything()})
	if err != nil {
		f.Fatal(err)
	}
	programs := map[string]*Expr{}
	for _, source := range []string{
		`random.seededString(x.a, x.s)`, `string(random.seededInt(x.a, x.b, x.s))`, `base64.encode(hash.sha256(x.s))`,
		`json.marshal(json.unmarshal(x.j))`, `lists.setAtIndex([1, 2], x.a, x.b)`, `lists.insertAtIndex([x.s], x.a, x.j)`, `lists.removeAtIndex([1, 2], x.b)`,
		`json.unmarshal(x.j).deepMerge(json.unmarshal(x.s))`, `{'a': x.j}.merge({x.s: x.j})`,
	} {
		compiled, faults := env.Compile(source)
		if len(faults) > 0 {
			f.Fatal(source, faults)
		}
		programs[source] = compiled
	}
	f.Fuzz(func(t *testing.T, a, b int64, s, j string) {
		for source, program := range programs {
			value, err := program.Eval(oneVar{map[string]any{"a": a, "b": b, "s": s, "j": j}}, nil, NewBudget())
			if err != nil {
				continue
			}
			again, err := program.Eval(oneVar{map[string]any{"a": a, "b": b, "s": s, "j": j}}, nil, NewBudget())
			if err != nil {
				t.Fatalf("%s: a second run fails: %v", source, err)
			}
			first, err1 := JSON(value, true, NewBudget())
			second, err2 := JSON(again, true, NewBudget())
			if (err1 == nil) != (err2 == nil) || err1 == nil && !cmp.Equal(first, second) {
				t.Fatalf("%s: %v and %v", source, first, second)
			}
		}
	})
}
