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
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/drift"
)

// maxFindings is how many findings a report lists.
const maxFindings = 100

// maxFindingText bounds the details of a report's findings, in bytes; the hub
// refuses more.
const maxFindingText = 256 << 10

// note records a finding. The same difference seen again keeps its name and its
// beginning; seen as it was, it only counts up when the agent acted on it: merely
// looking is no news. Was is an open finding that this may be the end of.
func (r *run) note(
	item *Item, st *objectState, action kronvoyv1alpha1.FindingAction, details []kronvoyv1alpha1.FindingDetail, missing bool, was *kronvoyv1alpha1.Finding,
) *kronvoyv1alpha1.Finding {
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
	for _, old := range []*kronvoyv1alpha1.Finding{st.findings[action], was} {
		if !continues(old, finding) {
			continue
		}
		finding.ID, finding.FirstSeen, finding.Count = cmp.Or(old.ID, finding.ID), old.FirstSeen, old.Count+1
		if action == old.Action && action != kronvoyv1alpha1.FindingCorrected && reflect.DeepEqual(old.Details, details) {
			finding.LastSeen, finding.Count = old.LastSeen, old.Count
		}
		break
	}
	if st.findings == nil {
		st.findings = map[kronvoyv1alpha1.FindingAction]*kronvoyv1alpha1.Finding{}
	}
	st.findings[action] = finding
	return finding
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

// show records what differs and stays as it is.
func (r *run) show(item *Item, st *objectState, body, obj *unstructured.Unstructured, owners drift.Owners, d differences) {
	for action, paths := range map[kronvoyv1alpha1.FindingAction][]fieldpath.Path{
		kronvoyv1alpha1.FindingReported: d.report, kronvoyv1alpha1.FindingConflict: d.scaled,
	} {
		details := drift.Details(body, obj, paths, owners)
		if len(details) == 0 {
			delete(st.findings, action)
			continue
		}
		finding := r.note(item, st, action, details, false, nil)
		if since := owners.Since(holdPath); since != nil && held(obj) && since.Before(&finding.FirstSeen) {
			finding.FirstSeen = *since
		}
	}
}

// contest records that somebody changes back what is put right, and gives the
// outcome of a correction that waits.
func (r *run) contest(
	item *Item, st *objectState, obj *unstructured.Unstructured, details []kronvoyv1alpha1.FindingDetail, wait time.Duration,
) Outcome {
	finding := r.note(item, st, kronvoyv1alpha1.FindingReported, details, obj == nil, nil)
	next := stamp(r.now.Add(wait))
	finding.NextCorrection, finding.Count, finding.FirstSeen = &next, int64(st.fight.count), stamp(st.fight.since)
	finding.ID = findingID(finding, st.uid, finding.FirstSeen.Time)
	return r.postponed(item, st, obj, wait)
}

// corrected records that a difference was put right. It stays in the report, so
// that people can see it, until another one was put right.
func (r *run) corrected(
	item *Item, st *objectState, details []kronvoyv1alpha1.FindingDetail, missing bool, was *kronvoyv1alpha1.Finding,
) {
	st.fight.corrected(r.now)
	r.st.corrections++
	r.note(item, st, kronvoyv1alpha1.FindingCorrected, details, missing, was)
	log := r.log
	if len(details) > 0 {
		log = log.WithValues("path", details[0].Path, "manager", details[0].Manager)
	}
	log.Info("Drift corrected", "manifest", item.String(), "reason", string(kronvoyv1alpha1.FindingCorrected), "missing", missing, "fields", len(details))
}

// mutated reports once what the cluster's own admission made of a manifest.
func (r *run) mutated(item *Item, st *objectState, body, answer *unstructured.Unstructured) {
	if st.baseline != nil {
		if paths := drift.Mutated(body, answer, st.baseline.Owned()); len(paths) > 0 {
			details := drift.Differences(body, answer, paths, drift.Owners{})
			r.note(item, st, kronvoyv1alpha1.FindingMutatedOnAdmission, details, false, nil)
			return
		}
	}
	delete(st.findings, kronvoyv1alpha1.FindingMutatedOnAdmission)
}

// settled ends what was reported as differing; what was corrected, or made so
// by admission, stays.
func (st *objectState) settled() {
	for action := range st.findings {
		if open(action) {
			delete(st.findings, action)
		}
	}
	st.seen, st.fields, st.lookAfter = "", "", time.Time{}
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
		for _, finding := range st.findings {
			changes.Findings = append(changes.Findings, *finding)
		}
		if st.open() != nil {
			changes.Differing++
		}
	}
	for key, st := range r.st.objects {
		if !desired[st] {
			delete(r.st.objects, key)
		}
	}
	slices.SortStableFunc(changes.Findings, func(a, b kronvoyv1alpha1.Finding) int {
		return cmp.Or(b.LastSeen.Compare(a.LastSeen.Time), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name),
			cmp.Compare(a.Action, b.Action))
	})
	if len(changes.Findings) > maxFindings {
		changes.Findings = changes.Findings[:maxFindings]
	}
	shorten(changes.Findings, maxFindingText)
	changes.Corrections = r.st.corrections
	changes.Shrunk = r.st.shrunkAt == r.w.Generation && r.w.Generation > 0
}

// shorten leaves out the details for which there is no room, those of the oldest
// findings first. How many there are stays in their counts.
func shorten(findings []kronvoyv1alpha1.Finding, room int) {
	for i := range findings {
		for n, d := range findings[i].Details {
			if room -= len(d.Path) + len(d.Desired) + len(d.Observed); room < 0 {
				findings[i].Details = findings[i].Details[:n]
				break
			}
		}
	}
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
			if finding.ObjectReference != reference(item.Key, item.GVK.Kind) {
				continue
			}
			object := st.objects[item.Key]
			if object == nil {
				object = &objectState{}
				st.objects[item.Key] = object
			}
			if object.findings == nil {
				object.findings = map[kronvoyv1alpha1.FindingAction]*kronvoyv1alpha1.Finding{}
			}
			if object.findings[finding.Action] == nil {
				object.findings[finding.Action] = finding.DeepCopy()
				object.fight.recall(finding)
			}
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
