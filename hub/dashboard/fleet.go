package dashboard

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/dashboard/view"
)

// fleet has a tile for every cluster. A change costs what its cluster has, not
// what the fleet has.
type fleet struct {
	reader client.Reader

	mu    sync.RWMutex
	tiles map[string]view.Tile
}

// load makes all tiles.
func (f *fleet) load(ctx context.Context) error {
	var clusters clusterv1.ManagedClusterList
	if err := f.reader.List(ctx, &clusters, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing clusters for the dashboard: %w", err)
	}
	for i := range clusters.Items {
		if _, _, err := f.refresh(ctx, clusters.Items[i].Name); err != nil {
			return err
		}
	}
	return nil
}

// refresh makes a cluster's tile anew; nil where there was, or is, none.
func (f *fleet) refresh(ctx context.Context, name string) (before, after *view.Tile, err error) {
	after, err = f.look(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tiles == nil {
		f.tiles = map[string]view.Tile{}
	}
	if old, there := f.tiles[name]; there {
		before = &old
	}
	if after == nil {
		delete(f.tiles, name)
	} else {
		f.tiles[name] = *after
	}
	return before, after, nil
}

func (f *fleet) look(ctx context.Context, name string) (*view.Tile, error) {
	var cluster clusterv1.ManagedCluster
	err := f.reader.Get(ctx, client.ObjectKey{Name: name}, &cluster, client.UnsafeDisableDeepCopy)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading cluster %s: %w", name, err)
	}
	targets, err := f.on(ctx, name)
	if err != nil {
		return nil, err
	}
	tile := view.NewTile(&cluster, targets)
	return &tile, nil
}

// on is what runs on a cluster. It is shared with the cache: read-only.
func (f *fleet) on(ctx context.Context, cluster string) ([]kronvoyv1alpha1.Target, error) {
	var targets kronvoyv1alpha1.TargetList
	if err := f.reader.List(ctx, &targets, client.InNamespace(cluster), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing what is on cluster %s: %w", cluster, err)
	}
	return targets.Items, nil
}

func (f *fleet) all() []view.Tile {
	f.mu.RLock()
	defer f.mu.RUnlock()
	tiles := make([]view.Tile, 0, len(f.tiles))
	for _, tile := range f.tiles {
		tiles = append(tiles, tile)
	}
	return tiles
}

const (
	clusterGroup = "cluster.open-cluster-management.io"
	workGroup    = "work.open-cluster-management.io"
	kronvoyGroup = "kronvoy.io"
)

func mayCluster(name string) Right {
	return Right{Verb: "get", Group: clusterGroup, Resource: "managedclusters", Name: name}
}

func mayList(resource, namespace string) Right {
	return Right{Verb: "list", Group: kronvoyGroup, Resource: resource, Namespace: namespace}
}

// sees is a tile as the viewer may see it; nil when he may not see the cluster.
func (s *session) sees(ctx context.Context, tile *view.Tile) (*view.Tile, error) {
	if tile == nil {
		return nil, nil
	}
	visible, err := s.May(ctx, mayCluster(tile.Name))
	if err != nil || !visible {
		return nil, err
	}
	whole, err := s.seesWorkloads(ctx, tile.Name)
	if err != nil || whole {
		return tile, err
	}
	bare := tile.Bare()
	return &bare, nil
}

// seesWorkloads says whether the viewer may know what runs on a cluster, or on
// all of them with "".
func (s *session) seesWorkloads(ctx context.Context, cluster string) (bool, error) {
	for _, resource := range []string{"targets", "workreports"} {
		if allowed, err := s.May(ctx, mayList(resource, cluster)); err != nil || !allowed {
			return false, err
		}
	}
	return true, nil
}

// parallelChecks is how many rights are asked for at once for one viewer.
const parallelChecks = 16

// visible are the tiles that the viewer may see.
func (s *session) visible(ctx context.Context, tiles []view.Tile) ([]view.Tile, error) {
	seen := make([]*view.Tile, len(tiles))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelChecks)
	// The first one asks for the rights on everything, which mostly settle it.
	for i := range tiles {
		look := func() (err error) {
			seen[i], err = s.sees(ctx, &tiles[i])
			return err
		}
		if i == 0 {
			if err := look(); err != nil {
				return nil, err
			}
			continue
		}
		group.Go(look)
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	out := make([]view.Tile, 0, len(tiles))
	for _, tile := range seen {
		if tile != nil {
			out = append(out, *tile)
		}
	}
	return out, nil
}

func (s *Server) showFleet(r *http.Request, v *session) (content, error) {
	tiles, err := v.visible(r.Context(), s.fleet.all())
	if err != nil {
		return content{}, err
	}
	filter := view.ParseFilter(r.URL.Query())
	page := view.NewFleet(tiles, filter)
	rollouts, err := s.rollouts(r.Context(), v)
	if err != nil {
		return content{}, err
	}
	page.Rollouts = view.RolloutsUnderWay(rollouts)
	return content{template: "fleet", title: "Fleet", data: page, stream: "/live?fleet=1&" + filter.Query()}, nil
}

