package convert

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	clusterv1alpha1 "open-cluster-management.io/api/cluster/v1alpha1"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	clusterv1beta2 "open-cluster-management.io/api/cluster/v1beta2"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/placement"
	"github.com/kronvoy/kronvoy/placement/expr"
)

// Policy turns an OCM Placement into what placement.Select takes. bindings are
// those of the Placement's namespace, sets are all cluster sets. The error
// names every field that is wrong.
func Policy(p *clusterv1beta1.Placement, bindings []clusterv1beta2.ManagedClusterSetBinding, sets []clusterv1beta2.ManagedClusterSet) (placement.Policy, error) {
	policy := placement.Policy{NamedSets: p.Spec.ClusterSets, NumberOfClusters: p.Spec.NumberOfClusters, SortByScore: p.Spec.SortBy == clusterv1beta1.PlacementSortByScore}
	var faults []error
	keep := func(err error) {
		if err != nil {
			faults = append(faults, err)
		}
	}
	var err error
	policy.Sets, err = boundSets(p.Spec.ClusterSets, bindings, sets)
	keep(err)
	for i, given := range p.Spec.Predicates {
		predicate, err := predicateOf(given.RequiredClusterSelector, fmt.Sprintf("spec.predicates[%d].requiredClusterSelector", i))
		keep(err)
		policy.Predicates = append(policy.Predicates, predicate)
	}
	for i, given := range p.Spec.Tolerations {
		toleration, err := tolerationOf(given)
		if err != nil {
			keep(fmt.Errorf("spec.tolerations[%d]: %w", i, err))
		}
		policy.Tolerations = append(policy.Tolerations, toleration)
	}
	policy.Prioritizers, err = prioritizers(p.Spec.PrioritizerPolicy)
	keep(err)
	for _, given := range p.Spec.SpreadPolicy.SpreadConstraints {
		policy.Spread = append(policy.Spread, placement.SpreadConstraint{
			Key: given.TopologyKey, Claim: given.TopologyKeyType == clusterv1beta1.TopologyKeyTypeClaim,
			MaxSkew: given.MaxSkew, Required: given.WhenUnsatisfiable == clusterv1beta1.DoNotSchedule,
		})
	}
	strategy := p.Spec.DecisionStrategy.GroupStrategy
	for i, given := range strategy.DecisionGroups {
		at := fmt.Sprintf("spec.decisionStrategy.groupStrategy.decisionGroups[%d].groupClusterSelector", i)
		rule := placement.GroupRule{Name: given.GroupName}
		rule.Labels, rule.Claims, err = selectors(given.ClusterSelector.LabelSelector, given.ClusterSelector.ClaimSelector, at)
		keep(err)
		policy.Groups = append(policy.Groups, rule)
	}
	policy.GroupSize, err = groupSize(strategy.ClustersPerDecisionGroup)
	keep(err)
	return policy, errors.Join(faults...)
}

// boundSets are the cluster sets that a namespace is bound to, all of them or
// those that are named.
func boundSets(named []string, bindings []clusterv1beta2.ManagedClusterSetBinding, sets []clusterv1beta2.ManagedClusterSet) ([]placement.Set, error) {
	var bound []placement.Set
	for i := range sets {
		set := &sets[i]
		isBound := slices.ContainsFunc(bindings, func(b clusterv1beta2.ManagedClusterSetBinding) bool {
			return b.Spec.ClusterSet == set.Name
		})
		if !isBound || len(named) > 0 && !slices.Contains(named, set.Name) {
			continue
		}
		selector, err := setSelector(set)
		if err != nil {
			return nil, fmt.Errorf("cluster set %s: %w", set.Name, err)
		}
		bound = append(bound, placement.Set{Name: set.Name, Selector: selector})
	}
	return bound, nil
}

func setSelector(set *clusterv1beta2.ManagedClusterSet) (labels.Selector, error) {
	if set.Spec.ClusterSelector.SelectorType == clusterv1beta2.LabelSelector {
		return metav1.LabelSelectorAsSelector(set.Spec.ClusterSelector.LabelSelector)
	}
	return labels.SelectorFromSet(labels.Set{clusterv1beta2.ClusterSetLabel: set.Name}), nil
}

