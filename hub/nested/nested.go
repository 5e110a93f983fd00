// Package nested is about resources whose kind another definition generates:
// they are instances themselves, and the hub makes them, one for each cluster.
// It is pure.
//
//	Evaluation ──Wanted──► instances ──(hub/target looks for them)──► Decide ──► what to write
//	                Observed ◄──Observe── the instances as they are ◄──────────────┘
//
// An instance is made with a mark that says for which parent and cluster; see
// kronvoyv1alpha1.NestedMark. The parent's Target lists it, from before it is
// made until it is gone: after a crash at any write the next pass finds it.
package nested

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/hash"
	"github.com/kronvoy/kronvoy/hub/work"
)

// MaxDepth is how deep instances nest. Definitions may contain each other, and
// only data ends that.
const MaxDepth = 8

// maxChildren is how many instances one Target may have, see its status.
const maxChildren = 2000

// maxName is the length of a label's value: names go into labels.
const maxName = 63

// Parent is the instance, on one cluster, that others are made for.
type Parent struct {
	Identity work.Identity
	UID      string
	// Cluster it is evaluated for.
	Cluster string
	// Depth of the parent itself: 0 where somebody wrote it.
	Depth int
	// Confined parents are a tenant's. The hub makes and reads instances with its
	// own rights, so theirs are in their own namespace: a template, which may take
	// a namespace from the instance, must not lead into another tenant's.
	Confined bool
	// Made are instances that it has elsewhere from before it was confined: they
	// stay.
	Made map[Key]bool
}

// Name is what a resource that its template calls name is called on the hub: its
// own name on the hub's cluster, elsewhere one that no other name and cluster
// have.
func Name(name, cluster string) string {
	if cluster == kronvoyv1alpha1.LocalCluster {
		return name
	}
	sum := sha256.Sum256([]byte(name + "\x00" + cluster))
	suffix := "-" + hex.EncodeToString(sum[:])[:6]
	readable := name + "-" + cluster
	if room := maxName - len(suffix); len(readable) > room {
		readable = strings.TrimRight(readable[:room], "-.")
	}
	return readable + suffix
}

// Key finds an instance whatever its version.
type Key struct{ Group, Kind, Namespace, Name string }

// KeyOf an instance.
func KeyOf(ref kronvoyv1alpha1.ChildReference) Key {
	i := work.IdentityOf(ref.Reference())
	return Key{i.Group, i.Kind, i.Namespace, i.Name}
}

// Live are instances as they are. One that is missing does not exist: it was
// looked for.
type Live map[Key]*unstructured.Unstructured

// Instance is one that a graph wants to exist, or refers to.
type Instance struct {
	kronvoyv1alpha1.ChildReference
	// Object as it is to be applied; nil for one that is only read.
	Object map[string]any
}

// Wants are the instances that an evaluation asks for.
type Wants struct {
	Instances []Instance
	// Kept are nodes that could not be rendered: what they have stays as it is.
	Kept map[string]bool
	// Failures say what is wrong with a node, by id.
	Failures map[string]string
}

// Wanted are the instances that an evaluation asks for.
func Wanted(g *graph.Graph, e graph.Evaluation, p Parent) Wants {
	w := Wants{Kept: map[string]bool{}, Failures: map[string]string{}}
	for _, result := range e.Nodes {
		node := g.Node(result.ID)
		if node.Definition == "" || result.State == graph.Excluded {
			continue
		}
		failure := refuse(node, p)
		var instances []Instance
		for i := 0; i < len(result.Objects) && failure == ""; i++ {
			instance := newInstance(node, i, result.Objects[i], p)
			failure = escapes(instance.ChildReference, p)
			instances = append(instances, instance)
		}
		if failure != "" {
			instances = nil
		}
		if failure == "" && len(w.Instances)+len(instances) > maxChildren {
			failure = fmt.Sprintf("the graph has more than %d instances of generated kinds", maxChildren)
		}
		switch {
		case failure != "":
			w.Failures[node.ID], w.Kept[node.ID] = failure, true
		case len(instances) == 0 && result.State != graph.Ready && result.State != graph.Progressing:
			w.Kept[node.ID] = true
		default:
			w.Instances = append(w.Instances, instances...)
		}
	}
	return w
}

// Nodes are those that have instances here, each once, in order.
func (w Wants) Nodes() []string {
	var ids []string
	for _, instance := range w.Instances {
		if len(ids) == 0 || ids[len(ids)-1] != instance.Node {
			ids = append(ids, instance.Node)
		}
	}
	return ids
}

