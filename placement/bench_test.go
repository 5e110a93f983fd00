package placement_test

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/kronvoy/kronvoy/placement"
	"github.com/kronvoy/kronvoy/placement/expr"
)

// manyClusters is how many clusters the benchmarks decide on.
const manyClusters = 10_000

func fleet() (clusters []placement.Cluster, previous []string) {
	clusters = make([]placement.Cluster, manyClusters)
	for i := range clusters {
		size, region := []string{"s", "m", "l"}[i%3], fmt.Sprintf("region-%d", i%7)
		c := placement.Cluster{
			Name: fmt.Sprintf("c%05d", i), Accepted: true, Placed: i % 5,
			Labels:      map[string]string{"size": size, "region": region, "env": []string{"prod", "test"}[i%2]},
			Claims:      map[string]string{"provider": []string{"a", "b", "c"}[i%3], "version": "v1.36.3"},
			Allocatable: map[string]float64{"cpu": float64(i % 64)},
		}
		c.Object = map[string]any{
			"metadata": map[string]any{"name": c.Name, "labels": map[string]any{"size": size, "region": region}},
			"status":   map[string]any{"version": map[string]any{"kubernetes": "v1.36.3"}, "allocatable": map[string]any{"cpu": fmt.Sprint(i % 64)}},
		}
		if i%3 == 0 {
			previous = append(previous, c.Name)
		}
		clusters[i] = c
	}
	return clusters, previous
}

func decide(b *testing.B, policy placement.Policy) {
	b.Helper()
	clusters, previous := fleet()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	policy.Sets = []placement.Set{{Name: "global", Selector: labels.Everything()}}
	b.ReportAllocs()
	for b.Loop() {
		if d := placement.Select(policy, clusters, previous, now); len(d.Clusters) == 0 {
			b.Fatal(d.Undecided)
		}
	}
}

func BenchmarkSelectByLabels(b *testing.B) {
	decide(b, placement.Policy{
		Prioritizers: placement.DefaultPrioritizers(),
		Predicates:   []placement.Predicate{{Labels: labels.SelectorFromSet(labels.Set{"size": "m"})}},
	})
}

func BenchmarkSelectByExpressions(b *testing.B) {
	expression, err := expr.Compile(`managedCluster.status.version.kubernetes.startsWith("v1.36") && managedCluster.metadata.labels["size"] != "s"`)
	if err != nil {
		b.Fatal(err)
	}
	n := int32(manyClusters / 4)
	decide(b, placement.Policy{
		NumberOfClusters: &n,
		Prioritizers:     append(placement.DefaultPrioritizers(), placement.Prioritizer{Kind: placement.Allocatable, Resource: "cpu", Weight: 1}),
		Predicates: []placement.Predicate{{
			Claims: labels.SelectorFromSet(labels.Set{"version": "v1.36.3"}), Expressions: []placement.Expression{expression},
		}},
		Spread: []placement.SpreadConstraint{{Key: "region", MaxSkew: 1}},
	})
}
