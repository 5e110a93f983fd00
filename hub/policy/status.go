package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// maxNamed is how many things a message names; it says how many more there are.
const maxNamed = 3

// View is all that the status of a Distribution depends on.
type View struct {
	Distribution *kronvoyv1alpha1.Distribution
	// APIVersion in which the kind of its instances is served; empty when it is
	// not. Nodes of its definition, by id; true for those that take policies.
	APIVersion string
	Nodes      map[string]bool
	// Unfit is an InvalidError about what does not fit that kind; nil for nothing.
	Unfit error
	// Instances that it selects or owns.
	Instances []Owned
	// PlacementReason and PlacementMessage say what is wrong with where it places;
	// empty when nothing is, or when it leaves placing to others.
	PlacementReason, PlacementMessage string
	// Approvals are the questions about instances of its namespace.
	Approvals []kronvoyv1alpha1.ApprovalRequest
	// Rollout of its instances together; nil for none.
	Rollout *kronvoyv1alpha1.Rollout
	Now     metav1.Time
}

// Owned is an instance and the Distribution that owns it.
type Owned struct{ Name, Owner string }

// Judge gives the status of a Distribution.
func Judge(v View) kronvoyv1alpha1.DistributionStatus {
	status := *v.Distribution.Status.DeepCopy()
	status.ObservedGeneration, status.Instances = v.Distribution.Generation, 0
	for _, instance := range v.Instances {
		if instance.Owner == v.Distribution.Name {
			status.Instances++
		}
	}
	parts := []metav1.Condition{v.accepted(), v.resolved(), v.conflicted()}
	for _, c := range append(parts, ready(parts)) {
		c.ObservedGeneration, c.LastTransitionTime = v.Distribution.Generation, v.Now
		apimeta.SetStatusCondition(&status.Conditions, c)
	}
	v.optional(&status, kronvoyv1alpha1.ConditionRemovalHeld, v.removalHeld())
	v.optional(&status, kronvoyv1alpha1.ConditionRolledOut, v.rolledOut())
	return status
}

// optional sets a condition that is not there when it is nil.
func (v View) optional(status *kronvoyv1alpha1.DistributionStatus, kind string, c *metav1.Condition) {
	if c == nil {
		apimeta.RemoveStatusCondition(&status.Conditions, kind)
		return
	}
	c.Type, c.ObservedGeneration, c.LastTransitionTime = kind, v.Distribution.Generation, v.Now
	apimeta.SetStatusCondition(&status.Conditions, *c)
}

// rolledOut is nil unless there is a rollout of all instances together.
func (v View) rolledOut() *metav1.Condition {
	if v.Rollout == nil || v.Rollout.Status.Phase == "" {
		return nil
	}
	s := &v.Rollout.Status
	c := &metav1.Condition{Status: metav1.ConditionFalse, Reason: string(s.Phase), Message: s.Message}
	if s.Phase == kronvoyv1alpha1.RolloutSucceeded {
		c.Status = metav1.ConditionTrue
	}
	if s.ApprovalRequest != "" {
		c.Message += fmt.Sprintf(" (kronvoy rollout approve %s -n %s)", s.ApprovalRequest, v.Distribution.Namespace)
	}
	return c
}

// removalHeld is nil unless people are asked, or have rejected, that instances of
// this Distribution leave clusters.
func (v View) removalHeld() *metav1.Condition {
	var open, rejected []string
	for _, a := range v.Approvals {
		if a.Spec.Action != kronvoyv1alpha1.ApprovalRemove || a.Spec.Instance == nil || a.Status.Decision == kronvoyv1alpha1.Approved || !v.owns(a.Spec.Instance) {
			continue
		}
		text := fmt.Sprintf("%s %s on %d clusters (ApprovalRequest %s)", a.Spec.Instance.Kind, a.Spec.Instance.Name, a.Spec.ClusterCount, a.Name)
		if a.Status.Decision == kronvoyv1alpha1.Rejected {
			rejected = append(rejected, text)
		} else {
			open = append(open, text)
		}
	}
	c := &metav1.Condition{Status: metav1.ConditionTrue}
	switch {
	case len(open) > 0:
		slices.Sort(open)
		c.Reason = kronvoyv1alpha1.ReasonNeedsApproval
		c.Message = name(open) + ": kept until somebody approves; kronvoy rollout approvals -n " + v.Distribution.Namespace + " lists what is asked"
	case len(rejected) > 0:
		slices.Sort(rejected)
		c.Reason, c.Message = kronvoyv1alpha1.ReasonApprovalRejected, name(rejected)+": kept, for its removal was rejected"
	default:
		return nil
	}
	return c
}

func (v View) owns(instance *kronvoyv1alpha1.InstanceReference) bool {
	kind := schema.FromAPIVersionAndKind(instance.APIVersion, instance.Kind).GroupKind()
	return kind == KindOf(v.Distribution) && slices.ContainsFunc(v.Instances, func(o Owned) bool {
		return o.Name == instance.Name && o.Owner == v.Distribution.Name
	})
}

