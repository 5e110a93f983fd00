package graph_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"

	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
)

// shop is a definition whose instances overrides are about; one of its nodes has
// the name of a variable.
func shop(t testing.TB) *graph.Graph {
	t.Helper()
	g, issues := graph.Compile(graph.Source{
		Name: "shop",
		Schema: graph.SchemaSource{
			Group: "kro.run", Version: "v1alpha1", Kind: "Shop",
			Spec: map[string]any{
				"replicas": "integer | default=3 minimum=0 maximum=10",
				"host":     "string | required=true",
				"tier":     `string | default="gold" enum="gold,silver"`,
				"tags":     "[]string",
				"limits":   "map[string]integer",
				"extra":    "object",
				"ingress":  map[string]any{"class": `string | default="nginx"`, "host": "string", "tls": "boolean"},
				"ports":    "[]Port",
			},
			Types: map[string]any{"Port": map[string]any{"name": "string | required=true", "port": "integer | required=true"}},
			Status: map[string]any{
				"ready": "${int(cluster.data.ready)}", "zone": "${cluster.data.zone}", "since": "${timestamp(cluster.data.since)}",
				"nested": map[string]any{"a": "${cluster.data.a}"},
			},
		},
		Nodes: []graph.NodeSource{{ID: "cluster", Template: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "${schema.metadata.name}"}, "data": map[string]any{"host": "${schema.spec.host}"},
		}}},
	}, builtin.Resolver())
	if err := issues.Err(); err != nil {
		t.Fatal(err)
	}
	return g
}

func decodeYAML[T any](t testing.TB, text string) T {
	t.Helper()
	raw, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	var out T
	if err := utiljson.Unmarshal(raw, &out); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return out
}

func sources(t testing.TB, text string) []graph.OverrideSource {
	t.Helper()
	var out []graph.OverrideSource
	for _, item := range decodeYAML[[]any](t, text) {
		o := item.(map[string]any)
		source := graph.OverrideSource{}
		source.Spec, _ = o["spec"].(map[string]any)
		if expressions, ok := o["expressions"].(map[string]any); ok {
			source.Expressions = map[string]string{}
			for key, value := range expressions {
				source.Expressions[key] = value.(string)
			}
		}
		out = append(out, source)
	}
	return out
}

func shopInstance(t testing.TB, g *graph.Graph, spec string) map[string]any {
	t.Helper()
	return g.Default(map[string]any{
		"apiVersion": "kro.run/v1alpha1", "kind": "Shop", "metadata": map[string]any{"name": "books", "namespace": "shop"},
		"spec": decodeYAML[map[string]any](t, spec),
	})
}

