package apply

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/live"
)

// Selection is a list that the hub wants back. It keeps nothing else of its work
// from being applied.
type Selection struct {
	// Node and Hash name it to the hub.
	Node, Hash string
	// Watch makes the list.
	Watch live.Watch
	// Problem is set when there is nothing to watch.
	Problem error
}

// Selected is what a selection finds.
type Selected struct {
	Selection *Selection
	live.Listing
}

func newSelection(s kronvoyv1alpha1.Selection) *Selection {
	out := &Selection{Node: s.Node, Hash: s.Hash}
	selector, err := metav1.LabelSelectorAsSelector(&s.Selector)
	if err != nil {
		out.Problem = fmt.Errorf("reading the selector of node %q: %w", s.Node, err)
		return out
	}
	out.Watch = live.Watch{
		Resource:  schema.GroupVersionResource{Group: s.Group, Version: s.Version, Resource: s.Resource},
		Namespace: s.Namespace, Selects: true, Labels: selector.String(), Paths: live.PathsOf(s.Paths),
	}
	return out
}

// selected looks at the lists as they are now.
func (r *run) selected(ctx context.Context) []Selected {
	all := make([]Selected, 0, len(r.w.Selections))
	for _, s := range r.w.Selections {
		found := Selected{Selection: s}
		if s.Problem != nil {
			found.Problem = s.Problem.Error()
		} else if err := r.mayList(ctx, s.Watch); err != nil {
			found.Problem = fmt.Sprintf("listing %s: %v", s.Watch.Resource.GroupResource(), err)
		} else {
			found.Listing = r.a.live.List(s.Watch)
			found.Objects = r.w.withoutReserved(found.Objects)
		}
		all = append(all, found)
	}
	return all
}
