package builtin

import (
	"errors"
	"testing"

	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kronvoy/kronvoy/graph/schema"
)

func TestEveryKindResolves(t *testing.T) {
	kinds := 0
	for _, gv := range GroupVersions() {
		names, err := Kinds(gv)
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range names {
			kinds++
			gvk := gv.WithKind(kind)
			typ, err := Resolver().Resolve(gvk)
			if err != nil {
				t.Fatalf("Resolve(%s): %v", gvk, err)
			}
			d := typ.Decl(gvk)
			if f, found := d.Field("metadata"); !found || f.Decl.Form != schema.Struct {
				if _, review := d.Field("spec"); !review {
					t.Errorf("%s has no typed metadata: %v", gvk, f)
				}
			}
			if typ.Resource == "" {
				t.Errorf("%s has no resource", gvk)
			}
		}
	}
	if kinds < 90 {
		t.Errorf("%d kinds are built in, want at least 90", kinds)
	}
}

func TestResolve(t *testing.T) {
	tests := map[string]struct {
		gvk        runtimeschema.GroupVersionKind
		namespaced bool
		resource   string
		notFound   bool
		field      []string
		form       schema.Form
	}{
		"a Deployment's replicas": {
			gvk:        runtimeschema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"},
			namespaced: true, resource: "deployments",
			field: []string{"spec", "replicas"}, form: schema.Int,
		},
		"a Namespace is not namespaced": {
			gvk: runtimeschema.GroupVersionKind{Version: "v1", Kind: "Namespace"}, resource: "namespaces",
			field: []string{"metadata", "creationTimestamp"}, form: schema.Timestamp,
		},
		"a Secret's data is bytes": {
			gvk:        runtimeschema.GroupVersionKind{Version: "v1", Kind: "Secret"},
			namespaced: true, resource: "secrets", field: []string{"data"}, form: schema.Map,
		},
		"an int-or-string is anything": {
			gvk:        runtimeschema.GroupVersionKind{Group: "policy", Version: "v1", Kind: "PodDisruptionBudget"},
			namespaced: true, resource: "poddisruptionbudgets", field: []string{"spec", "maxUnavailable"}, form: schema.Dyn,
		},
		"a kind nobody has":  {gvk: runtimeschema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deploymint"}, notFound: true},
		"a group nobody has": {gvk: runtimeschema.GroupVersionKind{Group: "../apps", Version: "v1", Kind: "Deployment"}, notFound: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			typ, err := Resolver().Resolve(test.gvk)
			if test.notFound {
				if !errors.Is(err, schema.ErrNotFound) {
					t.Fatalf("Resolve: %v, want ErrNotFound", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if typ.Namespaced != test.namespaced || typ.Resource != test.resource {
				t.Errorf("namespaced %v, resource %q", typ.Namespaced, typ.Resource)
			}
			d := typ.Decl(test.gvk)
			for _, name := range test.field {
				f, found := d.Field(name)
				if !found {
					t.Fatalf("no field %q", name)
				}
				d = f.Decl
			}
			if d.Form != test.form {
				t.Errorf("form %v, want %v", d.Form, test.form)
			}
		})
	}
}
