package placement

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"
)

// Predicate is one alternative of a policy; its parts are ANDed
// (OCM: spec.predicates[].requiredClusterSelector).
type Predicate struct {
	// Labels and Claims admit everything when nil.
	Labels, Claims labels.Selector
	// Expressions all have to be true.
	Expressions []Expression
}

// Expression is a compiled condition on a cluster, such as expr.Compile returns.
type Expression interface {
	fmt.Stringer
	// RestsOnClaims is true when the condition may depend on what clusters say of
	// themselves.
	RestsOnClaims() bool
	// Matches says whether the condition holds at a time, and what it cost to find
	// out, in CEL's cost units. An error means that it could not be found out for
	// this cluster, which then is not admitted.
	Matches(c *Cluster, now time.Time) (matches bool, cost uint64, err error)
}

// What all expressions of a policy may cost together: a single one that is as
// expensive as can be, on a few clusters, or usual ones on all of them.
const (
	budget           = 2_000_000
	budgetPerCluster = 500
)

// Effect is what a taint does to clusters (OCM: spec.taints[].effect).
type Effect string

// Effects of taints.
const (
	// NoSelect keeps the cluster out of every decision that does not tolerate it.
	NoSelect Effect = "NoSelect"
	// PreferNoSelect puts the cluster behind all others.
	PreferNoSelect Effect = "PreferNoSelect"
	// NoSelectIfNew keeps the cluster out unless the previous decision had it.
	NoSelectIfNew Effect = "NoSelectIfNew"
)

// Taint keeps decisions off a cluster (OCM: ManagedCluster's spec.taints).
type Taint struct {
	Key, Value string
	Effect     Effect
	// Added is when the taint came, by the hub's clock.
	Added time.Time
	// Outage taints come and go by themselves, with what is wrong on a cluster.
	// Losing a cluster never loses its workload: unless a toleration says how long
	// such a taint is tolerated, they only keep new clusters out.
	Outage bool
}

func (t Taint) String() string {
	if t.Value == "" {
		return fmt.Sprintf("%s:%s", t.Key, t.Effect)
	}
	return fmt.Sprintf("%s=%s:%s", t.Key, t.Value, t.Effect)
}

// Toleration lets a policy select clusters in spite of taints
// (OCM: spec.tolerations).
type Toleration struct {
	// Key and Effect stand for all when empty.
	Key    string
	Effect Effect
	// Value must be equal, unless AnyValue (OCM: operator Exists).
	Value    string
	AnyValue bool
	// For is how long after the taint was added it is tolerated; nil means for ever
	// (OCM: tolerationSeconds).
	For *time.Duration
}

func (t Toleration) covers(taint Taint) bool {
	return (t.Effect == "" || t.Effect == taint.Effect) && (t.Key == "" || t.Key == taint.Key) && (t.AnyValue || t.Value == taint.Value)
}

// filter judges clusters one by one.
type filter struct {
	policy  *Policy
	recheck *earliest
	// budget is what expressions may still cost.
	budget uint64
	// outside is what clusters in none of the sets are told, and misses what those
	// are told that a predicate does not admit: there may be many.
	outside string
	misses  []misses
}

// misses are the ways not to be admitted by a predicate.
type misses struct {
	labels, claims string
	expressions    []string
}

func newFilter(policy *Policy, clusters int, recheck *earliest) *filter {
	f := &filter{policy: policy, recheck: recheck, outside: outside(policy), budget: budget + budgetPerCluster*uint64(clusters)}
	for _, predicate := range policy.Predicates {
		var m misses
		if predicate.Labels != nil {
			m.labels = "labels do not match " + predicate.Labels.String()
		}
		if predicate.Claims != nil {
			m.claims = "claims do not match " + predicate.Claims.String()
		}
		for _, expression := range predicate.Expressions {
			m.expressions = append(m.expressions, "expression "+expression.String())
		}
		f.misses = append(f.misses, m)
	}
	return f
}

