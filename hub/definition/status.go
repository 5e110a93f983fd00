package definition

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// writeStatus states the outcome in kro's conditions, in one patch, if
// anything changed.
func (r *Reconciler) writeStatus(ctx context.Context, before, rgd *krov1alpha1.ResourceGraphDefinition, o *outcome) error {
	now := metav1.NewTime(r.Clock.Now())
	set := func(kind krov1alpha1.ConditionType, status metav1.ConditionStatus, reason, message string) {
		setCondition(rgd, now, kind, status, reason, message)
	}
	accepted, kindReady, watching := o.graph != nil, o.kindReady, o.watching
	switch {
	case accepted:
		set(krov1alpha1.GraphRevisionsResolved, metav1.ConditionTrue, "Resolved", "the definition's revision is stored")
		set(krov1alpha1.GraphAccepted, metav1.ConditionTrue, "Valid", "the graph compiles")
		rgd.Status.TopologicalOrder, rgd.Status.Resources = order(o)
	case len(o.issues) > 0:
		set(krov1alpha1.GraphAccepted, metav1.ConditionFalse, "InvalidResourceGraph", o.issues.Err().Error())
	}
	switch {
	case kindReady:
		set(krov1alpha1.KindReady, metav1.ConditionTrue, "Ready", "the kind is served")
	case o.conflict != "":
		set(krov1alpha1.KindReady, metav1.ConditionFalse, "Failed", o.conflict)
	case o.err != nil:
		set(krov1alpha1.KindReady, metav1.ConditionFalse, "Failed", o.err.Error())
	case accepted:
		set(krov1alpha1.KindReady, metav1.ConditionFalse, "Establishing", "the API server does not serve the kind yet")
	default:
		set(krov1alpha1.KindReady, metav1.ConditionFalse, "Failed", "the graph is not accepted")
	}
	if watching {
		set(krov1alpha1.ControllerReady, metav1.ConditionTrue, "Running", "instances are watched")
	} else {
		set(krov1alpha1.ControllerReady, metav1.ConditionFalse, "FailedToStart", "instances are watched once the kind is served")
	}
	ready := accepted && kindReady && watching && o.err == nil
	rgd.Status.State = krov1alpha1.Inactive
	if kindReady && watching && (accepted || len(o.issues) == 0) {
		rgd.Status.State = krov1alpha1.Active
	}
	if ready {
		set(krov1alpha1.Ready, metav1.ConditionTrue, "Ready", "")
	} else {
		reason, message := firstFault(rgd)
		set(krov1alpha1.Ready, metav1.ConditionFalse, reason, message)
	}
	if o.revisionNumber > 0 {
		rgd.Status.LastIssuedRevision = o.revisionNumber
	}
	if equality.Semantic.DeepEqual(before.Status, rgd.Status) {
		return nil
	}
	err := r.Client.Status().Patch(ctx, rgd, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}),
		client.FieldOwner(kronvoyv1alpha1.FieldManagerHub))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing status of definition %s: %w", rgd.Name, err)
	}
	if err == nil {
		r.written.Note(rgd.Name, rgd)
	}
	return nil
}

func order(o *outcome) (ids []string, resources []krov1alpha1.ResourceInformation) {
	for _, node := range o.graph.Nodes() {
		ids = append(ids, node.ID)
		if len(node.Dependencies) == 0 {
			continue
		}
		info := krov1alpha1.ResourceInformation{ID: node.ID}
		for _, dependency := range node.Dependencies {
			info.Dependencies = append(info.Dependencies, krov1alpha1.Dependency{ID: dependency})
		}
		resources = append(resources, info)
	}
	return ids, resources
}

// firstFault is the first condition, in order of progress, that is not true.
func firstFault(rgd *krov1alpha1.ResourceGraphDefinition) (reason, message string) {
	for _, kind := range []krov1alpha1.ConditionType{krov1alpha1.GraphAccepted, krov1alpha1.KindReady, krov1alpha1.ControllerReady} {
		for _, c := range rgd.Status.Conditions {
			if c.Type == kind && c.Status != metav1.ConditionTrue {
				return deref(c.Reason), deref(c.Message)
			}
		}
	}
	return "Failed", ""
}

func deref(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

func setCondition(rgd *krov1alpha1.ResourceGraphDefinition, now metav1.Time, kind krov1alpha1.ConditionType, status metav1.ConditionStatus, reason, message string) {
	c := krov1alpha1.Condition{
		Type: kind, Status: status, Reason: &reason, Message: &message,
		ObservedGeneration: rgd.Generation, LastTransitionTime: &now,
	}
	for i := range rgd.Status.Conditions {
		old := &rgd.Status.Conditions[i]
		if old.Type != kind {
			continue
		}
		if old.Status == status && old.LastTransitionTime != nil {
			c.LastTransitionTime = old.LastTransitionTime
		}
		*old = c
		return
	}
	rgd.Status.Conditions = append(rgd.Status.Conditions, c)
}
