package scheduler

import (
	"cmp"
	"slices"

	"github.com/kronvoy/kronvoy/placement"
)

// pageSize is the most decisions one PlacementDecision holds (OCM).
const pageSize = 100

// page is a PlacementDecision: a part of one group.
type page struct {
	// number in its name, from 1.
	number int
	// index and name of the group.
	index int
	name  string
	// clusters in the group's order.
	clusters []string
}

// pagePlan is what to write. Readers put the pages together, and may see some of
// them as they were: no cluster that stays selected may be missing from all of
// them between two writes. So what goes to another page is on both until all of
// first is written.
type pagePlan struct {
	first, then []page
	// remove are the numbers of pages to delete last.
	remove []int
}

// paginate distributes groups over pages. A cluster stays on its page as long as
// its group does, so that one more or less is one page written. No page ever
// holds more than pageSize, not even for a moment.
func paginate(groups []placement.Group, existing []page) pagePlan {
	existing = slices.Clone(existing)
	slices.SortFunc(existing, func(a, b page) int { return cmp.Compare(a.number, b.number) })
	home := map[string]int{}
	for index, group := range groups {
		for _, cluster := range group.Clusters {
			home[cluster] = index
		}
	}
	var plan pagePlan
	free := freeNumbers(existing)
	for index, group := range groups {
		kept := keep(index, group, existing, home)
		for _, k := range fill(group, kept, free) {
			final := page{number: k.number, index: index, name: group.Name, clusters: k.stay}
			if len(k.leaving) == 0 {
				plan.first = append(plan.first, final)
				continue
			}
			interim := final
			interim.clusters = slices.Concat(k.stay, k.leaving)
			plan.first = append(plan.first, interim)
			plan.then = append(plan.then, final)
		}
	}
	for _, old := range existing {
		if !slices.ContainsFunc(plan.first, func(p page) bool { return p.number == old.number }) {
			plan.remove = append(plan.remove, old.number)
		}
	}
	return plan
}

// keptPage is an existing page of a group.
type keptPage struct {
	number int
	// stay are clusters of the group; leaving are selected, and in other groups now.
	stay, leaving []string
}

func keep(index int, group placement.Group, existing []page, home map[string]int) []keptPage {
	var kept []keptPage
	seen := map[string]bool{}
	for _, old := range existing {
		if old.index != index || old.name != group.Name {
			continue
		}
		k := keptPage{number: old.number}
		for _, cluster := range old.clusters {
			switch at, selected := home[cluster]; {
			case !selected || seen[cluster]:
			case at == index:
				seen[cluster] = true
				k.stay = append(k.stay, cluster)
			default:
				k.leaving = append(k.leaving, cluster)
			}
		}
		kept = append(kept, k)
	}
	return kept
}

// fill gives a group's clusters that are on none of its pages to pages with room,
// and to new ones. Pages that nothing is left on go, but for a group's only one.
func fill(group placement.Group, kept []keptPage, free func() int) []keptPage {
	there := map[string]bool{}
	for _, k := range kept {
		for _, cluster := range k.stay {
			there[cluster] = true
		}
	}
	order := make(map[string]int, len(group.Clusters))
	var newcomers []string
	for i, cluster := range group.Clusters {
		order[cluster] = i
		if !there[cluster] {
			newcomers = append(newcomers, cluster)
		}
	}
	for i := range kept {
		k := &kept[i]
		n := min(len(newcomers), max(pageSize-len(k.stay)-len(k.leaving), 0))
		k.stay, newcomers = append(k.stay, newcomers[:n]...), newcomers[n:]
	}
	for part := range slices.Chunk(newcomers, pageSize) {
		kept = append(kept, keptPage{number: free(), stay: slices.Clone(part)})
	}
	if kept = slices.DeleteFunc(kept, func(k keptPage) bool { return len(k.stay) == 0 && len(group.Clusters) > 0 }); len(kept) == 0 {
		kept = []keptPage{{number: free()}}
	}
	if len(group.Clusters) == 0 {
		kept = kept[:1]
	}
	for i := range kept {
		slices.SortFunc(kept[i].stay, func(a, b string) int { return cmp.Compare(order[a], order[b]) })
	}
	return kept
}

// freeNumbers gives the lowest numbers that no page has.
func freeNumbers(existing []page) func() int {
	taken := map[int]bool{}
	for _, p := range existing {
		taken[p.number] = true
	}
	next := 0
	return func() int {
		for next++; taken[next]; next++ {
		}
		return next
	}
}
