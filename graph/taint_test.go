package graph_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
)

func TestValuesOfSecretsAreFollowed(t *testing.T) {
	object := func(kind, name string, data map[string]any) map[string]any {
		return map[string]any{"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"name": name}, "data": data}
	}
	g, issues := graph.Compile(graph.Source{
		Name: "app",
		Schema: graph.SchemaSource{Group: "kro.run", Version: "v1alpha1", Kind: "App", Scope: graph.Namespaced, Spec: map[string]any{"name": "string"},
			Status: map[string]any{
				"name":  "${password.metadata.name}",
				"shown": map[string]any{"url": "${url.data.url}", "other": "${url.data.other}"},
				"all":   []any{"${schema.spec.name}", "${string(password.data.key)}"},
			}},
		Nodes: []graph.NodeSource{
			{ID: "password", External: &graph.ExternalSource{APIVersion: "v1", Kind: "Secret", Name: "password"}},
			{ID: "url", Template: object("ConfigMap", "url", map[string]any{"url": "db://${string(password.data.key)}", "other": "${password.metadata.name}"})},
			{ID: "third", Template: object("ConfigMap", "third", map[string]any{"copy": "${url.data.url}", "fine": "${url.data.other}"})},
			{ID: "whole", Template: object("ConfigMap", "whole", map[string]any{"count": "${string(size(url.data))}"})},
		},
	}, builtin.Resolver())
	if g == nil {
		t.Fatal(issues.Err())
	}
	var got []string
	for _, use := range g.SecretUses() {
		got = append(got, use.String())
	}
	want := []string{
		"spec.resources[1].template.data.url reads password.data.key",
		"spec.resources[2].template.data.copy reads url.data.url",
		"spec.resources[3].template.data.count reads url.data",
		"spec.schema.status.all[1] reads password.data.key",
		"spec.schema.status.shown.url reads url.data.url",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("uses (-want +got):\n%s", diff)
	}
	status := map[string]any{"name": "password", "shown": map[string]any{"url": "db://swordfish", "other": "password"}, "all": []any{"x", "swordfish"}}
	if diff := cmp.Diff(map[string]any{"name": "password", "shown": map[string]any{"other": "password"}}, g.WithoutSecrets(status)); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	if status["all"] == nil {
		t.Error("the status itself was changed")
	}
}
