package graph_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kronvoy/kronvoy/graph"
)

// metered is a definition whose status holds what gates are about.
func metered(t testing.TB) *graph.Graph {
	t.Helper()
	return compile(t, graph.Source{
		Name: "app",
		Schema: graph.SchemaSource{Group: "kro.run", Version: "v1alpha1", Kind: "App", Scope: graph.Namespaced, Status: map[string]any{
			"errorRate": "${double(it.data.rate)}", "errors": "${int(it.data.errors)}", "phase": "${it.data.phase}", "done": "${it.data.done == 'true'}",
			"since": "${timestamp(it.data.since)}", "zones": "${it.data.zones.split(',')}", "nested": map[string]any{"a": "${it.data.a}"},
		}},
		Nodes: []graph.NodeSource{{ID: "it", External: &graph.ExternalSource{APIVersion: "v1", Kind: "ConfigMap", Name: "it"}}},
	})
}

func TestAGateIsOpenWhenAllOfItsExpressionsAreTrue(t *testing.T) {
	g := metered(t)
	values := map[string]any{"errorRate": 0.2, "errors": int64(3), "phase": "up", "since": "2026-01-02T03:04:05Z", "zones": []any{"a", "b"}}
	cases := map[string]struct {
		expressions []string
		// want is why the gate is closed; with a star before it where an expression fails.
		want string
	}{
		"none":                               {nil, ""},
		"one that is true":                   {[]string{"values.errorRate < 0.5"}, ""},
		"numbers of two kinds":               {[]string{"values.errors < 3.5 && values.errorRate < 1"}, ""},
		"a time is a time":                   {[]string{"values.since < timestamp('2026-02-01T00:00:00Z')"}, ""},
		"a list":                             {[]string{"values.zones.all(z, z != 'c') && size(values.zones) == 2"}, ""},
		"a label of the cluster":             {[]string{"cluster.labels.env == 'test' || values.errors == 0"}, ""},
		"one that is false shows its values": {[]string{"values.errors < 10", "values.errorRate < 0.01 && values.phase == 'up'"}, `values.errorRate < 0.01 && values.phase == 'up' is false: values.errorRate is 0.2, values.phase is "up"`},
		"two that are false":                 {[]string{"values.errors == 0", "size(values.zones) > 2"}, "values.errors == 0 is false: values.errors is 3; size(values.zones) > 2 is false"},
		"a value that is not there":          {[]string{"values.done"}, "values.done is not known"},
		"one below it":                       {[]string{"values.nested.a == 'x'"}, "values.nested.a is not known"},
		"beside one that is false":           {[]string{"values.done && values.errors == 0"}, "values.done && values.errors == 0 is false: values.errors is 3"},
		"and beside one that is true":        {[]string{"values.done || values.errors == 3"}, ""},
		"what holds without a value":         {[]string{"values.?done.orValue(true)", "!has(values.nested)"}, ""},
		"an optional without a value is no":  {[]string{"values.?done"}, "values.?done is false"},
		"an index that is not there":         {[]string{"values.zones[2] == 'c'"}, "values.zones[2] is not known"},
		"a label that is not there":          {[]string{"cluster.labels.tier == 'gold'"}, "*cluster eu-west has no label tier"},
		"an expression that fails":           {[]string{"values.errors / (values.errors - 3) > 0"}, "*division by zero"},
		"one that fails, and one that waits": {[]string{"int(values.phase) > 0", "values.done"}, "*type conversion error from 'string' to 'int'; values.done is not known"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			gate, issues := g.CompileGate(tc.expressions, "spec.rollout.gate.expressions")
			if err := issues.Err(); err != nil {
				t.Fatal(err)
			}
			got, issues := gate.Evaluate(values, graph.Cluster{Name: "eu-west", Labels: map[string]string{"env": "test"}})
			if len(issues) > 0 {
				got = "*" + got
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestAGateIsClosedWhereNothingIsKnown(t *testing.T) {
	gate, issues := metered(t).CompileGate([]string{"values.errorRate < 0.01", "values.?errors.orValue(0) == 0"}, "x")
	if err := issues.Err(); err != nil {
		t.Fatal(err)
	}
	for _, values := range []map[string]any{nil, {}} {
		if closed, issues := gate.Evaluate(values, graph.Cluster{}); closed != "values.errorRate is not known" || issues != nil {
			t.Errorf("%v: closed %q, issues %v", values, closed, issues)
		}
	}
}

func TestAGateThatIsWrongIsSaidWithItsPlace(t *testing.T) {
	g := metered(t)
	cases := map[string]struct {
		expression, want string
	}{
		"a field that is not there": {"values.errorRat < 1", `@7 UnknownField: unknown field "errorRat" (did you mean errorRate?)`},
		"no boolean":                {"values.errors", "@0 TypeMismatch: a condition must be a boolean, but the expression is an integer"},
		"types that do not fit":     {"values.phase < 1", "@13 TypeMismatch: found no matching overload for '_<_' applied to '(string, int)'"},
		"a syntax error":            {"values.errors <", "@15 SyntaxError: the expression ends too early"},
		"another variable":          {"schema.spec.n == 1", `@0 UnknownIdentifier: unknown identifier "schema" (known here: cluster, values)`},
		"with ${}":                  {"${values.errors == 0}", "@0 SyntaxError: an expression of a gate stands alone (write it without ${}, as in values.errors < 10)"},
		"omit()":                    {"omit()", "@0 OmitNotAllowed: omit() cannot be used: there is nothing to leave out here (let one ${…} with omit() span the whole value of an optional field of a template)"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			gate, issues := g.CompileGate([]string{"values.errors == 0", tc.expression}, "spec.rollout.gate.expressions")
			if gate != nil {
				t.Error("there is a gate all the same")
			}
			if diff := cmp.Diff("spec.rollout.gate.expressions[1]"+tc.want, brief(issues)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	if _, issues := g.CompileGate(make([]string, 33), "x"); brief(issues) != "x TooMany: there are 33 expressions, at most 32 are allowed" {
		t.Errorf("issues %v", issues)
	}
}
