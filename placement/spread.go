package placement

import (
	"cmp"
	"container/heap"
	"fmt"
	"slices"
	"strings"
)

// SpreadConstraint asks for an even distribution over the values of a label or
// claim (OCM: spec.spreadPolicy.spreadConstraints).
type SpreadConstraint struct {
	// Key of a label, or of a claim.
	Key   string
	Claim bool
	// MaxSkew is how many more clusters one value may have than the value with the
	// fewest; at least 1.
	MaxSkew int32
	// Required constraints are never violated, clusters without the key never
	// selected (OCM: DoNotSchedule). The others come before scores
	// (OCM: ScheduleAnyway).
	Required bool
}

func (s SpreadConstraint) value(c *Cluster) (string, bool) {
	values := c.Labels
	if s.Claim {
		values = c.Claims
	}
	value, found := values[s.Key]
	return value, found
}

func (s SpreadConstraint) source() string {
	if s.Claim {
		return "claim " + s.Key
	}
	return "label " + s.Key
}

// topology counts what is selected for each value of one constraint.
type topology struct {
	SpreadConstraint
	counts []int
	// perCount[n] is how many values have n selected clusters; fewest is the lowest
	// n that any has.
	perCount []int
	fewest   int
	ids      map[string]int
}

// id of a value; -1 for clusters without the key.
func (t *topology) id(c *Cluster) int {
	value, found := t.value(c)
	if !found {
		return -1
	}
	id, known := t.ids[value]
	if !known {
		id = len(t.counts)
		t.ids[value] = id
		t.counts = append(t.counts, 0)
	}
	return id
}

// excess is by how much one more of a value would exceed MaxSkew. A cluster
// without the key exceeds it more than any other.
func (t *topology) excess(id int) int {
	if id < 0 {
		return len(t.perCount) + 1
	}
	return max(0, t.counts[id]+1-t.fewest-int(t.MaxSkew))
}

func (t *topology) add(id int) {
	if id < 0 {
		return
	}
	n := t.counts[id]
	t.counts[id]++
	t.perCount[n]--
	t.perCount[n+1]++
	if n == t.fewest && t.perCount[n] == 0 {
		t.fewest++
	}
}

// bucket holds the candidates that are alike for all constraints, best first.
type bucket struct {
	ids        []int
	candidates []*candidate
	// blocked and excess are what taking another one would do to required and to
	// all constraints, as of when they were last looked at.
	blocked bool
	excess  []int
}

// look says whether anything has changed since it was last looked at.
func (b *bucket) look(topologies []*topology) bool {
	changed, blocked := false, false
	for i, t := range topologies {
		excess := t.excess(b.ids[i])
		changed = changed || excess != b.excess[i]
		blocked = blocked || t.Required && excess > 0
		b.excess[i] = excess
	}
	changed = changed || blocked != b.blocked
	b.blocked = blocked
	return changed
}

// queue is a heap with the bucket to take from on top. A taint weighs more than
// the spread, the spread more than scores.
type queue []*bucket

func (q queue) Len() int      { return len(q) }
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(b any)   { *q = append(*q, b.(*bucket)) }
func (q *queue) Pop() any {
	last := len(*q) - 1
	b := (*q)[last]
	*q = (*q)[:last]
	return b
}

func (q queue) Less(i, j int) bool {
	a, b := q[i], q[j]
	if a.blocked != b.blocked {
		return b.blocked
	}
	first, second := a.candidates[0], b.candidates[0]
	return cmp.Or(cmp.Compare(first.avoided, second.avoided), slices.Compare(a.excess, b.excess), better(first, second)) < 0
}

// spread takes up to number of the candidates, which are in order. At each step
// it takes the candidate that violates the constraints least, the more
// important ones first, and among equals the best. The others are returned too,
// with the reason if it is a required constraint.
func spread(constraints []SpreadConstraint, candidates []*candidate, number int) (selected, left []*candidate) {
	topologies := make([]*topology, len(constraints))
	for i, c := range constraints {
		c.MaxSkew = max(c.MaxSkew, 1)
		topologies[i] = &topology{SpreadConstraint: c, ids: map[string]int{}}
	}
	buckets, without := sortIntoBuckets(topologies, candidates)
	for _, t := range topologies {
		t.perCount = make([]int, len(candidates)+2)
		t.perCount[0] = len(t.counts)
	}
	for _, b := range buckets {
		b.look(topologies)
	}
	heap.Init(&buckets)
	selected = make([]*candidate, 0, number)
	for len(selected) < number && len(buckets) > 0 {
		b := buckets[0]
		if b.look(topologies) {
			// Something else of its values was taken since; what it was is worse now.
			heap.Fix(&buckets, 0)
			continue
		}
		if b.blocked {
			break
		}
		selected = append(selected, b.candidates[0])
		b.candidates = b.candidates[1:]
		if len(b.candidates) == 0 {
			heap.Pop(&buckets)
		}
		if take(topologies, b.ids) {
			// The value with the fewest has one more: others may be better now.
			for _, b := range buckets {
				b.look(topologies)
			}
			heap.Init(&buckets)
		} else if len(b.candidates) > 0 {
			b.look(topologies)
			heap.Fix(&buckets, 0)
		}
	}
	full := len(selected) == number
	for _, b := range buckets {
		for _, c := range b.candidates {
			if !full {
				c.reason.Code, c.reason.Message = SpreadExceeded, exceeded(topologies, b.ids, c)
			}
			left = append(left, c)
		}
	}
	slices.SortFunc(left, better)
	return selected, append(left, without...)
}

// take says whether the fewest clusters of any value have become more.
func take(topologies []*topology, ids []int) (more bool) {
	for i, t := range topologies {
		fewest := t.fewest
		t.add(ids[i])
		more = more || t.fewest != fewest
	}
	return more
}

// sortIntoBuckets sets those aside that lack the key of a required constraint.
func sortIntoBuckets(topologies []*topology, candidates []*candidate) (buckets queue, without []*candidate) {
	byIDs := map[string]*bucket{}
	var key strings.Builder
	ids := make([]int, len(topologies))
candidates:
	for _, c := range candidates {
		for _, t := range topologies {
			if _, found := t.value(c.Cluster); !found && t.Required {
				c.reason.Code, c.reason.Message = NoTopology, "the cluster has no "+t.source()+", which a required spread constraint is about"
				without = append(without, c)
				continue candidates
			}
		}
		key.Reset()
		for i, t := range topologies {
			ids[i] = t.id(c.Cluster)
			fmt.Fprintf(&key, "%d ", ids[i])
		}
		b := byIDs[key.String()]
		if b == nil {
			b = &bucket{ids: slices.Clone(ids), excess: make([]int, len(ids))}
			byIDs[key.String()] = b
			buckets = append(buckets, b)
		}
		b.candidates = append(b.candidates, c)
	}
	return buckets, without
}

func exceeded(topologies []*topology, ids []int, c *candidate) string {
	for i, t := range topologies {
		if t.Required && t.excess(ids[i]) > 0 {
			value, _ := t.value(c.Cluster)
			return fmt.Sprintf("%s %s has %d clusters already, and maxSkew is %d", t.source(), value, t.counts[ids[i]], t.MaxSkew)
		}
	}
	return "required spread constraints leave no room for it"
}
