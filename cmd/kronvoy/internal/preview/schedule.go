package preview

import (
	"fmt"
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	clusterv1alpha1 "open-cluster-management.io/api/cluster/v1alpha1"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	clusterv1beta2 "open-cluster-management.io/api/cluster/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/policy"
	"github.com/kronvoy/kronvoy/internal/explain"
)

// schedule decides the Placements anew that a change may mean something to, with
// those that the hub keeps for Distributions.
func (s *simulation) schedule(changes []change) error {
	all, some := false, map[client.ObjectKey]bool{}
	for _, c := range changes {
		switch obj := c.object.(type) {
		case *clusterv1beta1.Placement:
			some[client.ObjectKeyFromObject(obj)] = true
		case *kronvoyv1alpha1.Distribution:
			kept, err := s.keepPlacement(obj)
			if err != nil {
				return c.wrap(err)
			}
			if kept != nil {
				some[client.ObjectKeyFromObject(kept)] = true
			}
		default:
			all = all || c.places()
		}
	}
	if !all && len(some) == 0 {
		return nil
	}
	s.Progress("placing")
	objects, err := s.placementObjects()
	if err != nil {
		return err
	}
	for i := range objects.Placements {
		p := &objects.Placements[i]
		if key := client.ObjectKeyFromObject(p); all || some[key] {
			if err := s.decidePlacement(objects, p); err != nil {
				return fmt.Errorf("deciding Placement %s: %w", key, err)
			}
		}
	}
	return nil
}

// keepPlacement is the Placement that the hub keeps for a Distribution; nil where
// it needs none.
func (s *simulation) keepPlacement(d *kronvoyv1alpha1.Distribution) (*clusterv1beta1.Placement, error) {
	if d.UID == "" {
		d.UID = types.UID("preview-" + d.Namespace + "-" + d.Name)
		if err := s.memory.put(d); err != nil {
			return nil, err
		}
	}
	wanted := policy.Placement(d)
	if wanted == nil {
		return nil, nil
	}
	live := &clusterv1beta1.Placement{}
	err := s.memory.Get(s.ctx, client.ObjectKeyFromObject(wanted), live)
	if client.IgnoreNotFound(err) != nil {
		return nil, err
	}
	if err == nil {
		if !metav1.IsControlledBy(live, d) {
			// Somebody else's: the hub leaves it alone, and says so.
			return live, nil
		}
		kept := live.DeepCopy()
		kept.Spec = wanted.Spec
		return kept, s.memory.put(kept)
	}
	wanted.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(d, kronvoyv1alpha1.GroupVersion.WithKind("Distribution"))}
	return wanted, s.memory.put(wanted)
}

func (s *simulation) placementObjects() (explain.Objects, error) {
	var (
		placements clusterv1beta1.PlacementList
		bindings   clusterv1beta2.ManagedClusterSetBindingList
		sets       clusterv1beta2.ManagedClusterSetList
		clusters   clusterv1.ManagedClusterList
		decisions  clusterv1beta1.PlacementDecisionList
		scores     clusterv1alpha1.AddOnPlacementScoreList
	)
	for _, list := range []client.ObjectList{&placements, &bindings, &sets, &clusters, &decisions, &scores} {
		if err := s.memory.List(s.ctx, list); err != nil {
			return explain.Objects{}, err
		}
	}
	return explain.Objects{
		Placements: placements.Items, Bindings: bindings.Items, Sets: sets.Items,
		Clusters: clusters.Items, Decisions: decisions.Items, Scores: scores.Items,
	}, nil
}

// decidePlacement puts the pages of a decision in the place of those that are
// there. What is wrong with a Placement, or undecided, leaves them as they are.
func (s *simulation) decidePlacement(objects explain.Objects, p *clusterv1beta1.Placement) error {
	explained, err := objects.Of(p.Namespace, p.Name, s.Now)
	if err != nil {
		return err
	}
	s.explains[client.ObjectKeyFromObject(p)] = explained
	judged := p.DeepCopy()
	judged.Status.Conditions = slices.DeleteFunc(judged.Status.Conditions, func(c metav1.Condition) bool {
		return c.Type == clusterv1beta1.PlacementConditionMisconfigured || c.Type == clusterv1beta1.PlacementConditionSatisfied
	})
	if explained.Misconfigured != "" {
		judged.Status.Conditions = append(judged.Status.Conditions, metav1.Condition{
			Type: clusterv1beta1.PlacementConditionMisconfigured, Status: metav1.ConditionTrue, Message: explained.Misconfigured,
		})
	}
	if err := s.memory.put(judged); err != nil || explained.Misconfigured+explained.Undecided != "" {
		return err
	}
	s.memory.drop(schema.GroupVersion(clusterv1beta1.GroupVersion).WithKind("PlacementDecision"), p.Namespace, func(obj client.Object) bool {
		return obj.GetLabels()[clusterv1beta1.PlacementLabel] == p.Name
	})
	for i, group := range explained.Groups {
		page := &clusterv1beta1.PlacementDecision{ObjectMeta: metav1.ObjectMeta{
			Namespace: p.Namespace, Name: fmt.Sprintf("%s-decision-%d", p.Name, i+1),
			Labels: map[string]string{
				clusterv1beta1.PlacementLabel: p.Name, clusterv1beta1.DecisionGroupIndexLabel: strconv.Itoa(i), clusterv1beta1.DecisionGroupNameLabel: group.Name,
			},
		}}
		for _, cluster := range group.Clusters {
			page.Status.Decisions = append(page.Status.Decisions, clusterv1beta1.ClusterDecision{ClusterName: cluster})
		}
		if err := s.memory.put(page); err != nil {
			return err
		}
	}
	return nil
}

// why says why a Placement selects a cluster, or does not.
func (s *simulation) why(namespace, placement, cluster string) (reason, message string) {
	for _, c := range s.explains[client.ObjectKey{Namespace: namespace, Name: placement}].Clusters {
		if c.Name == cluster {
			return c.Reason, c.Message
		}
	}
	return "", ""
}
