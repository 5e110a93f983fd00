package status

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
)

func aggregates4(t *testing.T, expressions map[string]string) *graph.Aggregates {
	t.Helper()
	g, issues := graph.Compile(graph.Source{
		Name: "any",
		Schema: graph.SchemaSource{Group: "kro.run", Version: "v1", Kind: "Any", Spec: map[string]any{"n": "integer", "x": "float", "s": "string"},
			Status: map[string]any{"ready": "${schema.spec.n}", "ratio": "${schema.spec.x}", "zone": "${schema.spec.s}"}},
		Aggregates: expressions,
	}, builtin.Resolver())
	if err := issues.Err(); err != nil {
		t.Fatal(err)
	}
	return g.Aggregates()
}

func TestAggregatesStandInTheStatus(t *testing.T) {
	total := map[string]string{"ready": "${clusters.map(c, c.status.ready).sum()}"}
	leaving := target("c", ready, `{"ready":100}`)
	leaving.DeletionTimestamp = &noon
	old := target("b", ready, `{"ready":2,"zone":"z"}`)
	old.Status.Revision = "r0"
	cases := map[string]struct {
		expressions map[string]string
		targets     []kronvoyv1alpha1.Target
		// values and issues are the aggregates of the fleet; fields are the author's,
		// differing the condition.
		values    map[string]any
		issues    []any
		fields    map[string]any
		differing string
	}{
		"none": {
			targets: []kronvoyv1alpha1.Target{target("a", ready, `{"ready":1}`), target("b", ready, `{"ready":2}`)},
			fields:  map[string]any{}, differing: "clusters give different values, so these fields are left out: ready",
		},
		"the author's field is the aggregate, and clusters may differ": {
			expressions: total, targets: []kronvoyv1alpha1.Target{target("a", ready, `{"ready":1,"zone":"z"}`), target("b", ready, `{"ready":2,"zone":"z"}`)},
			values: map[string]any{"ready": int64(3)}, fields: map[string]any{"ready": int64(3), "zone": "z"},
		},
		"on one cluster the author's field is that cluster's": {
			expressions: map[string]string{"ready": "${clusters.map(c, c.status.ready).sum() * 10}"}, targets: []kronvoyv1alpha1.Target{target("a", ready, `{"ready":1}`)},
			values: map[string]any{"ready": int64(10)}, fields: map[string]any{"ready": int64(1)},
		},
		"one of another type is no author's field": {
			expressions: map[string]string{"zone": "${clusters.map(c, c.status.zone)}"}, targets: []kronvoyv1alpha1.Target{target("a", ready, `{"zone":"y"}`), target("b", ready, `{"zone":"z"}`)},
			values: map[string]any{"zone": []any{"y", "z"}}, fields: map[string]any{}, differing: "clusters give different values, so these fields are left out: zone",
		},
		"what a cluster has not given leaves it out, with the reason": {
			expressions: total, targets: []kronvoyv1alpha1.Target{target("a", ready, `{"ready":1}`), target("b", progressing, "")},
			issues: []any{"metadata.annotations['kronvoy.io/aggregate'].ready: cluster b has no status.ready yet (clusters.filter(c, c.ready) leaves out those that are not ready, and c.?status.field.orValue(0) says what holds without a value)"},
			fields: map[string]any{"ready": int64(1)},
		},
		"a cluster that is being left does not count, and one at an old revision does": {
			expressions: map[string]string{"ready": "${clusters.filter(c, c.ready).map(c, c.status.ready).sum()}", "old": "${clusters.filter(c, c.revision != 'r1').map(c, c.name)}"},
			targets:     []kronvoyv1alpha1.Target{target("a", ready, `{"ready":1,"zone":"z"}`), old, leaving},
			values:      map[string]any{"ready": int64(3), "old": []any{"b"}}, fields: map[string]any{"ready": int64(3), "zone": "z"},
		},
		"a whole number has no fraction": {
			expressions: map[string]string{"ratio": "${clusters.map(c, c.status.ratio).sum()}"}, targets: []kronvoyv1alpha1.Target{target("a", ready, `{"ratio":1.5}`), target("b", ready, `{"ratio":0.5}`)},
			values: map[string]any{"ratio": int64(2)}, fields: map[string]any{"ratio": int64(2)},
		},
		"labels, groups and names": {
			expressions: map[string]string{"where": "${clusters.map(c, c.name + '/' + c.labels.zone + '/' + c.group)}"},
			targets:     []kronvoyv1alpha1.Target{target("b", progressing, ""), target("a", ready, "")},
			values:      map[string]any{"where": []any{"a/z1/g", "b/z2/"}}, fields: map[string]any{},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			in := input(tc.targets...)
			in.Aggregates = aggregates4(t, tc.expressions)
			in.Labels = map[string]map[string]string{"a": {"zone": "z1"}, "b": {"zone": "z2"}}
			in.Groups = map[string]string{"a": "g"}
			status := Summarize(in)
			fleet := status["fleet"].(map[string]any)
			values, _ := fleet["aggregates"].(map[string]any)
			issues, _ := fleet["aggregateIssues"].([]any)
			differing := ""
			for _, c := range status["conditions"].([]any) {
				if m := c.(map[string]any); m["type"] == StatusDiffers {
					differing = m["message"].(string)
				}
			}
			if status["state"] == Error {
				t.Error("an aggregate without a value is no error of the instance")
			}
			fields := map[string]any{}
			for _, name := range []string{"ready", "ratio", "zone"} {
				if value, found := status[name]; found {
					fields[name] = value
				}
			}
			if diff := cmp.Diff([]any{tc.values, tc.issues, tc.fields, tc.differing}, []any{values, issues, fields, differing}); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
