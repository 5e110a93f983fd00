package placement

import (
	"fmt"
	"math/rand"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/labels"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// randomFleet and randomPolicy cover whatever Select looks at. Cases with names are
// in hub/convert, where Placements are written as users write them.
func randomFleet(random *rand.Rand, size int) []Cluster {
	pick := func(values ...string) string { return values[random.Intn(len(values))] }
	fleet := make([]Cluster, size)
	for i := range fleet {
		c := Cluster{
			Name: fmt.Sprintf("c%03d", i), Accepted: random.Intn(20) > 0, Deleting: random.Intn(20) == 0,
			Labels: map[string]string{"size": pick("s", "m", "l")}, Claims: map[string]string{"provider": pick("a", "b", "c")},
			Placed: random.Intn(5), Allocatable: map[string]float64{"cpu": float64(random.Intn(64))},
			Scores: map[string]AddOnScores{"load": {Values: map[string]int64{"cpu": int64(random.Intn(201) - 100)}}},
		}
		if random.Intn(10) > 0 {
			c.Labels["region"] = pick("eu", "us", "ap")
		}
		if random.Intn(4) == 0 {
			c.Taints = []Taint{{Key: pick("k", "l"), Effect: Effect(pick(string(NoSelect), string(PreferNoSelect), string(NoSelectIfNew))),
				Added: noon.Add(-time.Duration(random.Intn(600)) * time.Second), Outage: random.Intn(3) == 0}}
		}
		fleet[i] = c
	}
	return fleet
}

func randomPolicy(random *rand.Rand) Policy {
	maybe := func() bool { return random.Intn(2) == 0 }
	policy := Policy{Sets: []Set{{Name: "global", Selector: labels.Everything()}}, Prioritizers: DefaultPrioritizers(), SortByScore: maybe()}
	if maybe() {
		n := int32(random.Intn(30))
		policy.NumberOfClusters = &n
	}
	if maybe() {
		policy.Predicates = []Predicate{{Labels: labels.SelectorFromSet(labels.Set{"size": "m"})}, {Claims: labels.SelectorFromSet(labels.Set{"provider": "a"})}}
	}
	if maybe() {
		period := 5 * time.Minute
		policy.Tolerations = []Toleration{{Key: "k", AnyValue: true, For: &period}, {Key: "l", AnyValue: true, Effect: PreferNoSelect}}
	}
	if maybe() {
		policy.Prioritizers = append(policy.Prioritizers, Prioritizer{Kind: Allocatable, Resource: "cpu", Weight: int32(random.Intn(21) - 10)},
			Prioritizer{Kind: AddOn, Resource: "load", ScoreName: "cpu", Weight: int32(random.Intn(21) - 10)})
	}
	if maybe() {
		policy.Spread = append(policy.Spread, SpreadConstraint{Key: "region", MaxSkew: int32(random.Intn(3) + 1), Required: maybe()})
	}
	if maybe() {
		policy.Spread = append(policy.Spread, SpreadConstraint{Key: "provider", Claim: true, MaxSkew: int32(random.Intn(3) + 1), Required: maybe()})
	}
	if maybe() {
		policy.GroupSize = GroupSize{Percent: float64(random.Intn(100))}
		policy.Groups = []GroupRule{{Name: "eu", Labels: labels.SelectorFromSet(labels.Set{"region": "eu"})}}
	}
	return policy
}

func TestSelectHolds(t *testing.T) {
	for seed := range int64(2000) {
		random := rand.New(rand.NewSource(seed))
		policy, fleet := randomPolicy(random), randomFleet(random, random.Intn(80))
		var previous []string
		for i := range fleet {
			if random.Intn(3) == 0 {
				previous = append(previous, fleet[i].Name)
			}
		}
		decision := Select(policy, fleet, previous, noon)

		shuffled, before := slices.Clone(fleet), slices.Clone(previous)
		random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		random.Shuffle(len(before), func(i, j int) { before[i], before[j] = before[j], before[i] })
		if diff := cmp.Diff(decision, Select(policy, shuffled, before, noon)); diff != "" {
			t.Fatalf("seed %d: another order decides otherwise (-first +then):\n%s", seed, diff)
		}
		holdsTogether(t, seed, policy, fleet, decision)
		spreads(t, seed, policy, fleet, decision)

		// With one constraint at most, what is decided stays decided.
		if len(policy.Spread) < 2 {
			if diff := cmp.Diff(decision.Clusters, Select(policy, fleet, decision.Clusters, noon).Clusters); diff != "" && !entered(policy, fleet) {
				t.Fatalf("seed %d: a second look decides otherwise (-first +then):\n%s", seed, diff)
			}
		}
	}
}

// entered says whether somebody can come in only by staying: then the previous
// decision matters for more than the order.
func entered(_ Policy, fleet []Cluster) bool {
	return slices.ContainsFunc(fleet, func(c Cluster) bool {
		return slices.ContainsFunc(c.Taints, func(t Taint) bool { return t.Effect == NoSelectIfNew || t.Outage })
	})
}

// holdsTogether: every cluster has a reason, the selected ones are those in the
// groups, ranks count from 1 without a gap, and the number is not exceeded.
func holdsTogether(t *testing.T, seed int64, policy Policy, fleet []Cluster, decision Decision) {
	t.Helper()
	var selected, grouped []string
	var ranks []int
	for i, reason := range decision.Reasons {
		if i > 0 && decision.Reasons[i-1].Cluster >= reason.Cluster {
			t.Fatalf("seed %d: reasons are not in order", seed)
		}
		if reason.Selected() {
			selected = append(selected, reason.Cluster)
		} else if reason.Message == "" {
			t.Fatalf("seed %d: %s is not told why it is %s", seed, reason.Cluster, reason.Code)
		}
		if reason.Rank > 0 {
			ranks = append(ranks, reason.Rank)
		}
	}
	for _, group := range decision.Groups {
		grouped = append(grouped, group.Clusters...)
	}
	slices.Sort(grouped)
	slices.Sort(ranks)
	for i, rank := range ranks {
		if rank != i+1 {
			t.Fatalf("seed %d: ranks %v", seed, ranks)
		}
	}
	if len(decision.Reasons) != len(fleet) || !slices.Equal(selected, decision.Clusters) || !slices.Equal(grouped, decision.Clusters) {
		t.Fatalf("seed %d: %d reasons for %d clusters; selected %v, by reason %v, in groups %v", seed, len(decision.Reasons), len(fleet), decision.Clusters, selected, grouped)
	}
	if policy.NumberOfClusters != nil && len(selected) > int(*policy.NumberOfClusters) {
		t.Fatalf("seed %d: %d of %d selected", seed, len(selected), *policy.NumberOfClusters)
	}
}

// spreads: the fullest value of a required constraint has at most MaxSkew more
// than the emptiest, among the values of clusters that could be selected.
func spreads(t *testing.T, seed int64, policy Policy, fleet []Cluster, decision Decision) {
	t.Helper()
	for _, constraint := range policy.Spread {
		if !constraint.Required {
			continue
		}
		counts := map[string]int{}
		for i := range fleet {
			reason, _ := decision.Why(fleet[i].Name)
			value, found := constraint.value(&fleet[i])
			switch {
			case reason.Rank == 0 || !found && !reason.Selected() || reason.Code == NoTopology:
			case !found:
				t.Fatalf("seed %d: %s has no %s and is selected", seed, fleet[i].Name, constraint.Key)
			case reason.Selected():
				counts[value]++
			default:
				counts[value] += 0
			}
		}
		fewest, most := len(fleet), 0
		for _, n := range counts {
			fewest, most = min(fewest, n), max(most, n)
		}
		if len(counts) > 0 && most-fewest > int(constraint.MaxSkew) {
			t.Fatalf("seed %d: skew %d of %s over %d: %v", seed, most-fewest, constraint.Key, constraint.MaxSkew, counts)
		}
	}
}

// A spread over a key that is different on each cluster is no reason for the
// hub to stand still.
func TestSpreadOverUniqueValuesIsQuick(t *testing.T) {
	fleet := make([]Cluster, 20_000)
	for i := range fleet {
		name := fmt.Sprintf("c%05d", i)
		fleet[i] = Cluster{Name: name, Accepted: true, Labels: map[string]string{"host": name}}
	}
	policy := Policy{Sets: []Set{{Name: "global", Selector: labels.Everything()}},
		Spread: []SpreadConstraint{{Key: "host", MaxSkew: 1, Required: true}, {Key: "host", MaxSkew: 1}}}
	done := make(chan int, 1)
	go func() { done <- len(Select(policy, fleet, nil, noon).Clusters) }()
	select {
	case n := <-done:
		if n != len(fleet) {
			t.Errorf("%d of %d selected", n, len(fleet))
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it has not ended after 30 s")
	}
}
