package apply

import (
	"fmt"
	"slices"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/live"
)

// Reserve keeps a work out of a namespace, the agent's own. Its credentials for
// the hub are there, and in its name pods could run: what a work reads or applies
// there with the agent's rights would make its author the agent.
func (w *Work) Reserve(namespace string) {
	if namespace == "" {
		return
	}
	w.reserved = namespace
	for _, item := range w.Items {
		itself := item.Key.Resource.Group == "" && item.Key.Resource.Resource == "namespaces" && item.Key.Name == namespace
		if item.Key.Namespace == namespace || itself {
			item.fail(kronvoyv1alpha1.ReasonReservedNamespace,
				fmt.Errorf("%s: namespace %s is the agent's own, and no work reads or writes there: choose another one", item, namespace))
		}
	}
	for _, s := range w.Selections {
		if s.Watch.Namespace == namespace && s.Problem == nil {
			s.Problem = fmt.Errorf("namespace %s is the agent's own, and no work reads there: choose another one", namespace)
		}
	}
}

// withoutReserved leaves out of a list over all namespaces what is in the agent's.
func (w *Work) withoutReserved(objects []*live.Selected) []*live.Selected {
	if w.reserved == "" {
		return objects
	}
	in := func(o *live.Selected) bool { return o.Namespace == w.reserved }
	if !slices.ContainsFunc(objects, in) {
		return objects
	}
	return slices.DeleteFunc(slices.Clone(objects), in)
}
