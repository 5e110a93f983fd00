package steer_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/internal/steer"
)

func TestWhatARevisionChangesIsShownWithoutValuesOfSecrets(t *testing.T) {
	g, issues := graph.Compile(graph.Source{
		Name: "app", Schema: graph.SchemaSource{Group: "kro.run", Version: "v1alpha1", Kind: "App", Scope: graph.Namespaced, Spec: map[string]any{"note": "string", "token": "string"}},
		Nodes: []graph.NodeSource{{ID: "password", Template: map[string]any{
			"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "password"}, "stringData": map[string]any{"key": "${schema.spec.token}"},
		}}},
	}, builtin.Resolver())
	if g == nil {
		t.Fatal(issues.Err())
	}
	definition := func(key string) []byte {
		return []byte(`{"resources":[{"id":"password","template":{"apiVersion":"v1","kind":"Secret","stringData":{"key":"` + key + `"}}}]}`)
	}
	made := func(name, note, token, definition string, spec []byte) *steer.Revision {
		return &steer.Revision{Name: name, Graph: g, Spec: spec, Instance: revision.Instance{Definition: definition, Spec: map[string]any{"note": note, "token": token}}}
	}
	old := made("app-1", "a", "swordfish", "d1", definition("swordfish"))
	overridden := made("app-2", "a", "swordfish", "d1", definition("swordfish"))
	overridden.Overrides = []kronvoyv1alpha1.Override{{Spec: &runtime.RawExtension{Raw: []byte(`{"note":"b","token":"sesame"}`)}}}
	unknown := made("app-2", "b", "sesame", "d1", definition("swordfish"))
	unknown.Graph = nil
	for name, tc := range map[string]struct {
		from, to *steer.Revision
		want     []string
		unknown  string
	}{
		"nothing":             {from: old, to: made("app-2", "a", "swordfish", "d1", definition("swordfish"))},
		"a value":             {from: old, to: made("app-2", "b", "swordfish", "d1", definition("swordfish")), want: []string{"spec.note: a -> b"}},
		"a value of a Secret": {from: old, to: made("app-2", "a", "sesame", "d1", definition("swordfish")), want: []string{"spec.token: *** -> ***"}},
		"the definition": {from: old, to: made("app-2", "a", "swordfish", "d2", definition("sesame")), want: []string{
			"definition: d1 -> d2", "resources.password.template.stringData.key: *** -> ***",
		}},
		"a definition that one may not see": {
			from: old, to: made("app-2", "a", "swordfish", "d2", nil), want: []string{"definition: d1 -> d2"}, unknown: "what the definition changes is not shown",
		},
		"overrides":                   {from: old, to: overridden, want: []string{`overrides: (none) -> [{"spec":{"note":"b","token":"***"}}]`}},
		"what nobody knows is hidden": {from: old, to: unknown, want: []string{"spec.note: a -> ***", "spec.token: *** -> ***"}},
	} {
		t.Run(name, func(t *testing.T) {
			change, err := steer.NewRevisionChange("app", tc.from, tc.to)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range change.Fields {
				got = append(got, f.Path+": "+f.Old.Text()+" -> "+f.New.Text())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || change.Unknown != tc.unknown {
				t.Errorf("unknown %q (-want +got):\n%s", change.Unknown, diff)
			}
		})
	}
	first, err := steer.NewRevisionChange("app", nil, old)
	if err != nil || first.From != "" || len(first.Fields) == 0 || strings.Contains(first.Fields[len(first.Fields)-1].New.Text(), "swordfish") {
		t.Errorf("the first revision: %v, %+v", err, first)
	}
}
