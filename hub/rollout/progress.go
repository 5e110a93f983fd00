package rollout

import (
	"cmp"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/placement/rollout"
)

// Bounds of a Rollout's status; the CRD has them, too.
const (
	maxGroups       = 100
	maxClusterSteps = 50
	maxText         = 1024
	maxGroupName    = 316
)

// record is what a Rollout remembers.
func record(s *kronvoyv1alpha1.RolloutStatus) rollout.Record {
	return rollout.Record{
		Plan: s.Plan, Started: micro(s.StartedAt), Entered: s.Entered, Succeeded: s.Succeeded,
		Group: rollout.GroupID{Name: s.Group, Index: int(s.GroupIndex)},
	}
}

// progress is the status of a Rollout after a Step. What only people's orders
// change is kept.
func progress(old kronvoyv1alpha1.RolloutStatus, step *rollout.Step, question string, now time.Time) kronvoyv1alpha1.RolloutStatus {
	out := kronvoyv1alpha1.RolloutStatus{
		Phase: kronvoyv1alpha1.RolloutPhase(step.Phase), Message: shorten(step.Message), Plan: step.Record.Plan,
		Group: step.Record.Group.Name, GroupIndex: int32(step.Record.Group.Index),
		Entered: step.Record.Entered, Succeeded: step.Record.Succeeded,
		Retry: old.Retry, ApprovalRequest: question,
	}
	if !step.Record.Started.IsZero() {
		out.StartedAt = &metav1.MicroTime{Time: step.Record.Started}
	}
	if step.RecheckAt.After(now) {
		out.NextAt = ptr.To(metav1.NewTime(step.RecheckAt).Rfc3339Copy())
	}
	for i := range step.Groups {
		g := &step.Groups[i]
		counts := kronvoyv1alpha1.RolloutCounts{
			Total: int32(g.Total), Updated: int32(g.Updated), Ready: int32(g.Ready),
			InFlight: int32(g.InFlight), Failed: int32(g.Failed), Skipped: int32(g.Skipped),
		}
		out.Counts = sum(out.Counts, counts)
		if i >= maxGroups {
			continue
		}
		group := kronvoyv1alpha1.RolloutGroup{
			Name: g.Group.Name, Index: int32(g.Group.Index), State: string(g.State), Counts: counts, Message: shorten(g.Message),
		}
		if !g.SoakEndsAt.IsZero() {
			group.SoakEndsAt = ptr.To(metav1.NewTime(g.SoakEndsAt).Rfc3339Copy())
		}
		out.Groups = append(out.Groups, group)
	}
	out.Clusters = clusterSteps(step)
	return out
}

func sum(a, b kronvoyv1alpha1.RolloutCounts) kronvoyv1alpha1.RolloutCounts {
	return kronvoyv1alpha1.RolloutCounts{
		Total: a.Total + b.Total, Updated: a.Updated + b.Updated, Ready: a.Ready + b.Ready,
		InFlight: a.InFlight + b.InFlight, Failed: a.Failed + b.Failed, Skipped: a.Skipped + b.Skipped,
	}
}

// urgency orders clusters for people: first what is wrong, last what only waits.
var urgency = map[rollout.ClusterState]int{
	rollout.ClusterFailed: 0, rollout.ClusterInFlight: 1, rollout.ClusterMoving: 2, rollout.ClusterSoaking: 3, rollout.ClusterHeld: 4, rollout.ClusterSkipped: 5,
}

// clusterSteps are those that have not passed, the most urgent first.
func clusterSteps(step *rollout.Step) []kronvoyv1alpha1.RolloutCluster {
	var open []*rollout.ClusterStep
	for i := range step.Clusters {
		if step.Clusters[i].State != rollout.ClusterReady {
			open = append(open, &step.Clusters[i])
		}
	}
	slices.SortStableFunc(open, func(a, b *rollout.ClusterStep) int { return cmp.Compare(urgency[a.State], urgency[b.State]) })
	var out []kronvoyv1alpha1.RolloutCluster
	for _, c := range open[:min(len(open), maxClusterSteps)] {
		out = append(out, kronvoyv1alpha1.RolloutCluster{
			Name: c.Cluster, Group: bounded(c.Group.String(), maxGroupName), State: string(c.State), Reason: string(c.Reason), Message: shorten(c.Message),
		})
	}
	return out
}

func shorten(text string) string { return bounded(text, maxText) }

func bounded(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-3], "") + "..."
}
