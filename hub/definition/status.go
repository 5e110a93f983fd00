package definition

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/events"
)

// Reasons of a definition's conditions, where they are more than a word of kro's.
const (
	reasonFailed         = "Failed"
	reasonAwaiting       = "AwaitingReconciliation"
	reasonKroLive        = "KroControllerLive"
	reasonInstancesExist = "InstancesExist"
)

// formerGraphAccepted is the name of GraphAccepted before kro v0.9.
const formerGraphAccepted krov1alpha1.ConditionType = "ResourceGraphAccepted"

// verdict is what one pass found of a condition; the zero value is nothing, and
// leaves the condition as it is.
type verdict struct {
	status          metav1.ConditionStatus
	reason, message string
}

func met(reason, message string) verdict { return verdict{metav1.ConditionTrue, reason, message} }

func unmet(reason, message string) verdict { return verdict{metav1.ConditionFalse, reason, message} }

// outcome is what came of one attempt to serve a definition.
type outcome struct {
	graph  *graph.Graph
	issues graph.Issues
	// revisions, kind and controller are reached in this order.
	revisions, kind, controller verdict
	revisionNumber              int64
	// waitsFor are the instances that a definition under deletion waits for.
	waitsFor string
	// kro is the sign that kro's controller is at work.
	kro string
}

// accepted is the verdict on the graph.
func (o *outcome) accepted() verdict {
	switch {
	case o.graph != nil:
		return met("Valid", "the graph compiles")
	case len(o.issues) > 0:
		return unmet("InvalidResourceGraph", o.issues.Err().Error())
	}
	return verdict{}
}

// state brings a definition's status up to date.
//
// Conditions, reasons and states are kro's. What is not reached yet is Unknown,
// AwaitingReconciliation; Ready repeats the first that is False, else the first
// that is Unknown. KroControllerLive of ControllerReady, and InstancesExist of
// Ready while a deleted definition waits, are Kronvoy's own.
func (o *outcome) state(rgd *krov1alpha1.ResourceGraphDefinition, now metav1.Time) {
	if o.kro != "" {
		o.controller = unmet(reasonKroLive, "kro's controller is live ("+o.kro+"), so Kronvoy changes nothing here: "+
			"scale kro to zero, and Kronvoy takes over. See docs/differences-from-kro.md")
	}
	rgd.Status.Conditions = slices.DeleteFunc(rgd.Status.Conditions, func(c krov1alpha1.Condition) bool { return c.Type == formerGraphAccepted })
	for _, c := range []struct {
		kind  krov1alpha1.ConditionType
		found verdict
	}{
		{krov1alpha1.GraphRevisionsResolved, o.revisions},
		{krov1alpha1.GraphAccepted, o.accepted()},
		{krov1alpha1.KindReady, o.kind},
		{krov1alpha1.ControllerReady, o.controller},
	} {
		if c.found == (verdict{}) {
			if condition(rgd, c.kind) != nil {
				continue
			}
			c.found = verdict{metav1.ConditionUnknown, reasonAwaiting, fmt.Sprintf("%s is not reached yet", c.kind)}
		}
		setCondition(rgd, now, c.kind, c.found)
	}
	ready := met("Ready", "")
	if fault := firstFault(rgd); fault != nil {
		ready = verdict{fault.Status, deref(fault.Reason), deref(fault.Message)}
	}
	if o.kro != "" {
		ready = o.controller
	}
	if o.waitsFor != "" {
		ready = unmet(reasonInstancesExist, o.waitsFor)
	}
	setCondition(rgd, now, krov1alpha1.Ready, ready)

	rgd.Status.State = krov1alpha1.Active
	for _, kind := range []krov1alpha1.ConditionType{krov1alpha1.GraphAccepted, krov1alpha1.KindReady, krov1alpha1.ControllerReady} {
		if condition(rgd, kind).Status != metav1.ConditionTrue {
			rgd.Status.State = krov1alpha1.Inactive
		}
	}
	switch {
	case o.graph != nil:
		rgd.Status.TopologicalOrder, rgd.Status.Resources = order(o)
	case len(o.issues) > 0:
		rgd.Status.TopologicalOrder, rgd.Status.Resources = nil, nil
	}
	if o.revisionNumber > 0 {
		rgd.Status.LastIssuedRevision = o.revisionNumber
	}
}

