package apply

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/client-go/dynamic"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/drift"
	"github.com/kronvoy/kronvoy/spoke/live"
)

// run is one pass over one work.
type run struct {
	a *Applier
	// client acts in the name of the work's executor.
	client dynamic.Interface
	w      *Work
	st     *workState
	owner  *metav1.OwnerReference
	now    time.Time
	// began is when the manifest at hand was begun.
	began time.Time
	log   logr.Logger
	// kept is set while the work is an earlier process's word.
	kept bool
	// over is set when all that can be complete is.
	over bool
}

// object does one step for one manifest. A failure is an outcome, so that it
// never keeps the others from their step.
//
//	not there ------------------------------> create
//	on its way out -------------------------> wait
//	seen before, manifest as applied:
//	    live equals baseline ---------------> nothing
//	    live differs -----------------------> drift          correct.go
//	seen before, other manifest ------------> update         update.go
//	first seen -----------------------------> resume, update or take over   adopt.go
func (r *run) object(ctx context.Context, item *Item) Outcome {
	if item.Problem != nil {
		return r.refused(item)
	}
	st := r.stateOf(item)
	st.decided(item)
	switch {
	case r.isOver(item, st):
		return r.completed(ctx, item, st)
	case item.ReadOnly():
		return r.observe(ctx, item)
	}
	if outcome, waiting := r.backingOff(item, st); waiting {
		return outcome
	}
	obj, err := r.find(ctx, item)
	switch {
	case err != nil:
		return r.failed(item, st, nil, err)
	case obj == nil:
		return r.create(ctx, item, st)
	case r.kept && !item.createOnly() && hashOf(obj) != item.Hash:
		return Outcome{Item: item, Action: ActionUnchanged, Live: obj, quiet: true}
	case !obj.GetDeletionTimestamp().IsZero():
		st.baseline, st.equalAt = nil, ""
		return Outcome{
			Item: item, Action: ActionFailed, Live: obj, Reason: kronvoyv1alpha1.ReasonTerminating,
			Message: terminating(item, obj),
		}
	case item.createOnly():
		st.foreign = !owns(obj, r.owner.UID)
		return r.complete(item, obj, ActionUnchanged)
	case st.baseline == nil || st.uid != obj.GetUID():
		return r.adopt(ctx, item, st)
	case r.completes(item, st, obj):
		return r.finished(item, st, obj)
	case st.applied != fingerprint(item, r.owner.UID):
		if st.restored && hashOf(obj) == item.Hash {
			// An earlier process applied this manifest and ended before it
			// could keep that.
			st.restored = false
			return r.adopt(ctx, item, st)
		}
		return r.update(ctx, item, st, obj)
	case st.equalAt == obj.GetResourceVersion():
		return r.complete(item, obj, ActionUnchanged)
	}
	return r.compare(ctx, item, st, obj)
}

// terminating says that somebody deleted an object that is wanted, and what
// keeps it.
func terminating(item *Item, obj *unstructured.Unstructured) string {
	text := fmt.Sprintf("%s is being deleted", item)
	if why := waitsFor(obj); why != "" {
		text += ", " + why
	}
	return text + "; it is applied again when it is gone"
}

// applied says whether the object is kept as the manifest says.
func (i *Item) applied() bool { return !i.ReadOnly() && !i.createOnly() }

func (i *Item) createOnly() bool { return i.Strategy == workv1.UpdateStrategyTypeCreateOnly }

func (r *run) stateOf(item *Item) *objectState {
	st := r.st.objects[item.Key]
	if st == nil {
		st = &objectState{}
		r.st.objects[item.Key] = st
	}
	if st.applied == "" && !st.existed {
		_, st.existed = r.st.inventory.objects[item.Key]
	}
	return st
}

// find gives the object as it is now. What a watch does not show is read live:
// it may have lost the label that the watch selects by.
func (r *run) find(ctx context.Context, item *Item) (*unstructured.Unstructured, error) {
	byName := r.a.live.Synced(live.ByName(item.Key))
	if byName || r.a.live.Synced(live.Watch{Resource: item.Key.Resource}) {
		if obj := r.a.live.Get(item.Key); obj != nil && r.mayShow(item, obj) {
			return obj, nil
		}
	}
	if byName && item.ReadOnly() && r.w.Executor == "" {
		return nil, nil // a watch by name needs no label: absent is absent
	}
	return r.read(ctx, item)
}

