package rollout

import (
	"cmp"
	"slices"
	"strconv"
	"time"
)

// GroupID tells groups apart, also those that have no cluster any more.
type GroupID struct {
	// Name is a label's value or a decision group's name; empty for the rest, and
	// for decision groups without a name.
	Name string
	// Index of a decision group; 0 for labels, -1 for the rest.
	Index int
}

// rest are clusters without the label, and what is in no mandatory group.
var rest = GroupID{Index: -1}

// String is how people read it.
func (g GroupID) String() string {
	switch {
	case g.Name != "":
		return g.Name
	case g.Index > 0:
		return "#" + strconv.Itoa(g.Index)
	default:
		return "-"
	}
}

// rank orders groups.
type rank struct {
	after int
	id    GroupID
}

func (r rank) compare(other rank) int {
	return cmp.Or(cmp.Compare(r.after, other.after), cmp.Compare(r.id.Index, other.id.Index), cmp.Compare(r.id.Name, other.id.Name))
}

// grouping knows the group of a cluster, and its place.
type grouping struct {
	strategy *Strategy
	listed   map[string]int
}

func newGrouping(s *Strategy) grouping {
	g := grouping{strategy: s, listed: make(map[string]int, len(s.GroupBy.Order))}
	for i, name := range s.GroupBy.Order {
		if _, twice := g.listed[name]; !twice {
			g.listed[name] = i
		}
	}
	return g
}

// of a cluster.
func (g grouping) of(c *Cluster) GroupID {
	switch {
	case g.strategy.Kind == All:
		return GroupID{}
	case g.strategy.Kind == Progressive:
		if g.mandatory(c.Group) < 0 {
			return rest
		}
		return c.Group
	case g.strategy.Kind == ProgressivePerGroup, g.strategy.GroupBy.Label == "" && g.strategy.GroupBy.Decisions:
		return c.Group
	case g.strategy.GroupBy.Label == "":
		return GroupID{}
	case c.Labels[g.strategy.GroupBy.Label] == "":
		return rest
	default:
		return GroupID{Name: c.Labels[g.strategy.GroupBy.Label]}
	}
}

// mandatory is which of the mandatory groups a decision group is, or -1. A name
// counts before an index (OCM).
func (g grouping) mandatory(id GroupID) int {
	return slices.IndexFunc(g.strategy.Mandatory, func(m MandatoryGroup) bool {
		return m.Name != "" && m.Name == id.Name || m.Name == "" && m.Index == id.Index
	})
}

// rank of a group. Mandatory ones come first, in the order of their indices (OCM).
func (g grouping) rank(id GroupID) rank {
	switch {
	case g.strategy.Kind == Progressive, g.strategy.Kind == ProgressivePerGroup:
		if g.mandatory(id) >= 0 {
			return rank{after: 0, id: id}
		}
		return rank{after: 1, id: id}
	case g.strategy.GroupBy.Label == "":
		return rank{id: id}
	}
	at, listed := g.listed[id.Name]
	switch {
	case id.Name == "":
		at = len(g.listed) + 1
	case !listed:
		at = len(g.listed)
	}
	return rank{after: at, id: id}
}

// group is a part of the clusters, which moves by itself.
type group struct {
	id   GroupID
	rank rank
	// members are indices of units, by name of the cluster.
	members []int
	// limit of clusters in flight, tolerance of failures.
	limit, tolerance int
	// approval is asked for before it.
	approval bool
	// states of its members, as they were judged.
	states [numberOfStates]int
	// behind is how many of them have something else than what is wanted.
	behind int
	// flying and superseded are how many of them are in flight.
	flying, superseded int
}

// newGroups divides clusters, which are in the order of their names.
func newGroups(s *Strategy, clusters []*Cluster) []group {
	g := newGrouping(s)
	at := map[GroupID]int{}
	var groups []group
	for i, c := range clusters {
		id := g.of(c)
		k, known := at[id]
		if !known {
			k = len(groups)
			at[id] = k
			groups = append(groups, group{id: id, rank: g.rank(id)})
		}
		groups[k].members = append(groups[k].members, i)
	}
	slices.SortFunc(groups, func(a, b group) int { return a.rank.compare(b.rank) })
	for i := range groups {
		groups[i].size(s, len(clusters), g.mandatory(groups[i].id) >= 0)
		groups[i].approval = slices.Contains(s.ApprovalBefore, groups[i].id.Name)
	}
	return groups
}

// size gives a group its limits. all is the number of clusters of all groups.
//
// OCM's helper (sdk-go, cluster/v1alpha1) takes a MaxFailures that exceeds the
// number of clusters for 0; here it is all of them.
func (g *group) size(s *Strategy, all int, mandatory bool) {
	n := len(g.members)
	g.limit, g.tolerance = n, 0
	switch s.Kind {
	case All:
		g.tolerance = n
	case Progressive:
		if mandatory {
			return
		}
		g.limit, g.tolerance = s.concurrency(n, true), s.MaxFailures.of(all, true)
	case ProgressivePerGroup:
		if !mandatory {
			g.tolerance = s.MaxFailures.of(n, true)
		}
	default:
		g.limit, g.tolerance = s.concurrency(n, false), s.MaxFailures.of(n, false)
	}
}

func (s *Strategy) concurrency(n int, up bool) int {
	if s.MaxConcurrency == (Amount{}) {
		return n
	}
	return max(s.MaxConcurrency.of(n, up), 1)
}

// soak is the time that a cluster must have been ready; OCM's All has none.
func (s *Strategy) soak() time.Duration {
	if s.Kind == All {
		return 0
	}
	return s.MinSuccessTime
}
