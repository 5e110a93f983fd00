//go:build integration

package regions

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/kronvoy/kronvoy/test/probe"
)

// However a region is lost, by its agent or by its API server, it keeps what it
// has, nobody waits for it, and it catches up, with a hub too that knows only
// what is stored.
func TestARegionThatIsLostKeepsWhatItHasAndCatchesUp(t *testing.T) {
	s := begin(t, "lost")
	defer s.end()
	s.label(usEast2, "drawn", "yes")
	s.place("drawn", "{matchLabels: {drawn: \"yes\"}}")
	s.place("west", "{matchLabels: {region: eu-west}}")
	s.define("Lost", settings)
	s.distribute("lost", "Lost", "policies: [{drift: Report}]")
	s.create("Lost", "far", "drawn", "")
	s.create("Lost", "west", "west", "")
	s.ready("Lost", "far", usEast2)
	s.ready("Lost", "west", euWest1, euWest2)
	uids := map[string]types.UID{}
	for _, cluster := range []string{euWest1, euWest2} {
		uids[cluster] = s.on(cluster, "configmaps", "west").GetUID()
	}

	agent, server := s.outage(euWest1), s.blackout(euWest2)
	s.create("Lost", "far", "drawn", "text: two")
	s.create("Lost", "west", "west", "text: two")
	s.holds(usEast2, "configmaps", "far", "data.text", "two")
	s.restartHub()
	s.hub.Delete(t, probe.Resource("Lost"), s.ns+"/far")
	s.goes(usEast2, "configmaps", "far")
	if got := s.on(euWest1, "configmaps", "west").Text("data.text"); got != "one" {
		t.Errorf("without its agent it got the text %q", got)
	}

	agent()
	server()
	s.ready("Lost", "west", euWest1, euWest2)
	for cluster, uid := range uids {
		s.holds(cluster, "configmaps", "west", "data.text", "two")
		if got := s.on(cluster, "configmaps", "west").GetUID(); got != uid {
			t.Errorf("the object on %s was replaced", cluster)
		}
		if n := len(s.works(cluster, "Lost", "west")); n != 1 {
			t.Errorf("%s has %d works", cluster, n)
		}
	}
}
