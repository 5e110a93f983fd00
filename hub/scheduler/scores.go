package scheduler

import (
	"cmp"
	"slices"
	"time"

	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"

	"github.com/kronvoy/kronvoy/hub/convert"
	"github.com/kronvoy/kronvoy/placement"
)

// defaultScoreRate is how often scores alone are written (OCM:
// spec.scoreRateLimit).
const defaultScoreRate = time.Minute

// scores are what decisions say of clusters' scores; nil where they say nothing.
type scores map[string]int64

// recorded is what pages say.
func recorded(pages []clusterv1beta1.PlacementDecision) scores {
	out := scores{}
	for i := range pages {
		for _, d := range pages[i].Status.Decisions {
			out[d.ClusterName] = d.Score
		}
	}
	return out
}

// scored says whether scores mean anything to the Placement's readers: where all
// that match are selected, and nobody asked for scores or an order by them, they
// would be written for nothing.
func scored(p *clusterv1beta1.Placement) bool {
	return p.Spec.NumberOfClusters != nil || p.Spec.SortBy == clusterv1beta1.PlacementSortByScore || len(p.Spec.PrioritizerPolicy.Configurations) > 0
}

// scoresToWrite are a decision's. While the same clusters are selected, in the
// same groups, they are not written more often than the Placement says: until
// then, which is in wait, the decision takes scores and order from the pages.
func scoresToWrite(p *clusterv1beta1.Placement, pages []clusterv1beta1.PlacementDecision, decision *placement.Decision, now time.Time) (write scores, wait time.Duration) {
	if !scored(p) {
		return nil, 0
	}
	write = make(scores, len(decision.Clusters))
	for _, name := range decision.Clusters {
		why, _ := decision.Why(name)
		write[name] = why.Score
	}
	if p.Status.LastScoreUpdateTime == nil {
		return write, 0
	}
	wait = p.Status.LastScoreUpdateTime.Add(scoreRate(p)).Sub(now)
	before := recorded(pages)
	if wait <= 0 || !keepOrder(pages, decision.Groups) {
		return write, 0
	}
	for name, score := range write {
		if before[name] != score {
			return before, wait
		}
	}
	return before, 0
}

func scoreRate(p *clusterv1beta1.Placement) time.Duration {
	rate, err := time.ParseDuration(p.Spec.ScoreRateLimit)
	if err != nil { // the CRD lets nothing else through but an empty text
		return defaultScoreRate
	}
	return rate
}

// keepOrder gives groups the order of the pages; false, and nothing is changed,
// if their clusters are not the same.
func keepOrder(pages []clusterv1beta1.PlacementDecision, groups []placement.Group) bool {
	at, home := map[string]int{}, map[string]string{}
	for i := range pages {
		for _, d := range pages[i].Status.Decisions {
			at[d.ClusterName], home[d.ClusterName] = len(at), pages[i].Labels[clusterv1beta1.DecisionGroupNameLabel]
		}
	}
	total := 0
	for _, group := range groups {
		total += len(group.Clusters)
		for _, cluster := range group.Clusters {
			if of, there := home[cluster]; !there || of != group.Name {
				return false
			}
		}
	}
	if total != len(convert.Decided(pages)) {
		return false
	}
	for _, group := range groups {
		slices.SortFunc(group.Clusters, func(a, b string) int { return cmp.Compare(at[a], at[b]) })
	}
	return true
}
