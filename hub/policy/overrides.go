package policy

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// OverrideSelectors are the selectors of overrides, in order. The error is an
// InvalidError.
func OverrideSelectors(overrides []kronvoyv1alpha1.Override) ([]labels.Selector, error) {
	selectors := make([]labels.Selector, len(overrides))
	for i, o := range overrides {
		selectors[i] = labels.Everything()
		if o.ClusterSelector == nil {
			continue
		}
		selector, err := metav1.LabelSelectorAsSelector(o.ClusterSelector)
		if err != nil {
			return nil, &InvalidError{Field: fmt.Sprintf("spec.overrides[%d].clusterSelector", i), Reason: kronvoyv1alpha1.ReasonInvalidSelector, Err: err}
		}
		selectors[i] = selector
	}
	return selectors, nil
}

// Overrides are those of an instance's Distribution, nil for none, as a revision
// holds them: whoever wrote them, in whatever order of fields, gives one text.
func Overrides(owner *kronvoyv1alpha1.Distribution) ([]kronvoyv1alpha1.Override, error) {
	if owner == nil {
		return nil, nil
	}
	overrides := owner.DeepCopy().Spec.Overrides
	for i := range overrides {
		patch, err := OverridePatch(overrides, i)
		if err != nil {
			return nil, err
		}
		if patch == nil {
			overrides[i].Spec = nil
			continue
		}
		raw, err := json.Marshal(patch)
		if err != nil {
			return nil, fmt.Errorf("encoding spec.overrides[%d].spec: %w", i, err)
		}
		overrides[i].Spec = &runtime.RawExtension{Raw: raw}
	}
	return overrides, nil
}

// OverridePatch is what an override merges into the spec; nil for nothing. The
// error is an InvalidError.
func OverridePatch(overrides []kronvoyv1alpha1.Override, index int) (map[string]any, error) {
	o := overrides[index]
	if o.Spec == nil || len(o.Spec.Raw) == 0 {
		return nil, nil
	}
	var patch map[string]any
	if err := utiljson.Unmarshal(o.Spec.Raw, &patch); err != nil {
		return nil, &InvalidError{Field: fmt.Sprintf("spec.overrides[%d].spec", index), Reason: kronvoyv1alpha1.ReasonInvalidOverride, Err: err}
	}
	return patch, nil
}