func (v View) accepted() metav1.Condition {
	c := metav1.Condition{Type: kronvoyv1alpha1.ConditionAccepted, Status: metav1.ConditionTrue, Reason: kronvoyv1alpha1.ReasonAccepted}
	var invalid *InvalidError
	_, err := On(&v.Distribution.Spec, nil)
	if err == nil {
		_, err = OverrideSelectors(v.Distribution.Spec.Overrides)
	}
	if errors.As(cmp.Or(err, v.Unfit), &invalid) {
		c.Status, c.Reason = metav1.ConditionFalse, invalid.Reason
		c.Message = invalid.Error() + "; " + until(invalid.Reason)
	}
	return c
}

// until says what is so until a Distribution is mended.
func until(reason string) string {
	if reason == kronvoyv1alpha1.ReasonInvalidAggregate {
		// They are about status alone.
		return "until this is mended its instances have the aggregates of their definition alone; all else is in force"
	}
	return "what its instances have on their clusters stays as it is until this is mended"
}

func (v View) resolved() metav1.Condition {
	c := metav1.Condition{Type: kronvoyv1alpha1.ConditionResolved, Status: metav1.ConditionTrue, Reason: kronvoyv1alpha1.ReasonResolved}
	unresolved := func(reason, format string, args ...any) metav1.Condition {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, reason, fmt.Sprintf(format, args...)
		return c
	}
	wanted := v.Distribution.Spec.Instances
	switch v.APIVersion {
	case wanted.APIVersion:
	case "":
		return unresolved(kronvoyv1alpha1.ReasonUnknownKind, "no definition serves %s of %s", wanted.Kind, wanted.APIVersion)
	default:
		return unresolved(kronvoyv1alpha1.ReasonUnknownKind, "%s is served as %s, not as %s", wanted.Kind, v.APIVersion, wanted.APIVersion)
	}
	if v.PlacementReason != "" {
		return unresolved(v.PlacementReason, "%s", v.PlacementMessage)
	}
	for i, p := range v.Distribution.Spec.Policies {
		for j, node := range p.Nodes {
			field := fmt.Sprintf("spec.policies[%d].nodes[%d]", i, j)
			switch governed, known := v.Nodes[node]; {
			case !known:
				return unresolved(kronvoyv1alpha1.ReasonUnknownNode, "%s: the definition of %s has no resource with id %q, so this says nothing; all else is in force",
					field, wanted.Kind, node)
			case !governed:
				return unresolved(kronvoyv1alpha1.ReasonNodeWithoutPolicies, "%s: %q is an external reference or an instance of another definition, "+
					"which takes no policies from here; all else is in force", field, node)
			}
		}
	}
	if len(v.Instances) == 0 {
		c.Reason, c.Message = kronvoyv1alpha1.ReasonNoInstances, fmt.Sprintf("no %s in this namespace is selected", wanted.Kind)
	}
	return c
}

func (v View) conflicted() metav1.Condition {
	c := metav1.Condition{Type: kronvoyv1alpha1.ConditionConflicted, Status: metav1.ConditionFalse, Reason: kronvoyv1alpha1.ReasonNoConflict}
	var lost []string
	for _, instance := range v.Instances {
		if instance.Owner != v.Distribution.Name {
			lost = append(lost, fmt.Sprintf("%s %s belongs to Distribution %s", v.Distribution.Spec.Instances.Kind, instance.Name, instance.Owner))
		}
	}
	if len(lost) > 0 {
		slices.Sort(lost)
		c.Status, c.Reason = metav1.ConditionTrue, kronvoyv1alpha1.ReasonOwnedByAnother
		c.Message = name(lost) + ": change one of the selectors so that they select different instances"
	}
	return c
}

// ready sums up: every condition but Conflicted is to be True.
func ready(parts []metav1.Condition) metav1.Condition {
	out := metav1.Condition{Type: kronvoyv1alpha1.ConditionReady, Status: metav1.ConditionTrue}
	for _, c := range parts {
		good := (c.Status == metav1.ConditionTrue) != (c.Type == kronvoyv1alpha1.ConditionConflicted)
		if !good {
			out.Status, out.Reason, out.Message = metav1.ConditionFalse, c.Reason, c.Message
			return out
		}
		if c.Type == kronvoyv1alpha1.ConditionResolved {
			out.Reason, out.Message = c.Reason, c.Message
		}
	}
	out.Reason = cmp.Or(out.Reason, kronvoyv1alpha1.ConditionReady)
	return out
}

// name lists some of the texts, and says how many are left out.
func name(texts []string) string {
	if len(texts) <= maxNamed {
		return strings.Join(texts, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(texts[:maxNamed], ", "), len(texts)-maxNamed)
}
