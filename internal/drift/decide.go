package drift

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/internal/plain"
)

// Order is what somebody wants to be decided.
type Order struct {
	Verdict kronvoyv1alpha1.DriftVerdict
	// IDs of findings, and of what was accepted; each of them must be there. Without
	// them all open findings are meant.
	IDs []string
	// Accepted means all that was accepted, in the place of open findings.
	Accepted bool
	// Force takes fields that belong to somebody else.
	Force bool
	// By, At and Reason are recorded.
	By     string
	At     time.Time
	Reason string
}

// Change is one decision to be recorded.
type Change struct {
	Cluster  string                        `json:"cluster"`
	Instance Instance                      `json:"instance"`
	Decision kronvoyv1alpha1.DriftDecision `json:"decision"`
	// Stands is set when it was decided before.
	Stands bool `json:"stands,omitempty"`

	target client.ObjectKey
}

// String says in a line what it is about.
func (c Change) String() string {
	what := "the missing object"
	if len(c.Decision.Paths) > 0 {
		what = strings.Join(c.Decision.Paths[:min(maxShownPaths, len(c.Decision.Paths))], ", ")
	}
	if more := len(c.Decision.Paths) - maxShownPaths; more > 0 {
		what += fmt.Sprintf(" and %d more", more)
	}
	return plain.Line(fmt.Sprintf("%s: %s of %s on cluster %s", c.Decision.ID, what, object(c.Decision.ObjectReference), c.Cluster))
}

// Decide says what to record for an order. What cannot be decided is an error if
// it was named, and skipped, with the reason, if it was only included.
func (v View) Decide(o Order) (changes []Change, skipped []string, err error) {
	if len(o.IDs) == 0 {
		changes, skipped = v.decideAll(o)
		return changes, skipped, nil
	}
	var errs []error
	for _, id := range o.IDs {
		change, err := v.decideOne(o, id)
		switch {
		case err != nil:
			errs = append(errs, err)
		case change != nil:
			changes = append(changes, *change)
		}
	}
	return changes, nil, errors.Join(errs...)
}

func (v View) decideAll(o Order) (changes []Change, skipped []string) {
	if o.Accepted {
		for _, d := range v.Accepted() {
			changes = append(changes, o.takeBack(d))
		}
		return changes, nil
	}
	for _, f := range v.Findings {
		if !f.Open {
			continue
		}
		if why := o.refuses(f); why != "" {
			skipped = append(skipped, fmt.Sprintf("%s on cluster %s: %s", object(f.ObjectReference), f.Cluster, why))
			continue
		}
		changes = append(changes, o.about(f))
	}
	return changes, skipped
}

// decideOne gives no change when there is nothing left to do.
func (v View) decideOne(o Order, id string) (*Change, error) {
	for _, d := range v.Decisions {
		if d.ID != id {
			continue
		}
		change := o.takeBack(d)
		if d.Verdict == o.Verdict {
			change.Decision, change.Stands = d.DriftDecision, true
		}
		if d.Verdict == o.Verdict || d.Verdict == kronvoyv1alpha1.DriftAccept {
			return &change, nil
		}
	}
	i := slices.IndexFunc(v.Findings, func(f Finding) bool { return f.ID == id })
	if i < 0 {
		return nil, fmt.Errorf("%s is neither reported nor accepted: it may be over; `kronvoy drift list -A` lists what is", id)
	}
	f := v.Findings[i]
	if o.Verdict == kronvoyv1alpha1.DriftPutRight && f.Action == kronvoyv1alpha1.FindingCorrected {
		return nil, nil
	}
	if why := o.refuses(f); why != "" {
		return nil, fmt.Errorf("%s, %s on cluster %s: %s", id, object(f.ObjectReference), f.Cluster, why)
	}
	change := o.about(f)
	return &change, nil
}

// refuses says why a finding cannot be decided so; empty if it can.
func (o Order) refuses(f Finding) string {
	switch {
	case f.ID == "":
		return "the cluster's agent is of an older release, which does not name its findings"
	case f.Instance == nil:
		return "the object belongs to no single instance"
	case f.Action == kronvoyv1alpha1.FindingMutatedOnAdmission:
		return "the cluster's own admission decides about this, and the agent leaves it so"
	case slices.ContainsFunc(f.Details, func(d kronvoyv1alpha1.FindingDetail) bool { return d.Path == suspension }):
		return "reconciliation is suspended on the object itself: take its annotation " + kronvoyv1alpha1.AnnotationReconcile + " off there"
	}
	if o.Verdict == kronvoyv1alpha1.DriftPutRight {
		if f.Action == kronvoyv1alpha1.FindingConflict && !o.Force {
			return fmt.Sprintf("the fields belong to somebody else (%s), who may change them back: --force takes them all the same", dash(f.By()))
		}
		return ""
	}
	switch {
	case f.Missing:
		return "a missing object cannot be accepted: take it out of the definition, or exclude it on this cluster"
	case int(f.DetailCount) > len(f.Details):
		return fmt.Sprintf("%d fields differ, and the report lists %d of them: set a drift policy for the object", f.DetailCount, len(f.Details))
	case slices.ContainsFunc(f.Details, func(d kronvoyv1alpha1.FindingDetail) bool { return strings.HasSuffix(d.Path, "…") }):
		return "the path of a field is too long for the report: set a drift policy for it"
	}
	return ""
}

