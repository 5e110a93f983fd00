package graph_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
)

func member(name string, ready bool, status map[string]any) graph.Member {
	return graph.Member{Name: name, Labels: map[string]string{"region": strings.Split(name, "-")[0]}, Group: "g", Revision: "r1", Ready: ready, Status: status}
}

func TestAggregatesAreValuesOverAllClusters(t *testing.T) {
	g := shop(t)
	members := []graph.Member{
		member("eu-west", true, map[string]any{"ready": int64(3), "zone": "a", "since": "2026-01-02T03:04:05Z"}),
		member("eu-north", true, map[string]any{"ready": float64(2), "zone": "b"}),
		member("us-east", false, nil),
	}
	cases := map[string]struct {
		expression string
		// want is the value, with a star where it is the author's field too, or the
		// issue.
		want string
	}{
		"sum over those that are ready":  {"${clusters.filter(c, c.ready).map(c, c.status.ready).sum()}", "5"},
		"the least":                      {"${clusters.filter(c, c.ready).map(c, c.status.ready).min()}", "2"},
		"a count":                        {"${clusters.filter(c, !c.ready).size()}", "1"},
		"names":                          {"${clusters.map(c, c.name)}", "[eu-west eu-north us-east]"},
		"labels, groups and revisions":   {"${clusters.filter(c, c.labels.region == 'eu' && c.group == 'g').map(c, c.revision + '@' + c.name).join(',')}", "r1@eu-west,r1@eu-north"},
		"times are times":                {"${clusters.exists(c, has(c.status.since) && c.status.since < timestamp('2026-02-01T00:00:00Z'))}", "true"},
		"what holds without a value":     {"${clusters.map(c, c.status.?ready.orValue(0)).sum()}", "5"},
		"an optional without a value":    {"${clusters[2].status.?zone}", ""},
		"a value that is not there yet":  {"${clusters.map(c, c.status.ready).sum()}", "spec.aggregate.x ValueMissing: cluster us-east has no status.ready yet"},
		"the same behind a filter":       {"${clusters.filter(c, c.name != 'x').map(c, c.status.ready).sum()}", "spec.aggregate.x ValueMissing: cluster us-east: no such key: ready"},
		"a label that is not there":      {"${clusters.map(c, c.labels.zone)}", "spec.aggregate.x ValueMissing: cluster eu-west has no labels.zone yet"},
		"an index":                       {"${clusters[7].name}", "spec.aggregate.x ValueMissing: index out of bounds: 7"},
		"a function on nothing":          {"${clusters.filter(c, c.name == 'x').map(c, c.status.ready).min()}", "spec.aggregate.x EvaluationFailed: min called on empty list"},
		"a value too large for a status": {"${lists.range(2000).map(i, clusters[0].name)}", "spec.aggregate.x TooLarge: the value is larger than 8192 bytes, or all values together than 65536"},
		"a syntax error has its place":   {"${size(clusters}", "spec.aggregate.x@15 SyntaxError: missing ')' at '<EOF>'"},
		"a field that is not there":      {"${clusters.map(c, c.status.redy)}", `spec.aggregate.x@27 UnknownField: unknown field "redy"`},
		"a list has no fields":           {"${clusters.name}", "spec.aggregate.x@10 TypeMismatch: a list has no fields"},
		"another variable":               {"${schema.spec.host}", `spec.aggregate.x@2 UnknownIdentifier: unknown identifier "schema"`},
		"text":                           {"n ${size(clusters)}", "spec.aggregate.x@0 NotAnExpression: this must be a single expression"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			aggregates, issues := g.CompileAggregates(map[string]string{"x": tc.expression}, "spec.aggregate")
			if (aggregates == nil) != (len(issues) > 0) {
				t.Errorf("%v with issues %v: want one of them", aggregates, issues)
			}
			var values []graph.Aggregated
			if len(issues) == 0 {
				values, issues = aggregates.Evaluate(members)
			}
			got := ""
			for _, v := range values {
				got += fmt.Sprint(v.Value)
			}
			for _, i := range issues {
				i.Suggestion = ""
				got += brief(graph.Issues{i})
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestAnAggregateIsTheAuthorsFieldWhereNameAndTypeFit(t *testing.T) {
	g := shop(t)
	aggregates, issues := g.CompileAggregates(map[string]string{
		"ready": "${clusters.map(c, c.status.?ready.orValue(0)).sum()}",
		"zone":  "${clusters.map(c, c.name)}",
		"other": "${size(clusters)}",
	}, "spec.aggregate")
	if err := issues.Err(); err != nil {
		t.Fatal(err)
	}
	values, issues := aggregates.Evaluate([]graph.Member{member("eu-west", true, map[string]any{"ready": int64(3)})})
	want := []graph.Aggregated{
		{Name: "other", Value: int64(1)}, {Name: "ready", Value: int64(3), Field: true}, {Name: "zone", Value: []any{"eu-west"}},
	}
	if diff := cmp.Diff(want, values); diff != "" || len(issues) > 0 {
		t.Errorf("issues %v, values (-want +got):\n%s", issues, diff)
	}
}

func TestAggregatesOfADistributionComeBeforeThoseOfTheDefinition(t *testing.T) {
	source := graph.Source{Name: "any", Schema: graph.SchemaSource{Group: "kro.run", Version: "v1", Kind: "Any"}}
	plain, _ := graph.Compile(source, builtin.Resolver())
	source.Aggregates = map[string]string{"a": "${size(clusters)}", "b": "${size(clusters)}"}
	g, issues := graph.Compile(source, builtin.Resolver())
	if err := issues.Err(); err != nil {
		t.Fatal(err)
	}
	if plain.Hash() != g.Hash() {
		t.Error("aggregates change the hash of a definition, and so all its clusters")
	}
	over, issues := g.CompileAggregates(map[string]string{"b": "${clusters.map(c, c.name)}", "c": "${1}"}, "spec.aggregate")
	if err := issues.Err(); err != nil {
		t.Fatal(err)
	}
	values, issues := g.Aggregates().Under(over).Evaluate([]graph.Member{{Name: "x"}})
	want := []graph.Aggregated{{Name: "a", Value: int64(1)}, {Name: "b", Value: []any{"x"}}, {Name: "c", Value: int64(1)}}
	if diff := cmp.Diff(want, values); diff != "" || len(issues) > 0 {
		t.Errorf("issues %v, values (-want +got):\n%s", issues, diff)
	}
	source.Aggregates = map[string]string{"bad name": "${1}", "a": "${x}"}
	broken, issues := graph.Compile(source, builtin.Resolver())
	const faults = "metadata.annotations['kronvoy.io/aggregate'].a@2 UnknownIdentifier: unknown identifier \"x\" (known here: clusters)\n" +
		"metadata.annotations['kronvoy.io/aggregate']['bad name'] InvalidName: the name of an aggregate is lower camelCase, of at most 63 characters (did you mean badName?)"
	if diff := cmp.Diff(faults, brief(issues)); diff != "" || broken != nil {
		t.Errorf("graph %v, issues (-want +got):\n%s", broken, diff)
	}
}

func TestAggregatesGoOverTenThousandClustersAndNoMore(t *testing.T) {
	g := shop(t)
	aggregates, issues := g.CompileAggregates(map[string]string{
		"a": "${clusters.filter(c, c.ready).map(c, c.status.ready).sum()}",
		"b": "${clusters.filter(c, c.labels.region == 'eu' && c.ready).size()}",
		"c": "${clusters.map(c, c.status.?zone.orValue('')).distinct().size()}",
		"d": "${clusters.map(c, clusters.map(d, d.name))}",
	}, "spec.aggregate")
	if err := issues.Err(); err != nil {
		t.Fatal(err)
	}
	members := make([]graph.Member, graph.MaxMembers)
	for i := range members {
		members[i] = member(fmt.Sprintf("eu-%d", i), true, map[string]any{"ready": int64(1)})
	}
	values, issues := aggregates.Evaluate(members)
	got := map[string]any{}
	for _, v := range values {
		got[v.Name] = v.Value
	}
	if diff := cmp.Diff(map[string]any{"a": int64(10_000), "b": int64(10_000)}, got); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	for _, i := range issues {
		if i.Reason != "TooCostly" {
			t.Errorf("%v: want TooCostly", i)
		}
	}
	values, issues = aggregates.Evaluate(append(members, members[0]))
	if len(values) > 0 || len(issues) != 4 || issues[0].Reason != "TooMany" {
		t.Errorf("over one cluster too many there are %v, %v", values, issues)
	}
}

func BenchmarkAggregateOverTenThousandClusters(b *testing.B) {
	g := shop(b)
	aggregates, issues := g.CompileAggregates(map[string]string{"a": "${clusters.filter(c, c.ready).map(c, c.status.ready).sum()}"}, "spec.aggregate")
	if err := issues.Err(); err != nil {
		b.Fatal(err)
	}
	members := make([]graph.Member, graph.MaxMembers)
	for i := range members {
		members[i] = member(fmt.Sprintf("eu-%d", i), true, map[string]any{"ready": int64(1)})
	}
	b.ReportAllocs()
	for b.Loop() {
		if values, _ := aggregates.Evaluate(members); len(values) != 1 {
			b.Fatal(values)
		}
	}
}