// observe looks at an object that is somebody else's.
func (r *run) observe(ctx context.Context, item *Item) Outcome {
	obj, err := r.find(ctx, item)
	if err != nil {
		reason, message := explain(item, err)
		return Outcome{Item: item, Action: ActionFailed, Reason: reason, Message: truncate(message, maxMessage), retryAfter: firstFightDelay}
	}
	return r.complete(item, obj, ActionObserved)
}

// create applies what is not there. If it was there before, somebody deleted it:
// then the drift policy decides, until the manifest wants something new.
func (r *run) create(ctx context.Context, item *Item, st *objectState) Outcome {
	_, leaving := r.st.leaving[item.Key]
	deleted := st.existed && !leaving && !item.createOnly()
	renewed := st.applied != "" && st.applied != fingerprint(item, r.owner.UID)
	policies, err := item.policies(nil, nil)
	if err != nil {
		return r.failed(item, st, nil, err)
	}
	if policy := policies.of(nil); deleted && policy != kronvoyv1alpha1.DriftCorrect && (item.Suspended || !renewed) {
		if policy == kronvoyv1alpha1.DriftReport {
			r.note(item, st, kronvoyv1alpha1.FindingReported, nil, true, nil)
		}
		if renewed {
			return r.withheld(item, nil)
		}
		return r.complete(item, nil, ActionUnchanged)
	}
	if deleted && !policies.asks(nil) {
		if wait := st.fight.wait(r.now); wait > 0 {
			return r.contest(item, st, nil, nil, wait)
		}
	}
	if item.Suspended {
		return r.withheld(item, nil)
	}
	body, err := r.body(item, nil, nil)
	if err != nil {
		return r.failed(item, st, nil, err)
	}
	var answer *unstructured.Unstructured
	if item.createOnly() {
		answer, err = r.client.Resource(item.Key.Resource).Namespace(item.Key.Namespace).
			Create(ctx, body, metav1.CreateOptions{FieldManager: item.Manager})
		r.wrote(err)
	} else {
		answer, err = r.ssa(ctx, item, body, false, false)
	}
	if err != nil {
		return r.failed(item, st, nil, err)
	}
	was := st.open()
	outcome := r.applied(item, st, body, nil, answer, ActionCreated)
	if deleted {
		r.corrected(item, st, nil, true, was)
		outcome.Action = ActionCorrected
	}
	return outcome
}

// ssa is one server-side apply.
func (r *run) ssa(ctx context.Context, item *Item, body *unstructured.Unstructured, force, dryRun bool) (*unstructured.Unstructured, error) {
	data, err := json.Marshal(body.Object)
	if err != nil {
		return nil, fmt.Errorf("writing manifest %d: %w", item.Ordinal, err)
	}
	options := metav1.PatchOptions{FieldManager: item.Manager, Force: &force}
	if dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	answer, err := r.client.Resource(item.Key.Resource).Namespace(item.Key.Namespace).
		Patch(ctx, item.Key.Name, types.ApplyPatchType, data, options)
	if !dryRun {
		r.wrote(err)
	}
	return answer, err
}

// wrote looks at the answer to a write that may create an object. If there is
// none the object may be there all the same, or come, while no list of ours has
// it and its manifest leaves before the next try.
func (r *run) wrote(err error) {
	if err != nil && unanswered(err) {
		r.st.inventory.lost(r.a.clock.Now())
	}
}

// applied remembers the server's answer to an apply as the new baseline; of the
// body some fields were left to others.
func (r *run) applied(item *Item, st *objectState, body *unstructured.Unstructured, left []fieldpath.Path, answer *unstructured.Unstructured, action Action) Outcome {
	light := r.a.live.Put(item.Key, answer)
	baseline, err := drift.Capture(answer, item.Manager)
	if err != nil {
		return r.failed(item, st, light, err)
	}
	if baseline != nil {
		if err := baseline.Want(body, left); err != nil {
			return r.failed(item, st, light, err)
		}
	}
	st.uid, st.applied, st.baseline = answer.GetUID(), fingerprint(item, r.owner.UID), baseline
	st.equalAt, st.existed, st.failure, st.foreign = answer.GetResourceVersion(), true, nil, false
	r.st.version++
	r.st.inventory.note(item.Key, answer.GetUID(), r.now)
	r.mutated(item, st, body, answer)
	if err := r.remains(item, st, body, answer); err != nil {
		return r.failed(item, st, light, err)
	}
	r.log.V(1).Info("Applied", "manifest", item.String(), "reason", string(action), "resourceVersion", answer.GetResourceVersion())
	return r.complete(item, light, action)
}

