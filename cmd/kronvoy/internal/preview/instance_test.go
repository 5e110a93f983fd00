package preview

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
	"github.com/kronvoy/kronvoy/hub"
	"github.com/kronvoy/kronvoy/hub/policy"
	"github.com/kronvoy/kronvoy/hub/rollout"
	"github.com/kronvoy/kronvoy/hub/work"
	placementrollout "github.com/kronvoy/kronvoy/placement/rollout"
)

// What people answered the hub about clusters that leave counts as it does there.
func TestAnAnsweredRemovalIsShownAsAnswered(t *testing.T) {
	scheme, err := hub.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	identity := work.Identity{Group: "kro.run", Version: "v1alpha1", Kind: "App", Namespace: "shop", Name: "app"}
	gone := []string{"c1", "c2", "c3", "c4"}
	question := placementrollout.Removals(placementrollout.RemovalInput{
		Decided: true, Clusters: []string{"c0"}, Policy: placementrollout.RemovalPolicy{MaxPercent: rollout.DefaultMaxPercent},
		Targets: []placementrollout.RemovalTarget{{Cluster: "c0"}, {Cluster: "c1"}, {Cluster: "c2"}, {Cluster: "c3"}, {Cluster: "c4"}},
	}).Question
	for name, tc := range map[string]struct {
		hash    string
		answer  kronvoyv1alpha1.ApprovalDecision
		held    bool
		message string
	}{
		"not yet":                 {hash: question.PlanHash, held: true, message: "may without being asked for"},
		"approved":                {hash: question.PlanHash, answer: kronvoyv1alpha1.Approved, message: "was approved"},
		"approved, of other ones": {hash: "delete-0", answer: kronvoyv1alpha1.Approved, held: true, message: "may without being asked for"},
		"rejected":                {hash: question.PlanHash, answer: kronvoyv1alpha1.Rejected, held: true, message: "mary rejected its removal"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSimulation(t.Context(), Options{
				Scheme: scheme, Resolver: builtin.Resolver(), Namespace: "shop", HubNamespace: "kronvoy-system", AgentIdentity: policy.AgentIdentityTrue,
				Now: time.Date(2026, 9, 4, 12, 0, 0, 0, time.UTC),
			})
			base := fiveNodes
			for i := range 5 {
				base += fmt.Sprintf("---\n{apiVersion: cluster.open-cluster-management.io/v1, kind: ManagedCluster, metadata: {name: c%d, labels: {region: r%d}}, spec: {hubAcceptsClient: true}}\n", i, i)
			}
			documents := read(t, base)
			if err := s.loadFleet(); err != nil {
				t.Fatal(err)
			}
			if err := s.found(documents); err != nil {
				t.Fatal(err)
			}
			if err := s.suppose(documents); err != nil {
				t.Fatal(err)
			}
			reference := identity.Reference()
			request := &kronvoyv1alpha1.ApprovalRequest{
				ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "app-1", Labels: map[string]string{kronvoyv1alpha1.LabelInstance: identity.Hash()}},
				Spec:       kronvoyv1alpha1.ApprovalRequestSpec{Action: kronvoyv1alpha1.ApprovalRemove, Instance: &reference, PlanHash: tc.hash},
				Status:     kronvoyv1alpha1.ApprovalRequestStatus{Decision: tc.answer, DecidedBy: "mary"},
			}
			if err := s.memory.put(request); err != nil {
				t.Fatal(err)
			}
			result, err := s.change(read(t, `
apiVersion: cluster.open-cluster-management.io/v1beta1
kind: Placement
metadata: {name: all, namespace: shop}
spec: {clusterSets: [global], predicates: [{requiredClusterSelector: {labelSelector: {matchLabels: {region: r0}}}}]}`))
			if err != nil {
				t.Fatal(err)
			}
			if len(result.Instances) != 1 || len(result.Instances[0].Clusters) != len(gone) {
				t.Fatalf("preview says %+v", result)
			}
			for i, c := range result.Instances[0].Clusters {
				if c.Name != gone[i] || c.Change != Leaves || c.Held != tc.held || !strings.Contains(c.Message, tc.message) {
					t.Errorf("preview says %+v of %s", c, gone[i])
				}
			}
		})
	}
}
