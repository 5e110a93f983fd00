package scheduler

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"

	"github.com/kronvoy/kronvoy/placement"
)

func TestScoresAloneAreNotWrittenMoreOftenThanAsked(t *testing.T) {
	now := time.Unix(10_000, 0)
	type answer struct {
		Scores scores
		Order  []string
		Wait   time.Duration
	}
	for name, test := range map[string]struct {
		spec clusterv1beta1.PlacementSpec
		// updated is when scores were written last; never if zero.
		updated time.Time
		// written are clusters with their scores, as they are on the page.
		written []clusterv1beta1.ClusterDecision
		// decided are clusters in the order of the new decision.
		decided []placement.Reason
		want    answer
	}{
		"nobody asks for scores": {
			decided: []placement.Reason{{Cluster: "a", Score: 7}},
			want:    answer{Order: []string{"a"}},
		},
		"they were never written": {
			spec:    clusterv1beta1.PlacementSpec{NumberOfClusters: ptr.To[int32](2)},
			written: []clusterv1beta1.ClusterDecision{{ClusterName: "a"}},
			decided: []placement.Reason{{Cluster: "a", Score: 7}},
			want:    answer{Scores: scores{"a": 7}, Order: []string{"a"}},
		},
		"a moment ago": {
			spec: clusterv1beta1.PlacementSpec{SortBy: clusterv1beta1.PlacementSortByScore}, updated: now.Add(-20 * time.Second),
			written: []clusterv1beta1.ClusterDecision{{ClusterName: "a", Score: 9}, {ClusterName: "b", Score: 8}},
			decided: []placement.Reason{{Cluster: "b", Score: 20}, {Cluster: "a", Score: 1}},
			want:    answer{Scores: scores{"a": 9, "b": 8}, Order: []string{"a", "b"}, Wait: 40 * time.Second},
		},
		"a moment ago, and they are the same": {
			spec: clusterv1beta1.PlacementSpec{NumberOfClusters: ptr.To[int32](2)}, updated: now.Add(-20 * time.Second),
			written: []clusterv1beta1.ClusterDecision{{ClusterName: "a", Score: 9}},
			decided: []placement.Reason{{Cluster: "a", Score: 9}},
			want:    answer{Scores: scores{"a": 9}, Order: []string{"a"}},
		},
		"not as lately as the Placement allows": {
			spec: clusterv1beta1.PlacementSpec{NumberOfClusters: ptr.To[int32](2), ScoreRateLimit: "10s"}, updated: now.Add(-20 * time.Second),
			written: []clusterv1beta1.ClusterDecision{{ClusterName: "a", Score: 9}},
			decided: []placement.Reason{{Cluster: "a", Score: 1}},
			want:    answer{Scores: scores{"a": 1}, Order: []string{"a"}},
		},
		"a moment ago, and other clusters are selected": {
			spec: clusterv1beta1.PlacementSpec{NumberOfClusters: ptr.To[int32](1)}, updated: now.Add(-20 * time.Second),
			written: []clusterv1beta1.ClusterDecision{{ClusterName: "a", Score: 9}},
			decided: []placement.Reason{{Cluster: "b", Score: 10}},
			want:    answer{Scores: scores{"b": 10}, Order: []string{"b"}},
		},
		"a moment ago, and one is not selected any more": {
			spec: clusterv1beta1.PlacementSpec{NumberOfClusters: ptr.To[int32](2)}, updated: now.Add(-20 * time.Second),
			written: []clusterv1beta1.ClusterDecision{{ClusterName: "a", Score: 9}, {ClusterName: "b", Score: 8}},
			decided: []placement.Reason{{Cluster: "b", Score: 10}},
			want:    answer{Scores: scores{"b": 10}, Order: []string{"b"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := &clusterv1beta1.Placement{Spec: test.spec}
			if !test.updated.IsZero() {
				p.Status.LastScoreUpdateTime = ptr.To(metav1.NewTime(test.updated))
			}
			pages := []clusterv1beta1.PlacementDecision{{Status: clusterv1beta1.PlacementDecisionStatus{Decisions: test.written}}}
			decision := placement.Decision{Reasons: slices.Clone(test.decided), Groups: []placement.Group{{}}}
			for _, r := range test.decided {
				decision.Clusters = append(decision.Clusters, r.Cluster)
				decision.Groups[0].Clusters = append(decision.Groups[0].Clusters, r.Cluster)
			}
			slices.Sort(decision.Clusters)
			slices.SortFunc(decision.Reasons, func(a, b placement.Reason) int {
				if a.Cluster < b.Cluster {
					return -1
				}
				return 1
			})
			var got answer
			got.Scores, got.Wait = scoresToWrite(p, pages, &decision, now)
			got.Order = decision.Groups[0].Clusters
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
