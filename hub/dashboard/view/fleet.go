package view

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "open-cluster-management.io/api/cluster/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/convert"
)

// Tile is one cluster in the fleet. It is shared by all viewers and never
// changed: what a viewer may not see is left out by Bare.
type Tile struct {
	Name   string
	Labels map[string]string
	Claims map[string]string
	// State is the worst of the cluster's own and that of its instances.
	State State
	// Instances and Troubled count Targets, and those of them that are not ready.
	Instances, Troubled int
	// DriftedObjects differ now, the oldest of them since DriftSince by the hub's
	// clock.
	DriftedObjects int
	DriftSince     time.Time
	// own is the state of the cluster without its instances.
	own State
}

// NewTile sums a cluster up with the Targets of its namespace.
func NewTile(c *clusterv1.ManagedCluster, targets []kronvoyv1alpha1.Target) Tile {
	t := Tile{Name: c.Name, Labels: c.Labels, Claims: convert.Claims(c), own: ofCluster(c), Instances: len(targets)}
	t.State = t.own
	for i := range targets {
		state := ofTarget(&targets[i])
		if state != Ready {
			t.Troubled++
		}
		t.DriftedObjects += int(targets[i].Status.Drift.Objects)
		if since := targets[i].Status.Clocks.DriftSince; since != nil && (t.DriftSince.IsZero() || since.Time.Before(t.DriftSince)) {
			t.DriftSince = since.Time
		}
		// An agent that is silent says nothing about the instances, either.
		if t.own == Idle || t.own == Ready {
			t.State = worst(t.State, state)
		}
	}
	return t
}

// ofCluster is the state of a cluster by itself.
func ofCluster(c *clusterv1.ManagedCluster) State {
	available := apimeta.FindStatusCondition(c.Status.Conditions, clusterv1.ManagedClusterConditionAvailable)
	switch {
	case !c.Spec.HubAcceptsClient || available == nil:
		return Joining
	case available.Status != metav1.ConditionTrue:
		return Unreachable
	}
	return Idle
}

// Bare is the tile for a viewer who may see the cluster, but not what runs on
// it.
func (t Tile) Bare() Tile {
	t.State, t.Instances, t.Troubled, t.DriftedObjects, t.DriftSince = t.own, 0, 0, 0, time.Time{}
	if t.State == Idle {
		t.State = Unknown
	}
	return t
}

// DefaultGroup is the label by which tiles are grouped.
const DefaultGroup = "region"

// Filter is which tiles are shown, and in which groups. It is the query of the
// page's address.
type Filter struct {
	// Group is a label.
	Group string
	// Text is looked for in names, labels and claims.
	Text string
	// Label and Claim are KEY=VALUE, or KEY for any value.
	Label, Claim string
	// State is one of States, or empty for all.
	State State
}

// ParseFilter reads the query of an address.
func ParseFilter(q url.Values) Filter {
	f := Filter{
		Group: bound(q.Get("group")), Text: strings.ToLower(bound(q.Get("text"))),
		Label: bound(q.Get("label")), Claim: bound(q.Get("claim")), State: State(q.Get("state")),
	}
	if f.Group == "" {
		f.Group = DefaultGroup
	}
	if !slices.Contains(States, f.State) {
		f.State = ""
	}
	return f
}

// bound cuts what somebody typed.
func bound(text string) string { return strings.TrimSpace(text[:min(len(text), 256)]) }

// Query is the filter as the query of an address.
func (f Filter) Query() string {
	q := url.Values{}
	for key, value := range map[string]string{"text": f.Text, "label": f.Label, "claim": f.Claim, "state": string(f.State)} {
		if value != "" {
			q.Set(key, value)
		}
	}
	if f.Group != DefaultGroup {
		q.Set("group", f.Group)
	}
	return q.Encode()
}

// With is the address of the fleet in one state, or in all with "".
func (f Filter) With(state State) string {
	f.State = state
	if q := f.Query(); q != "" {
		return "/?" + q
	}
	return "/"
}

// Matches says whether a tile is shown.
func (f Filter) Matches(t *Tile) bool {
	return (f.State == "" || f.State == t.State) && pair(f.Label, t.Labels) && pair(f.Claim, t.Claims) && f.mentions(t)
}

func pair(wanted string, have map[string]string) bool {
	if wanted == "" {
		return true
	}
	key, value, both := strings.Cut(wanted, "=")
	found, ok := have[key]
	return ok && (!both || found == value)
}

func (f Filter) mentions(t *Tile) bool {
	if f.Text == "" || strings.Contains(strings.ToLower(t.Name), f.Text) {
		return true
	}
	for _, all := range []map[string]string{t.Labels, t.Claims} {
		for key, value := range all {
			if strings.Contains(strings.ToLower(key+"="+value), f.Text) {
				return true
			}
		}
	}
	return false
}

// GroupOf is the group that a tile is in.
func (f Filter) GroupOf(t *Tile) string { return t.Labels[f.Group] }

// Counters are numbers over the clusters that a filter shows, whatever state it
// asks for.
type Counters map[State]int

// Count adds a tile, or takes it away with -1.
func (c Counters) Count(t *Tile, by int) { c[t.State] += by }

// Total is the number of clusters.
func (c Counters) Total() int {
	sum := 0
	for _, n := range c {
		sum += n
	}
	return sum
}

// Fleet is the page of all clusters.
type Fleet struct {
	Filter   Filter
	Counters Counters
	Shown    int
	Groups   []Group
	// Labels and Claims are what one can filter and group by.
	Labels, Claims []string
	Drift          []DriftedCluster
	// Rollouts that need somebody, or are under way.
	Rollouts []ListedRollout
}

// Group is the tiles with one value of a label, by name.
type Group struct {
	Name  string
	Tiles []Tile
}

// DriftedCluster is a cluster with drift that waits for somebody.
type DriftedCluster struct {
	Name    string
	Objects int
	Since   time.Time
}

// maxDrift is how many clusters are named that have drifted for longest.
const maxDrift = 5

// NewFleet filters and groups tiles.
func NewFleet(tiles []Tile, f Filter) Fleet {
	page := Fleet{Filter: f, Counters: Counters{}}
	anyState := f
	anyState.State = ""
	groups, labels, claims := map[string][]Tile{}, map[string]bool{}, map[string]bool{}
	for i := range tiles {
		t := &tiles[i]
		for key := range t.Labels {
			labels[key] = true
		}
		for key := range t.Claims {
			claims[key] = true
		}
		if !anyState.Matches(t) {
			continue
		}
		page.Counters.Count(t, 1)
		if f.State != "" && f.State != t.State {
			continue
		}
		page.Shown++
		groups[f.GroupOf(t)] = append(groups[f.GroupOf(t)], *t)
		if !t.DriftSince.IsZero() {
			page.Drift = append(page.Drift, DriftedCluster{t.Name, t.DriftedObjects, t.DriftSince})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		slices.SortFunc(groups[name], func(a, b Tile) int { return cmp.Compare(a.Name, b.Name) })
		page.Groups = append(page.Groups, Group{name, groups[name]})
	}
	// Clusters without the label come last.
	if len(page.Groups) > 1 && page.Groups[0].Name == "" {
		page.Groups = append(page.Groups[1:], page.Groups[0])
	}
	slices.SortFunc(page.Drift, func(a, b DriftedCluster) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Name, b.Name))
	})
	page.Drift = page.Drift[:min(len(page.Drift), maxDrift)]
	page.Labels, page.Claims = slices.Sorted(maps.Keys(labels)), slices.Sorted(maps.Keys(claims))
	return page
}
