package main

import (
	"fmt"
	"maps"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/override"
)

// overriddenField is a field of an instance's spec that its Distribution changes
// on a cluster.
type overriddenField struct {
	Path string `json:"path"`
	// By is the override that counts, as in spec.overrides[0].
	By string `json:"by"`
	// Value is what it is, and Before what the instance says; null for none.
	Value  any `json:"value"`
	Before any `json:"before"`
}

// overrideFor applies the overrides of an instance's Distribution, nil for none.
// The fault is what is wrong on this cluster alone.
func overrideFor(g *graph.Graph, instance map[string]any, owner *kronvoyv1alpha1.Distribution, cluster graph.Cluster) (changed map[string]any, overridden []overriddenField, fault, err error) {
	if owner == nil {
		return instance, nil, nil, nil
	}
	list, err := override.Compile(g, owner.Spec.Overrides)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("applying Distribution %s: %w", owner.Name, err)
	}
	spec, fields, fault := list.On(instance, cluster)
	if fault != nil || len(fields) == 0 {
		return instance, nil, fault, nil
	}
	for _, f := range fields {
		overridden = append(overridden, overriddenField{f.Path, graph.OverridePath(f.Override, ""), f.Value, f.Before})
	}
	changed = maps.Clone(instance)
	changed["spec"] = spec
	return changed, overridden, nil, nil
}
