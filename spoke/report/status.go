package report

import (
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// workStatus merges an observation into what the hub has; conditions of others
// stay, and a transition time changes only with its status. It says whether
// there is anything to write.
func workStatus(obs *Observation, before *workv1.ManifestWorkStatus, now time.Time) (*workv1.ManifestWorkStatus, bool) {
	after := before.DeepCopy()
	after.Conditions = mergeConditions(after.Conditions, obs.Conditions, now, func(old metav1.Condition) bool {
		// A rule that is gone takes its summary along.
		return obs.Deleting || old.Reason != reasonAggregated && old.Reason != workv1.WorkManifestsComplete
	})
	if obs.Deleting { // what becomes of the objects is told by this alone
		return after, !equality.Semantic.DeepEqual(before, after)
	}
	previous := map[workv1.ManifestResourceMeta][]metav1.Condition{}
	for _, manifest := range before.ResourceStatus.Manifests {
		previous[identity(manifest.ResourceMeta)] = manifest.Conditions
	}
	after.ResourceStatus.Manifests = nil
	for _, manifest := range obs.Manifests {
		old := previous[identity(manifest.ResourceMeta)]
		manifest.Conditions = mergeConditions(old, manifest.Conditions, now, func(metav1.Condition) bool { return false })
		after.ResourceStatus.Manifests = append(after.ResourceStatus.Manifests, manifest)
	}
	return after, !equality.Semantic.DeepEqual(before, after) && !onlyWording(before, after)
}

// onlyWording is true when nothing differs but what is said of objects whose
// health is the same: some controllers count in their messages.
func onlyWording(before, after *workv1.ManifestWorkStatus) bool {
	said := map[workv1.ManifestResourceMeta]metav1.Condition{}
	for _, manifest := range before.ResourceStatus.Manifests {
		if c := apimeta.FindStatusCondition(manifest.Conditions, kronvoyv1alpha1.ConditionManifestHealthy); c != nil {
			said[identity(manifest.ResourceMeta)] = *c
		}
	}
	reworded := after.DeepCopy()
	for _, manifest := range reworded.ResourceStatus.Manifests {
		c := apimeta.FindStatusCondition(manifest.Conditions, kronvoyv1alpha1.ConditionManifestHealthy)
		if c != nil {
			c.Message = said[identity(manifest.ResourceMeta)].Message
		}
	}
	return equality.Semantic.DeepEqual(before, reworded)
}

// identity is what stays when manifests are re-ordered.
func identity(meta workv1.ManifestResourceMeta) workv1.ManifestResourceMeta {
	if meta.Name == "" { // an unreadable manifest has no name but its place
		return workv1.ManifestResourceMeta{Ordinal: meta.Ordinal}
	}
	return workv1.ManifestResourceMeta{Group: meta.Group, Kind: meta.Kind, Namespace: meta.Namespace, Name: meta.Name}
}

// mergeConditions gives the new conditions with the old transition times, and
// those old ones that are not ours to remove.
func mergeConditions(old, fresh []metav1.Condition, now time.Time, keep func(metav1.Condition) bool) []metav1.Condition {
	stamped := metav1.NewTime(now).Rfc3339Copy()
	known := map[string]metav1.Condition{}
	for _, condition := range old {
		known[condition.Type] = condition
	}
	merged := make([]metav1.Condition, 0, len(fresh))
	for _, condition := range fresh {
		condition.LastTransitionTime = stamped
		if before, ok := known[condition.Type]; ok && before.Status == condition.Status {
			condition.LastTransitionTime = before.LastTransitionTime
		}
		delete(known, condition.Type)
		merged = append(merged, condition)
	}
	for _, condition := range old {
		if before, ok := known[condition.Type]; ok && keep(before) {
			merged = append(merged, before)
		}
	}
	return merged
}

// reportStatus says what to write to the WorkReport; nil when the hub has all
// that matters. The hash alone is no news unless the hub waits for it.
func reportStatus(obs *Observation, before *kronvoyv1alpha1.WorkReportStatus) *kronvoyv1alpha1.WorkReportStatus {
	after := obs.Report
	after.Selections = keepUnlisted(obs, before.Selections)
	if obs.MustReport && (before.ObservedHash != after.ObservedHash || before.ObservedGeneration != after.ObservedGeneration) {
		return &after
	}
	same := before.DeepCopy()
	same.ObservedHash, same.ObservedGeneration = after.ObservedHash, after.ObservedGeneration
	same.WorkStatusFollows = after.WorkStatusFollows
	if equality.Semantic.DeepEqual(same, &after) {
		return nil
	}
	return &after
}
