package steer

import (
	"encoding/json"
	"fmt"

	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/internal/fields"
)

// Revision is one of an instance, with what is known of its definition.
type Revision struct {
	Name string
	revision.Instance
	// Graph says what of the spec becomes values of Secrets: without it nothing of the
	// spec is shown.
	Graph *graph.Graph
	// Spec is the definition's; nil where the viewer may not see it.
	Spec json.RawMessage
}

// RevisionChange is what a revision changes.
type RevisionChange struct {
	Instance string `json:"instance"`
	// From is empty where there was none before.
	From   string         `json:"from,omitempty"`
	To     string         `json:"to"`
	Fields []fields.Field `json:"fields"`
	// Unknown says what is not compared, or not shown, and why.
	Unknown string `json:"unknown,omitempty"`
}

// NewRevisionChange compares two revisions of an instance, with what becomes
// values of Secrets masked. from may be nil.
func NewRevisionChange(instance string, from, to *Revision) (RevisionChange, error) {
	change := RevisionChange{Instance: instance, To: to.Name}
	var old fields.Side
	if from != nil {
		change.From = from.Name
		var err error
		if old, err = from.side(); err != nil {
			return change, err
		}
	} else {
		old = fields.Side{There: true, Value: map[string]any{}, Shown: map[string]any{}}
	}
	changed, err := to.side()
	if err != nil {
		return change, err
	}
	if from != nil && from.Definition != to.Definition && (from.Spec == nil || to.Spec == nil) {
		// What is on one side alone would look as if it were new.
		without(old, "resources")
		without(changed, "resources")
		change.Unknown = "what the definition changes is not shown"
	}
	change.Fields = fields.Compare(old, changed)
	return change, nil
}

func without(s fields.Side, field string) {
	for _, o := range []any{s.Value, s.Shown} {
		if object, is := o.(map[string]any); is {
			delete(object, field)
		}
	}
}

// side is a revision as an object: the names of its parts are what people see.
func (r *Revision) side() (fields.Side, error) {
	overrides, err := plainOf(r.Overrides)
	if err != nil {
		return fields.Side{}, fmt.Errorf("reading the overrides of revision %s: %w", r.Name, err)
	}
	shown := make([]any, 0)
	list, _ := overrides.([]any)
	for _, o := range list {
		shown = append(shown, r.hideOverride(o))
	}
	resources, shownResources, err := r.resources()
	if err != nil {
		return fields.Side{}, fmt.Errorf("reading the definition of revision %s: %w", r.Name, err)
	}
	value := map[string]any{"definition": r.Definition, "spec": r.Instance.Spec, "resources": resources}
	visible := map[string]any{"definition": r.Definition, "spec": r.hide(r.Instance.Spec), "resources": shownResources}
	if len(list) > 0 {
		value["overrides"], visible["overrides"] = list, shown
	}
	return fields.Side{There: true, Value: value, Shown: visible}, nil
}

func (r *Revision) hide(spec map[string]any) any {
	if r.Graph == nil {
		return graph.Hidden
	}
	return r.Graph.HideInputs(spec)
}

// hideOverride hides the values that an override gives; expressions stand in the
// Distribution, and are made of what is hidden elsewhere.
func (r *Revision) hideOverride(o any) any {
	object, is := o.(map[string]any)
	if !is {
		return graph.Hidden
	}
	out := map[string]any{}
	for key, value := range object {
		if spec, isSpec := value.(map[string]any); isSpec && key == "spec" {
			value = r.hide(spec)
		}
		out[key] = value
	}
	return out
}

// resources are those of the definition by id, as they are written, and without
// what stands in Secrets.
func (r *Revision) resources() (all, shown map[string]any, err error) {
	all, shown = map[string]any{}, map[string]any{}
	if r.Spec == nil {
		return all, shown, nil
	}
	var spec struct {
		Resources []map[string]any `json:"resources"`
	}
	if err := utiljson.Unmarshal(r.Spec, &spec); err != nil {
		return nil, nil, err
	}
	for _, resource := range spec.Resources {
		id, _ := resource["id"].(string)
		all[id] = resource
		visible := map[string]any{}
		for key, value := range resource {
			if template, is := value.(map[string]any); is && key == "template" {
				value = fields.HideSecret(template)
			}
			visible[key] = value
		}
		shown[id] = visible
	}
	return all, shown, nil
}

// plainOf is a value as JSON has it.
func plainOf(value any) (any, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	var out any
	return out, utiljson.Unmarshal(raw, &out)
}