// writeStatus writes what changed, in one patch.
func (r *Reconciler) writeStatus(ctx context.Context, before, rgd *krov1alpha1.ResourceGraphDefinition, o *outcome) error {
	// In seconds, as it will be read back.
	o.state(rgd, metav1.NewTime(r.Clock.Now()).Rfc3339Copy())
	r.stated.note(rgd)
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
		r.announce(before, rgd)
	}
	return nil
}

// announce records an event when the graph is not accepted any more, and when it
// is again.
func (r *Reconciler) announce(before, after *krov1alpha1.ResourceGraphDefinition) {
	was, is := condition(before, krov1alpha1.GraphAccepted), condition(after, krov1alpha1.GraphAccepted)
	refused := was != nil && was.Status == metav1.ConditionFalse
	switch {
	case is.Status == metav1.ConditionFalse && !refused:
		r.Events.Tell(after, nil, events.DefinitionNotAccepted, "%s", deref(is.Message))
	case is.Status == metav1.ConditionTrue && refused:
		r.Events.Tell(after, nil, events.DefinitionAccepted, "%s", deref(is.Message))
	}
}

// statements are the statuses that this process has given definitions. It is
// safe for concurrent use.
type statements struct {
	mu     sync.Mutex
	stated map[string]krov1alpha1.ResourceGraphDefinitionStatus
}

func (s *statements) note(rgd *krov1alpha1.ResourceGraphDefinition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stated == nil {
		s.stated = map[string]krov1alpha1.ResourceGraphDefinitionStatus{}
	}
	s.stated[rgd.Name] = *rgd.Status.DeepCopy()
}

func (s *statements) forget(definition string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.stated, definition)
}

// byOthers lets changes of a status through that this process did not make.
func (s *statements) byOthers() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, isDefinition := e.ObjectOld.(*krov1alpha1.ResourceGraphDefinition)
		after, isToo := e.ObjectNew.(*krov1alpha1.ResourceGraphDefinition)
		if !isDefinition || !isToo || equality.Semantic.DeepEqual(before.Status, after.Status) {
			return false
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return !equality.Semantic.DeepEqual(after.Status, s.stated[after.Name])
	}}
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

// firstFault is the first condition, in order of progress, that is False, else
// the first that is Unknown; nil when all are True.
func firstFault(rgd *krov1alpha1.ResourceGraphDefinition) *krov1alpha1.Condition {
	for _, status := range []metav1.ConditionStatus{metav1.ConditionFalse, metav1.ConditionUnknown} {
		for _, kind := range []krov1alpha1.ConditionType{
			krov1alpha1.GraphRevisionsResolved, krov1alpha1.GraphAccepted, krov1alpha1.KindReady, krov1alpha1.ControllerReady,
		} {
			if c := condition(rgd, kind); c.Status == status {
				return c
			}
		}
	}
	return nil
}

func condition(rgd *krov1alpha1.ResourceGraphDefinition, kind krov1alpha1.ConditionType) *krov1alpha1.Condition {
	for i := range rgd.Status.Conditions {
		if rgd.Status.Conditions[i].Type == kind {
			return &rgd.Status.Conditions[i]
		}
	}
	return nil
}

func deref(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// setCondition keeps the time of a condition whose status stays.
func setCondition(rgd *krov1alpha1.ResourceGraphDefinition, now metav1.Time, kind krov1alpha1.ConditionType, v verdict) {
	c := krov1alpha1.Condition{
		Type: kind, Status: v.status, Reason: &v.reason, Message: &v.message,
		ObservedGeneration: rgd.Generation, LastTransitionTime: &now,
	}
	old := condition(rgd, kind)
	if old == nil {
		rgd.Status.Conditions = append(rgd.Status.Conditions, c)
		return
	}
	if old.Status == v.status && old.LastTransitionTime != nil {
		c.LastTransitionTime = old.LastTransitionTime
	}
	*old = c
}
