// Package rollout runs OCM's own rollout helper on the cases of Kronvoy's: where
// OCM implements what a case is about, the answer is the same, or the case says why
// not. It is a module of its own for the helper is of another release than the
// newest of OCM's agent that there is.
package rollout

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	clocktesting "k8s.io/utils/clock/testing"
	clusterv1alpha1 "open-cluster-management.io/api/cluster/v1alpha1"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	rollout "open-cluster-management.io/sdk-go/pkg/apis/cluster/v1alpha1"
	tracker "open-cluster-management.io/sdk-go/pkg/apis/cluster/v1beta1"
	"sigs.k8s.io/yaml"
)

// rolloutCase is in the form that placement/rollout/testdata/ocm describes.
type rolloutCase struct {
	Name     string                          `json:"name"`
	Unlike   string                          `json:"unlike"`
	Strategy clusterv1alpha1.RolloutStrategy `json:"strategy"`
	Groups   []struct {
		Name     string   `json:"name"`
		Clusters []string `json:"clusters"`
	} `json:"groups"`
	Clusters map[string]struct {
		State string          `json:"state"`
		For   metav1.Duration `json:"for"`
	} `json:"clusters"`
	Moves []string `json:"moves"`
	OCM   []string `json:"ocm"`
}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

var ocmStates = map[string]rollout.RolloutStatus{
	"Succeeded": rollout.Succeeded, "Progressing": rollout.Progressing, "Failed": rollout.Failed, "TimeOut": rollout.TimeOut,
}

func TestOCMsHelperRollsOutTheSame(t *testing.T) {
	old := rollout.RolloutClock
	rollout.RolloutClock = clocktesting.NewFakeClock(noon)
	t.Cleanup(func() { rollout.RolloutClock = old })
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "placement", "rollout", "testdata", "ocm", "cases.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []rolloutCase
	if err := yaml.UnmarshalStrict(text, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 20 {
		t.Errorf("there are %d cases, want at least 20", len(cases))
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			want := c.Moves
			if c.Unlike != "" {
				if slices.Equal(c.OCM, c.Moves) {
					t.Error("OCM moves the same clusters: it is not unlike")
				}
				want = c.OCM
			}
			if got := ocmMoves(t, c); !slices.Equal(got, want) {
				t.Errorf("OCM moves %v, want %v", got, want)
			}
		})
	}
}

// ocmMoves are the clusters that OCM's helper would apply something new to.
func ocmMoves(t *testing.T, c rolloutCase) []string {
	t.Helper()
	groups := tracker.ClusterGroupsMap{}
	var existing []rollout.ClusterRolloutStatus
	for index, g := range c.Groups {
		key := tracker.GroupKey{GroupName: g.Name, GroupIndex: int32(index)}
		groups[key] = sets.New(g.Clusters...)
		for _, name := range g.Clusters {
			if was, known := c.Clusters[name]; known {
				since := metav1.NewTime(noon.Add(-was.For.Duration))
				existing = append(existing, rollout.ClusterRolloutStatus{ClusterName: name, GroupKey: key, Status: ocmStates[was.State], LastTransitionTime: &since})
			}
		}
	}
	handler, err := rollout.NewRolloutHandler(tracker.NewPlacementDecisionClustersTrackerWithGroups(&clusterv1beta1.Placement{}, nil, groups),
		func(name string, _ struct{}) (rollout.ClusterRolloutStatus, error) {
			return rollout.ClusterRolloutStatus{ClusterName: name}, nil
		})
	if err != nil {
		t.Fatal(err)
	}
	_, result, err := handler.GetRolloutCluster(c.Strategy, existing)
	if err != nil {
		t.Fatal(err)
	}
	var moves []string
	for _, s := range result.ClustersToRollout {
		if s.Status == rollout.ToApply {
			moves = append(moves, s.ClusterName)
		}
	}
	slices.Sort(moves)
	return moves
}
