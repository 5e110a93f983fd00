package apply

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/drift"
)

// update applies another manifest than the one the object has. It is not
// forced, so that the server says who owns what we are about to change:
// fields that were ours are drift, all others a conflict.
func (r *run) update(ctx context.Context, item *Item, st *objectState, obj *unstructured.Unstructured) Outcome {
	if item.Suspended || held(obj) {
		return r.suspended(ctx, item, st, obj)
	}
	body, err := r.body(item, st.baseline, obj)
	if err != nil {
		return r.failed(item, st, obj, err)
	}
	policies, err := item.policies(obj, body)
	if err != nil {
		return r.failed(item, st, obj, err)
	}
	left := leftToOthers(st.baseline, body, obj, policies, true)
	answer, err := r.ssa(ctx, item, without(body, left), item.Adopt == AdoptAlways, false)
	if err == nil {
		return r.applied(item, st, body, left, answer, ActionConfigured)
	}
	if conflicts := conflictsOf(err); conflicts != nil {
		return r.conflicted(ctx, item, st, body, left, conflicts, err)
	}
	return r.failed(item, st, obj, err)
}

// conflicted decides about fields that others own.
func (r *run) conflicted(
	ctx context.Context, item *Item, st *objectState, body *unstructured.Unstructured, left []fieldpath.Path, conflicts []fieldConflict, cause error,
) Outcome {
	full, err := r.read(ctx, item)
	if err != nil || full == nil {
		return r.failed(item, st, full, fmt.Errorf("after a conflict: %w", firstOf(err, cause)))
	}
	light := r.a.live.Put(item.Key, full)
	policies, err := item.policies(full, body)
	if err != nil {
		return r.failed(item, st, light, err)
	}
	owners := drift.OwnersOf(full, item.Manager)
	var drifted, theirs []fieldpath.Path
	force := false
	for _, conflict := range conflicts {
		path, known := owners.Find(conflict.Field)
		switch {
		case !known:
			return r.failed(item, st, light, cause) // it changed hands since: next time
		case drift.Vacant(full, path):
			force = true
		case policies.asks(path):
			force, drifted = true, append(drifted, path)
		case owners.Of(path).Autoscaler() || policies.gives(path):
			left = append(left, path)
		case !st.claims(path):
			theirs = append(theirs, path)
		case policies.of(path) != kronvoyv1alpha1.DriftCorrect && st.unchanged(body, path):
			left = append(left, path)
		default:
			force = true
			if policies.of(path) == kronvoyv1alpha1.DriftCorrect && st.baseline.Changed(full, path) {
				drifted = append(drifted, path)
			}
		}
	}
	if len(theirs) > 0 {
		details := drift.Differences(body, full, theirs, owners)
		r.note(item, st, kronvoyv1alpha1.FindingConflict, details, false, nil)
		return r.failed(item, st, light, cause)
	}
	answer, err := r.ssa(ctx, item, without(body, left), force, false)
	if err != nil {
		return r.failed(item, st, light, err)
	}
	details := drift.Differences(body, full, drifted, owners)
	was := st.open()
	outcome := r.applied(item, st, body, left, answer, ActionConfigured)
	if len(drifted) > 0 {
		r.corrected(item, st, details, false, was)
	}
	return outcome
}

// claims says whether a field was ours, be it left to others since.
func (st *objectState) claims(path fieldpath.Path) bool {
	return st.baseline != nil && st.baseline.Claims(path)
}

// unchanged says whether a manifest wants the same of a field as before.
func (st *objectState) unchanged(body *unstructured.Unstructured, path fieldpath.Path) bool {
	want, exists := drift.Lookup(body.Object, path)
	return st.baseline.Holds(path, want, exists)
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// describe writes differences into a condition's message.
func describe(details []kronvoyv1alpha1.FindingDetail) string {
	const shown = 5
	var b strings.Builder
	for n, detail := range details {
		if n == shown {
			fmt.Fprintf(&b, " and %d more", len(details)-shown)
			break
		}
		if n > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s is %s, wanted %s", detail.Path, orNone(detail.Observed), orNone(detail.Desired))
		if detail.Manager != "" {
			fmt.Fprintf(&b, " (%s)", detail.Manager)
		}
	}
	return b.String()
}

func orNone(text string) string {
	if text == "" {
		return "absent"
	}
	return text
}