func predicateOf(given clusterv1beta1.ClusterSelector, at string) (placement.Predicate, error) {
	var predicate placement.Predicate
	var err error
	predicate.Labels, predicate.Claims, err = selectors(given.LabelSelector, given.ClaimSelector, at)
	faults := []error{err}
	for i, source := range given.CelSelector.CelExpressions {
		expression, err := expr.Compile(source)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s.celSelector.celExpressions[%d]: %w", at, i, err))
			continue
		}
		predicate.Expressions = append(predicate.Expressions, expression)
	}
	return predicate, errors.Join(faults...)
}

// selectors are nil where nothing is asked for.
func selectors(byLabel metav1.LabelSelector, byClaim clusterv1beta1.ClusterClaimSelector, at string) (onLabels, onClaims labels.Selector, err error) {
	if len(byLabel.MatchLabels)+len(byLabel.MatchExpressions) > 0 {
		if onLabels, err = metav1.LabelSelectorAsSelector(&byLabel); err != nil {
			return nil, nil, fmt.Errorf("%s.labelSelector: %w", at, err)
		}
	}
	if len(byClaim.MatchExpressions) > 0 {
		if onClaims, err = metav1.LabelSelectorAsSelector(&metav1.LabelSelector{MatchExpressions: byClaim.MatchExpressions}); err != nil {
			return nil, nil, fmt.Errorf("%s.claimSelector: %w", at, err)
		}
	}
	return onLabels, onClaims, nil
}

// tolerationOf refuses what OCM refuses.
func tolerationOf(given clusterv1beta1.Toleration) (placement.Toleration, error) {
	toleration := placement.Toleration{
		Key: given.Key, Value: given.Value, Effect: placement.Effect(given.Effect),
		AnyValue: given.Operator == clusterv1beta1.TolerationOpExists,
	}
	if given.TolerationSeconds != nil {
		period := time.Duration(*given.TolerationSeconds) * time.Second
		toleration.For = &period
	}
	switch {
	case given.Key == "" && !toleration.AnyValue:
		return toleration, errors.New("without a key the operator must be Exists")
	case given.Value != "" && toleration.AnyValue:
		return toleration, errors.New("with the operator Exists there must be no value")
	case given.Operator != "" && given.Operator != clusterv1beta1.TolerationOpEqual && !toleration.AnyValue:
		return toleration, fmt.Errorf("operator %q is neither Equal nor Exists", given.Operator)
	}
	return toleration, nil
}

// resources of the prioritizers that OCM names after them.
var resources = map[string]string{"ResourceAllocatableCPU": string(clusterv1.ResourceCPU), "ResourceAllocatableMemory": string(clusterv1.ResourceMemory)}

func prioritizers(given clusterv1beta1.PrioritizerPolicy) ([]placement.Prioritizer, error) {
	var out []placement.Prioritizer
	switch given.Mode {
	case "", clusterv1beta1.PrioritizerPolicyModeAdditive:
		out = placement.DefaultPrioritizers()
	case clusterv1beta1.PrioritizerPolicyModeExact:
	default:
		return nil, fmt.Errorf("spec.prioritizerPolicy.mode: %q is neither Additive nor Exact", given.Mode)
	}
	for i, configuration := range given.Configurations {
		p, err := prioritizer(configuration.ScoreCoordinate)
		if err != nil {
			return nil, fmt.Errorf("spec.prioritizerPolicy.configurations[%d].scoreCoordinate: %w", i, err)
		}
		p.Weight = configuration.Weight
		// The last word on one counts (OCM).
		same := func(q placement.Prioritizer) bool {
			return q.Kind == p.Kind && q.Resource == p.Resource && q.ScoreName == p.ScoreName
		}
		if at := slices.IndexFunc(out, same); at >= 0 {
			out[at] = p
		} else {
			out = append(out, p)
		}
	}
	return out, nil
}

