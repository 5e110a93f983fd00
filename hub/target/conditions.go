package target

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/status"
)

const (
	// maxConditions is how many of the author's conditions a Target holds, and
	// maxConditionBytes how many bytes they may have in all.
	maxConditions     = 256
	maxConditionBytes = 64 << 10
	maxConditionType  = 316
	// maxIssues is how many issues a Target names.
	maxIssues = 10
	// statusPath is where the author's status is in a definition.
	statusPath = "spec.schema.status"
)

// authored are the author's conditions on this cluster, and what is wrong with
// the author's status. now is the rest of the Target's status.
//
// What the conditions read of the instance with runtime.condition(schema, …) is
// what the instance would say of itself if this cluster were its only one: on
// one cluster that is what it says, and on several no cluster's conditions
// depend on another's. It is a function of this Target's own state, which no
// condition changes, so nothing goes in a circle: the state is decided first,
// then the conditions are evaluated against it.
func authored(s *scope, now kronvoyv1alpha1.TargetStatus) ([]kronvoyv1alpha1.TargetCondition, []string) {
	old := s.target.Status
	switch {
	case s.target.DeletionTimestamp != nil || s.plan.Blocked != "" || s.kept:
		return old.Conditions, old.Issues
	case !s.in.Graph.HasConditions():
		return nil, statusIssues(s.plan.Issues)
	}
	judged := s.target.DeepCopy()
	judged.Status = now
	bindings := s.plan.Bindings
	for _, c := range status.OnOneCluster(judged, s.in.Suspended) {
		bindings.Conditions = append(bindings.Conditions, graph.Condition{Type: c.Type, Status: string(c.Status), Reason: c.Reason, Message: c.Message})
	}
	evaluation, issues := s.in.Graph.Evaluate(bindings)
	conditions, refused := bounded(evaluation.Conditions)
	if evaluation.ConditionsIncomplete {
		conditions = keep(conditions, old.Conditions)
	}
	return conditions, statusIssues(append(issues, refused...))
}

// bounded are conditions as a Target can hold them; what it cannot is refused.
func bounded(made []graph.Condition) (conditions []kronvoyv1alpha1.TargetCondition, refused graph.Issues) {
	refuse := func(format string, args ...any) {
		refused = append(refused, graph.Issue{Path: statusPath + ".conditions", Offset: -1, Reason: "InvalidCondition", Message: fmt.Sprintf(format, args...)})
	}
	size := 0
	for _, c := range made {
		size += len(c.Type) + len(c.Reason) + len(c.Message)
		switch {
		case c.Type == "" || len(c.Type) > maxConditionType:
			refuse("the type %q must have 1 to %d characters", shorten(c.Type), maxConditionType)
		case c.Status != "True" && c.Status != "False" && c.Status != "Unknown":
			refuse("the status of condition %q must be True, False or Unknown, not %q", c.Type, shorten(c.Status))
		case size > maxConditionBytes || len(conditions) == maxConditions:
			refuse("condition %q is left out: one cluster may give %d conditions of %d bytes in all", c.Type, maxConditions, maxConditionBytes)
		default:
			conditions = append(conditions, kronvoyv1alpha1.TargetCondition{
				Type: c.Type, Status: metav1.ConditionStatus(c.Status), Reason: c.Reason, Message: c.Message,
			})
		}
	}
	return conditions, refused
}

// keep adds what was found last of the types that were not judged now.
func keep(conditions, old []kronvoyv1alpha1.TargetCondition) []kronvoyv1alpha1.TargetCondition {
	judged := make(map[string]bool, len(conditions))
	for _, c := range conditions {
		judged[c.Type] = true
	}
	for _, c := range old {
		if !judged[c.Type] && len(conditions) < maxConditions {
			c.Kept = true
			conditions = append(conditions, c)
		}
	}
	return conditions
}

// statusIssues are those of the author's status: those of nodes are told with
// the node.
func statusIssues(issues graph.Issues) []string {
	var texts []string
	for _, issue := range issues {
		if strings.HasPrefix(issue.Path, statusPath) && len(texts) < maxIssues {
			texts = append(texts, shorten(issue.Error()))
		}
	}
	return texts
}