// same says whether a tile looks the same.
func same(a, b *view.Tile) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.State == b.State && a.Instances == b.Instances && a.Troubled == b.Troubled && a.DriftedObjects == b.DriftedObjects &&
		a.DriftSince.Equal(b.DriftSince) && maps.Equal(a.Labels, b.Labels) && maps.Equal(a.Claims, b.Claims)
}

// tilePatch is a tile as the page's script gets it.
type tilePatch struct {
	ID   string `json:"id"`
	HTML string `json:"html,omitempty"`
	// Says is what is announced to those who cannot see it change.
	Says string `json:"says,omitempty"`
}

// shown is what a stream's page has of a cluster.
type shown struct {
	state               view.State
	group               string
	instances, troubled int
}

// audience is one stream of the fleet's page: what a filter shows to a viewer.
type audience struct {
	server *Server
	viewer *session
	filter view.Filter
	// shown are the clusters that the filter has in any state.
	shown    map[string]shown
	counters view.Counters
}

func (s *Server) fleetSubject(v *session, f view.Filter) subject {
	a := &audience{server: s, viewer: v, filter: f}
	return subject{topics: []string{topicClusters, topicTargets}, open: a.open, tell: a.tell, holds: a.holds}
}

func (a *audience) anyState() view.Filter {
	f := a.filter
	f.State = ""
	return f
}

func (a *audience) open(ctx context.Context) error {
	tiles, err := a.viewer.visible(ctx, a.server.fleet.all())
	if err != nil {
		return err
	}
	a.shown, a.counters = map[string]shown{}, view.Counters{}
	for i := range tiles {
		a.put(&tiles[i])
	}
	return nil
}

// put notes what a tile has become.
func (a *audience) put(t *view.Tile) {
	if f := a.anyState(); f.Matches(t) {
		a.shown[t.Name] = shown{t.State, f.GroupOf(t), t.Instances, t.Troubled}
		a.counters[t.State]++
	}
}

// holds says whether the viewer may still see what the page has: rights go
// without a change of a cluster.
func (a *audience) holds(ctx context.Context) (bool, error) {
	whole := map[string]int{}
	shown := slices.DeleteFunc(a.server.fleet.all(), func(t view.Tile) bool {
		whole[t.Name] = t.Instances
		_, is := a.shown[t.Name]
		return !is
	})
	visible, err := a.viewer.visible(ctx, shown)
	if err != nil || len(visible) < len(shown) {
		return false, err
	}
	return !slices.ContainsFunc(visible, func(t view.Tile) bool {
		return t.Instances < whole[t.Name] && a.shown[t.Name].instances > 0
	}), nil
}

// tell costs what changed, whatever the size of the fleet. Who may not see a
// change is not told that there was one.
func (a *audience) tell(ctx context.Context, b *batch) ([]event, error) {
	var events []event
	different, drift := false, false
	for _, change := range b.tiles {
		tile, err := a.viewer.sees(ctx, change.after)
		if err != nil {
			return nil, err
		}
		before, was := a.shown[change.name]
		if was {
			a.counters[before.state]--
			delete(a.shown, change.name)
		}
		if tile != nil {
			a.put(tile)
		}
		after, is := a.shown[change.name]
		drift = drift || change.drift && is && tile.Instances > 0
		if was == is && before == after {
			continue
		}
		different = true
		was, is = was && a.wants(before.state), is && a.wants(after.state)
		switch {
		case is && (!was || before.group != after.group):
			events = append(events, changed) // it has no place on the page yet
		case is:
			patch, err := a.server.patch(tile)
			if err != nil {
				return nil, err
			}
			if before.state != after.state {
				patch.Says = tile.Name + ": " + tile.State.Word()
			}
			events = append(events, encodeEvent("tile", patch))
		case was:
			events = append(events, encodeEvent("gone", tilePatch{ID: change.name}))
		}
	}
	if different {
		events = append(events, encodeEvent("counters", a.counters))
	}
	rolled, err := a.viewer.seesAny(ctx, b.topics[topicRollouts])
	if err != nil {
		return nil, err
	}
	if drift || rolled {
		events = append(events, stale)
	}
	return events, nil
}

func (a *audience) wants(s view.State) bool { return a.filter.State == "" || a.filter.State == s }

func (s *Server) patch(t *view.Tile) (tilePatch, error) {
	var out bytes.Buffer
	if err := s.pages["fleet"].ExecuteTemplate(&out, "tile", t); err != nil {
		return tilePatch{}, fmt.Errorf("rendering the tile of %s: %w", t.Name, err)
	}
	return tilePatch{ID: t.Name, HTML: out.String()}, nil
}
