// Package placement decides which clusters an instance runs on. It is pure:
// Select is a function of a policy, a snapshot of the clusters, the previous
// decision and the time, and gives a reason for every cluster.
//
// The rules are those of OCM's Placement (cluster.open-cluster-management.io/v1beta1).
// Where OCM's own scheduler leaves a field of it undone, such as spreadPolicy,
// sortBy and the effect PreferNoSelect, the field's documentation is followed.
package placement

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"
)

// Cluster is what a decision may depend on. Select changes nothing in it.
type Cluster struct {
	Name   string
	Labels map[string]string
	// Claims are what the cluster says of itself; unlike labels they are not the
	// hub's word (OCM: status.clusterClaims).
	Claims map[string]string
	// Accepted clusters have been let into the fleet by an administrator.
	Accepted bool
	// Deleting clusters are on their way out and never selected.
	Deleting bool
	Taints   []Taint
	// Allocatable is what the cluster can still be given, in the resource's base
	// unit: cores, bytes.
	Allocatable map[string]float64
	// Scores by the name of the AddOnPlacementScore that holds them.
	Scores map[string]AddOnScores
	// Placed is how many other placements have selected the cluster.
	Placed int
	// Object is the whole ManagedCluster, for Expressions.
	Object map[string]any
}

// AddOnScores are the values of one AddOnPlacementScore.
type AddOnScores struct {
	// ValidUntil is when the values count no longer; zero means never.
	ValidUntil time.Time
	Values     map[string]int64
}

// Valid says whether the values count at a time.
func (s AddOnScores) Valid(now time.Time) bool {
	return s.ValidUntil.IsZero() || now.Before(s.ValidUntil)
}

// Set is a named group of clusters that the policy's namespace is bound to.
type Set struct {
	Name     string
	Selector labels.Selector
}

// Policy says which clusters are wanted, in which order they are preferred, and
// how the decision is presented.
type Policy struct {
	// Sets the policy may choose from; a cluster in none of them is never
	// selected (OCM: ManagedClusterSetBinding).
	Sets []Set
	// NamedSets are the ones that the policy asks for; Sets has those of them that
	// it may choose from (OCM: spec.clusterSets).
	NamedSets []string
	// Predicates are ORed; none at all admits every cluster of the sets
	// (OCM: spec.predicates).
	Predicates []Predicate
	// Tolerations of taints (OCM: spec.tolerations).
	Tolerations []Toleration
	// NumberOfClusters is the most clusters to select; nil means all
	// (OCM: spec.numberOfClusters).
	NumberOfClusters *int32
	// Prioritizers rank the clusters where not all can be selected
	// (OCM: spec.prioritizerPolicy).
	Prioritizers []Prioritizer
	// Spread holds the more important constraints first (OCM: spec.spreadPolicy).
	Spread []SpreadConstraint
	// Groups that the decision is divided into, in order; what is in none comes
	// last (OCM: spec.decisionStrategy.groupStrategy.decisionGroups).
	Groups []GroupRule
	// GroupSize is the most clusters of one group
	// (OCM: …groupStrategy.clustersPerDecisionGroup); the zero value is no limit.
	GroupSize GroupSize
	// SortByScore orders the clusters of a group by score instead of by name
	// (OCM: spec.sortBy).
	SortByScore bool
}

// RestsOnClaims says whether the decision may depend on what clusters say of
// themselves: their claims, and what they can be given.
func (p Policy) RestsOnClaims() bool {
	return slices.ContainsFunc(p.Predicates, func(p Predicate) bool {
		return p.Claims != nil || slices.ContainsFunc(p.Expressions, Expression.RestsOnClaims)
	}) || slices.ContainsFunc(p.Prioritizers, func(p Prioritizer) bool { return p.Kind == Allocatable && p.Weight != 0 }) ||
		slices.ContainsFunc(p.Spread, func(s SpreadConstraint) bool { return s.Claim }) ||
		slices.ContainsFunc(p.Groups, func(g GroupRule) bool { return g.Claims != nil })
}

// NeedsObjects says whether the policy looks at Object of clusters.
func (p Policy) NeedsObjects() bool {
	return slices.ContainsFunc(p.Predicates, func(p Predicate) bool { return len(p.Expressions) > 0 })
}

// NeedsScores says whether the policy looks at Scores of clusters.
func (p Policy) NeedsScores() bool {
	return p.NeedsObjects() || slices.ContainsFunc(p.Prioritizers, func(p Prioritizer) bool { return p.Kind == AddOn && p.Weight != 0 })
}

// ReasonCode is a cause in PascalCase.
type ReasonCode string

// Why a cluster is or is not selected.
const (
	Selected ReasonCode = "Selected"
	// SelectedInOutage: the cluster is out of reach or not available, and keeps what
	// it has.
	SelectedInOutage ReasonCode = "SelectedInOutage"
	NotAccepted      ReasonCode = "NotAccepted"
	Deleting         ReasonCode = "Deleting"
	NotInClusterSet  ReasonCode = "NotInClusterSet"
	NotMatched       ReasonCode = "NotMatched"
	Tainted          ReasonCode = "Tainted"
	NoTopology       ReasonCode = "NoTopology"
	SpreadExceeded   ReasonCode = "SpreadExceeded"
	NumberReached    ReasonCode = "NumberReached"
)

