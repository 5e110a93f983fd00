package policy

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// Instance is what a Distribution selects by.
type Instance struct {
	Kind   schema.GroupKind
	Labels map[string]string
}

// KindOf the instances that a Distribution is for. Versions do not count: a kind
// has one at a time.
func KindOf(d *kronvoyv1alpha1.Distribution) schema.GroupKind {
	return schema.FromAPIVersionAndKind(d.Spec.Instances.APIVersion, d.Spec.Instances.Kind).GroupKind()
}

// Owner is the name of the Distribution that owns an instance, of those in its
// namespace; empty for none. recorded are the names in the instance's Targets.
//
// Who owns an instance already keeps it as long as he selects it: a Distribution
// that is made later, or restored from a backup in another order, moves nothing.
// Targets record it, one by one, so that after a crash in between two names can
// be there; as without any, the first by name gets it. One whose selector cannot
// be read keeps what it owns and gets nothing new: a slip must not hand its
// instances to others.
func Owner(instance Instance, distributions []kronvoyv1alpha1.Distribution, recorded []string) string {
	var candidates []string
	for i := range distributions {
		d := &distributions[i]
		if KindOf(d) != instance.Kind {
			continue
		}
		selected, err := Selects(&d.Spec, instance.Labels)
		if err != nil {
			selected = slices.Contains(recorded, d.Name)
		}
		if selected {
			candidates = append(candidates, d.Name)
		}
	}
	slices.SortFunc(candidates, func(a, b string) int {
		return cmp.Or(-compareBool(slices.Contains(recorded, a), slices.Contains(recorded, b)), cmp.Compare(a, b))
	})
	if len(candidates) == 0 {
		return ""
	}
	return candidates[0]
}

// compareBool orders false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// Recorded are the owners that the Targets of an instance name.
func Recorded(targets []kronvoyv1alpha1.Target) []string {
	var names []string
	for i := range targets {
		if name := targets[i].Spec.Distribution; name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}
