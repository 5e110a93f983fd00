// Package override changes an instance's spec for single clusters, as the overrides
// of its Distribution say, and judges what comes of it as an API server would. It
// is pure: the hub, `kronvoy render` and `kronvoy preview` share it.
//
//	graph + overrides ──Compile──► *List ──On(instance, cluster)──► spec, fields
package override

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/policy"
)

// List is the overrides of a Distribution, compiled for a kind. It is immutable
// and safe for concurrent use.
type List struct {
	selectors []labels.Selector
	compiled  *graph.Overrides
	kind      *kind
}

// Compile checks overrides against the kind of a graph; no overrides compile to
// nil, which changes nothing. The error is a policy.InvalidError with the field
// and, of an expression, line and column.
func Compile(g *graph.Graph, overrides []kronvoyv1alpha1.Override) (*List, error) {
	if len(overrides) == 0 {
		return nil, nil
	}
	selectors, err := policy.OverrideSelectors(overrides)
	if err != nil {
		return nil, err
	}
	sources := make([]graph.OverrideSource, len(overrides))
	texts := map[string]string{}
	for i, o := range overrides {
		patch, err := policy.OverridePatch(overrides, i)
		if err != nil {
			return nil, err
		}
		sources[i] = graph.OverrideSource{Spec: patch, Expressions: o.Expressions}
		for key, text := range o.Expressions {
			texts[graph.OverridePath(i, key)] = text
		}
	}
	compiled, issues := g.CompileOverrides(sources)
	if len(issues) > 0 {
		return nil, policy.Invalid(kronvoyv1alpha1.ReasonInvalidOverride, issues, texts)
	}
	kind, err := kindOf(g)
	if err != nil {
		return nil, err
	}
	return &List{selectors: selectors, compiled: compiled, kind: kind}, nil
}

// On gives the spec of an instance on a cluster, and the fields that differ from
// its own. The error says what is wrong on this cluster, with the index of the
// override and the field. Overrides that select this cluster are applied in
// order; without any the spec is the instance's own.
func (o *List) On(instance map[string]any, cluster graph.Cluster) (map[string]any, []graph.OverriddenField, error) {
	own, _ := instance["spec"].(map[string]any)
	which := o.For(cluster.Labels)
	if len(which) == 0 {
		return own, nil, nil
	}
	spec, fields, issues := o.compiled.Apply(instance, cluster, which)
	if err := issues.Err(); err != nil {
		return nil, nil, err
	}
	if faults := o.kind.judge(instance, spec); len(faults) > 0 {
		return nil, nil, blame(faults, fields, which)
	}
	return spec, fields, nil
}

// For are the indices of the overrides for a cluster with the given labels.
func (o *List) For(cluster map[string]string) []int {
	if o == nil {
		return nil
	}
	var which []int
	for i, selector := range o.selectors {
		if selector.Matches(labels.Set(cluster)) {
			which = append(which, i)
		}
	}
	return which
}

// ClusterReads are what the overrides look at of a cluster: what their expressions
// read, and the labels that their selectors ask for.
func (o *List) ClusterReads() graph.ClusterReads {
	if o == nil {
		return nil
	}
	var asked []graph.ClusterRead
	for _, selector := range o.selectors {
		requirements, _ := selector.Requirements()
		for _, requirement := range requirements {
			asked = append(asked, graph.ClusterRead{Field: "labels", Key: requirement.Key()})
		}
	}
	return o.compiled.ClusterReads().With(asked...)
}

// maxFaults is how many faults an error names.
const maxFaults = 3

// blame says which overrides made the fields that are at fault.
func blame(faults []fault, fields []graph.OverriddenField, which []int) error {
	texts := make([]string, 0, maxFaults+1)
	for _, f := range faults[:min(len(faults), maxFaults)] {
		var by []int
		for _, field := range fields {
			if related(f.path, field.Path) {
				by = append(by, field.Override)
			}
		}
		if len(by) == 0 {
			by = which
		}
		by = slices.Compact(slices.Sorted(slices.Values(by)))
		names := make([]string, 0, len(by))
		for _, i := range by {
			names = append(names, graph.OverridePath(i, ""))
		}
		texts = append(texts, fmt.Sprintf("with %s, %s", strings.Join(names, " and "), f.text))
	}
	if more := len(faults) - maxFaults; more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	return fmt.Errorf("%s", strings.Join(texts, "; "))
}

// related is true when one path is the other or lies in it. Keys of maps are
// quoted in one of them only.
func related(a, b string) bool {
	a, b = strings.ReplaceAll(a, "'", ""), strings.ReplaceAll(b, "'", "")
	if len(a) > len(b) {
		a, b = b, a
	}
	rest, found := strings.CutPrefix(b, a)
	return found && (rest == "" || rest[0] == '.' || rest[0] == '[')
}
