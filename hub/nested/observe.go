package nested

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/status"
	"github.com/kronvoy/kronvoy/hub/work"
	"github.com/kronvoy/kronvoy/internal/plain"
)

// Observe adds the listed instances, as they are, to what is observed. As in
// kro, one without readyWhen is ready as soon as it is there; but a status that
// speaks of an earlier spec says nothing yet.
func Observe(g *graph.Graph, listed []kronvoyv1alpha1.ChildReference, live Live, p Parent, into map[string]graph.Observed) {
	listed = slices.SortedFunc(slices.Values(listed), compare)
	for _, ref := range listed {
		node := g.Node(ref.Node)
		if ref.Leaving || node == nil || node.Definition == "" || ref.ReadOnly != (node.Kind == graph.External) {
			continue
		}
		found := live[KeyOf(ref)]
		if ref.ReadOnly && found == nil {
			continue
		}
		observed := into[ref.Node]
		observed.Objects = append(observed.Objects, observe(ref, found, p))
		into[ref.Node] = observed
	}
}

func observe(ref kronvoyv1alpha1.ChildReference, found *unstructured.Unstructured, p Parent) graph.ObservedObject {
	if found == nil || !ref.ReadOnly && (found.GetDeletionTimestamp() != nil || !p.made(ref, found)) {
		// Of what is not there nothing was observed.
		return graph.ObservedObject{}
	}
	if ref.ReadOnly {
		return graph.ObservedObject{Object: found.Object, Current: upToDate(found)}
	}
	mark, _ := kronvoyv1alpha1.ParseNestedMark(ref.Reference(), found.GetAnnotations())
	shipped := found.GetAnnotations()[kronvoyv1alpha1.AnnotationHash]
	return graph.ObservedObject{
		Object: Called(found.Object, mark.Name), Current: shipped != "" && upToDate(found), ManifestHash: shipped,
	}
}

// Health is how nested instances are, by node id: healthy where they are ready and
// healthy on their clusters, by the word of their own status.
func Health(g *graph.Graph, listed []kronvoyv1alpha1.ChildReference, live Live, p Parent, into map[string]work.Health) {
	for _, ref := range slices.SortedFunc(slices.Values(listed), compare) {
		node := g.Node(ref.Node)
		if ref.Leaving || ref.ReadOnly || node == nil || node.Definition == "" {
			continue
		}
		health := work.Health{State: kronvoyv1alpha1.HealthUnknown, Message: describe(ref) + " has not said yet how it is"}
		if found := live[KeyOf(ref)]; found != nil && found.GetDeletionTimestamp() == nil && p.made(ref, found) && upToDate(found) {
			content, _ := found.Object["status"].(map[string]any)
			if state, why := status.Health(content); state != "" {
				health = work.Health{State: state}
				if state != kronvoyv1alpha1.Healthy {
					health.Message = plain.Cut(describe(ref)+": "+why, work.MaxHealthMessage)
				}
			}
		}
		into[ref.Node] = into[ref.Node].Or(health)
	}
}

// Called is an instance under the name that its template gives it, which is what
// expressions see: what reaches a cluster is the same as if that were the only
// one.
func Called(object map[string]any, name string) map[string]any {
	if name == "" {
		return object
	}
	metadata, _ := object["metadata"].(map[string]any)
	metadata = maps.Clone(metadata)
	if metadata == nil {
		metadata = map[string]any{}
	}
	metadata["name"] = name
	out := maps.Clone(object)
	out["metadata"] = metadata
	return out
}

// upToDate is false while the status of an instance speaks of an earlier spec.
func upToDate(found *unstructured.Unstructured) bool {
	conditions, _, err := unstructured.NestedSlice(found.Object, "status", "conditions")
	if err != nil {
		return true
	}
	spokenOf := int64(0)
	for _, c := range conditions {
		condition, _ := c.(map[string]any)
		generation, _ := condition["observedGeneration"].(int64)
		spokenOf = max(spokenOf, generation)
	}
	return spokenOf == 0 || spokenOf >= found.GetGeneration()
}
