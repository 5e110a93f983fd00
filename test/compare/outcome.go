package compare

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// Outcome is all that one engine says about one definition and one instance, in
// a form that both engines can be brought into.
type Outcome struct {
	// Refusal says why the definition was refused; empty when it was accepted.
	Refusal string `json:"-"`
	Refused bool   `json:"refused"`
	// Reasons of our issues; kro has none.
	Reasons []string `json:"-"`

	CRD any `json:"crd,omitempty"`
	// InvalidCRD is true when the generated kind cannot even be written down.
	InvalidCRD   bool                `json:"invalidCRD,omitempty"`
	Order        []string            `json:"order,omitempty"`
	Dependencies map[string][]string `json:"dependencies,omitempty"`
	// Passes are the evaluations, by the name of what was observed.
	Passes map[string]Pass `json:"passes,omitempty"`
}

// State is what both engines can say of a node.
type State string

// The states of a node.
const (
	// Waiting for a value, or for another node to be ready; nothing is rendered.
	Waiting State = "Waiting"
	// Excluded by includeWhen.
	Excluded State = "Excluded"
	// Failed in an expression.
	Failed State = "Failed"
	// Progressing: rendered, not ready.
	Progressing State = "Progressing"
	// Ready: rendered and ready.
	Ready State = "Ready"
)

// Pass is one evaluation.
type Pass struct {
	// Conflict is true when two nodes render one object. Nothing else is then said:
	// kro applies nothing at all, we nothing of the two.
	Conflict bool                   `json:"conflict,omitempty"`
	Nodes    map[string]NodeOutcome `json:"nodes,omitempty"`
	Status   any                    `json:"status,omitempty"`
	// StatusFails is true when some field of the status could not be evaluated.
	StatusFails bool `json:"statusFails,omitempty"`
	Ready       bool `json:"ready"`
	// Conditions are those that the author makes; Incomplete is true when one of
	// them waits or fails.
	Conditions []Condition `json:"conditions,omitempty"`
	Incomplete bool        `json:"incomplete,omitempty"`
}

// Condition is a condition of the instance.
type Condition struct {
	Type    string `json:"type"`
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// builtins are the conditions that the author's can read, in every pass.
var builtins = []Condition{
	{Type: "InstanceManaged", Status: "True", Reason: "Managed", Message: "managed"},
	{Type: "GraphResolved", Status: "True", Reason: "Resolved", Message: "resolved"},
	{Type: "ResourcesReady", Status: "False", Reason: "NotReady", Message: "not ready"},
	{Type: "Ready", Status: "False", Reason: "NotReady", Message: "not ready"},
}

// NodeOutcome is what became of one node.
type NodeOutcome struct {
	State State `json:"state"`
	// Objects that were rendered; a reference to one object renders its identity.
	Objects []map[string]any `json:"objects,omitempty"`
	// Why it failed, for the reader; messages are not compared.
	Why string `json:"-"`
}

// fails tells whether anything in the outcome is refused or fails.
func (o Outcome) fails() bool {
	if o.Refused {
		return true
	}
	for _, p := range o.Passes {
		if p.StatusFails || p.Incomplete || p.Conflict {
			return true
		}
		for _, n := range p.Nodes {
			if n.State == Failed {
				return true
			}
		}
	}
	return false
}

// explain lists why an outcome fails, for the reader of a test's output.
func (o Outcome) explain() []string {
	var out []string
	if o.Refused {
		out = append(out, "refused: "+o.Refusal)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Passes)) {
		nodes := o.Passes[name].Nodes
		for _, id := range slices.Sorted(maps.Keys(nodes)) {
			if why := nodes[id].Why; why != "" {
				out = append(out, name+"."+id+": "+why)
			}
		}
	}
	return out
}

// Difference is one place where the engines do not agree; absent values are nil.
type Difference struct {
	Kro  any `json:"kro"`
	Ours any `json:"ours"`
}

// Compare returns the places where two outcomes differ, by path. Where only one
// engine accepts the definition, that is the one difference.
func Compare(kro, ours Outcome) (map[string]Difference, error) {
	if kro.Refused != ours.Refused {
		return map[string]Difference{"refused": {Kro: kro.Refused, Ours: ours.Refused}}, nil
	}
	if kro.Refused {
		return map[string]Difference{}, nil
	}
	if kro.InvalidCRD || ours.InvalidCRD {
		kro.CRD, ours.CRD = nil, nil
	}
	a, err := flatten(kro)
	if err != nil {
		return nil, fmt.Errorf("flattening kro's outcome: %w", err)
	}
	b, err := flatten(ours)
	if err != nil {
		return nil, fmt.Errorf("flattening our outcome: %w", err)
	}
	out := map[string]Difference{}
	for path, value := range a {
		if other, found := b[path]; !found || other != value {
			out[path] = Difference{Kro: value, Ours: b[path]}
		}
	}
	for path, value := range b {
		if _, found := a[path]; !found {
			out[path] = Difference{Ours: value}
		}
	}
	return out, nil
}

// flatten turns a value into its leaves, by path. Numbers are compared as JSON
// writes them.
func flatten(v any) (map[string]any, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var decoded any
	if err := json.Unmarshal(text, &decoded); err != nil {
		return nil, err
	}
	out := map[string]any{}
	leaves("", decoded, out)
	return out, nil
}

func leaves(path string, v any, out map[string]any) {
	join := func(key string) string {
		if path == "" {
			return key
		}
		return path + "." + key
	}
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			out[path] = "{}"
		}
		for key, value := range v {
			leaves(join(key), value, out)
		}
	case []any:
		if len(v) == 0 {
			out[path] = "[]"
		}
		for i, value := range v {
			leaves(join(strconv.Itoa(i)), value, out)
		}
	case nil:
		out[path] = "null"
	default:
		out[path] = v
	}
}
