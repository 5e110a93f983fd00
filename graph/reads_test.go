package graph_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kronvoy/kronvoy/graph"
)

// TestWhatAnAgentWithoutReportsCanReturnIsKnown is about Read.Stated,
// Node.ReadyReads and Node.BasicRules.
func TestWhatAnAgentWithoutReportsCanReturnIsKnown(t *testing.T) {
	g := compile(t, graph.Source{
		Name:   "x",
		Schema: graph.SchemaSource{Group: "kro.run", Version: "v1alpha1", Kind: "X", Scope: graph.Namespaced},
		Nodes: []graph.NodeSource{
			{ID: "settings", ReadyWhen: []string{`${sets.contains(["on"], [settings.data.?mode.orValue("on")])}`}, Template: map[string]any{
				"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "settings", "labels": map[string]any{"a": "b"}},
			}},
			{ID: "service", ReadyWhen: []string{`${service.spec.clusterIP != ""}`}, Template: map[string]any{
				"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": "service"},
				"spec": map[string]any{"selector": map[string]any{"app": "x"}, "ports": []any{map[string]any{"port": int64(80)}}},
			}},
			{ID: "reader", Template: map[string]any{
				"apiVersion": "v1", "kind": "ConfigMap",
				"metadata": map[string]any{"name": "reader", "labels": "${settings.metadata.labels}", "annotations": "${service.metadata.annotations}"},
				"data": map[string]any{
					"selector": "${string(size(service.spec.selector))}", "ports": "${string(size(service.spec.ports))}", "ip": "${service.spec.clusterIP}",
				},
			}},
		},
	})
	type facts struct {
		Reads, ReadyReads []graph.Read
		Basic             bool
	}
	got := map[string]facts{}
	for _, id := range []string{"settings", "service"} {
		n := g.Node(id)
		got[id] = facts{n.Reads, n.ReadyReads, n.BasicRules}
	}
	want := map[string]facts{
		"settings": {
			Reads:      []graph.Read{{Path: "metadata.labels", Fields: []string{"metadata", "labels"}, Stated: true}},
			ReadyReads: []graph.Read{{Path: "data.mode", Fields: []string{"data", "mode"}, Scalar: true}},
		},
		"service": {
			Reads: []graph.Read{
				{Path: "metadata.annotations", Fields: []string{"metadata", "annotations"}},
				{Path: "spec.clusterIP", Fields: []string{"spec", "clusterIP"}, Scalar: true},
				{Path: "spec.ports", Fields: []string{"spec", "ports"}},
				{Path: "spec.selector", Fields: []string{"spec", "selector"}, Stated: true},
			},
			ReadyReads: []graph.Read{{Path: "spec.clusterIP", Fields: []string{"spec", "clusterIP"}, Scalar: true}},
			Basic:      true,
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(append(want["settings"].ReadyReads, want["settings"].Reads...), g.Node("settings").AllReads()); diff != "" {
		t.Errorf("all reads (-want +got):\n%s", diff)
	}
}

// TestAnObjectWithTheFieldsOfReadyWhenIsJudged: without them, what readyWhen
// alone reads counts as unobserved.
func TestAnObjectWithTheFieldsOfReadyWhenIsJudged(t *testing.T) {
	g := compile(t, graph.Source{
		Name:   "x",
		Schema: graph.SchemaSource{Group: "kro.run", Version: "v1alpha1", Kind: "X", Scope: graph.Namespaced},
		Nodes: []graph.NodeSource{{ID: "settings", ReadyWhen: []string{`${settings.data.?mode.orValue("on") == "on"}`}, Template: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "settings"},
		}}},
	})
	object := func(data map[string]any) map[string]any {
		return map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "settings", "namespace": "shop"}, "data": data}
	}
	for name, test := range map[string]struct {
		data      map[string]any
		judgeable bool
		want      graph.NodeState
	}{
		"not asked for":          {data: map[string]any{}, want: graph.Progressing},
		"asked for and absent":   {data: map[string]any{}, judgeable: true, want: graph.Ready},
		"asked for and unlike":   {data: map[string]any{"mode": "off"}, judgeable: true, want: graph.Progressing},
		"asked for and as it is": {data: map[string]any{"mode": "on"}, judgeable: true, want: graph.Ready},
	} {
		t.Run(name, func(t *testing.T) {
			evaluation, issues := g.Evaluate(graph.Bindings{
				Instance: map[string]any{"apiVersion": "kro.run/v1alpha1", "kind": "X", "metadata": map[string]any{"name": "x", "namespace": "shop"}},
				Observed: map[string]graph.Observed{"settings": {Objects: []graph.ObservedObject{
					{Object: object(test.data), Current: true, Partial: true, Judgeable: test.judgeable},
				}}},
			})
			if err := issues.Err(); err != nil {
				t.Fatal(err)
			}
			if got := evaluation.Nodes[0]; got.State != test.want {
				t.Errorf("%+v, want %s", got, test.want)
			}
		})
	}
}
