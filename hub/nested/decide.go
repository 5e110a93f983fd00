package nested

import (
	"fmt"
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// Plan is what is to be done about the instances of one Target.
type Plan struct {
	// Children is what the Target lists, before anything else is written.
	Children []kronvoyv1alpha1.ChildReference
	// Apply are the instances to write. Those without a UID do not exist.
	Apply []Write
	// Leaving have to go, in the order of their waves. They exist.
	Leaving []Removal
	// Unsettled says which instance is not there as it is wanted; nothing leaves
	// meanwhile.
	Unsettled string
	// Failures say what is wrong with a node, by id.
	Failures map[string]string
}

// Write is one instance to apply.
type Write struct {
	Instance
	UID types.UID
	// FromKro is true when kro has applied the instance: its fields move.
	FromKro bool
}

// Removal is one instance to delete in its turn.
type Removal struct {
	kronvoyv1alpha1.ChildReference
	UID types.UID
	// Terminating instances are on their way out already.
	Terminating bool
}

// String names the instance that is to go.
func (r Removal) String() string { return describe(r.ChildReference) }

// Waves of what has to leave.
func (p Plan) Waves() []int {
	waves := make([]int, 0, len(p.Leaving))
	for _, leaving := range p.Leaving {
		waves = append(waves, int(leaving.Wave))
	}
	return waves
}

// Decide compares what is wanted with what is there. previous is what the
// Target lists.
//
// Only what the Target has made is changed or deleted: an instance that carries
// its mark, or, as a whole, what kro made for the same parent. Anything else of
// a wanted name is a conflict and stays as it is. An instance leaves the list
// only when it is gone.
func Decide(wants Wants, previous []kronvoyv1alpha1.ChildReference, live Live, p Parent) Plan {
	plan := Plan{Failures: map[string]string{}}
	type entry struct {
		Key
		readOnly bool
	}
	stays := map[entry]bool{}
	for _, instance := range wants.Instances {
		stays[entry{KeyOf(instance.ChildReference), instance.ReadOnly}] = true
		plan.want(instance, live[KeyOf(instance.ChildReference)], p)
	}
	for _, ref := range previous {
		switch key := KeyOf(ref); {
		case stays[entry{key, ref.ReadOnly}]:
		case wants.Kept[ref.Node] && !ref.Leaving:
			plan.Children = append(plan.Children, ref)
		default:
			plan.leave(ref, live[key], p)
		}
	}
	slices.SortFunc(plan.Children, compare)
	for node, failure := range wants.Failures {
		plan.Failures[node] = failure
	}
	return plan
}

// want plans for one instance that is to exist as it says, or to be read.
func (plan *Plan) want(instance Instance, found *unstructured.Unstructured, p Parent) {
	if instance.ReadOnly {
		plan.Children = append(plan.Children, instance.ChildReference)
		return
	}
	if found != nil && !p.made(instance.ChildReference, found) {
		plan.conflict(instance, found)
		return
	}
	plan.Children = append(plan.Children, instance.ChildReference)
	name := describe(instance.ChildReference)
	switch {
	case found == nil:
		plan.unsettled(name + " is not there yet")
		plan.Apply = append(plan.Apply, Write{Instance: instance})
	case found.GetDeletionTimestamp() != nil:
		// It is made anew when it is gone.
		plan.unsettled(name + " is still being deleted")
	case !within(instance.Object, found.Object):
		if hashOf(instance.Object) != found.GetAnnotations()[kronvoyv1alpha1.AnnotationHash] {
			plan.unsettled(name + " is not up to date yet")
		}
		plan.Apply = append(plan.Apply, Write{Instance: instance, UID: found.GetUID(), FromKro: !nestedByHub(instance.ChildReference, found)})
	}
}

func (plan *Plan) conflict(instance Instance, found *unstructured.Unstructured) {
	message := describe(instance.ChildReference) + " exists and was not made for this resource"
	mark, marked := kronvoyv1alpha1.ParseNestedMark(instance.Reference(), found.GetAnnotations())
	if marked {
		message = fmt.Sprintf("%s was made for %s %s/%s on cluster %s", describe(instance.ChildReference),
			mark.Parent.Kind, mark.Parent.Namespace, mark.Parent.Name, mark.Cluster)
	}
	plan.Failures[instance.Node] = message + ": delete it, or give the resource another name"
	plan.unsettled(message)
	// Listed as somebody else's, so that the Target hears when it goes.
	instance.ReadOnly = true
	plan.Children = append(plan.Children, instance.ChildReference)
}

// leave plans for one instance that is not wanted any more.
func (plan *Plan) leave(ref kronvoyv1alpha1.ChildReference, found *unstructured.Unstructured, p Parent) {
	if ref.ReadOnly || found == nil || !p.made(ref, found) {
		// Gone, or never this Target's.
		return
	}
	ref.Leaving = true
	plan.Children = append(plan.Children, ref)
	plan.Leaving = append(plan.Leaving, Removal{
		ChildReference: ref, UID: found.GetUID(),
		Terminating: found.GetDeletionTimestamp() != nil,
	})
}

func (plan *Plan) unsettled(reason string) {
	if plan.Unsettled == "" {
		plan.Unsettled = reason
	}
}

// made says whether an instance was made for this parent on this cluster: by
// the hub, or by kro, which leaves its labels on what the hub takes over.
func (p Parent) made(ref kronvoyv1alpha1.ChildReference, found *unstructured.Unstructured) bool {
	mark, marked := kronvoyv1alpha1.ParseNestedMark(ref.Reference(), found.GetAnnotations())
	if !marked {
		labels := found.GetLabels()
		return p.UID != "" && labels["kro.run/instance-id"] == p.UID && labels["kro.run/node-id"] == ref.Node
	}
	return mark.Parent == p.Identity.Reference() && mark.Cluster == p.Cluster
}

// nestedByHub tells what the hub made from what kro made.
func nestedByHub(ref kronvoyv1alpha1.ChildReference, found *unstructured.Unstructured) bool {
	_, marked := kronvoyv1alpha1.ParseNestedMark(ref.Reference(), found.GetAnnotations())
	return marked
}

// within is true when found has every value of wanted. More than that is
// somebody else's, or the server's.
func within(wanted, found any) bool {
	switch wanted := wanted.(type) {
	case nil:
		return found == nil
	case map[string]any:
		found, _ := found.(map[string]any)
		for key, value := range wanted {
			if !within(value, found[key]) {
				return false
			}
		}
		return found != nil || len(wanted) == 0
	case []any:
		found, _ := found.([]any)
		if len(found) != len(wanted) {
			return false
		}
		for i := range wanted {
			if !within(wanted[i], found[i]) {
				return false
			}
		}
		return true
	case int64:
		// A field of type number may come back either way.
		f, isFloat := found.(float64)
		return isFloat && f == float64(wanted) || found == any(wanted)
	case float64:
		i, isInt := found.(int64)
		return isInt && float64(i) == wanted || found == any(wanted)
	}
	return reflect.DeepEqual(wanted, found)
}

func hashOf(object map[string]any) string {
	return (&unstructured.Unstructured{Object: object}).GetAnnotations()[kronvoyv1alpha1.AnnotationHash]
}
