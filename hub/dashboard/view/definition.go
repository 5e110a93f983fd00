package view

import (
	"cmp"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
)

// Definition is the page of a ResourceGraphDefinition.
type Definition struct {
	Name, Kind, State string
	Conditions        []Condition
	Graph             *Graph
	GraphUnknown      string
	Issues            graph.Issues
	Nodes             []DefinitionNode
	Secrets           []string
	// Refused are the clusters that cannot take it, or do not yet.
	Refused []Refusal
}

// DefinitionNode is a resource of a definition, for those who do not see the
// picture.
type DefinitionNode struct {
	ID, Kind     string
	Dependencies []string
	Wave         int
	External     bool
}

// Refusal is why a cluster does not run what it should.
type Refusal struct{ Cluster, Address, Instance, Reason, Message string }

// KindOf is the kind that a definition generates.
func KindOf(d *krov1alpha1.ResourceGraphDefinition) schema.GroupVersionKind {
	if d.Spec.Schema == nil {
		return schema.GroupVersionKind{}
	}
	return schema.GroupVersionKind{Group: cmp.Or(d.Spec.Schema.Group, krov1alpha1.GroupVersion.Group), Version: d.Spec.Schema.APIVersion, Kind: d.Spec.Schema.Kind}
}

// NewDefinition is the page, with what compiling it as it is gives.
func NewDefinition(d *krov1alpha1.ResourceGraphDefinition, g *graph.Graph, issues graph.Issues) Definition {
	page := Definition{Name: d.Name, Kind: KindOf(d).Kind + " of " + KindOf(d).GroupVersion().String(), State: string(d.Status.State), Issues: issues}
	for _, c := range d.Status.Conditions {
		row := Condition{Type: string(c.Type), Status: string(c.Status)}
		if c.Reason != nil {
			row.Reason = *c.Reason
		}
		if c.Message != nil {
			row.Message = *c.Message
		}
		if c.LastTransitionTime != nil {
			row.Since = c.LastTransitionTime.Time
		}
		page.Conditions = append(page.Conditions, row)
	}
	if g == nil {
		page.GraphUnknown = "It does not compile: the issues say why."
		return page
	}
	for _, n := range g.Nodes() {
		page.Nodes = append(page.Nodes, DefinitionNode{n.ID, n.GVK.Kind, n.Dependencies, n.Wave, n.Kind == graph.External})
	}
	for _, use := range g.SecretUses() {
		page.Secrets = append(page.Secrets, use.String())
	}
	return page
}

// Refusals are the Targets of a kind to which something is not shipped.
func Refusals(kind schema.GroupKind, targets []kronvoyv1alpha1.Target) []Refusal {
	var out []Refusal
	for i := range targets {
		t := &targets[i]
		ref := t.Spec.Instance
		if t.Status.Reason == "" || schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind).GroupKind() != kind {
			continue
		}
		name := ref.Name
		if ref.Namespace != "" {
			name = ref.Namespace + "/" + name
		}
		out = append(out, Refusal{t.Namespace, Address(ref), name, t.Status.Reason, t.Status.Message})
	}
	slices.SortFunc(out, func(a, b Refusal) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Instance, b.Instance))
	})
	return out
}

// ListedDefinition is a definition in the list of all.
type ListedDefinition struct {
	Name, Kind, State, Message string
	Age                        metav1.Time
}

// NewListedDefinition is its row.
func NewListedDefinition(d *krov1alpha1.ResourceGraphDefinition) ListedDefinition {
	row := ListedDefinition{Name: d.Name, Kind: KindOf(d).Kind, State: string(d.Status.State), Age: d.CreationTimestamp}
	for _, c := range d.Status.Conditions {
		if c.Status == metav1.ConditionFalse && c.Message != nil && row.Message == "" {
			row.Message = *c.Message
		}
	}
	return row
}
