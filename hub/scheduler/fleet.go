package scheduler

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	clusterv1alpha1 "open-cluster-management.io/api/cluster/v1alpha1"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/kronvoy/kronvoy/hub/convert"
	"github.com/kronvoy/kronvoy/placement"
)

// fleet keeps the clusters in the form that placement.Select takes: a cluster is
// converted once for all Placements, and again when it has changed.
type fleet struct {
	mu    sync.Mutex
	known map[types.UID]converted
}

type converted struct {
	version string
	cluster placement.Cluster
}

// snapshot is all clusters with what the policy looks at. The values are shared:
// read-only.
func (f *fleet) snapshot(ctx context.Context, c client.Reader, policy placement.Policy, placed map[string]int) ([]placement.Cluster, error) {
	var managed clusterv1.ManagedClusterList
	if err := c.List(ctx, &managed, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing clusters: %w", err)
	}
	scores := map[string]map[string]placement.AddOnScores{}
	if policy.NeedsScores() {
		var list clusterv1alpha1.AddOnPlacementScoreList
		if err := c.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("listing scores of add-ons: %w", err)
		}
		for i := range list.Items {
			score := &list.Items[i]
			if scores[score.Namespace] == nil {
				scores[score.Namespace] = map[string]placement.AddOnScores{}
			}
			scores[score.Namespace][score.Name] = convert.PlacementScores(score)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	known := make(map[types.UID]converted, len(managed.Items))
	out := make([]placement.Cluster, len(managed.Items))
	for i := range managed.Items {
		m := &managed.Items[i]
		k, found := f.known[m.UID]
		if !found || k.version != m.ResourceVersion {
			k = converted{version: m.ResourceVersion, cluster: convert.PlacementCluster(m)}
		}
		if k.cluster.Object == nil && policy.NeedsObjects() {
			var err error
			if k.cluster.Object, err = convert.PlacementObject(m); err != nil {
				return nil, err
			}
		}
		known[m.UID] = k
		out[i] = k.cluster
		out[i].Placed, out[i].Scores = placed[m.Name], scores[m.Name]
	}
	f.known = known
	return out, nil
}

// statusChanged lets changes through of what expressions, claim selectors and
// prioritizers look at.
func statusChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok1 := e.ObjectOld.(*clusterv1.ManagedCluster)
		after, ok2 := e.ObjectNew.(*clusterv1.ManagedCluster)
		return ok1 && ok2 && !equality.Semantic.DeepEqual(before.Status, after.Status)
	}}
}

// restsOnStatus says whether a cluster's status matters to the Placement.
func restsOnStatus(p *clusterv1beta1.Placement) bool {
	return slices.ContainsFunc(p.Spec.Predicates, func(p clusterv1beta1.ClusterPredicate) bool {
		return len(p.RequiredClusterSelector.ClaimSelector.MatchExpressions)+len(p.RequiredClusterSelector.CelSelector.CelExpressions) > 0
	}) || slices.ContainsFunc(p.Spec.PrioritizerPolicy.Configurations, func(c clusterv1beta1.PrioritizerConfig) bool {
		return c.ScoreCoordinate != nil && strings.HasPrefix(c.ScoreCoordinate.BuiltIn, "ResourceAllocatable")
	}) || slices.ContainsFunc(p.Spec.SpreadPolicy.SpreadConstraints, func(c clusterv1beta1.SpreadConstraintsTerm) bool {
		return c.TopologyKeyType == clusterv1beta1.TopologyKeyTypeClaim
	}) || slices.ContainsFunc(p.Spec.DecisionStrategy.GroupStrategy.DecisionGroups, func(g clusterv1beta1.DecisionGroup) bool {
		return len(g.ClusterSelector.ClaimSelector.MatchExpressions) > 0
	})
}

// needsScores says whether AddOnPlacementScores matter to the Placement.
func needsScores(p *clusterv1beta1.Placement) bool {
	return slices.ContainsFunc(p.Spec.Predicates, func(p clusterv1beta1.ClusterPredicate) bool {
		return len(p.RequiredClusterSelector.CelSelector.CelExpressions) > 0
	}) || slices.ContainsFunc(p.Spec.PrioritizerPolicy.Configurations, func(c clusterv1beta1.PrioritizerConfig) bool {
		return c.ScoreCoordinate != nil && c.ScoreCoordinate.AddOn != nil
	})
}