// suspension is the field that break-glass on one object sets, as findings name it.
const suspension = `metadata.annotations["` + kronvoyv1alpha1.AnnotationReconcile + `"]`

func (o Order) about(f Finding) Change {
	return Change{Cluster: f.Cluster, Instance: *f.Instance, target: f.target, Decision: kronvoyv1alpha1.DriftDecision{
		ID: f.ID, Verdict: o.Verdict, ObjectReference: f.ObjectReference, Paths: allPaths(f.Finding),
		By: o.By, At: metav1.NewTime(o.At).Rfc3339Copy(), Reason: o.Reason,
	}}
}

func (o Order) takeBack(d Decision) Change {
	change := Change{Cluster: d.Cluster, Instance: d.Instance, target: d.target, Decision: d.DriftDecision}
	change.Decision.Verdict, change.Decision.By, change.Decision.At, change.Decision.Reason = o.Verdict, o.By, metav1.NewTime(o.At).Rfc3339Copy(), o.Reason
	return change
}

func allPaths(f kronvoyv1alpha1.Finding) []string {
	var paths []string
	for _, d := range f.Details {
		paths = append(paths, d.Path)
	}
	return paths
}

// Record writes changes into their Targets, one write for each. What others
// decide at the same time is kept.
func Record(ctx context.Context, c client.Client, changes []Change) error {
	byTarget := map[client.ObjectKey][]Change{}
	var order []client.ObjectKey
	for _, change := range changes {
		if change.Stands {
			continue
		}
		if byTarget[change.target] == nil {
			order = append(order, change.target)
		}
		byTarget[change.target] = append(byTarget[change.target], change)
	}
	var failures error
	for _, key := range order {
		err := retry.RetryOnConflict(retry.DefaultBackoff, func() error { return record(ctx, c, key, byTarget[key]) })
		if err != nil {
			failures = errors.Join(failures, fmt.Errorf("deciding about %s on cluster %s: %w", byTarget[key][0].Instance, key.Namespace, withRole(err)))
		}
		if ctx.Err() != nil {
			return failures
		}
	}
	return failures
}

func record(ctx context.Context, c client.Client, key client.ObjectKey, changes []Change) error {
	t := &kronvoyv1alpha1.Target{}
	if err := c.Get(ctx, key, t); err != nil {
		return err
	}
	decisions, err := kronvoyv1alpha1.ParseDriftDecisions(t.Annotations)
	if err != nil {
		return err
	}
	for _, change := range changes {
		decisions = with(decisions, change.Decision)
	}
	text, err := json.Marshal(decisions)
	if err != nil {
		return fmt.Errorf("encoding decisions: %w", err)
	}
	if len(text) > kronvoyv1alpha1.MaxDriftDecisionsBytes {
		return fmt.Errorf("%d decisions need %d bytes, and %d are allowed: set a drift policy for what is to differ", len(decisions), len(text), kronvoyv1alpha1.MaxDriftDecisionsBytes)
	}
	before := t.DeepCopy()
	if t.Annotations == nil {
		t.Annotations = map[string]string{}
	}
	t.Annotations[kronvoyv1alpha1.AnnotationDriftDecisions] = string(text)
	return c.Patch(ctx, t, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}), client.FieldOwner("kronvoy"))
}

// with adds a decision. It takes the place of one about the same finding, of
// those about fields of the object that it speaks of too, and of those on which
// the verdict is another one.
func with(decisions []kronvoyv1alpha1.DriftDecision, next kronvoyv1alpha1.DriftDecision) []kronvoyv1alpha1.DriftDecision {
	spokenOf := func(path string) bool { return slices.Contains(next.Paths, path) }
	kept := slices.DeleteFunc(decisions, func(d kronvoyv1alpha1.DriftDecision) bool {
		switch {
		case d.ID == next.ID:
			return true
		case !sameObject(d.ObjectReference, next.ObjectReference) || !slices.ContainsFunc(d.Paths, spokenOf):
			return false
		}
		return d.Verdict != next.Verdict || !slices.ContainsFunc(d.Paths, func(path string) bool { return !spokenOf(path) })
	})
	return append(kept, next)
}

// sameObject compares references; an object may be read in any version.
func sameObject(a, b kronvoyv1alpha1.ObjectReference) bool {
	return a.Group == b.Group && a.Resource == b.Resource && a.Namespace == b.Namespace && a.Name == b.Name
}

func withRole(err error) error {
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("%w; the ClusterRole kronvoy-drift-operator allows it", err)
	}
	return err
}
