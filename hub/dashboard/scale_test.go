package dashboard

import (
	"fmt"
	"net/http"
	"testing"

	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/dashboard/view"
)

const manyClusters = 2000

// large is a fleet of 2,000 clusters in 20 regions, with ten instances each.
func large(t testing.TB) *fleet {
	t.Helper()
	f := &fleet{tiles: map[string]view.Tile{}}
	states := []kronvoyv1alpha1.TargetState{kronvoyv1alpha1.TargetReady, kronvoyv1alpha1.TargetFailed, kronvoyv1alpha1.TargetProgressing, kronvoyv1alpha1.TargetReady}
	for i := range manyClusters {
		c := managed(fmt.Sprintf("cluster-%s-%04d", []string{"prod", "test"}[i%2], i), fmt.Sprintf("region-%02d", i%20))
		c.Status.ClusterClaims = []clusterv1.ManagedClusterClaim{claim("version.talos.dev", fmt.Sprintf("v1.12.%d", i%7))}
		var targets []kronvoyv1alpha1.Target
		for n := range 10 {
			targets = append(targets, *targetOn(c.Name, fmt.Sprint(n), states[(i+i/7*n)%len(states)]))
		}
		f.tiles[c.Name] = view.NewTile(c, targets)
	}
	return f
}

func (b *browser) compressed(path string) answer {
	b.Helper()
	r := b.request(http.MethodGet, path, nil)
	r.Header.Set("Accept-Encoding", "gzip")
	return b.send(r)
}

// maxPage is what a phone loads in a moment.
const maxPage = 150 << 10

func TestAPageOfTwoThousandClustersIsSmall(t *testing.T) {
	b := newTestbed(t)
	b.server.fleet.tiles = large(t).tiles
	got := b.as("admin-token").compressed("/")
	if got.status != http.StatusOK || got.header.Get("Content-Encoding") != "gzip" || len(got.body) > maxPage {
		t.Errorf("it gives %d, and has %d KiB", got.status, len(got.body)>>10)
	}
	assets := 0
	for name := range b.server.assets.byName {
		assets += len(b.server.assets.byName[name].gzipd)
	}
	if len(got.body)+assets > maxPage {
		t.Errorf("with style and script it has %d KiB", (len(got.body)+assets)>>10)
	}
}

// BenchmarkFleetPage is the page of 2,000 clusters, as it goes over the wire.
func BenchmarkFleetPage(b *testing.B) {
	bed := newTestbed(b)
	bed.server.fleet.tiles = large(b).tiles
	user := bed.as("admin-token")
	size := 0
	for b.Loop() {
		size = len(user.compressed("/").body)
	}
	b.ReportMetric(float64(size)/1024, "KiB/page")
}

// BenchmarkChange is what one change costs that a page of 2,000 clusters shows.
func BenchmarkChange(b *testing.B) {
	target := targetOn("changing", "shop", kronvoyv1alpha1.TargetReady)
	bed := newTestbed(b, managed("changing", "region-01"), target)
	for name, tile := range large(b).tiles {
		bed.server.fleet.tiles[name] = tile
	}
	viewer := &session{access: newAccess(bed.server.authority, bed.clock, &Viewer{Name: "admin"})}
	about := bed.server.fleetSubject(viewer, view.Filter{Group: view.DefaultGroup})
	if err := about.open(b.Context()); err != nil {
		b.Fatal(err)
	}
	stream, err := bed.server.live.subscribe(viewer)
	if err != nil {
		b.Fatal(err)
	}
	states := []kronvoyv1alpha1.TargetState{kronvoyv1alpha1.TargetFailed, kronvoyv1alpha1.TargetReady}
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		if err := bed.client.Get(b.Context(), client.ObjectKeyFromObject(target), target); err != nil {
			b.Fatal(err)
		}
		target.Status.State = states[i%2]
		if err := bed.client.Update(b.Context(), target); err != nil {
			b.Fatal(err)
		}
		bed.server.live.changed(target)
		b.StartTimer()
		bed.server.live.flush(b.Context())
		events, err := about.tell(b.Context(), <-stream.batches)
		if err != nil || len(events) == 0 {
			b.Fatalf("told is %v, %v", events, err)
		}
	}
}
