package plan

import (
	"slices"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/nested"
)

// parent is the instance on this cluster, as its nested ones know it. Where
// agents use their own rights for everybody, there are no tenants.
func (in Input) parent() nested.Parent {
	p := nested.Parent{Identity: in.Identity, Cluster: in.ClusterName, Confined: !in.ActsFor.AllowAgent, Made: map[nested.Key]bool{}}
	for _, ref := range in.Children {
		if !ref.ReadOnly {
			p.Made[nested.KeyOf(ref)] = true
		}
	}
	if in.Instance != nil {
		p.UID = string(in.Instance.GetUID())
		p.Depth = nested.DepthOf(in.Identity.Reference(), in.Instance.GetAnnotations())
	}
	return p
}

// calledAs is the name that expressions see, where that is not the instance's:
// a nested one, made for this cluster.
func (in Input) calledAs() string {
	mark, nested := kronvoyv1alpha1.ParseNestedMark(in.Identity.Reference(), in.Instance.GetAnnotations())
	if !nested || mark.Cluster != in.ClusterName {
		return ""
	}
	return mark.Name
}

// nests is true when there are, or may be, instances on the hub.
func (in Input) nests() bool {
	return len(in.Children) > 0 || slices.ContainsFunc(in.Graph.Nodes(), func(n *graph.Node) bool { return n.Definition != "" })
}
