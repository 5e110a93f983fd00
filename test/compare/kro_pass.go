package compare

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-logr/logr"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	upstreamv1alpha1 "github.com/kubernetes-sigs/kro/api/v1alpha1"
	"github.com/kubernetes-sigs/kro/pkg/controller/instance/applyset"
	krograph "github.com/kubernetes-sigs/kro/pkg/graph"
	kroruntime "github.com/kubernetes-sigs/kro/pkg/runtime"
)

// Objects are live objects by node id.
type Objects map[string][]map[string]any

// describeKro is what kro says of a definition that it accepts.
func describeKro(g *krograph.Graph) Outcome {
	out := Outcome{Order: g.TopologicalOrder, Dependencies: map[string][]string{}, Passes: map[string]Pass{}}
	out.CRD, out.InvalidCRD = comparableCRD(g.CRD)
	for id, node := range g.Nodes {
		if d := sorted(node.Meta.Dependencies); len(d) > 0 {
			out.Dependencies[id] = d
		}
	}
	return out
}

// Pass evaluates a graph in the order that kro's controller does it: is the node
// part of the graph, what is wanted of it, what was observed, is it ready; and at
// the end, may all of it be applied together.
func (k *Kro) Pass(g *krograph.Graph, instance map[string]any, observed Objects) (Pass, error) {
	rt, err := kroruntime.FromGraph(g, limits, kroruntime.WithInstance(&unstructured.Unstructured{Object: instance}))
	if err != nil {
		return Pass{}, fmt.Errorf("making kro's runtime: %w", err)
	}
	out := Pass{Nodes: map[string]NodeOutcome{}, Ready: true}
	for _, node := range rt.Nodes() {
		result := kroNode(node, observed[node.Spec.Meta.ID])
		out.Nodes[node.Spec.Meta.ID] = result
		out.Ready = out.Ready && (result.State == Ready || result.State == Excluded)
	}
	if err := k.project(g, out, instance); errors.Is(err, applyset.ErrDuplicateResource) {
		return Pass{Conflict: true}, nil
	} else if err != nil {
		return Pass{}, fmt.Errorf("preparing to apply with kro: %w", err)
	}
	out.Conditions, out.Incomplete = kroConditions(rt.Instance())
	instances, err := rt.Instance().GetDesired()
	if err != nil {
		out.StatusFails = true
		return out, nil //nolint:nilerr // a status that fails is an outcome
	}
	status, _, _ := unstructured.NestedMap(instances[0].Object, "status")
	delete(status, "conditions")
	delete(status, "state")
	if len(status) > 0 {
		out.Status = status
	}
	return out, nil
}

// project asks kro whether the rendered objects can be applied together.
func (k *Kro) project(g *krograph.Graph, pass Pass, instance map[string]any) error {
	var resources []applyset.Resource
	for id, node := range pass.Nodes {
		if kind := g.Nodes[id].Meta.Type; kind == krograph.NodeTypeExternal || kind == krograph.NodeTypeExternalCollection {
			continue
		}
		for i, object := range node.Objects {
			resources = append(resources, applyset.Resource{ID: fmt.Sprintf("%s-%d", id, i), Object: &unstructured.Unstructured{Object: object}})
		}
	}
	parent := &unstructured.Unstructured{Object: instance}
	_, err := applyset.New(applyset.Config{RESTMapper: k.mapper, ParentNamespace: parent.GetNamespace()}, parent).Project(resources)
	return err
}

func kroConditions(instance *kroruntime.Node) ([]Condition, bool) {
	var given []upstreamv1alpha1.Condition
	for _, c := range builtins {
		given = append(given, upstreamv1alpha1.Condition{
			Type: upstreamv1alpha1.ConditionType(c.Type), Status: metav1.ConditionStatus(c.Status), Reason: &c.Reason, Message: &c.Message})
	}
	made, incomplete, err := instance.EvaluateConditions(logr.Discard(), given)
	var out []Condition
	for _, c := range made {
		out = append(out, Condition{Type: c.ConditionType, Status: c.Status, Reason: c.Reason, Message: c.Message})
	}
	return out, incomplete || err != nil
}

