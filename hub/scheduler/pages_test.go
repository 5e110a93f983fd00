package scheduler

import (
	"fmt"
	"math/rand"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kronvoy/kronvoy/placement"
)

// names are count names from c<from> on.
func names(from, count int) []string {
	var out []string
	for i := range count {
		out = append(out, fmt.Sprintf("c%04d", from+i))
	}
	return out
}

func TestPaginate(t *testing.T) {
	for name, tc := range map[string]struct {
		groups   []placement.Group
		existing []page
		want     pagePlan
	}{
		"no cluster is one empty page": {
			groups: []placement.Group{{}},
			want:   pagePlan{first: []page{{number: 1}}},
		},
		"hundred and one clusters are two pages": {
			groups: []placement.Group{{Clusters: names(0, 101)}},
			want:   pagePlan{first: []page{{number: 1, clusters: names(0, 100)}, {number: 2, clusters: names(100, 1)}}},
		},
		"each group has pages of its own": {
			groups: []placement.Group{{Name: "canary", Clusters: []string{"b"}}, {Clusters: []string{"a", "c"}}},
			want:   pagePlan{first: []page{{number: 1, name: "canary", clusters: []string{"b"}}, {number: 2, index: 1, clusters: []string{"a", "c"}}}},
		},
		"a cluster that leaves moves no other": {
			groups:   []placement.Group{{Clusters: names(1, 149)}},
			existing: []page{{number: 1, clusters: names(0, 100)}, {number: 2, clusters: names(100, 50)}},
			want:     pagePlan{first: []page{{number: 1, clusters: names(1, 99)}, {number: 2, clusters: names(100, 50)}}},
		},
		"a cluster that comes takes the place that is free": {
			groups:   []placement.Group{{Clusters: append(names(0, 99), "x", "y")}},
			existing: []page{{number: 1, clusters: names(0, 99)}},
			want:     pagePlan{first: []page{{number: 1, clusters: append(names(0, 99), "x")}, {number: 2, clusters: []string{"y"}}}},
		},
		"a page that nothing is left on goes": {
			groups:   []placement.Group{{Clusters: names(100, 50)}},
			existing: []page{{number: 1, clusters: names(0, 100)}, {number: 2, clusters: names(100, 50)}},
			want:     pagePlan{first: []page{{number: 2, clusters: names(100, 50)}}, remove: []int{1}},
		},
		"the last page stays, empty": {
			groups:   []placement.Group{{}},
			existing: []page{{number: 3, clusters: names(0, 2)}, {number: 5, clusters: names(2, 2)}},
			want:     pagePlan{first: []page{{number: 3}}, remove: []int{5}},
		},
		"what changes its group is on both pages for a while": {
			groups:   []placement.Group{{Name: "canary", Clusters: []string{"b", "d"}}, {Clusters: []string{"a", "c"}}},
			existing: []page{{number: 1, name: "canary", clusters: []string{"a", "b"}}, {number: 2, index: 1, clusters: []string{"c", "d"}}},
			want: pagePlan{
				first: []page{{number: 1, name: "canary", clusters: []string{"b", "d", "a"}}, {number: 2, index: 1, clusters: []string{"a", "c", "d"}}},
				then:  []page{{number: 1, name: "canary", clusters: []string{"b", "d"}}, {number: 2, index: 1, clusters: []string{"a", "c"}}},
			},
		},
		"pages of a group that is gone go last": {
			groups:   []placement.Group{{Clusters: []string{"a"}}},
			existing: []page{{number: 1, name: "canary", clusters: []string{"a"}}},
			want:     pagePlan{first: []page{{number: 2, clusters: []string{"a"}}}, remove: []int{1}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, paginate(tc.groups, tc.existing), cmp.AllowUnexported(pagePlan{}, page{}), cmp.Transformer("nil", func(l []string) []string { return append([]string{}, l...) })); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Whoever reads pages between two writes misses nothing that stays selected, sees
// nothing that neither was nor is selected, and no page is ever too large.
func TestPagesAreCompleteBetweenAnyTwoWrites(t *testing.T) {
	for seed := range int64(300) {
		random := rand.New(rand.NewSource(seed))
		live := map[int]page{}
		var before []string
		for range 6 {
			groups := randomGroups(random)
			var after []string
			for _, group := range groups {
				after = append(after, group.Clusters...)
			}
			var existing []page
			for _, p := range live {
				existing = append(existing, p)
			}
			plan := paginate(groups, existing)
			look := func() {
				seen := map[string]bool{}
				for _, p := range live {
					if len(p.clusters) > pageSize {
						t.Fatalf("seed %d: a page of %d", seed, len(p.clusters))
					}
					for _, cluster := range p.clusters {
						seen[cluster] = true
						if !slices.Contains(before, cluster) && !slices.Contains(after, cluster) {
							t.Fatalf("seed %d: %s was not selected", seed, cluster)
						}
					}
				}
				for _, cluster := range before {
					if slices.Contains(after, cluster) && !seen[cluster] {
						t.Fatalf("seed %d: %s is missing", seed, cluster)
					}
				}
			}
			for _, writes := range [][]page{plan.first, plan.then} {
				random.Shuffle(len(writes), func(i, j int) { writes[i], writes[j] = writes[j], writes[i] })
				for _, p := range writes {
					live[p.number] = p
					look()
				}
			}
			for _, number := range plan.remove {
				delete(live, number)
				look()
			}
			settled(t, seed, groups, live)
			before = after
		}
	}
}

// settled: the pages hold each group, and nothing twice.
func settled(t *testing.T, seed int64, groups []placement.Group, live map[int]page) {
	t.Helper()
	got := make([][]string, len(groups))
	for _, p := range live {
		if p.name != groups[p.index].Name {
			t.Fatalf("seed %d: page %d is of group %q", seed, p.number, p.name)
		}
		got[p.index] = append(got[p.index], p.clusters...)
	}
	for i, group := range groups {
		slices.Sort(got[i])
		want := slices.Sorted(slices.Values(group.Clusters))
		if !slices.Equal(got[i], want) {
			t.Fatalf("seed %d: group %d has %d clusters on pages, not %d", seed, i, len(got[i]), len(want))
		}
	}
}

func randomGroups(random *rand.Rand) []placement.Group {
	groups := make([]placement.Group, 1+random.Intn(3))
	for i := range groups {
		groups[i].Name = []string{"one", "two", ""}[(i+random.Intn(2))%3]
	}
	for _, cluster := range names(0, random.Intn(450)) {
		if random.Intn(4) > 0 {
			g := &groups[random.Intn(len(groups))]
			g.Clusters = append(g.Clusters, cluster)
		}
	}
	groups = slices.DeleteFunc(groups, func(g placement.Group) bool { return len(g.Clusters) == 0 })
	if len(groups) == 0 {
		groups = []placement.Group{{}}
	}
	return groups
}
