package view

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/status"
)

// Goal is what an object is waited for to become.
type Goal struct {
	// Word is ready, deleted, rolledout or condition.
	word string
	// condition and want are the type and the status of a condition.
	condition string
	want      metav1.ConditionStatus
}

// Goals are what --for takes.
const (
	goalReady     = "ready"
	goalDeleted   = "deleted"
	goalRolledOut = "rolledout"
	goalCondition = "condition"
)

// ParseGoal reads ready, deleted, rolledout, or condition=TYPE[=STATUS].
func ParseGoal(text string) (Goal, error) {
	word, rest, has := strings.Cut(text, "=")
	switch {
	case slices.Contains([]string{goalReady, goalDeleted, goalRolledOut}, word) && !has:
		return Goal{word: word}, nil
	case word == goalCondition && rest != "":
		kind, want, _ := strings.Cut(rest, "=")
		return Goal{word: word, condition: kind, want: metav1.ConditionStatus(cmp.Or(want, string(metav1.ConditionTrue)))}, nil
	}
	return Goal{}, fmt.Errorf("--for %q is not ready, deleted, rolledout or condition=TYPE[=STATUS]", text)
}

// Deleted says whether it is waited for the object's end.
func (g Goal) Deleted() bool { return g.word == goalDeleted }

// Outcome says whether it is waited for what becomes of a change.
func (g Goal) Outcome() bool { return g.word == goalReady || g.word == goalRolledOut }

// Verdict is how far an object is from a goal.
type Verdict struct {
	Reached bool
	// Never says that somebody has to do something first.
	Never   bool
	Message string
}

// Judge says how far an object is. An answer to what its spec was before is none.
func (g Goal) Judge(obj *unstructured.Unstructured) Verdict {
	content, _ := obj.Object["status"].(map[string]any)
	switch g.word {
	case goalDeleted:
		if obj.GetDeletionTimestamp() == nil {
			return Verdict{Message: "nobody has deleted it"}
		}
		return Verdict{Message: "is being deleted: " + cmp.Or(explained(content), "waits for "+strings.Join(obj.GetFinalizers(), ", "))}
	case goalCondition:
		return g.judgeCondition(obj, conditionsOf(content))
	}
	switch obj.GetKind() {
	case "Rollout":
		return judgeRollout(obj)
	case "ManagedCluster":
		return Goal{condition: "ManagedClusterConditionAvailable", want: metav1.ConditionTrue}.judgeCondition(obj, conditionsOf(content))
	case "Distribution":
		for _, kind := range []string{"Accepted", "Resolved"} {
			if v := (Goal{condition: kind, want: metav1.ConditionTrue}).judgeCondition(obj, conditionsOf(content)); !v.Reached {
				return v
			}
		}
		return Verdict{Reached: true, Message: "accepted and resolved"}
	case Definitions.Kind:
		v := Goal{condition: status.Ready, want: metav1.ConditionTrue}.judgeCondition(obj, conditionsOf(content))
		if c := find(conditionsOf(content), "GraphAccepted"); !v.Reached && c.Status == metav1.ConditionFalse && c.ObservedGeneration == obj.GetGeneration() {
			return Verdict{Never: true, Message: c.Message}
		}
		return v
	}
	return g.judgeInstance(obj, content)
}

func (g Goal) judgeInstance(obj *unstructured.Unstructured, content map[string]any) Verdict {
	i := read(obj)
	v := Verdict{Message: i.summary()}
	// The built-in conditions say which generation the summary is of.
	if c := find(builtin(content), status.Ready); c.ObservedGeneration != obj.GetGeneration() {
		v.Message = "the hub has not looked at it since it was changed"
		return v
	}
	if g.word == goalReady {
		v.Reached = i.AllReady()
		return v
	}
	if i.Rollout != nil {
		switch kronvoyv1alpha1.RolloutPhase(i.Rollout.Phase) {
		case kronvoyv1alpha1.RolloutSucceeded:
		case kronvoyv1alpha1.RolloutProgressing, kronvoyv1alpha1.RolloutRollingBack, "":
			return v
		default:
			v.Never = true
			return v
		}
	}
	updated := number(fleetOf(content), "updated")
	v.Reached = i.Placed > 0 && updated == i.Placed
	return v
}

func judgeRollout(obj *unstructured.Unstructured) Verdict {
	r := &kronvoyv1alpha1.Rollout{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, r); err != nil {
		return Verdict{Never: true, Message: err.Error()}
	}
	v := Verdict{Message: fmt.Sprintf("%s: %s", cmp.Or(string(r.Status.Phase), "not begun"), r.Status.Message)}
	switch r.Status.Phase {
	case kronvoyv1alpha1.RolloutSucceeded:
		v.Reached = true
	case kronvoyv1alpha1.RolloutProgressing, kronvoyv1alpha1.RolloutRollingBack, "":
	default:
		v.Never = true
	}
	return v
}

func (g Goal) judgeCondition(obj *unstructured.Unstructured, conditions []metav1.Condition) Verdict {
	c := find(conditions, g.condition)
	switch {
	case c.Type == "":
		return Verdict{Message: "there is no condition " + g.condition}
	case c.ObservedGeneration != 0 && c.ObservedGeneration < obj.GetGeneration():
		return Verdict{Message: fmt.Sprintf("condition %s is of what it was before", g.condition)}
	}
	return Verdict{Reached: c.Status == g.want, Message: fmt.Sprintf("%s is %s: %s", c.Type, c.Status, cmp.Or(c.Message, c.Reason))}
}

func find(conditions []metav1.Condition, kind string) metav1.Condition {
	for _, c := range conditions {
		if c.Type == kind {
			return c
		}
	}
	return metav1.Condition{}
}

func fleetOf(content map[string]any) map[string]any {
	fleet, _ := content[status.FleetFieldIn(content)].(map[string]any)
	return fleet
}

// builtin are the conditions of an instance that are not the author's.
func builtin(content map[string]any) []metav1.Condition {
	if own := conditionsOf(fleetOf(content)); len(own) > 0 {
		return own
	}
	return conditionsOf(content)
}

// explained is what an instance says of itself.
func explained(content map[string]any) string {
	if content == nil {
		return ""
	}
	return status.Fault(content, status.FleetFieldIn(content))
}

func conditionsOf(content map[string]any) []metav1.Condition {
	listed, _ := content["conditions"].([]any)
	var conditions []metav1.Condition
	for _, l := range listed {
		fields, _ := l.(map[string]any)
		conditions = append(conditions, metav1.Condition{
			Type: text(fields, "type"), Status: metav1.ConditionStatus(text(fields, "status")), Reason: text(fields, "reason"),
			Message: text(fields, "message"), ObservedGeneration: number(fields, "observedGeneration"),
		})
	}
	return conditions
}
