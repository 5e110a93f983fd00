package convert

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
)

func TestInputsAreReadAsTheyWereStored(t *testing.T) {
	for name, inputs := range map[string]*graph.Inputs{
		"none":                    nil,
		"all that is read absent": {Hash: "v1-0", Values: map[string]any{}},
		"some":                    {Hash: "v1-1", Values: map[string]any{"version": "v1.36.3", "labels": map[string]any{"a.b/c": "ü"}}},
	} {
		stored, err := TargetInputs(inputs)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Inputs(stored)
		if diff := cmp.Diff(inputs, got); diff != "" || err != nil {
			t.Errorf("%s: error %v (-want +got):\n%s", name, err, diff)
		}
	}
	if got, err := Inputs(&kronvoyv1alpha1.TargetInputs{Values: runtime.RawExtension{Raw: []byte(`["a"]`)}}); err == nil {
		t.Errorf("a list is read as %v", got)
	}
}
