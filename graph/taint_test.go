package graph_test

import (
	"fmt"
	"strings"
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

// TestNothingThatIsSaidHoldsAValueOfASecret: not what CEL says of an expression
// that fails, not what it waits for, and not the author's conditions. Of a
// ConfigMap the same is said.
func TestNothingThatIsSaidHoldsAValueOfASecret(t *testing.T) {
	condition := func(conditionType, status, reason, message string) string {
		return "${runtime.newCondition({type: " + conditionType + ", status: " + status + ", reason: " + reason + ", message: " + message + "})}"
	}
	const value = "string(it.data.key)"
	said := func(t *testing.T, kind string) (graph.Evaluation, string) {
		t.Helper()
		configMap := func(name, expression string) map[string]any {
			return map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name}, "data": map[string]any{"x": expression}}
		}
		own := configMap("own", "${"+value+"}")
		g, issues := graph.Compile(graph.Source{
			Name: "app",
			Schema: graph.SchemaSource{Group: "kro.run", Version: "v1alpha1", Kind: "App", Scope: graph.Namespaced, Spec: map[string]any{"names": "map[string]string"},
				Status: map[string]any{
					"fails": "${url(" + value + ").getHost()}",
					"conditions": []any{
						condition("'Long'", "size("+value+") > 3 ? 'True' : 'False'", value, "'it is ' + "+value),
						condition("'Known'", "'True'", "'Fine'", "size("+value+") > 3 ? 'it is there' : 'it is short'"),
						condition(value, "'True'", "''", "''"),
						condition("'Wrong'", value, "''", "''"),
						condition("'Failing'", "url("+value+").getHost() == '' ? 'True' : 'False'", "''", "''"),
					},
				}},
			Nodes: []graph.NodeSource{
				{ID: "it", External: &graph.ExternalSource{APIVersion: "v1", Kind: kind, Name: "it"}},
				{ID: "other", External: &graph.ExternalSource{APIVersion: "v1", Kind: "ConfigMap", Name: "other"}},
				{ID: "host", Template: configMap("host", "${url("+value+").getHost()}")},
				{ID: "key", Template: configMap("key", "${other.data["+value+"]}")},
				{ID: "input", Template: configMap("input", "${schema.spec.names["+value+"]}")},
				{ID: "own", Template: own, ReadyWhen: []string{"${int(own.data.x) > 0}"}},
			},
		}, builtin.Resolver())
		if g == nil {
			t.Fatal(issues.Err())
		}
		seen := func(object map[string]any) graph.Observed {
			return graph.Observed{Objects: []graph.ObservedObject{{Object: object, Current: true}}}
		}
		data := "swordfish"
		if kind == "Secret" {
			data = "c3dvcmRmaXNo"
		}
		secret := map[string]any{"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"name": "it", "namespace": "a"}, "data": map[string]any{"key": data}}
		other := configMap("other", "y")
		ready := configMap("own", "swordfish")
		other["metadata"].(map[string]any)["namespace"], ready["metadata"].(map[string]any)["namespace"] = "a", "a"
		observedOwn := seen(ready)
		observedOwn.Objects[0].Verdict = &graph.Verdict{Err: `parsing "swordfish": invalid syntax`}
		e, issues := g.Evaluate(graph.Bindings{
			Instance: map[string]any{"apiVersion": "kro.run/v1alpha1", "kind": "App", "metadata": map[string]any{"name": "a", "namespace": "a"},
				"spec": map[string]any{"names": map[string]any{"x": "y"}}},
			Observed: map[string]graph.Observed{"it": seen(secret), "other": seen(other), "own": observedOwn},
		})
		var text strings.Builder
		for _, issue := range issues {
			fmt.Fprintln(&text, issue.Error())
		}
		for _, n := range e.Nodes {
			fmt.Fprintln(&text, n.ID, n.State, n.WaitsFor)
		}
		fmt.Fprintln(&text, e.StatusWaits, e.ConditionWaits, e.Conditions)
		return e, text.String()
	}
	if _, text := said(t, "ConfigMap"); strings.Count(text, "swordfish") < 7 {
		t.Errorf("of a ConfigMap this is said:\n%s", text)
	}
	e, text := said(t, "Secret")
	if strings.Contains(text, "swordfish") || strings.Contains(text, "c3dvcmRmaXNo") {
		t.Errorf("of a Secret this is said:\n%s", text)
	}
	want := []graph.Condition{
		{Type: "Long", Status: "True", Reason: graph.Hidden, Message: graph.Hidden},
		{Type: "Known", Status: "True", Reason: "Fine", Message: "it is there"},
	}
	if diff := cmp.Diff(want, e.Conditions); diff != "" {
		t.Errorf("conditions (-want +got):\n%s\n%s", diff, text)
	}
}
