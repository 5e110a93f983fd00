package placement

import (
	"cmp"
	"math"
	"slices"

	"k8s.io/apimachinery/pkg/labels"
)

// GroupRule collects a part of a decision under a name
// (OCM: spec.decisionStrategy.groupStrategy.decisionGroups[]).
type GroupRule struct {
	Name string
	// Labels and Claims admit everything when nil.
	Labels, Claims labels.Selector
}

// GroupSize is a number of clusters, or a share of the decision.
type GroupSize struct {
	Clusters int
	// Percent counts when Clusters is 0; it is rounded up.
	Percent float64
}

// of is the size for a decision of n clusters; everything that makes no sense
// means all of them (OCM).
func (s GroupSize) of(n int) int {
	size := s.Clusters
	if size == 0 {
		size = int(math.Ceil(s.Percent / 100 * float64(n)))
	}
	if size <= 0 || size > n {
		return n
	}
	return size
}

// divide puts each cluster into the first group whose rule it matches, and cuts
// groups that are too large.
func divide(policy *Policy, selected []*candidate) []Group {
	ordered := slices.Clone(selected)
	slices.SortFunc(ordered, func(a, b *candidate) int {
		if policy.SortByScore {
			return cmp.Or(cmp.Compare(b.reason.Score, a.reason.Score), cmp.Compare(a.Name, b.Name))
		}
		return cmp.Compare(a.Name, b.Name)
	})
	size := policy.GroupSize.of(len(ordered))
	var groups []Group
	collect := func(name string, in func(*Cluster) bool) {
		var members []string
		ordered = slices.DeleteFunc(ordered, func(c *candidate) bool {
			if !in(c.Cluster) {
				return false
			}
			members = append(members, c.Name)
			return true
		})
		for part := range slices.Chunk(members, max(size, 1)) {
			groups = append(groups, Group{Name: name, Clusters: slices.Clip(part)})
		}
	}
	for _, rule := range policy.Groups {
		collect(rule.Name, func(c *Cluster) bool {
			return (rule.Labels == nil || rule.Labels.Matches(labels.Set(c.Labels))) && (rule.Claims == nil || rule.Claims.Matches(labels.Set(c.Claims)))
		})
	}
	collect("", func(*Cluster) bool { return true })
	if len(groups) == 0 {
		groups = []Group{{}}
	}
	return groups
}