func outside(policy *Policy) string {
	switch {
	case len(policy.Sets) > 0:
		names := make([]string, len(policy.Sets))
		for i, set := range policy.Sets {
			names[i] = set.Name
		}
		return "not in the bound cluster sets " + listed(names)
	case len(policy.NamedSets) > 0:
		return "the placement's namespace is bound to none of the cluster sets " + listed(slices.Clone(policy.NamedSets))
	}
	return "no cluster set is bound to the placement's namespace"
}

// judge finds out whether a candidate may be selected.
func (f *filter) judge(c *candidate) Reason {
	reason := Reason{Cluster: c.Name, Code: Selected}
	switch {
	case c.Deleting:
		reason.Code, reason.Message = Deleting, "the cluster is being deleted"
	case !c.Accepted:
		reason.Code, reason.Message = NotAccepted, "spec.hubAcceptsClient is false"
	case !slices.ContainsFunc(f.policy.Sets, func(s Set) bool { return s.Selector.Matches(labels.Set(c.Labels)) }):
		reason.Code, reason.Message = NotInClusterSet, f.outside
	default:
		if mismatch := f.mismatch(c.Cluster); mismatch != "" {
			reason.Code, reason.Message = NotMatched, mismatch
		} else {
			reason.Code, reason.Message = f.judgeTaints(c)
		}
	}
	return reason
}

// mismatch is empty when a predicate admits the cluster, else it says what each
// of them misses.
func (f *filter) mismatch(c *Cluster) string {
	var missed []string
	for i := range f.policy.Predicates {
		miss := f.miss(i, c)
		if miss == "" {
			return ""
		}
		missed = append(missed, miss)
	}
	return strings.Join(missed, "; ")
}

// miss names the first part of a predicate that does not admit the cluster.
func (f *filter) miss(i int, c *Cluster) string {
	p := &f.policy.Predicates[i]
	if p.Labels != nil && !p.Labels.Matches(labels.Set(c.Labels)) {
		return f.misses[i].labels
	}
	if p.Claims != nil && !p.Claims.Matches(labels.Set(c.Claims)) {
		return f.misses[i].claims
	}
	for j, expression := range p.Expressions {
		if f.budget == 0 {
			return f.misses[i].expressions[j] + " was not looked at"
		}
		matches, cost, err := expression.Matches(c, f.recheck.now)
		f.budget -= min(cost, f.budget)
		if err != nil {
			return f.misses[i].expressions[j] + ": " + err.Error()
		}
		if !matches {
			return f.misses[i].expressions[j] + " is false"
		}
	}
	return ""
}

// judgeTaints gives the reason for which taints keep the candidate out, and counts
// those that only put it behind others.
func (f *filter) judgeTaints(c *candidate) (code ReasonCode, message string) {
	code = Selected
	for _, taint := range c.Taints {
		tolerated, expired := f.tolerated(taint)
		switch {
		case tolerated:
		case c.before && taint.Outage && !expired:
			code, message = SelectedInOutage, fmt.Sprintf("taint %s: what runs there stays, and nothing new arrives", taint)
		case c.before && taint.Effect == NoSelectIfNew:
		case taint.Effect == PreferNoSelect:
			c.avoided++
		case expired:
			return Tainted, fmt.Sprintf("taint %s is not tolerated any longer", taint)
		default:
			return Tainted, fmt.Sprintf("taint %s is not tolerated", taint)
		}
	}
	return code, message
}

// tolerated says whether a toleration covers the taint now, and if not, whether
// one did before.
func (f *filter) tolerated(taint Taint) (tolerated, expired bool) {
	for _, toleration := range f.policy.Tolerations {
		if !toleration.covers(taint) {
			continue
		}
		if toleration.For == nil || taint.Effect == NoSelectIfNew {
			return true, false
		}
		end := taint.Added.Add(*toleration.For)
		f.recheck.note(end)
		if f.recheck.now.Before(end) {
			tolerated = true
		} else {
			expired = true
		}
	}
	return tolerated, expired
}
