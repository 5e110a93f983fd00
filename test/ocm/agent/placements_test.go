// Package agent runs OCM's own scheduler on the cases of Kronvoy's: where OCM
// implements what a case is about, the answer is the same, or the case says why
// not.
package agent

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	listersv1 "open-cluster-management.io/api/client/cluster/listers/cluster/v1"
	listersv1alpha1 "open-cluster-management.io/api/client/cluster/listers/cluster/v1alpha1"
	listersv1beta1 "open-cluster-management.io/api/client/cluster/listers/cluster/v1beta1"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	clusterv1alpha1 "open-cluster-management.io/api/cluster/v1alpha1"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	"open-cluster-management.io/ocm/pkg/placement/controllers/metrics"
	"open-cluster-management.io/ocm/pkg/placement/controllers/scheduling"
	"open-cluster-management.io/ocm/pkg/placement/plugins/addon"
	"open-cluster-management.io/ocm/pkg/placement/plugins/tainttoleration"
	"sigs.k8s.io/yaml"
)

// cases are in the form that hub/convert/placement_test.go describes. Sets are left
// to it: OCM chooses the clusters of sets outside of its scheduler.
type placementCase struct {
	Name     string                       `json:"name"`
	Unlike   string                       `json:"unlike"`
	Spec     clusterv1beta1.PlacementSpec `json:"spec"`
	Clusters map[string]struct {
		Labels      map[string]string           `json:"labels"`
		Claims      map[string]string           `json:"claims"`
		Taints      []clusterv1.Taint           `json:"taints"`
		Allocatable clusterv1.ResourceList      `json:"allocatable"`
		Capacity    clusterv1.ResourceList      `json:"capacity"`
		Version     string                      `json:"version"`
		Scores      map[string]map[string]int32 `json:"scores"`
		Expired     bool                        `json:"expired"`
		Placed      int                         `json:"placed"`
	} `json:"clusters"`
	Previous []string `json:"previous"`
	Want     struct {
		Error     string   `json:"error"`
		Undecided string   `json:"undecided"`
		Selected  []string `json:"selected"`
	} `json:"want"`
}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestOCMsSchedulerDecidesTheSame(t *testing.T) {
	atNoon := clocktesting.NewFakeClock(noon)
	for _, c := range []*clock.Clock{&tainttoleration.TolerationClock, &addon.AddOnClock} {
		old := *c
		*c = atNoon
		t.Cleanup(func() { *c = old })
	}
	for _, topic := range []string{"predicates", "tolerations", "prioritizers", "spread"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "..", "hub", "convert", "testdata", "placements", topic+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		var cases []placementCase
		if err := yaml.Unmarshal(text, &cases); err != nil {
			t.Fatal(err)
		}
		for _, c := range cases {
			t.Run(c.Name, func(t *testing.T) {
				got, problem := c.schedule(t)
				same := slices.Equal(got, c.Want.Selected) && (problem != "") == (c.Want.Error+c.Want.Undecided != "")
				switch {
				case same && c.Unlike != "":
					t.Errorf("OCM decides the same: %q is not so", c.Unlike)
				case !same && c.Unlike == "":
					t.Errorf("OCM selects %v (%s), we %v (%s%s)", got, problem, c.Want.Selected, c.Want.Error, c.Want.Undecided)
				}
			})
		}
	}
}

// schedule lets OCM decide; problem is why it does not.
func (c *placementCase) schedule(t *testing.T) (selected []string, problem string) {
	t.Helper()
	indexer := func() cache.Indexer {
		return cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	}
	decisions, scores, clusters := indexer(), indexer(), indexer()
	add := func(to cache.Indexer, obj any) {
		if err := to.Add(obj); err != nil {
			t.Fatal(err)
		}
	}
	decided := func(placement string, names ...string) {
		decision := &clusterv1beta1.PlacementDecision{ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: placement + "-decision-1", Labels: map[string]string{clusterv1beta1.PlacementLabel: placement},
		}}
		for _, name := range names {
			decision.Status.Decisions = append(decision.Status.Decisions, clusterv1beta1.ClusterDecision{ClusterName: name})
		}
		add(decisions, decision)
	}
	decided("shop", c.Previous...)
	var all []*clusterv1.ManagedCluster
	for name, given := range c.Clusters {
		managed := &clusterv1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: given.Labels}}
		managed.Spec.HubAcceptsClient, managed.Spec.Taints = true, given.Taints
		managed.Status.Allocatable, managed.Status.Capacity, managed.Status.Version.Kubernetes = given.Allocatable, given.Capacity, given.Version
		for claim, value := range given.Claims {
			managed.Status.ClusterClaims = append(managed.Status.ClusterClaims, clusterv1.ManagedClusterClaim{Name: claim, Value: value})
		}
		all = append(all, managed)
		add(clusters, managed)
		for i := range given.Placed {
			decided(fmt.Sprintf("other-%s-%d", name, i), name)
		}
		for addOn, values := range given.Scores {
			score := &clusterv1alpha1.AddOnPlacementScore{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: addOn}}
			for key, value := range values {
				score.Status.Scores = append(score.Status.Scores, clusterv1alpha1.AddOnPlacementScoreItem{Name: key, Value: value})
			}
			if given.Expired {
				score.Status.ValidUntil = &metav1.Time{Time: noon.Add(-time.Minute)}
			}
			add(scores, score)
		}
	}
	slices.SortFunc(all, func(a, b *clusterv1.ManagedCluster) int { return cmp.Compare(a.Name, b.Name) })
	scheduler := scheduling.NewPluginScheduler(scheduling.NewSchedulerHandler(nil, listersv1beta1.NewPlacementDecisionLister(decisions),
		listersv1alpha1.NewAddOnPlacementScoreLister(scores), listersv1.NewManagedClusterLister(clusters), nil, metrics.NewScheduleMetrics(clock.RealClock{})))
	result, status := scheduler.Schedule(context.Background(), &clusterv1beta1.Placement{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop"}, Spec: c.Spec,
	}, all)
	if status.IsError() {
		return nil, status.Message()
	}
	for _, cluster := range result.Decisions() {
		selected = append(selected, cluster.Name)
	}
	slices.Sort(selected)
	return selected, ""
}
