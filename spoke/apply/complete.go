package apply

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	workv1 "open-cluster-management.io/api/work/v1"
)

// What is complete is over: it is never updated, put right or made again, also
// when it is gone since, as a Job that its own time to live removed. Nor is
// anything else in a work of which all that can be complete is.

// judge finds out which manifests are complete, before anything is done about
// them: one that changes as its object finishes must not start it again.
func (r *run) judge() {
	completing := 0
	r.over = true
	for _, item := range r.w.Items {
		if !item.Completes() {
			continue
		}
		completing++
		st := r.stateOf(item)
		obj := r.a.live.Get(item.Key)
		seen := obj != nil && r.mayShow(item, obj) && (!item.applied() || st.baseline != nil && st.uid == obj.GetUID())
		r.over = (st.complete || seen && r.completes(item, st, obj)) && r.over
	}
	r.over = r.over && completing > 0
}

// completes says whether an object of ours is complete, and remembers it. It is
// asked of every state of the object that a write would be decided on.
func (r *run) completes(item *Item, st *objectState, obj *unstructured.Unstructured) bool {
	if !st.complete && item.Completes() && r.a.evaluator.Complete(obj.Object, item.Rules) {
		st.complete = true
		r.st.version++
	}
	return st.complete && item.Completes()
}

// isOver says whether nothing is done about a manifest any more.
func (r *run) isOver(item *Item, st *objectState) bool {
	return st.complete && item.Completes() || r.over && st.existed
}

// completed is the outcome of a manifest that is over.
func (r *run) completed(ctx context.Context, item *Item, st *objectState) Outcome {
	obj, err := r.find(ctx, item)
	if err != nil {
		return r.failed(item, st, nil, err)
	}
	return r.finished(item, st, obj)
}

func (r *run) finished(item *Item, st *objectState, obj *unstructured.Unstructured) Outcome {
	outcome := r.complete(item, obj, ActionUnchanged)
	outcome.Message = "Apply manifest complete; it is over, and no longer updated"
	outcome.Completed = st.complete && item.Completes()
	return outcome
}

// RecallComplete takes over what the hub was told to be complete: the objects
// may be gone since.
func (a *Applier) RecallComplete(w *Work, status *workv1.ManifestWorkStatus) {
	st := a.state(w.Name)
	over := map[workv1.ManifestResourceMeta]bool{}
	for _, manifest := range status.ResourceStatus.Manifests {
		meta := manifest.ResourceMeta
		meta.Ordinal, meta.Version = 0, ""
		for _, condition := range manifest.Conditions {
			if condition.Type == workv1.ManifestComplete && condition.Status == "True" {
				over[meta] = true
			}
		}
	}
	for _, item := range w.Items {
		if item.Completes() && over[workv1.ManifestResourceMeta{
			Group: item.GVK.Group, Kind: item.GVK.Kind, Resource: item.Key.Resource.Resource, Name: item.Key.Name, Namespace: item.Key.Namespace,
		}] {
			if st.objects[item.Key] == nil {
				st.objects[item.Key] = &objectState{}
			}
			st.objects[item.Key].complete = true
		}
	}
}