func prioritizer(at *clusterv1beta1.ScoreCoordinate) (placement.Prioritizer, error) {
	switch {
	case at == nil:
		return placement.Prioritizer{}, errors.New("it is required")
	case at.Type == clusterv1beta1.ScoreCoordinateTypeAddOn && at.AddOn == nil:
		return placement.Prioritizer{}, errors.New("addOn is required where the type is AddOn")
	case at.Type == clusterv1beta1.ScoreCoordinateTypeAddOn:
		return placement.Prioritizer{Kind: placement.AddOn, Resource: at.AddOn.ResourceName, ScoreName: at.AddOn.ScoreName}, nil
	case at.BuiltIn == string(placement.Balance), at.BuiltIn == string(placement.Steady):
		return placement.Prioritizer{Kind: placement.PrioritizerKind(at.BuiltIn)}, nil
	case resources[at.BuiltIn] != "":
		return placement.Prioritizer{Kind: placement.Allocatable, Resource: resources[at.BuiltIn]}, nil
	case at.BuiltIn == "Spread":
		return placement.Prioritizer{}, errors.New("there is no prioritizer Spread: use spec.spreadPolicy")
	}
	return placement.Prioritizer{}, fmt.Errorf("builtIn: %q is none of Balance, Steady, ResourceAllocatableCPU, ResourceAllocatableMemory", at.BuiltIn)
}

func groupSize(given intstr.IntOrString) (placement.GroupSize, error) {
	if given.Type == intstr.Int {
		return placement.GroupSize{Clusters: given.IntValue()}, nil
	}
	percent, err := strconv.ParseFloat(strings.TrimSuffix(given.StrVal, "%"), 64)
	if err != nil || !strings.HasSuffix(given.StrVal, "%") {
		return placement.GroupSize{}, fmt.Errorf("spec.decisionStrategy.groupStrategy.clustersPerDecisionGroup: %q is neither a number nor a percentage", given.StrVal)
	}
	return placement.GroupSize{Percent: percent}, nil
}

// PlacementCluster is what a placement may know of a cluster, but Scores, Placed
// and Object, which are not in it or cost more.
func PlacementCluster(c *clusterv1.ManagedCluster) placement.Cluster {
	out := placement.Cluster{
		Name:        c.Name,
		Labels:      c.Labels,
		Claims:      Claims(c),
		Accepted:    c.Spec.HubAcceptsClient,
		Deleting:    c.DeletionTimestamp != nil || c.Annotations[kronvoyv1alpha1.AnnotationDetached] != "",
		Allocatable: map[string]float64{},
	}
	for name, quantity := range resourcesOf(c.Status.Allocatable) {
		out.Allocatable[name] = quantity.AsApproximateFloat64()
	}
	for _, taint := range c.Spec.Taints {
		out.Taints = append(out.Taints, placement.Taint{
			Key: taint.Key, Value: taint.Value, Effect: placement.Effect(taint.Effect), Added: taint.TimeAdded.Time,
			Outage: taint.Key == clusterv1.ManagedClusterTaintUnreachable || taint.Key == clusterv1.ManagedClusterTaintUnavailable,
		})
	}
	return out
}

// PlacementObject is what expressions of placements see of a cluster.
func PlacementObject(c *clusterv1.ManagedCluster) (map[string]any, error) {
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(c)
	if err != nil {
		return nil, fmt.Errorf("converting cluster %s: %w", c.Name, err)
	}
	return object, nil
}

// PlacementScores are the values of one AddOnPlacementScore.
func PlacementScores(s *clusterv1alpha1.AddOnPlacementScore) placement.AddOnScores {
	out := placement.AddOnScores{Values: make(map[string]int64, len(s.Status.Scores))}
	if s.Status.ValidUntil != nil {
		out.ValidUntil = s.Status.ValidUntil.Time
	}
	for _, score := range s.Status.Scores {
		out.Values[score.Name] = int64(score.Value)
	}
	return out
}

// Decisions are the Placement's own pages among all, and for each cluster how many
// other Placements have selected it.
func Decisions(p *clusterv1beta1.Placement, all []clusterv1beta1.PlacementDecision) (own []clusterv1beta1.PlacementDecision, placed map[string]int) {
	placed = map[string]int{}
	for i := range all {
		d := &all[i]
		if d.Namespace == p.Namespace && d.Labels[clusterv1beta1.PlacementLabel] == p.Name {
			own = append(own, *d)
			continue
		}
		for _, decision := range d.Status.Decisions {
			placed[decision.ClusterName]++
		}
	}
	return own, placed
}

// Decided are the clusters on pages.
func Decided(pages []clusterv1beta1.PlacementDecision) []string {
	var names []string
	for i := range pages {
		for _, decision := range pages[i].Status.Decisions {
			if decision.ClusterName != "" {
				names = append(names, decision.ClusterName)
			}
		}
	}
	return names
}
