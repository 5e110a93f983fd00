package work

import (
	"encoding/json"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/internal/plain"
)

// What follows is for OCM's own agent, which has no WorkReports. Its feedback
// carries integers, strings and booleans, and no generation: it looks at objects
// in a loop apart from the one that applies them. A condition rule is judged in
// the same pass as the values are read, on the same object, and has the
// generation of the work that asked. So every manifest has one, Observed: it
// certifies the values.

// askedFields maps the names of feedback values to the fields that they stand
// for. Of a map that the template states, each key of the manifest is asked for
// alone: keys that others add are not seen.
func (c Capabilities) askedFields(node *graph.Node, manifest []byte) map[string][]string {
	asked := map[string][]string{}
	var object map[string]any
	for _, read := range c.reads(node) {
		if read.Scalar {
			asked[read.Path] = read.Fields
			continue
		}
		if c.Reports || !read.Stated {
			continue
		}
		if object == nil && json.Unmarshal(manifest, &object) != nil {
			continue
		}
		for key := range mapAt(object, read.Fields) {
			fields := append(slices.Clone(read.Fields), key)
			asked[observedPath(graph.Read{Fields: fields})] = fields
		}
	}
	return asked
}

func mapAt(object map[string]any, fields []string) map[string]any {
	for _, field := range fields {
		object, _ = object[field].(map[string]any)
	}
	return object
}

// observedRule is the condition rule that certifies feedback values.
func observedRule(node *graph.Node, rendered string) workv1.ConditionRule {
	rule := workv1.ConditionRule{
		Condition: kronvoyv1alpha1.ConditionManifestObserved, Type: workv1.CelConditionExpressionsType,
		CelExpressions: []string{certify(rendered)}, Message: "values of node " + node.ID,
	}
	if node.Kind == graph.External {
		rule.CelExpressions = []string{"true"}
	}
	return rule
}

// certified is true when the agent has read the values for the work as it
// stands, of an object that carries its manifest. What the agent said of an
// object that is gone since stays in the status, apart from Available.
func (a answer) certified() bool {
	return a.judgedNow(kronvoyv1alpha1.ConditionManifestObserved) && a.found()
}

// unreadable says which values the agent has not returned although they are
// there; a field that is left out for that is not absent.
func (a answer) unreadable() string {
	if !a.certified() {
		return ""
	}
	if synced := findCondition(a.status.Conditions, conditionFeedbackSynced); synced != nil && synced.Status == metav1.ConditionFalse {
		return plain.Message("the agent cannot return what is read: " + synced.Message)
	}
	for _, value := range a.status.StatusFeedbacks.Values {
		if _, ok := decodeValue(value.Value); !ok {
			return plain.Message(value.Name + " is larger than what is taken from a cluster")
		}
	}
	return ""
}

// conditionFeedbackSynced is OCM's: False names values that were not returned.
const conditionFeedbackSynced = "StatusFeedbackSynced"

// orphaned is the delete option of a work that some objects outlive.
func orphaned(manifests []manifest) *workv1.DeleteOption {
	var rules []workv1.OrphaningRule
	for _, m := range manifests {
		if m.policy.Deletion == kronvoyv1alpha1.DeletionOrphan {
			rules = append(rules, workv1.OrphaningRule{Group: m.id.Group, Resource: m.id.Resource, Namespace: m.id.Namespace, Name: m.id.Name})
		}
	}
	if len(rules) == 0 {
		return nil
	}
	return &workv1.DeleteOption{
		PropagationPolicy: workv1.DeletePropagationPolicyTypeSelectivelyOrphan,
		SelectivelyOrphan: &workv1.SelectivelyOrphan{OrphaningRules: rules},
	}
}

// sortedPaths are the JSONPaths of asked fields, in a stable order.
func sortedPaths(asked map[string][]string) []workv1.JsonPath {
	paths := make([]workv1.JsonPath, 0, len(asked))
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		paths = append(paths, workv1.JsonPath{Name: name, Path: jsonPath(asked[name])})
	}
	return paths
}
