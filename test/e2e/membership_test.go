//go:build integration

package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/kronvoy/kronvoy/test/fleet"
	"github.com/kronvoy/kronvoy/test/probe"
)

// regions is a label selector.
func regions(names string) string {
	return "{matchExpressions: [{key: region, operator: In, values: [" + names + "]}]}"
}

func TestAClusterThatLeavesThePlacementLosesTheInstanceAndOthersKeepIt(t *testing.T) {
	s := begin(t, "leaving")
	defer s.end()
	s.place("some", regions("eu-west, us-east"))
	s.define("Leaving", chain)
	s.create("Leaving", "one", "some", "")
	s.ready("Leaving", "one", 2)
	kept := s.on(usEast, "configmaps", "one-last").GetUID()

	s.place("some", regions("us-east"))
	for _, name := range []string{"one-last", "one-second", "one-first"} {
		s.goes(euWest, "configmaps", name)
	}
	s.ready("Leaving", "one", 1)
	s.place("some", regions("us-east, ap-south"))
	s.ready("Leaving", "one", 2)
	s.appears(apSouth, "configmaps", "one-last")
	if got := s.on(usEast, "configmaps", "one-last"); got.GetUID() != kept {
		t.Error("the object on the cluster that stayed was replaced")
	}
	if left := s.works(euWest, "Leaving", "one"); len(left) > 0 {
		t.Errorf("%d works are left", len(left))
	}
}

func TestAnEmptiedPlacementIsHeld(t *testing.T) {
	s := begin(t, "emptied")
	defer s.end()
	s.place("some", regions("eu-west, us-east"))
	s.define("Emptied", chain)
	s.create("Emptied", "one", "some", "")
	s.ready("Emptied", "one", 2)
	seen := s.spokes[euWest].Record(t, s.ns, "configmaps")

	s.place("some", regions("eu-wset"))
	probe.Eventually(t, "the instance to say that its removal is held", func() error {
		if held := s.instance("Emptied", "one").Condition("RemovalHeld"); held.Status != "True" || held.Reason != "NeedsApproval" {
			return fmt.Errorf("RemovalHeld is %v", held)
		}
		return nil
	})
	// It goes on being served where it is.
	s.create("Emptied", "one", "some", "text: two")
	for _, cluster := range []string{euWest, usEast} {
		s.holds(cluster, "configmaps", "one-last", "data.text", "two")
	}
	s.place("some", regions("eu-west, us-east"))
	s.ready("Emptied", "one", 2)
	for _, event := range seen.Events(t) {
		if event.Type == "DELETED" {
			t.Errorf("a watch has shown %s", event)
		}
	}
}

func TestAnUnreachableClusterKeepsTheInstanceUntilItIsBack(t *testing.T) {
	s := begin(t, "unreachable")
	defer s.end()
	s.place("some", regions("eu-west, ap-south"))
	s.define("Unreached", chain)
	s.create("Unreached", "one", "some", "")
	s.ready("Unreached", "one", 2)
	agent := s.stack.Agents[apSouth]
	if err := agent.Kill(); err != nil {
		t.Fatal(err)
	}
	revive := onlyOnce(agent.Start)
	defer revive(t)
	s.state(apSouth, "Unreached", "one", "Unreachable")

	s.place("some", regions("eu-west"))
	probe.Eventually(t, "the placement to have decided", func() error {
		if n := s.hub.Get(t, "placements.cluster.open-cluster-management.io", s.ns+"/some").Int("status.numberOfSelectedClusters"); n != 1 {
			return fmt.Errorf("it selects %d clusters", n)
		}
		return nil
	})
	// Another change passes through the hub after the decision.
	s.create("Unreached", "one", "some", "text: two")
	s.holds(euWest, "configmaps", "one-last", "data.text", "two")
	probe.During(t, time.Second, "the instance stays on the cluster that nobody reaches", func() error {
		if target := s.target(apSouth, "Unreached", "one"); target == nil || target.GetDeletionTimestamp() != nil {
			return fmt.Errorf("its Target is %v", target)
		}
		if works := s.works(apSouth, "Unreached", "one"); len(works) != 1 || works[0].GetDeletionTimestamp() != nil {
			return fmt.Errorf("its works are %v", works)
		}
		return nil
	})

	revive(t)
	for _, name := range []string{"one-last", "one-second", "one-first"} {
		s.goes(apSouth, "configmaps", name)
	}
	s.ready("Unreached", "one", 1)
}

func TestAClusterThatJoinsLaterGetsTheInstance(t *testing.T) {
	s := begin(t, "joining")
	const late = "late"
	spoke, err := s.stack.Fleet.AddSpoke(t.Context(), fleet.ClusterOptions{Name: late, Region: late, APIServerArgs: s.audit.Args(late)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.leave(spoke)
	defer s.end()
	s.place("joined", "{matchExpressions: [{key: region, operator: In, values: [eu-west, late]}]}")
	s.define("Joining", `
schema:
  spec: {}
resources:
- id: settings
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: settings}
    data: {region: "${cluster.labels.region}"}`)
	s.create("Joining", "one", "joined", "")
	s.ready("Joining", "one", 1)

	if err := s.stack.Join(t.Context(), spoke); err != nil {
		t.Fatal(err)
	}
	if s.spokes[late], err = probe.OpenIn(s.stack.Fleet, late); err != nil {
		t.Fatal(err)
	}
	s.holds(late, "configmaps", "settings", "data.region", late)
	s.ready("Joining", "one", 2)
}

// leave takes a cluster out of the fleet again.
func (s *scene) leave(spoke *fleet.Cluster) {
	s.Helper()
	s.hub.Delete(s, "managedclusters.cluster.open-cluster-management.io", spoke.Name)
	s.hub.Delete(s, "namespaces", spoke.Name)
	processes := []*fleet.Process{s.stack.Agents[spoke.Name], spoke.Process(fleet.ControllerManager), spoke.Process(fleet.APIServer)}
	for _, process := range processes {
		if process == nil {
			continue
		}
		if err := process.Kill(); err != nil {
			s.Error(err)
		}
	}
	delete(s.stack.Agents, spoke.Name)
	delete(s.spokes, spoke.Name)
}
