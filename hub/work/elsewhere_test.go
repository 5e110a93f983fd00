package work

import (
	"testing"

	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
)

func TestWhatLeavesElsewhereIsPartOfTheOrder(t *testing.T) {
	type outcome struct {
		Leaves   bool
		Wave     int
		Withheld string
		Shipped  []string
	}
	tests := map[string]struct {
		teardown  bool
		elsewhere Elsewhere
		want      outcome
	}{
		"a later wave elsewhere goes first": {
			teardown: true, elsewhere: Elsewhere{Leaving: []int{3, 0}},
			want: outcome{Leaves: true, Wave: 3, Shipped: []string{"a", "b", "c"}},
		},
		"the same wave goes at once": {
			teardown: true, elsewhere: Elsewhere{Leaving: []int{2}},
			want: outcome{Leaves: true, Wave: 2, Shipped: []string{"a", "b"}},
		},
		"an earlier wave elsewhere waits": {
			teardown: true, elsewhere: Elsewhere{Leaving: []int{1}},
			want: outcome{Leaves: true, Wave: 2, Shipped: []string{"a", "b"}},
		},
		"what leaves alone": {
			elsewhere: Elsewhere{Leaving: []int{0}},
			want:      outcome{Leaves: true, Wave: 0, Shipped: []string{"a", "b", "c"}},
		},
		"nothing leaves while something elsewhere is not there yet": {
			elsewhere: Elsewhere{Leaving: []int{1}, Unsettled: "Database shop/db is not there yet"},
			want:      outcome{Withheld: "Database shop/db is not there yet", Shipped: []string{"a", "b", "c"}},
		},
		"nothing leaves": {want: outcome{Shipped: []string{"a", "b", "c"}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := settled(t)
			w.elsewhere = test.elsewhere
			plan := w.step(test.teardown)
			want(t, "plan", test.want, outcome{plan.Leaves, plan.Wave, plan.Withheld, w.shipped()})
		})
	}
}

func TestNothingElsewhereLeavesBeforeTheAgentsWord(t *testing.T) {
	w := settled(t)
	w.elsewhere.Leaving = []int{1}
	w.mute = true
	w.step(true)
	plan := w.step(true)
	want(t, "a wave leaves", false, plan.Leaves)
	w.answer()
	plan = w.step(true)
	want(t, "a wave leaves after the agent's word", true, plan.Leaves)
	want(t, "the wave", 1, plan.Wave)
}

func TestAnInstanceOfAGeneratedKindIsNotShipped(t *testing.T) {
	kinds := schema.ResolverFunc(func(gvk runtimeschema.GroupVersionKind) (*schema.Type, error) {
		found, err := builtin.Resolver().Resolve(gvk)
		if err != nil {
			return nil, err
		}
		return &schema.Type{Schema: found.Schema, Resource: found.Resource, Namespaced: found.Namespaced, Definition: "settings"}, nil
	})
	g, issues := graph.Compile(graph.Source{
		Name:   "nesting",
		Schema: graph.SchemaSource{Group: "kro.run", Version: "v1alpha1", Kind: "Chain", Scope: graph.Namespaced},
		Nodes:  []graph.NodeSource{{ID: "a", Template: configMap("a", "one")}},
	}, kinds)
	if g == nil {
		t.Fatal(issues.Err())
	}
	w := newWorld(t, g)
	w.step(false)
	want(t, "shipped", nil, w.shipped())
}
