package graph_test

import (
	"path/filepath"
	"testing"

	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/hash"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
)

// observedWebapp is what comes back from a cluster on which everything is ready.
func observedWebapp() map[string]graph.Observed {
	one := func(o map[string]any, v *graph.Verdict) graph.Observed {
		return graph.Observed{Objects: []graph.ObservedObject{{Object: o, Current: true, Partial: true, Verdict: v}}}
	}
	object := func(apiVersion, kind, name string, more map[string]any) map[string]any {
		o := map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"name": name, "namespace": "shop"}}
		for k, v := range more {
			o[k] = v
		}
		return o
	}
	return map[string]graph.Observed{
		"settings": one(object("v1", "ConfigMap", "shop-settings", nil), nil),
		"deployment": one(object("apps/v1", "Deployment", "shop", map[string]any{
			"spec":   map[string]any{"selector": map[string]any{"matchLabels": map[string]any{"app": "shop"}}},
			"status": map[string]any{"availableReplicas": int64(3)},
		}), &graph.Verdict{Ready: true}),
		"service": one(object("v1", "Service", "shop", map[string]any{"spec": map[string]any{"clusterIP": "10.96.0.17"}}), nil),
		"address": one(object("v1", "ConfigMap", "shop-address", nil), nil),
	}
}

// BenchmarkEvaluateOneMoreCluster is the cost of one more cluster for a graph
// that is compiled: everything is rendered, judged and projected.
func BenchmarkEvaluateOneMoreCluster(b *testing.B) {
	g, instance := webapp(b)
	bindings := graph.Bindings{
		Instance: instance,
		Cluster:  graph.Cluster{Name: "eu-west", Labels: map[string]string{"region": "eu-west", "size": "large"}, Version: "v1.36.3"},
		Observed: observedWebapp(),
	}
	e, issues := g.Evaluate(bindings)
	if !e.Ready || len(issues) > 0 || len(e.Status) != 2 {
		b.Fatalf("the benchmark evaluates something else: %+v %v", e, issues)
	}
	// The hub knows what it has shipped.
	for _, n := range e.Nodes {
		bindings.Observed[n.ID].Objects[0].ManifestHash = hash.Of(n.Objects[0])
	}
	b.ReportAllocs()
	for b.Loop() {
		g.Evaluate(bindings)
	}
}

// BenchmarkEvaluateFirstPass is the cost for a cluster that nothing is known of.
func BenchmarkEvaluateFirstPass(b *testing.B) {
	g, instance := webapp(b)
	bindings := graph.Bindings{
		Instance: instance,
		Cluster:  graph.Cluster{Name: "eu-west", Labels: map[string]string{"region": "eu-west", "size": "large"}, Version: "v1.36.3"},
	}
	b.ReportAllocs()
	for b.Loop() {
		g.Evaluate(bindings)
	}
}

// BenchmarkCompileWebapp is the cost of one version of a definition.
func BenchmarkCompileWebapp(b *testing.B) {
	src := readSource(b, filepath.Join("..", "examples", "webapp", "rgd.yaml"))
	r := builtin.Resolver()
	b.ReportAllocs()
	for b.Loop() {
		if _, issues := graph.Compile(src, r); len(issues) > 0 {
			b.Fatal(issues.Err())
		}
	}
}
