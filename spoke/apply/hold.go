package apply

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// Whoever works on an object of a cluster by hand holds it with the annotation
// kronvoy.io/reconcile: suspended. As long as it is there nothing of the object is
// written: not what a manifest wants, no correction, no owner reference, no
// deletion. What differs is shown, and the annotation with it, whatever the drift
// policy. No manifest carries it: see foreignMarks.

// holdPath is where the annotation is.
var holdPath = fieldpath.MakePathOrDie("metadata", "annotations", kronvoyv1alpha1.AnnotationReconcile)

// held says whether somebody holds an object.
func held(obj *unstructured.Unstructured) bool {
	return obj != nil && kronvoyv1alpha1.Suspended(obj.GetAnnotations()[kronvoyv1alpha1.AnnotationReconcile])
}

// releaseHold says how to go on.
const releaseHold = "as long as it has the annotation " + kronvoyv1alpha1.AnnotationReconcile + ": " + kronvoyv1alpha1.ReconcileSuspended

// suspended shows what differs on an object of which a manifest is not applied.
func (r *run) suspended(ctx context.Context, item *Item, st *objectState, obj *unstructured.Unstructured) Outcome {
	outcome := r.compare(ctx, item, st, obj)
	if !outcome.Applied || outcome.Action != ActionUnchanged {
		return outcome
	}
	withheld := r.withheld(item, outcome.Live)
	withheld.retryAfter = outcome.retryAfter
	return withheld
}

// withheld is the outcome of a manifest that is not applied because its work is
// suspended or its object held: the object stays as it is, or stays away. What
// asks for it has no say in drift: drift policies do that.
func (r *run) withheld(item *Item, obj *unstructured.Unstructured) Outcome {
	why := "while reconciliation is suspended"
	if held(obj) {
		why = releaseHold
	}
	return Outcome{
		Item: item, Action: ActionUnchanged, Live: obj, Reason: kronvoyv1alpha1.ReasonSuspended,
		Message: fmt.Sprintf("%s is not applied %s", item, why),
	}
}
