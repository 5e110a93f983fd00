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
	if item.Suspended {
		return r.withheld(item, obj)
	}
	body, err := r.body(item, st.baseline, obj)
	if err != nil {
		return r.failed(item, st, obj, err)
	}
	policies, err := item.policies(obj, body)
	if err != nil {
		return r.failed(item, st, obj, err)
	}
	body = without(body, leftToOthers(st.baseline, body, obj, policies, true))
	answer, err := r.ssa(ctx, item, body, item.Adopt == AdoptAlways, false)
	if err == nil {
		return r.applied(item, st, body, answer, ActionConfigured)
	}
	conflicts := conflictsOf(err)
	if conflicts == nil {
		return r.failed(item, st, obj, err)
	}
	return r.conflicted(ctx, item, st, body, conflicts, err)
}

// conflicted decides about fields that others own.
func (r *run) conflicted(
	ctx context.Context, item *Item, st *objectState, body *unstructured.Unstructured, conflicts []fieldConflict, cause error,
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
	var leave, ours, theirs []fieldpath.Path
	for _, conflict := range conflicts {
		path, known := owners.Find(conflict.Field)
		switch {
		case !known:
			return r.failed(item, st, light, cause) // it changed hands since: next time
		case owners.Of(path).Autoscaler() || policies.gives(path):
			leave = append(leave, path)
		case st.owned(path):
			if policies.of(path) != kronvoyv1alpha1.DriftCorrect && st.unchanged(body, path) {
				leave = append(leave, path)
			} else {
				ours = append(ours, path)
			}
		default:
			theirs = append(theirs, path)
		}
	}
	if len(theirs) > 0 {
		r.note(item, st, kronvoyv1alpha1.FindingConflict, drift.Differences(body, full, theirs, owners), false)
		return r.failed(item, st, light, cause)
	}
	reduced := without(body, leave)
	answer, err := r.ssa(ctx, item, reduced, len(ours) > 0, false)
	if err != nil {
		return r.failed(item, st, light, err)
	}
	outcome := r.applied(item, st, reduced, answer, ActionConfigured)
	if len(ours) > 0 {
		r.corrected(item, st, drift.Differences(body, full, ours, owners), false)
	}
	return outcome
}

// owned says whether a field was in our last applied set.
func (st *objectState) owned(path fieldpath.Path) bool {
	return st.baseline != nil && st.baseline.Owned().Has(path)
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
