package apply

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"reflect"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/drift"
)

// maxFindings is how many findings a report lists.
const maxFindings = 100

// note records a finding that holds now. The same difference seen again keeps
// its name and its beginning; seen as it was, it only counts up when the agent
// acted on it: merely looking is no news.
func (r *run) note(
	item *Item, st *objectState, action kronvoyv1alpha1.FindingAction, details []kronvoyv1alpha1.FindingDetail, missing bool,
) {
	count := int32(len(details)) //nolint:gosec // a few fields of one object
	if len(details) > drift.MaxDetails {
		details = details[:drift.MaxDetails]
	}
	now := stamp(r.now)
	finding := &kronvoyv1alpha1.Finding{
		ObjectReference: reference(item.Key, item.GVK.Kind),
		Node:            item.Policy.Node,
		Action:          action, Missing: missing, Details: details, DetailCount: count,
		FirstSeen: now, LastSeen: now, Count: 1,
	}
	finding.ID = findingID(finding, st.uid, r.now)
	old := st.finding
	st.differs = open(action)
	if continues(old, finding) {
		if old.ID != "" {
			finding.ID = old.ID
		}
		finding.FirstSeen, finding.Count = old.FirstSeen, old.Count+1
		if action == old.Action && action != kronvoyv1alpha1.FindingCorrected && reflect.DeepEqual(old.Details, details) {
			finding.LastSeen, finding.Count = old.LastSeen, old.Count
		}
	}
	st.finding = finding
}

// open says whether a finding holds until somebody acts, and is no news of what
// is over.
func open(action kronvoyv1alpha1.FindingAction) bool {
	return action == kronvoyv1alpha1.FindingReported || action == kronvoyv1alpha1.FindingConflict
}

// continues says whether a finding is about the difference that the one before
// was about: about the same fields, and that one did not end in between. An open
// one ends with its correction; a correction may be one of many of a kind.
func continues(old, next *kronvoyv1alpha1.Finding) bool {
	if old == nil || old.Missing != next.Missing || old.DetailCount != next.DetailCount || !slices.Equal(paths(old), paths(next)) {
		return false
	}
	return open(old.Action) || old.Action == next.Action
}

func paths(finding *kronvoyv1alpha1.Finding) []string {
	paths := make([]string, 0, len(finding.Details))
	for _, detail := range finding.Details {
		paths = append(paths, detail.Path)
	}
	return paths
}

// findingID names a finding by the object, its fields and when it was first
// seen. Values have no part in it: those of a Secret could be guessed from it.
func findingID(finding *kronvoyv1alpha1.Finding, uid types.UID, firstSeen time.Time) string {
	h := sha256.New()
	ref := finding.ObjectReference
	for _, part := range append([]string{ref.Group, ref.Resource, ref.Namespace, ref.Name, string(uid), firstSeen.UTC().Format(time.RFC3339Nano)}, paths(finding)...) {
		h.Write([]byte(part + "\x00")) // hashes never fail
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// corrected records that a difference was put right. It stays in the report,
// so that people can see it, until something newer is to be told.
func (r *run) corrected(item *Item, st *objectState, details []kronvoyv1alpha1.FindingDetail, missing bool) {
	st.fight.corrected(r.now)
	r.st.corrections++
	r.note(item, st, kronvoyv1alpha1.FindingCorrected, details, missing)
	keysAndValues := []any{"manifest", item.String(), "reason", string(kronvoyv1alpha1.FindingCorrected), "missing", missing}
	for _, detail := range details[:min(len(details), 3)] {
		keysAndValues = append(keysAndValues, "path", detail.Path, "manager", detail.Manager)
	}
	r.log.Info("Drift corrected", keysAndValues...)
}

// mutated reports once what the cluster's own admission made of a manifest.
func (r *run) mutated(item *Item, st *objectState, body, answer *unstructured.Unstructured) {
	st.seen = ""
	if st.baseline != nil {
		if paths := drift.Mutated(body, answer, st.baseline.Owned()); len(paths) > 0 {
			details := drift.Differences(body, answer, paths, drift.Owners{})
			r.note(item, st, kronvoyv1alpha1.FindingMutatedOnAdmission, details, false)
			return
		}
	}
	r.settled(st)
	if st.finding != nil && st.finding.Action == kronvoyv1alpha1.FindingMutatedOnAdmission {
		st.finding = nil
	}
}

// settled ends what was reported as differing; what was corrected, or made so
// by admission, stays.
func (r *run) settled(st *objectState) {
	if st.differs {
		st.finding = nil
	}
	st.differs, st.seen = false, ""
}

// summarize completes a ChangeSet from its outcomes.
func (r *run) summarize(changes *ChangeSet) {
	desired := map[*objectState]bool{}
	for _, outcome := range changes.Outcomes {
		changes.retry(outcome.retryAfter)
		changes.Hold = changes.Hold || outcome.quiet
		st := r.st.objects[outcome.Item.Key]
		if st == nil || desired[st] {
			continue
		}
		desired[st] = true
		if st.finding != nil {
			changes.Findings = append(changes.Findings, *st.finding)
		}
		if st.differs {
			changes.Differing++
		}
	}
	for key, st := range r.st.objects {
		if !desired[st] {
			delete(r.st.objects, key)
		}
	}
	slices.SortStableFunc(changes.Findings, func(a, b kronvoyv1alpha1.Finding) int {
		return cmp.Or(b.LastSeen.Compare(a.LastSeen.Time), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	if len(changes.Findings) > maxFindings {
		changes.Findings = changes.Findings[:maxFindings]
	}
	changes.Corrections = r.st.corrections
	changes.Shrunk = r.st.shrunkAt == r.w.Generation && r.w.Generation > 0
}

// Recall takes over what an earlier process reported, so that a restart neither
// loses nor rewrites it.
func (a *Applier) Recall(w *Work, status *kronvoyv1alpha1.WorkReportStatus) {
	st := a.state(w.Name)
	if st.recalled {
		return
	}
	st.recalled = true
	st.corrections = max(st.corrections, status.Corrections)
	for _, item := range w.Items {
		for i := range status.Findings {
			finding := &status.Findings[i]
			if finding.ObjectReference != reference(item.Key, item.GVK.Kind) || st.objects[item.Key] != nil {
				continue
			}
			object := &objectState{finding: finding.DeepCopy()}
			object.differs = open(finding.Action)
			st.objects[item.Key] = object
		}
	}
}

func (c *ChangeSet) retry(after time.Duration) {
	if after > 0 && (c.RetryAfter == 0 || after < c.RetryAfter) {
		c.RetryAfter = after
	}
}

// applied says whether every manifest of the work was applied.
func (c *ChangeSet) applied() bool {
	return !slices.ContainsFunc(c.Outcomes, func(o Outcome) bool { return !o.Applied })
}
