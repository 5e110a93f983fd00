package rollout

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "open-cluster-management.io/api/cluster/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/placement/rollout"
)

func TestASampleIsOfTheAssignmentThatItsStatusNames(t *testing.T) {
	now, before := metav1.NewMicroTime(noon), metav1.NewMicroTime(noon.Add(-time.Hour))
	since := metav1.NewTime(noon.Add(time.Minute))
	const current, stale = "2026-11-22T12:00:00.000000Z", "2026-11-22T11:00:00.000000Z"
	ready := func(change ...func(*kronvoyv1alpha1.TargetStatus)) kronvoyv1alpha1.TargetStatus {
		s := kronvoyv1alpha1.TargetStatus{
			AssignedAt: &now, Revision: "r2", State: kronvoyv1alpha1.TargetReady, Health: kronvoyv1alpha1.Healthy,
			Clocks: kronvoyv1alpha1.Clocks{StateSince: &since, HealthSince: &since},
		}
		for _, change := range change {
			change(&s)
		}
		return s
	}
	open := func(of string) rollout.Gate { return rollout.Gate{Of: of, Open: true, Since: since.Time} }
	cases := map[string]struct {
		status kronvoyv1alpha1.TargetStatus
		gate   kronvoyv1alpha1.RolloutGate
		gates  rollout.Gates
		failed rollout.Failure
	}{
		"nothing is known": {gates: rollout.Gates{}},
		"ready and healthy": {
			status: ready(), gates: rollout.Gates{Ready: open(current), Health: open(current)},
		},
		"it was, before it was moved": {
			status: ready(func(s *kronvoyv1alpha1.TargetStatus) { s.AssignedAt = &before }),
			gates:  rollout.Gates{Ready: open(stale), Health: open(stale)},
		},
		"nothing of the revision is shipped": {
			status: ready(func(s *kronvoyv1alpha1.TargetStatus) { s.Revision = "r1" }),
		},
		"blocked": {
			status: ready(func(s *kronvoyv1alpha1.TargetStatus) {
				s.Revision, s.State, s.Message = "r1", kronvoyv1alpha1.TargetFailed, "no service account"
			}),
			failed: rollout.Failure{Of: current, Since: since.Time, Message: "no service account"},
		},
		"ready, and its Deployment crashes": {
			status: ready(func(s *kronvoyv1alpha1.TargetStatus) {
				s.Health = kronvoyv1alpha1.HealthProgressing
				s.Nodes = []kronvoyv1alpha1.NodeStatus{{ID: "a", Health: kronvoyv1alpha1.Healthy}, {ID: "web", Health: kronvoyv1alpha1.HealthProgressing, HealthMessage: "0 of 3 are available"}}
			}),
			gates: rollout.Gates{Ready: open(current), Health: rollout.Gate{Of: current, Since: since.Time, Message: "web: 0 of 3 are available"}},
		},
		"its Deployment has failed": {
			status: ready(func(s *kronvoyv1alpha1.TargetStatus) {
				s.Health = kronvoyv1alpha1.HealthFailed
				s.Nodes = []kronvoyv1alpha1.NodeStatus{{ID: "web", Health: kronvoyv1alpha1.HealthFailed, HealthMessage: "it exceeded its deadline"}}
			}),
			gates:  rollout.Gates{Ready: open(current), Health: rollout.Gate{Of: current, Since: since.Time, Message: "web: it exceeded its deadline"}},
			failed: rollout.Failure{Of: current, Since: since.Time, Message: "web: it exceeded its deadline"},
		},
		"its Deployment has failed, which nobody minds": {
			status: ready(func(s *kronvoyv1alpha1.TargetStatus) { s.Health = kronvoyv1alpha1.HealthFailed }),
			gate:   kronvoyv1alpha1.RolloutGate{BuiltinHealth: ptr.To(false)},
			gates:  rollout.Gates{Ready: open(current), Health: rollout.Gate{Of: current, Since: since.Time}},
		},
		"others changed more than may be": {
			status: ready(func(s *kronvoyv1alpha1.TargetStatus) { s.Drift.Objects = 3 }),
			gate:   kronvoyv1alpha1.RolloutGate{MaxDrift: ptr.To[int32](2)},
			gates: rollout.Gates{Ready: open(current), Health: open(current),
				Drift: rollout.Gate{Of: current, Message: "3 objects differ from what was applied, and 2 may"}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			target := target("eu-1", "r2", func(t *kronvoyv1alpha1.Target) {
				t.Spec.Instance.Name, t.Spec.AssignedAt, t.Status = "shop", &now, tc.status
			})
			want := rollout.Target{
				Cluster: "eu-1", Instance: "shop", Assignment: rollout.Assignment{Revision: "r2"}, Moved: noon, Current: current, Gates: tc.gates, Failed: tc.failed,
			}
			if diff := cmp.Diff(want, sample(&target, tc.gate)); diff != "" {
				t.Errorf("sample (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAClusterWhoseAgentJudgesNoHealthSaysWhatToDo(t *testing.T) {
	ocms := managedCluster("eu-1")
	ocms.Status.Version.Kubernetes = "v1.36.3"
	ours := ocms.DeepCopy()
	ours.Status.ClusterClaims = []clusterv1.ManagedClusterClaim{{Name: kronvoyv1alpha1.ClaimFeatures, Value: kronvoyv1alpha1.FeatureHealth}}
	const waits = "web: the cluster's agent has not judged its health"
	for name, tc := range map[string]struct {
		cluster *clusterv1.ManagedCluster
		health  kronvoyv1alpha1.Health
		told    bool
	}{
		"OCM's agent":              {cluster: ocms, health: kronvoyv1alpha1.HealthUnknown, told: true},
		"ours":                     {cluster: ours, health: kronvoyv1alpha1.HealthUnknown},
		"nobody has described it":  {cluster: managedCluster("eu-1"), health: kronvoyv1alpha1.HealthUnknown},
		"nothing was to be judged": {cluster: ocms, health: kronvoyv1alpha1.Healthy},
	} {
		t.Run(name, func(t *testing.T) {
			f := fleet{clusters: map[string]*clusterv1.ManagedCluster{"eu-1": tc.cluster}}
			target := target("eu-1", "r2", func(t *kronvoyv1alpha1.Target) { t.Status.Health = tc.health })
			got := f.health(&target, rollout.Gate{Of: "now", Message: waits})
			if told := strings.Contains(got.Message, "builtinHealth"); told != tc.told || !told && got.Message != waits {
				t.Errorf("it says %q", got.Message)
			}
		})
	}
}

// Nothing of a cluster's past counts as a failure that it was kept from.
func TestTimeBeginsWhenAClusterCanBeWorkedOn(t *testing.T) {
	earlier := metav1.NewTime(noon.Add(-time.Hour))
	f := fleet{now: noon}
	for name, tc := range map[string]struct {
		status kronvoyv1alpha1.TargetStatus
		silent bool
		want   time.Time
	}{
		"nothing is known yet":            {},
		"it is silent since its move":     {status: kronvoyv1alpha1.TargetStatus{ObservedGeneration: 1}, silent: true},
		"it was never kept from its work": {status: kronvoyv1alpha1.TargetStatus{ObservedGeneration: 1, Clocks: kronvoyv1alpha1.Clocks{WritableSince: &earlier}}, want: earlier.Time},
		"that it is over is not found":    {status: kronvoyv1alpha1.TargetStatus{ObservedGeneration: 1}, want: noon},
	} {
		t.Run(name, func(t *testing.T) {
			if got := f.hindered(&rollout.Cluster{Reachable: !tc.silent}, &kronvoyv1alpha1.Target{Status: tc.status}); !got.Equal(tc.want) {
				t.Errorf("it begins at %s, want %s", got, tc.want)
			}
		})
	}
}