func TestOverridesAreCheckedAgainstTheKind(t *testing.T) {
	g := shop(t)
	cases := map[string]struct{ overrides, want string }{
		"an unknown field": {
			`[{spec: {replica: 1}}]`,
			`spec.overrides[0].spec.replica UnknownField: unknown field "replica" (did you mean replicas?)`,
		},
		"an unknown field further down, in the second": {
			`[{spec: {}}, {spec: {ingress: {hots: a}}}]`,
			`spec.overrides[1].spec.ingress.hots UnknownField: unknown field "hots" (did you mean host?)`,
		},
		"a value of another type": {
			`[{spec: {replicas: many}}]`,
			`spec.overrides[0].spec.replicas TypeMismatch: expected integer, got a string`,
		},
		"a value out of bounds": {
			`[{spec: {replicas: 11}}]`,
			`spec.overrides[0].spec.replicas OutOfRange: 11 is more than the maximum of 10`,
		},
		"an item of a list is a whole one": {
			`[{spec: {ports: [{name: web}, {name: null, port: 1}]}}]`,
			"spec.overrides[0].spec.ports[0].port MissingField: this field is required\nspec.overrides[0].spec.ports[1].name TypeMismatch: expected string, got null",
		},
		"null takes away, and what is required may be there":    {`[{spec: {replicas: null, ingress: {host: null}}}]`, ""},
		"text of a patch that looks like an expression is text": {`[{spec: {host: "${cluster.nope}"}}]`, ""},
		"a path that is not there": {
			`[{expressions: {ingress.hots: "${cluster.name}"}}]`,
			`spec.overrides[0].expressions['ingress.hots'] UnknownField: unknown field "hots" of spec.ingress (did you mean host?)`,
		},
		"a path below a value": {
			`[{expressions: {replicas.x: "${1}"}}]`,
			`spec.overrides[0].expressions['replicas.x'] UnknownField: spec.replicas has no fields: it is integer`,
		},
		"a path into a list": {
			`[{expressions: {"ports[0].name": "a"}}]`,
			`spec.overrides[0].expressions['ports[0].name'] InvalidPath: the path "ports[0].name" cannot be read: only keys in quotes stand in brackets, as in ['a.b/c']: lists are replaced as a whole`,
		},
		"one field written twice": {
			`[{expressions: {"limits.a": "${1}", "limits['a']": "${2}"}}]`,
			`spec.overrides[0].expressions['limits[\'a\']'] DuplicateField: limits.a is set twice`,
		},
		"an expression of another type": {
			`[{}, {expressions: {replicas: "${cluster.name}"}}]`,
			`spec.overrides[1].expressions.replicas@2 TypeMismatch: expected integer, but the expression is a string (convert it with int(…))`,
		},
		"text around an expression where no text can be": {
			`[{expressions: {replicas: "${1}0"}}]`,
			`spec.overrides[0].expressions.replicas@0 TypeMismatch: expected integer, but text around an expression makes it a string (let one ${…} span the whole value)` +
				"\nspec.overrides[0].expressions.replicas@2 TypeMismatch: an expression inside of text must be a string, not an integer (convert it with string(…))",
		},
		"a syntax error has its place": {
			`[{expressions: {host: "x.${cluster.name +}"}}]`,
			`spec.overrides[0].expressions.host@18 SyntaxError: the expression ends too early`,
		},
		"a node is not known, and the cluster is the cluster": {
			`[{expressions: {host: "${cluster.data.x}"}}]`,
			`spec.overrides[0].expressions.host@10 UnknownField: unknown field "data" (known here: allocatable, annotations, capacity, claims, labels, name, version)`,
		},
		"the status of the instance is not known": {
			`[{expressions: {host: "${schema.status.zone}"}}]`,
			`spec.overrides[0].expressions.host@9 UnknownField: unknown field "status" (known here: apiVersion, kind, metadata, spec)`,
		},
		"omit() leaves nothing out here": {
			`[{expressions: {host: "${omit()}"}}]`,
			`spec.overrides[0].expressions.host@2 OmitNotAllowed: omit() cannot be used: the field needs a value (let one ${…} with omit() span the whole value of an optional field of a template)`,
		},
		"a key with dots in a map": {`[{expressions: {"limits['a.b/c']": "${2}", "extra.any.thing": "${[1, 2]}"}}]`, ""},
		"all that is wrong at once": {
			`[{spec: {a: 1}}, {expressions: {host: "${x}"}}]`,
			"spec.overrides[0].spec.a UnknownField: unknown field \"a\"\nspec.overrides[1].expressions.host@2 UnknownIdentifier: unknown identifier \"x\" (known here: cluster, schema)",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			overrides, issues := g.CompileOverrides(sources(t, tc.overrides))
			if (overrides == nil) != (len(issues) > 0) {
				t.Errorf("overrides %v with issues %v: want one of them", overrides, issues)
			}
			if diff := cmp.Diff(tc.want, brief(issues)); diff != "" {
				t.Errorf("issues (-want +got):\n%s", diff)
			}
		})
	}
}

