package main

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kjson "sigs.k8s.io/json"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/policy"
)

// renderedPolicies are what a Distribution says of a resource.
type renderedPolicies struct {
	Drift    kronvoyv1alpha1.DriftPolicy    `json:"drift,omitempty"`
	Takeover kronvoyv1alpha1.TakeoverPolicy `json:"takeover,omitempty"`
	Deletion kronvoyv1alpha1.DeletionPolicy `json:"deletion,omitempty"`
	Fields   []kronvoyv1alpha1.FieldPolicy  `json:"fields,omitempty"`
}

// distributions reads the Distributions among the files, and refuses one that
// the hub could not use.
func (b *bundle) distributions() ([]kronvoyv1alpha1.Distribution, error) {
	var found []kronvoyv1alpha1.Distribution
	for _, d := range b.others {
		if d.Kind() != "Distribution" || d.APIVersion() != kronvoyv1alpha1.GroupVersion.String() {
			continue
		}
		var distribution kronvoyv1alpha1.Distribution
		strict, err := kjson.UnmarshalStrict(d.JSON, &distribution)
		if err == nil {
			err = errors.Join(strict...)
		}
		if err == nil {
			_, err = policy.On(&distribution.Spec, nil)
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: Distribution %s: %w", d.File, d.Line, d.Name(), err)
		}
		found = append(found, distribution)
	}
	return found, nil
}

// ownerOf is the Distribution that would own an instance if all were new.
func ownerOf(instance map[string]any, g *graph.Graph, all []kronvoyv1alpha1.Distribution) *kronvoyv1alpha1.Distribution {
	object := unstructured.Unstructured{Object: instance}
	near := map[string]*kronvoyv1alpha1.Distribution{}
	var candidates []kronvoyv1alpha1.Distribution
	for i := range all {
		if all[i].Namespace == object.GetNamespace() {
			near[all[i].Name] = &all[i]
			candidates = append(candidates, all[i])
		}
	}
	return near[policy.Owner(policy.Instance{Kind: g.GroupVersionKind().GroupKind(), Labels: object.GetLabels()}, candidates, nil)]
}

// govern adds what the instance's Distribution says to a rendering.
func (r *rendering) govern(d *kronvoyv1alpha1.Distribution, g *graph.Graph, cluster graph.Cluster) error {
	if d == nil {
		return nil
	}
	policies, err := policy.On(&d.Spec, cluster.Labels)
	if err != nil {
		return err
	}
	r.Distribution, r.ServiceAccount = d.Name, d.Spec.ServiceAccountName
	for i := range r.Nodes {
		if node := g.Node(r.Nodes[i].ID); node.Kind == graph.External || node.Definition != "" {
			continue
		}
		said := kronvoyv1alpha1.ManifestPolicy{Node: r.Nodes[i].ID}
		policies.Govern(&said)
		if rendered := (renderedPolicies{said.Drift, said.Takeover, said.Deletion, said.Fields}); said.Drift != "" ||
			said.Takeover != "" || said.Deletion != "" || len(said.Fields) > 0 {
			r.Nodes[i].Policies = &rendered
		}
	}
	return nil
}