// Reason tells for one cluster why it was selected or not.
type Reason struct {
	Cluster string
	Code    ReasonCode
	// Message is a sentence for people.
	Message string
	// Rank among the clusters that could be selected, from 1 for the best; 0 for
	// the others.
	Rank int
	// Score is the sum of Scores times their weights; higher is better.
	Score int64
	// Scores by prioritizer, in the policy's order.
	Scores []PrioritizerScore
}

// Selected says whether the cluster was selected.
func (r Reason) Selected() bool { return r.Code == Selected || r.Code == SelectedInOutage }

// Group is a part of a decision.
type Group struct {
	// Name of the rule that made it; empty for the rest.
	Name     string
	Clusters []string
}

// Decision is the outcome of Select.
type Decision struct {
	// Undecided says why there is no decision; what was decided before stays.
	Undecided string
	// Clusters selected, by name in ascending order.
	Clusters []string
	// Groups are the same clusters, divided and ordered as the policy asks.
	// There is always one, even when no cluster was selected.
	Groups []Group
	// Reasons has one entry for every cluster of the snapshot, by name.
	Reasons []Reason
	// RecheckAt is when the decision may become another one with nothing changed
	// but the time; zero when it never does.
	RecheckAt time.Time
}

// Why finds the reason of one cluster.
func (d *Decision) Why(cluster string) (Reason, bool) {
	i, found := slices.BinarySearchFunc(d.Reasons, cluster, func(r Reason, name string) int { return cmp.Compare(r.Cluster, name) })
	if !found {
		return Reason{}, false
	}
	return d.Reasons[i], true
}

// candidate is a cluster on its way through Select.
type candidate struct {
	*Cluster
	reason *Reason
	// before says that the previous decision had it.
	before bool
	// avoided counts the taints with the effect PreferNoSelect that the policy
	// does not tolerate.
	avoided int
}

// Select decides at the time now. The result does not depend on the order of
// clusters or previous, which are names. Clusters must have different names.
func Select(policy Policy, clusters []Cluster, previous []string, now time.Time) Decision {
	had := make(map[string]bool, len(previous))
	for _, name := range previous {
		had[name] = true
	}
	all := make([]candidate, len(clusters))
	for i := range clusters {
		all[i] = candidate{Cluster: &clusters[i], before: had[clusters[i].Name]}
	}
	slices.SortFunc(all, func(a, b candidate) int { return cmp.Compare(a.Name, b.Name) })

	decision := Decision{Reasons: make([]Reason, len(all))}
	recheck := &earliest{now: now}
	feasible := make([]*candidate, 0, len(all))
	filter := newFilter(&policy, len(all), recheck)
	for i := range all {
		c := &all[i]
		c.reason = &decision.Reasons[i]
		*c.reason = filter.judge(c)
		if c.reason.Selected() {
			feasible = append(feasible, c)
		}
	}
	if filter.budget == 0 {
		return Decision{Undecided: "the expressions of spec.predicates cost too much for all clusters together"}
	}
	score(policy.Prioritizers, feasible, recheck)
	selected := choose(&policy, feasible)

	decision.Clusters = make([]string, 0, len(selected))
	for _, c := range selected {
		decision.Clusters = append(decision.Clusters, c.Name)
	}
	slices.Sort(decision.Clusters)
	decision.Groups = divide(&policy, selected)
	decision.RecheckAt = recheck.at
	return decision
}

// earliest keeps the first point in time after now.
type earliest struct{ now, at time.Time }

func (e *earliest) note(t time.Time) {
	if t.After(e.now) && (e.at.IsZero() || t.Before(e.at)) {
		e.at = t
	}
}

// better orders candidates: avoided ones last, then by score, then by name.
func better(a, b *candidate) int {
	return cmp.Or(cmp.Compare(a.avoided, b.avoided), cmp.Compare(b.reason.Score, a.reason.Score), cmp.Compare(a.Name, b.Name))
}

// choose takes the best of the feasible candidates, as far as number and spread
// allow, and gives a reason to those that are left.
func choose(policy *Policy, feasible []*candidate) []*candidate {
	slices.SortFunc(feasible, better)
	number := len(feasible)
	if policy.NumberOfClusters != nil {
		number = min(number, max(int(*policy.NumberOfClusters), 0))
	}
	selected, left := feasible[:number], feasible[number:]
	if len(policy.Spread) > 0 {
		selected, left = spread(policy.Spread, feasible, number)
	}
	for i, c := range selected {
		c.reason.Rank = i + 1
	}
	for i, c := range left {
		c.reason.Rank = len(selected) + i + 1
		if c.reason.Selected() {
			c.reason.Code = NumberReached
			c.reason.Message = fmt.Sprintf("numberOfClusters is %d, and that many rank higher", *policy.NumberOfClusters)
		}
	}
	return selected
}

// listed joins what people read.
func listed(names []string) string {
	slices.Sort(names)
	return strings.Join(names, ", ")
}