// complete is the outcome of a manifest that is as it should be, or as its
// policy lets it be.
func (r *run) complete(item *Item, obj *unstructured.Unstructured, action Action) Outcome {
	return Outcome{
		Item: item, Action: action, Live: obj, Applied: true,
		Reason: workv1.AppliedManifestComplete, Message: "Apply manifest complete",
	}
}

// refused is the outcome of a manifest that cannot be applied at all.
func (r *run) refused(item *Item) Outcome {
	outcome := Outcome{Item: item, Action: ActionFailed, Reason: item.Reason, Message: truncate(item.Problem.Error(), maxMessage)}
	if item.Reason != kronvoyv1alpha1.ReasonNoSuchKind {
		return outcome
	}
	// The kind may come, as from a CustomResourceDefinition in the same work.
	st := r.stateOf(item)
	if waiting, ok := r.backingOff(item, st); ok {
		return waiting
	}
	return r.failed(item, st, nil, item.Problem)
}

// postponed is the outcome of a look, or a correction, that has to wait.
func (r *run) postponed(item *Item, st *objectState, obj *unstructured.Unstructured, wait time.Duration) Outcome {
	outcome := r.complete(item, obj, ActionUnchanged)
	outcome.retryAfter = wait
	if finding := st.findings[kronvoyv1alpha1.FindingReported]; finding != nil && finding.NextCorrection != nil {
		what := "it is deleted"
		if len(finding.Details) > 0 {
			what = fmt.Sprintf("%s is changed by %s", finding.Details[0].Path, finding.Details[0].Manager)
		}
		outcome.Message = fmt.Sprintf("Apply manifest complete; %s again and again, the next correction waits", what)
	}
	return outcome
}

// attempt applies one manifest while the others of its work wait. One that takes
// long, as behind a webhook that does not answer, gets more time with every try,
// and the others get most of it in between.
func (r *run) attempt(ctx context.Context, item *Item) Outcome {
	patience := firstPatience
	if st := r.st.objects[item.Key]; st != nil && st.failure != nil {
		patience = backoff(firstPatience, st.failure.count, maxPatience)
	}
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r.began = r.a.clock.Now()
	return r.object(bounded, item)
}

// failed remembers a failure and when to try again.
func (r *run) failed(item *Item, st *objectState, obj *unstructured.Unstructured, err error) Outcome {
	reason, message := explain(item, err)
	f := st.failure
	if f == nil || f.fingerprint != item.Hash || f.generation != r.w.Generation {
		f = &failure{fingerprint: item.Hash, generation: r.w.Generation}
		st.failure = f
	}
	f.reason, f.message, f.uid = reason, truncate(message, maxMessage), uidOf(obj)
	limit := maxRetry
	if reason == kronvoyv1alpha1.ReasonForbidden {
		limit = maxForbidden // rights are given while somebody waits for it
	}
	now := r.a.clock.Now()
	took := now.Sub(r.began)
	f.retryAt = now.Add(max(backoff(firstRetry, f.count, limit), restFactor*took))
	f.count++
	f.passing = passing(err) && took < worthTelling
	outcome := r.failing(item, f, obj)
	if !outcome.quiet {
		r.log.Info("Apply failed", "manifest", item.String(), "reason", f.reason, "message", f.message, "tries", f.count)
	}
	return outcome
}

// backingOff gives the last failure again while its time has not come, unless
// the manifest, the work or the object is another one since.
func (r *run) backingOff(item *Item, st *objectState) (Outcome, bool) {
	f := st.failure
	if f == nil || f.fingerprint != item.Hash || f.generation != r.w.Generation || !r.now.Before(f.retryAt) {
		return Outcome{}, false
	}
	obj := r.a.live.Get(item.Key)
	if uidOf(obj) != f.uid {
		return Outcome{}, false
	}
	return r.failing(item, f, obj), true
}

func (r *run) failing(item *Item, f *failure, obj *unstructured.Unstructured) Outcome {
	return Outcome{
		Item: item, Action: ActionFailed, Live: obj, Reason: f.reason, Message: f.message,
		retryAfter: max(time.Millisecond, f.retryAt.Sub(r.now)), quiet: f.passing && f.count <= quietTries,
	}
}

func uidOf(obj *unstructured.Unstructured) types.UID {
	if obj == nil {
		return ""
	}
	return obj.GetUID()
}
