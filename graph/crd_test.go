package graph_test

import (
	"context"
	"path/filepath"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kronvoy/kronvoy/graph"
)

// TestCRDsAreValid judges the generated kind of every scenario with the API
// server's own rules for schemas and their defaults.
func TestCRDsAreValid(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*", "rgd.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, filepath.Join("..", "examples", "webapp", "rgd.yaml"))
	for _, file := range files {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			g, issues := graph.Compile(readSource(t, file), scenarioResolver(t, dir))
			if len(issues) > 0 {
				t.Skip("does not compile")
			}
			var internal apiextensions.JSONSchemaProps
			props := g.CRD().Spec.Versions[0].Schema.OpenAPIV3Schema
			if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(props, &internal, nil); err != nil {
				t.Fatal(err)
			}
			structural, err := structuralschema.NewStructural(&internal)
			if err != nil {
				t.Fatal(err)
			}
			root := field.NewPath("openAPIV3Schema")
			if errs := structuralschema.ValidateStructural(root, structural); len(errs) > 0 {
				t.Error(errs.ToAggregate())
			}
			errs, err := defaulting.ValidateDefaults(context.Background(), root, structural, true, true)
			if err != nil || len(errs) > 0 {
				t.Error(errs.ToAggregate(), err)
			}
		})
	}
}
