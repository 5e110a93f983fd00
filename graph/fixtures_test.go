package graph_test

import (
	"os"
	"path/filepath"
	"testing"

	"sigs.k8s.io/yaml"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
	"github.com/kronvoy/kronvoy/hub/convert"
)

// readYAML decodes a file strictly into a value.
func readYAML(t testing.TB, file string, into any) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(data, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// readSource reads a definition as the controllers do.
func readSource(t testing.TB, file string) graph.Source {
	t.Helper()
	var rgd krov1alpha1.ResourceGraphDefinition
	readYAML(t, file, &rgd)
	src, err := convert.Source(&rgd)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return src
}

// compile compiles a source that is expected to be right.
func compile(t testing.TB, src graph.Source, resolvers ...schema.Resolver) *graph.Graph {
	t.Helper()
	g, issues := graph.Compile(src, schema.Chain(append(resolvers, builtin.Resolver())...))
	if err := issues.Err(); err != nil {
		t.Fatal(err)
	}
	return g
}

// webapp is the example in the repository, with its instance as the API server
// would return it.
func webapp(t testing.TB) (*graph.Graph, map[string]any) {
	t.Helper()
	dir := filepath.Join("..", "examples", "webapp")
	g := compile(t, readSource(t, filepath.Join(dir, "rgd.yaml")))
	return g, map[string]any{
		"apiVersion": "kro.run/v1alpha1", "kind": "WebApp",
		"metadata": map[string]any{"name": "shop", "namespace": "shop"},
		"spec": map[string]any{"name": "shop", "image": "registry.k8s.io/pause:3.10", "port": int64(80),
			"replicas": map[string]any{"small": int64(1), "medium": int64(2), "large": int64(3)}},
	}
}