func kroNode(node *kroruntime.Node, observed []map[string]any) NodeOutcome {
	ignored, err := node.IsIgnored()
	switch {
	case kroruntime.IsDataPending(err):
		return NodeOutcome{State: Waiting}
	case err != nil:
		return NodeOutcome{State: Failed, Why: err.Error()}
	case ignored:
		return NodeOutcome{State: Excluded}
	}
	desired, err := node.GetDesired()
	switch {
	case kroruntime.IsDataPending(err):
		return NodeOutcome{State: Waiting}
	case err != nil:
		return NodeOutcome{State: Failed, Why: err.Error()}
	}
	out := NodeOutcome{State: Ready}
	if node.Spec.Meta.Type != krograph.NodeTypeExternalCollection {
		for _, o := range desired {
			out.Objects = append(out.Objects, comparableObject(o.Object))
		}
	}
	var live []*unstructured.Unstructured
	if t := node.Spec.Meta.Type; t == krograph.NodeTypeCollection || t == krograph.NodeTypeExternalCollection {
		live = []*unstructured.Unstructured{} // listing finds a list, if an empty one
	}
	for _, o := range observed {
		live = append(live, &unstructured.Unstructured{Object: runtime.DeepCopyJSON(o)})
	}
	node.SetObserved(live)
	switch err := node.CheckReadiness(); {
	case errors.Is(err, kroruntime.ErrWaitingForReadiness):
		out.State = Progressing
	case err != nil:
		out.State, out.Why = Failed, err.Error()
	}
	return out
}

// comparableObject leaves out the label that says how many items a collection has,
// which kro's controller sets, and the empty selector of a reference by name.
func comparableObject(object map[string]any) map[string]any {
	object = runtime.DeepCopyJSON(object)
	if metadata, ok := object["metadata"].(map[string]any); ok && metadata["selector"] == nil {
		delete(metadata, "selector")
	}
	unstructured.RemoveNestedField(object, "metadata", "labels", "kro.run/collection-size")
	return object
}

// comparableCRD leaves out what differs on purpose in every kind: conditions and
// state, whose shape belongs to the controllers, and the status of the fleet.
func comparableCRD(crd *apiextensionsv1.CustomResourceDefinition) (description any, invalid bool) {
	crd = crd.DeepCopy()
	for i := range crd.Spec.Versions {
		v := &crd.Spec.Versions[i]
		if v.Schema == nil || v.Schema.OpenAPIV3Schema == nil {
			continue
		}
		status := v.Schema.OpenAPIV3Schema.Properties["status"]
		for _, name := range []string{"conditions", "state", "fleet", "kronvoyFleet"} {
			if name == "fleet" && !preserves(status.Properties[name]) {
				continue // the author's own
			}
			delete(status.Properties, name)
		}
		// The text that kro infers for the status is its own.
		withoutDescriptions(&status)
		v.Schema.OpenAPIV3Schema.Properties["status"] = status
		// The columns that are printed when the author names none: their text is ours.
		for k := range v.AdditionalPrinterColumns {
			if c := &v.AdditionalPrinterColumns[k]; slices.Contains([]string{"State", "Ready", "Age"}, c.Name) {
				c.Description = ""
			}
		}
	}
	for _, label := range []string{"kro.run/owned", "kro.run/kro-version", "kro.run/resource-graph-definition-id", "kro.run/resource-graph-definition-name"} {
		delete(crd.Labels, label)
	}
	out := map[string]any{"name": crd.Name, "spec": crd.Spec}
	if len(crd.Labels) > 0 {
		out["labels"] = crd.Labels
	}
	if len(crd.Annotations) > 0 {
		out["annotations"] = crd.Annotations
	}
	_, err := json.Marshal(out)
	return out, err != nil
}

func withoutDescriptions(p *apiextensionsv1.JSONSchemaProps) {
	p.Description = ""
	for name, property := range p.Properties {
		withoutDescriptions(&property)
		p.Properties[name] = property
	}
	if p.Items != nil && p.Items.Schema != nil {
		withoutDescriptions(p.Items.Schema)
	}
	if p.AdditionalProperties != nil && p.AdditionalProperties.Schema != nil {
		withoutDescriptions(p.AdditionalProperties.Schema)
	}
}

func preserves(p apiextensionsv1.JSONSchemaProps) bool {
	return p.XPreserveUnknownFields != nil && *p.XPreserveUnknownFields
}
