// Package placement decides which clusters an instance runs on. It is pure:
// Select is a function of a policy, a snapshot of the clusters and the
// previous decision, and gives a reason for every cluster.
package placement

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
)

// Cluster is what a decision may depend on.
type Cluster struct {
	Name   string
	Labels map[string]string
	// Claims are the cluster's own word, which nobody checks.
	Claims map[string]string
	// Outage says in a word what is wrong with the cluster for now: it cannot be
	// reached, or is not available. Empty when nothing is.
	Outage string
	// Accepted clusters have been let into the fleet by an administrator.
	Accepted bool
	// Deleting clusters are on their way out and never selected.
	Deleting bool
}

// Set is a named group of clusters that the policy's namespace is bound to.
type Set struct {
	Name     string
	Selector labels.Selector
}

// Policy says which clusters are wanted.
type Policy struct {
	// Sets the policy may choose from; a cluster in none of them is never
	// selected (OCM: ManagedClusterSetBinding).
	Sets []Set
	// Predicates are ORed; none at all admits every cluster of the sets
	// (OCM: spec.predicates).
	Predicates []Predicate
	// NumberOfClusters is the most clusters to select; nil means all
	// (OCM: spec.numberOfClusters).
	NumberOfClusters *int32
}

// Predicate is one alternative of a policy; its parts are ANDed.
type Predicate struct {
	// Labels and Claims that a cluster must have; nil admits all (OCM:
	// requiredClusterSelector.labelSelector, claimSelector).
	Labels, Claims labels.Selector
}

// RestsOnClaims says whether the decision can depend on what clusters say of
// themselves.
func (p Policy) RestsOnClaims() bool {
	return slices.ContainsFunc(p.Predicates, func(p Predicate) bool { return p.Claims != nil && !p.Claims.Empty() })
}

// admits says whether the cluster is one that the predicate asks for.
func (p Predicate) admits(c Cluster) bool {
	return (p.Labels == nil || p.Labels.Matches(labels.Set(c.Labels))) && (p.Claims == nil || p.Claims.Matches(labels.Set(c.Claims)))
}

// String is what the predicate asks for.
func (p Predicate) String() string {
	var parts []string
	if p.Labels != nil && !p.Labels.Empty() {
		parts = append(parts, p.Labels.String())
	}
	if p.Claims != nil && !p.Claims.Empty() {
		parts = append(parts, "claims "+p.Claims.String())
	}
	return strings.Join(parts, " and ")
}

// ReasonCode is a cause in PascalCase.
type ReasonCode string

// Why a cluster is or is not selected.
const (
	Selected ReasonCode = "Selected"
	// SelectedInOutage: losing a cluster never loses its workload, so a cluster that
	// is selected stays so while it cannot be reached.
	SelectedInOutage ReasonCode = "SelectedInOutage"
	NotAccepted      ReasonCode = "NotAccepted"
	Deleting         ReasonCode = "Deleting"
	NotInClusterSet  ReasonCode = "NotInClusterSet"
	LabelsDiffer     ReasonCode = "LabelsDiffer"
	ClaimsDiffer     ReasonCode = "ClaimsDiffer"
	NumberReached    ReasonCode = "NumberReached"
)

// Reason tells for one cluster why it was selected or not.
type Reason struct {
	Cluster string
	Code    ReasonCode
	// Message is a sentence for people.
	Message string
}

// Decision is the outcome of Select.
type Decision struct {
	// Clusters selected, by name in ascending order.
	Clusters []string
	// Reasons has one entry for every cluster of the snapshot, by name.
	Reasons []Reason
}

// Select decides. The result does not depend on the order of clusters or
// previous. Clusters of the previous decision that still qualify are kept
// before others, so that a limited decision is stable.
func Select(policy Policy, clusters []Cluster, previous []string) Decision {
	clusters = slices.Clone(clusters)
	slices.SortFunc(clusters, func(a, b Cluster) int { return cmp.Compare(a.Name, b.Name) })

	decision := Decision{Reasons: make([]Reason, 0, len(clusters))}
	var feasible []string
	for _, cluster := range clusters {
		reason := judge(policy, cluster)
		if selected(reason) {
			feasible = append(feasible, cluster.Name)
		}
		decision.Reasons = append(decision.Reasons, reason)
	}
	decision.Clusters = limit(feasible, policy.NumberOfClusters, previous)
	for i := range decision.Reasons {
		reason := &decision.Reasons[i]
		if _, found := slices.BinarySearch(decision.Clusters, reason.Cluster); selected(*reason) && !found {
			reason.Code = NumberReached
			reason.Message = fmt.Sprintf("numberOfClusters is %d", *policy.NumberOfClusters)
		}
	}
	return decision
}

func selected(r Reason) bool { return r.Code == Selected || r.Code == SelectedInOutage }

// judge looks at one cluster alone.
func judge(policy Policy, cluster Cluster) Reason {
	reason := Reason{Cluster: cluster.Name, Code: Selected}
	switch {
	case cluster.Deleting:
		reason.Code, reason.Message = Deleting, "the cluster is being deleted"
	case !cluster.Accepted:
		reason.Code, reason.Message = NotAccepted, "spec.hubAcceptsClient is false"
	case !inAnySet(policy.Sets, cluster):
		reason.Code, reason.Message = NotInClusterSet, notInSets(policy.Sets)
	default:
		reason.Code, reason.Message = match(policy.Predicates, cluster)
	}
	return reason
}

func inAnySet(sets []Set, cluster Cluster) bool {
	return slices.ContainsFunc(sets, func(s Set) bool { return s.Selector.Matches(labels.Set(cluster.Labels)) })
}

func notInSets(sets []Set) string {
	if len(sets) == 0 {
		return "no cluster set is bound to the placement's namespace"
	}
	names := make([]string, len(sets))
	for i, set := range sets {
		names[i] = set.Name
	}
	slices.Sort(names)
	return "not in the bound cluster sets " + strings.Join(names, ", ")
}

// match says whether a predicate admits the cluster, and else what they ask for.
func match(predicates []Predicate, cluster Cluster) (code ReasonCode, message string) {
	code, what := LabelsDiffer, "labels"
	wanted := make([]string, 0, len(predicates))
	for _, predicate := range predicates {
		if predicate.admits(cluster) {
			wanted = nil
			break
		}
		if withoutClaims := (Predicate{Labels: predicate.Labels}); withoutClaims.admits(cluster) {
			code, what = ClaimsDiffer, "the cluster's own claims"
		}
		wanted = append(wanted, predicate.String())
	}
	switch {
	case len(wanted) > 0:
		return code, what + " do not match " + strings.Join(wanted, " or ")
	case cluster.Outage != "":
		return SelectedInOutage, "the cluster is " + cluster.Outage + ": what runs there stays, and nothing new arrives"
	}
	return Selected, ""
}

// limit cuts feasible, which is sorted, to n names and keeps the order.
func limit(feasible []string, n *int32, previous []string) []string {
	if n == nil || len(feasible) <= int(*n) {
		return feasible
	}
	stays := func(name string) int {
		if slices.Contains(previous, name) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(feasible, func(a, b string) int { return cmp.Compare(stays(a), stays(b)) })
	feasible = feasible[:max(*n, 0)]
	slices.Sort(feasible)
	return feasible
}