// References of all instances.
func (w Wants) References() []kronvoyv1alpha1.ChildReference {
	refs := make([]kronvoyv1alpha1.ChildReference, 0, len(w.Instances))
	for _, instance := range w.Instances {
		refs = append(refs, instance.ChildReference)
	}
	return refs
}

// Refuse gives up on a node for now: what it has stays as it is.
func (w *Wants) Refuse(node, reason string) {
	w.Instances = slices.DeleteFunc(w.Instances, func(i Instance) bool { return i.Node == node })
	w.Failures[node], w.Kept[node] = reason, true
}

// refuse says why nothing of a node can be made.
func refuse(node *graph.Node, p Parent) string {
	switch {
	case node.Selects:
		return fmt.Sprintf("%s is generated by definition %s, and its instances are on the hub: refer to one by its name, a selector finds objects on the cluster",
			node.GVK.Kind, node.Definition)
	case node.Kind == graph.Template && p.Depth >= MaxDepth:
		return fmt.Sprintf("%s is a resource of a resource, %d levels deep, and no more are allowed: is there a condition that ends it?", p.Identity.Kind, MaxDepth)
	}
	return ""
}

// escapes says why an instance is nowhere that its parent may reach. Who may write
// a cluster-scoped parent is no tenant of a namespace.
func escapes(ref kronvoyv1alpha1.ChildReference, p Parent) string {
	if !p.Confined || p.Identity.Namespace == "" || ref.Namespace == p.Identity.Namespace || p.Made[KeyOf(ref)] {
		return ""
	}
	where := "in namespace " + ref.Namespace
	if ref.Namespace == "" {
		where = "cluster-scoped"
	}
	return fmt.Sprintf("%s is %s, and an instance in namespace %s may have instances on the hub in its own namespace only: leave the namespace out of the template",
		describe(ref), where, p.Identity.Namespace)
}

func newInstance(node *graph.Node, index int, rendered map[string]any, p Parent) Instance {
	apiVersion, kind := node.GVK.ToAPIVersionAndKind()
	metadata, _ := rendered["metadata"].(map[string]any)
	name, _ := metadata["name"].(string)
	ref := kronvoyv1alpha1.ChildReference{APIVersion: apiVersion, Kind: kind, Name: name, Node: node.ID, Index: int32(index), Wave: int32(node.Wave)}
	if node.Namespaced {
		ref.Namespace, _ = metadata["namespace"].(string)
	}
	if node.Kind == graph.External {
		ref.ReadOnly = true
		return Instance{ChildReference: ref}
	}
	ref.Name = Name(name, p.Cluster)
	mark := kronvoyv1alpha1.NestedMark{
		Parent: p.Identity.Reference(), Cluster: p.Cluster, Name: name, Depth: p.Depth + 1, Self: ref.Reference(),
	}
	labels := textMap(metadata["labels"])
	for key, value := range work.ChildLabels(p.Identity, p.UID, node.ID) {
		labels[key] = value
	}
	labels[kronvoyv1alpha1.LabelCluster] = p.Cluster
	annotations := textMap(metadata["annotations"])
	annotations[kronvoyv1alpha1.AnnotationNested] = mark.String()
	annotations[kronvoyv1alpha1.AnnotationHash] = hash.Of(rendered)
	metadata = maps.Clone(metadata)
	metadata["name"], metadata["labels"], metadata["annotations"] = ref.Name, labels, annotations
	object := maps.Clone(rendered)
	object["metadata"] = metadata
	return Instance{ChildReference: ref, Object: object}
}

func textMap(v any) map[string]any {
	m, _ := v.(map[string]any)
	if m = maps.Clone(m); m == nil {
		m = map[string]any{}
	}
	return m
}

// DepthOf is how deep an instance is nested.
func DepthOf(self kronvoyv1alpha1.InstanceReference, annotations map[string]string) int {
	mark, _ := kronvoyv1alpha1.ParseNestedMark(self, annotations)
	return mark.Depth
}

// describe names an instance for people.
func describe(ref kronvoyv1alpha1.ChildReference) string {
	if ref.Namespace == "" {
		return ref.Kind + " " + ref.Name
	}
	return ref.Kind + " " + ref.Namespace + "/" + ref.Name
}

// compare orders references by node and index.
func compare(a, b kronvoyv1alpha1.ChildReference) int {
	return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Index, b.Index), cmp.Compare(a.Kind, b.Kind),
		cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}
