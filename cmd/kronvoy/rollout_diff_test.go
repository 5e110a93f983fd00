package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
	hubdefinition "github.com/kronvoy/kronvoy/hub/definition"
	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/internal/steer"
)

const hubNamespace = "kronvoy-system"

// vault puts a token into a Secret.
const vault = `
metadata: {name: vault}
spec:
  schema: {apiVersion: v1alpha1, kind: Vault, spec: {note: string, token: string}}
  resources:
  - id: key
    template: {apiVersion: v1, kind: Secret, metadata: {name: key}, stringData: {key: "${schema.spec.token}", pin: "4711"}}`

// guarded is a hub with a definition, one instance with two revisions, and somebody
// who may or may not read the definition's revision and the definition.
func guarded(t *testing.T, revisions, definitions bool) (*graphs, []steer.Past) {
	t.Helper()
	rgd := &krov1alpha1.ResourceGraphDefinition{}
	if err := yaml.Unmarshal([]byte(vault), rgd); err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(krov1alpha1.AddToScheme(scheme), appsv1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	g, issues := hubdefinition.NewStore(nil, hubNamespace, builtin.Resolver()).Compile(rgd)
	spec, err := json.Marshal(rgd.Spec)
	if err := errors.Join(issues.Err(), err); err != nil {
		t.Fatal(err)
	}
	kept, err := revision.Definition{Name: rgd.Name, Hash: g.Hash(), Spec: spec}.Object(hubNamespace, 1, metav1.OwnerReference{})
	if err != nil {
		t.Fatal(err)
	}
	past := steer.Past{Instance: "door"}
	for i, token := range []string{"sesame", "swordfish"} {
		raw, err := json.Marshal(map[string]any{"definition": kept.Name, "spec": map[string]any{"note": strings.Repeat("a", 2-i), "token": token}})
		if err != nil {
			t.Fatal(err)
		}
		past.Revisions = append(past.Revisions, appsv1.ControllerRevision{
			ObjectMeta: metav1.ObjectMeta{Name: []string{"door-2", "door-1"}[i]}, Revision: int64(2 - i), Data: runtime.RawExtension{Raw: raw},
		})
	}
	forbidden := func(what string) error {
		return apierrors.NewForbidden(appsv1.Resource(what), "", errors.New("no right"))
	}
	c := interceptor.NewClient(fake.NewClientBuilder().WithScheme(scheme).WithObjects(rgd, kept).Build(), interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
			if !revisions {
				return forbidden("controllerrevisions")
			}
			return c.Get(ctx, key, obj, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if !definitions {
				return forbidden("resourcegraphdefinitions")
			}
			return c.List(ctx, list, opts...)
		},
	})
	return newGraphs(c, hubNamespace, builtin.Resolver()), []steer.Past{past}
}

func TestADiffOfRevisionsHasNoValuesOfSecrets(t *testing.T) {
	masked := "door: door-1 -> door-2\n  spec.note: a -> aa\n  spec.token: *** -> ***\n"
	for name, tc := range map[string]struct {
		revisions, definitions bool
		output                 string
		from                   int64
		want                   string
		differs                bool
	}{
		"of revisions that may be read":                   {revisions: true, definitions: true, want: masked, differs: true},
		"of a definition that has not changed":            {definitions: true, want: masked, differs: true},
		"of a definition of which nobody knows, nor more": {want: "door: door-1 -> door-2\n  (values are hidden, since it is not known which of them are secret: ", differs: true},
		"as JSON":              {revisions: true, output: "json", want: `"old": "***",`, differs: true},
		"with the same":        {revisions: true, definitions: true, from: 2},
		"with the same hidden": {from: 2, output: "json", want: "[]\n"},
	} {
		t.Run(name, func(t *testing.T) {
			known, all := guarded(t, tc.revisions, tc.definitions)
			opts := rolloutDiffOptions{rolloutFlags: rolloutFlags{output: "table"}, from: tc.from}
			if tc.output != "" {
				opts.output = tc.output
			}
			var out bytes.Buffer
			err := opts.run(t.Context(), &out, known, all)
			if differs := errors.Is(err, errUnfinished); differs != tc.differs || err != nil && !differs {
				t.Errorf("the error is %v", err)
			}
			if !strings.Contains(out.String(), tc.want) || strings.Contains(out.String(), "sesame") || strings.Contains(out.String(), "swordfish") || strings.Contains(out.String(), "4711") {
				t.Errorf("it says\n%s", out.String())
			}
			if !tc.revisions && !tc.definitions && strings.Contains(out.String(), "aa") {
				t.Errorf("it shows what may be secret:\n%s", out.String())
			}
		})
	}
}

func TestADiffIsOfAllThatARevisionHolds(t *testing.T) {
	known, all := guarded(t, true, true)
	change, err := known.change(t.Context(), "door", nil, &all[0].Revisions[0])
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := writeRevisionChanges(&out, []steer.RevisionChange{change}); err != nil {
		t.Fatal(err)
	}
	want := "door: nothing -> door-2\n  definition: (none) -> " + change.Fields[0].New.Text()
	if !strings.HasPrefix(out.String(), want) || strings.Contains(out.String(), "4711") || !strings.Contains(out.String(), "spec: (none) -> ") {
		t.Errorf("(-want +got):\n%s", cmp.Diff(want, out.String()))
	}
}