// brief writes issues in a line each.
func brief(issues graph.Issues) string {
	lines := make([]string, 0, len(issues))
	for _, i := range issues {
		line := i.Path
		if i.Offset >= 0 {
			line += fmt.Sprintf("@%d", i.Offset)
		}
		line += " " + i.Reason + ": " + i.Message
		if i.Suggestion != "" {
			line += " (" + i.Suggestion + ")"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestOverridesChangeTheSpecForOneCluster(t *testing.T) {
	g := shop(t)
	cases := map[string]struct {
		spec, overrides string
		which           []int
		// want is the spec, fields what differs, issues what is wrong.
		want, fields, issues string
	}{
		"none leaves all as it is": {
			spec: `{host: a}`, overrides: `[{spec: {replicas: 1}}]`, which: []int{},
			want: `{host: a, replicas: 3, tier: gold, ingress: {class: nginx}}`,
		},
		"a patch is merged field by field": {
			spec:      `{host: a, ingress: {host: b, tls: true}, limits: {a: 1, b: 2}}`,
			overrides: `[{spec: {replicas: 1, ingress: {host: c}, limits: {b: null, z: 3}}}]`,
			want:      `{host: a, replicas: 1, tier: gold, ingress: {class: nginx, host: c, tls: true}, limits: {a: 1, z: 3}}`,
			fields:    "spec.ingress.host = c (was b) by 0\nspec.limits.b = <nil> (was 2) by 0\nspec.limits.z = 3 (was <nil>) by 0\nspec.replicas = 1 (was 3) by 0",
		},
		"a list is replaced": {
			spec: `{host: a, tags: [v, w]}`, overrides: `[{spec: {tags: [z]}}]`,
			want: `{host: a, replicas: 3, tier: gold, tags: [z], ingress: {class: nginx}}`, fields: "spec.tags = [z] (was [v w]) by 0",
		},
		"the later one wins, and is named": {
			spec: `{host: a}`, overrides: `[{spec: {replicas: 1, tier: silver}}, {spec: {replicas: 2}}]`,
			want: `{host: a, replicas: 2, tier: silver, ingress: {class: nginx}}`, fields: "spec.replicas = 2 (was 3) by 1\nspec.tier = silver (was gold) by 0",
		},
		"expressions come after the patch": {
			spec: `{host: a}`, overrides: `[{spec: {host: b}, expressions: {host: "${schema.spec.host}.${cluster.labels.region}"}}]`,
			want: `{host: a.eu, replicas: 3, tier: gold, ingress: {class: nginx}}`, fields: "spec.host = a.eu (was a) by 0",
		},
		"and see the instance without overrides": {
			spec: `{host: a}`, overrides: `[{spec: {replicas: 1}}, {expressions: {replicas: "${schema.spec.replicas * 2}"}}]`,
			want: `{host: a, replicas: 6, tier: gold, ingress: {class: nginx}}`, fields: "spec.replicas = 6 (was 3) by 1",
		},
		"a path makes the objects on its way": {
			spec: `{host: a}`, overrides: `[{expressions: {ingress.host: "${cluster.name}", "limits['a.b']": "${size(cluster.name)}"}}]`,
			want:   `{host: a, replicas: 3, tier: gold, ingress: {host: eu-west, class: nginx}, limits: {a.b: 7}}`,
			fields: "spec.ingress.host = eu-west (was <nil>) by 0\nspec.limits['a.b'] = 7 (was <nil>) by 0",
		},
		"what is taken away gets its default": {
			spec: `{host: a, replicas: 5, tags: [x]}`, overrides: `[{spec: {replicas: null, tags: null}}]`,
			want: `{host: a, replicas: 3, tier: gold, ingress: {class: nginx}}`, fields: "spec.replicas = 3 (was 5) by 0\nspec.tags = <nil> (was [x]) by 0",
		},
		"an optional without a value takes away": {
			spec: `{host: a, tags: [x]}`, overrides: `[{expressions: {tags: "${cluster.labels[?'tags'].optMap(t, [t])}"}}]`,
			want: `{host: a, replicas: 3, tier: gold, ingress: {class: nginx}}`, fields: "spec.tags = <nil> (was [x]) by 0",
		},
		"the same value is no difference": {
			spec: `{host: a, tags: [x]}`, overrides: `[{spec: {host: b}}, {spec: {host: a, tags: [x]}}]`,
			want: `{host: a, replicas: 3, tier: gold, tags: [x], ingress: {class: nginx}}`,
		},
		"a missing label is a named error": {
			spec: `{host: a}`, overrides: `[{spec: {replicas: 1}}, {expressions: {host: "${cluster.labels.zone}", tier: "${cluster.claims.x}"}}]`,
			issues: "spec.overrides[1].expressions.host ClusterValueMissing: cluster eu-west has no label zone\nspec.overrides[1].expressions.tier ClusterValueMissing: cluster eu-west has no claim x",
		},
		"only for whom it is": {
			spec: `{host: a}`, overrides: `[{spec: {replicas: 1}}, {expressions: {host: "${cluster.labels.zone}"}}, {spec: {tier: silver}}]`, which: []int{0, 2},
			want: `{host: a, replicas: 1, tier: silver, ingress: {class: nginx}}`, fields: "spec.replicas = 1 (was 3) by 0\nspec.tier = silver (was gold) by 2",
		},
		"an expression that costs too much": {
			spec: `{host: a}`, overrides: `[{expressions: {replicas: "${size(lists.range(9999).map(x, lists.range(9999)))}"}}]`,
			issues: "spec.overrides[0].expressions.replicas TooCostly: the expression costs more than the limit of 1000000",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			list := sources(t, tc.overrides)
			overrides, issues := g.CompileOverrides(list)
			if err := issues.Err(); err != nil {
				t.Fatal(err)
			}
			if tc.which == nil {
				for i := range list {
					tc.which = append(tc.which, i)
				}
			}
			instance := shopInstance(t, g, tc.spec)
			before := cmp.Diff(nil, instance)
			spec, fields, issues := overrides.Apply(instance, euWest, tc.which)
			if diff := cmp.Diff(tc.issues, brief(issues)); diff != "" {
				t.Errorf("issues (-want +got):\n%s", diff)
			}
			if cmp.Diff(nil, instance) != before {
				t.Error("the instance was changed")
			}
			if len(issues) > 0 {
				if spec != nil || fields != nil {
					t.Errorf("beside issues there is %v, %v", spec, fields)
				}
				return
			}
			if diff := cmp.Diff(decodeYAML[map[string]any](t, tc.want), spec); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.fields, overriddenText(fields)); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
		})
	}
}

var euWest = graph.Cluster{Name: "eu-west", Labels: map[string]string{"region": "eu"}}

func overriddenText(fields []graph.OverriddenField) string {
	lines := make([]string, 0, len(fields))
	for _, f := range fields {
		lines = append(lines, fmt.Sprintf("%s = %v (was %v) by %d", f.Path, f.Value, f.Before, f.Override))
	}
	return strings.Join(lines, "\n")
}

// merged are an instance's own values, and those of two overrides.
var merged = [][3]string{
	{`{"a":1,"b":{"c":[1,2],"d":null}}`, `{"b":{"c":null,"e":{}},"f":"x"}`, `{"b":1}`},
	{`{"a":{"a":{"a":{}}}}`, `{"a":{"a":null}}`, `{"a":{"a":{"b":{"c":null}}}}`},
}

func TestMergingOverrides(t *testing.T) {
	for _, texts := range merged {
		if !checkMerging(t, texts) {
			t.Errorf("%v is not merged", texts)
		}
	}
}

// FuzzMergingOverrides holds what RFC 7386 says of merge patches: an object wins
// over what it is merged into, to merge it again changes nothing, and of two
// the later one wins.
func FuzzMergingOverrides(f *testing.F) {
	for _, texts := range merged {
		f.Add(texts[0], texts[1], texts[2])
	}
	f.Fuzz(func(t *testing.T, own, first, second string) {
		if !checkMerging(t, [3]string{own, first, second}) {
			t.Skip()
		}
	})
}

// anyGraph has an instance that takes anything.
var anyGraph = sync.OnceValues(func() (*graph.Graph, graph.Issues) {
	return graph.Compile(graph.Source{Name: "any", Schema: graph.SchemaSource{Group: "kro.run", Version: "v1", Kind: "Any",
		Spec: map[string]any{"any": "object"}}}, builtin.Resolver())
})

// checkMerging says whether these are overrides at all.
func checkMerging(t *testing.T, texts [3]string) bool {
	g, issues := anyGraph()
	if err := issues.Err(); err != nil {
		t.Fatal(err)
	}
	var values [3]map[string]any
	for i, text := range texts {
		if utiljson.Unmarshal([]byte(text), &values[i]) != nil || values[i] == nil {
			return false
		}
	}
	instance := map[string]any{"spec": map[string]any{"any": values[0]}}
	overrides, issues := g.CompileOverrides([]graph.OverrideSource{{Spec: map[string]any{"any": values[1]}}, {Spec: map[string]any{"any": values[2]}}})
	if len(issues) > 0 {
		return false
	}
	apply := func(which ...int) map[string]any {
		spec, fields, issues := overrides.Apply(instance, graph.Cluster{}, which)
		if err := issues.Err(); err != nil {
			t.Fatal(err)
		}
		for _, field := range fields {
			if !slices.Contains(which, field.Override) || cmp.Equal(field.Before, field.Value) {
				t.Errorf("%v: no field that an override changed", field)
			}
		}
		return spec["any"].(map[string]any)
	}
	want := mergePatch(values[0], values[1])
	if diff := cmp.Diff(want, apply(0)); diff != "" {
		t.Errorf("one (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, apply(0, 0)); diff != "" {
		t.Errorf("one, twice (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(mergePatch(want, values[2]), apply(0, 1)); diff != "" {
		t.Errorf("two (-want +got):\n%s", diff)
	}
	return true
}

// mergePatch is the pseudocode of RFC 7386, section 2.
func mergePatch(target, patch any) any {
	p, isObject := patch.(map[string]any)
	if !isObject {
		return patch
	}
	out := map[string]any{}
	if object, ok := target.(map[string]any); ok {
		out = maps.Clone(object)
	}
	for name, value := range p {
		if value == nil {
			delete(out, name)
		} else {
			out[name] = mergePatch(out[name], value)
		}
	}
	return out
}

// BenchmarkApplyTwoOverrides is what overrides add to the cost of one cluster.
func BenchmarkApplyTwoOverrides(b *testing.B) {
	g := shop(b)
	overrides, issues := g.CompileOverrides(sources(b, `[{spec: {replicas: 1, ingress: {host: c}}}, {expressions: {host: "${schema.metadata.name}.${cluster.name}.example.com"}}]`))
	if err := issues.Err(); err != nil {
		b.Fatal(err)
	}
	instance := shopInstance(b, g, `{host: a, ingress: {host: b}, limits: {x: 1}}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, fields, _ := overrides.Apply(instance, euWest, []int{0, 1}); len(fields) != 3 {
			b.Fatal(fields)
		}
	}
}

// BenchmarkCompileTwoOverrides is what a new revision costs, once.
func BenchmarkCompileTwoOverrides(b *testing.B) {
	g := shop(b)
	list := sources(b, `[{spec: {replicas: 1, ingress: {host: c}}}, {expressions: {host: "${schema.metadata.name}.${cluster.name}.example.com"}}]`)
	b.ReportAllocs()
	for b.Loop() {
		if _, issues := g.CompileOverrides(list); len(issues) > 0 {
			b.Fatal(issues)
		}
	}
}
