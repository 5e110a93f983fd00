package convert

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
)

// TargetInputs are inputs as a Target holds them; nil for none.
func TargetInputs(inputs *graph.Inputs) (*kronvoyv1alpha1.TargetInputs, error) {
	if inputs == nil {
		return nil, nil
	}
	raw, err := json.Marshal(inputs.Values)
	if err != nil {
		return nil, fmt.Errorf("encoding a cluster's inputs: %w", err)
	}
	return &kronvoyv1alpha1.TargetInputs{Hash: inputs.Hash, Values: runtime.RawExtension{Raw: raw}}, nil
}

// Inputs are those that a Target holds; nil for none.
func Inputs(stored *kronvoyv1alpha1.TargetInputs) (*graph.Inputs, error) {
	if stored == nil {
		return nil, nil
	}
	out := &graph.Inputs{Hash: stored.Hash}
	if err := utiljson.Unmarshal(stored.Values.Raw, &out.Values); err != nil {
		return nil, fmt.Errorf("reading a Target's spec.inputs.values: %w", err)
	}
	return out, nil
}
