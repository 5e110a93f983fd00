//go:build integration

package e2e

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kronvoy/kronvoy/test/probe"
)

const managedClusters = "managedclusters.cluster.open-cluster-management.io"

// claims are what the hub knows of a cluster's own word, by the names asked for;
// a claim that is not made is empty.
func (s *scene) claims(cluster string, names ...string) map[string]string {
	s.Helper()
	found := map[string]string{}
	for _, claim := range s.hub.Get(s, managedClusters, cluster).List("status.clusterClaims") {
		if slices.Contains(names, claim.Text("name")) {
			found[claim.Text("name")] = claim.Text("value")
		}
	}
	return found
}

// claim waits until the hub knows these claims.
func (s *scene) claim(cluster string, want map[string]string) {
	s.Helper()
	var names []string
	for name := range want {
		names = append(names, name)
	}
	probe.Eventually(s, "the hub to know what "+cluster+" is", func() error {
		if diff := cmp.Diff(want, s.claims(cluster, names...)); diff != "" {
			return fmt.Errorf("-want +got:\n%s", diff)
		}
		return nil
	})
}

// taints are the keys of a cluster's taints.
func (s *scene) taints(cluster string) []string {
	s.Helper()
	var keys []string
	for _, taint := range s.hub.Get(s, managedClusters, cluster).List("spec.taints") {
		if taint.Text("timeAdded") == "" {
			s.Errorf("taint %s has no time", taint.Text("key"))
		}
		keys = append(keys, taint.Text("key"))
	}
	return keys
}

// talos adds a node to a cluster, or upgrades it.
func (s *scene) talos(cluster, name, version string) {
	s.Helper()
	s.spokes[cluster].Apply(s, "{apiVersion: v1, kind: Node, metadata: {name: "+name+", labels: {topology.kubernetes.io/region: nowhere}, annotations: {kwok.x-k8s.io/node: fake}}}")
	// kwok fills in a status of its own first.
	probe.Eventually(s, "node "+name+" to be ready", func() error {
		if ready := s.spokes[cluster].Get(s, "nodes", name).Condition("Ready"); ready.Status != "True" {
			return fmt.Errorf("it says %q", ready.Status)
		}
		return nil
	})
	s.spokes[cluster].Patch(s, "nodes/status", name, "{status: {nodeInfo: {osImage: 'Talos ("+version+")'}}}")
}

func TestAPlacementGoesByTheClaimsOfClustersAndFollowsATalosUpgrade(t *testing.T) {
	s := begin(t, "claims")
	defer s.end()
	s.hub.Apply(t, `
apiVersion: cluster.open-cluster-management.io/v1beta1
kind: Placement
metadata: {name: upgraded, namespace: claims}
spec:
  clusterSets: [global]
  predicates:
  - requiredClusterSelector:
      labelSelector: {matchLabels: {region: eu-west}}
      claimSelector:
        matchExpressions:
        - {key: version.talos.dev, operator: NotIn, values: [v1.13.3]}
        - {key: upgrading.talos.dev, operator: In, values: ["false"]}`)
	s.define("Claimant", `
schema:
  spec: {}
resources:
- id: settings
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.metadata.name}"}
    data:
      talos: ${cluster.claims["version.talos.dev"]}
      versions: ${cluster.claims["versions.talos.dev"]}
      pods: ${cluster.capacity["pods"]}
      version: ${cluster.version}`)
	s.create("Claimant", "chosen", "upgraded", "")
	s.create("Claimant", "everywhere", euWest, "")
	s.claim(euWest, map[string]string{
		"version.talos.dev": "v1.13.3", "versions.talos.dev": "v1.13.3=1", "upgrading.talos.dev": "false", "nodes.talos.dev/total": "1",
		"provider.kronvoy.io": "kwok", "region.kronvoy.io": euWest, "zone.kronvoy.io": "eu-west-1a", "product.open-cluster-management.io": "Talos",
	})
	s.claim(usEast, map[string]string{"osimages.kronvoy.io": "Debian GNU/Linux 13 (trixie)=1"})
	if got := s.claims(usEast, "version.talos.dev"); len(got) > 0 {
		t.Errorf("a cluster without Talos says %v", got)
	}
	s.ready("Claimant", "everywhere", 1)
	s.holds(euWest, "configmaps", "everywhere", "data.talos", "v1.13.3")
	s.holds(euWest, "configmaps", "everywhere", "data.pods", "500")

	placement := s.hub.Get(t, "placements.cluster.open-cluster-management.io", s.ns+"/upgraded")
	if rests := placement.Condition("kronvoy.io/RestsOnClaims"); rests.Status != "True" || rests.Reason != "ClaimsAreUntrusted" || placement.Int("status.numberOfSelectedClusters") != 0 {
		t.Errorf("of the placement the hub says %v", placement.At("status"))
	}

	node := euWest + "-node-1"
	defer func() {
		s.spokes[euWest].Delete(t, "nodes", "second")
		s.talos(euWest, node, "v1.13.3")
		s.spokes[euWest].Patch(t, "nodes", node, "{spec: {unschedulable: null}}")
	}()
	s.talos(euWest, "second", "v1.13.3")
	s.claim(euWest, map[string]string{"nodes.talos.dev/total": "2", "upgrading.talos.dev": "false", "region.kronvoy.io": euWest, "regions.kronvoy.io": "eu-west=1,nowhere=1"})
	s.spokes[euWest].Patch(t, "nodes", node, "{spec: {unschedulable: true}}")
	s.claim(euWest, map[string]string{"nodes.talos.dev/cordoned": "1", "upgrading.talos.dev": "true"})
	s.talos(euWest, node, "v1.14.0")
	s.claim(euWest, map[string]string{"versions.talos.dev": "v1.13.3=1,v1.14.0=1", "version.talos.dev": "v1.13.3", "upgrading.talos.dev": "true"})
	s.holds(euWest, "configmaps", "everywhere", "data.versions", "v1.13.3=1,v1.14.0=1")
	s.spokes[euWest].Patch(t, "nodes", node, "{spec: {unschedulable: null}}")
	s.talos(euWest, "second", "v1.14.0")
	s.claim(euWest, map[string]string{"versions.talos.dev": "v1.14.0=2", "version.talos.dev": "v1.14.0", "upgrading.talos.dev": "false"})
	s.ready("Claimant", "chosen", 1)
	s.holds(euWest, "configmaps", "chosen", "data.talos", "v1.14.0")
}

func TestAnOutageIsTaintedAndTakesNothingAway(t *testing.T) {
	s := begin(t, "outage")
	defer s.end()
	s.define("Tainted", chain)
	s.create("Tainted", "one", everywhere, "")
	s.ready("Tainted", "one", 3)
	const mine = "mine.example.com"
	s.hub.Patch(t, managedClusters, usEast, "{spec: {taints: [{key: "+mine+", effect: PreferNoSelect}]}}")
	defer s.hub.Patch(t, managedClusters, usEast, "{spec: {taints: null}}")
	agent := s.stack.Agents[usEast]
	if err := agent.Kill(); err != nil {
		t.Fatal(err)
	}
	revive := onlyOnce(agent.Start)
	defer revive(t)
	tainted := func(keys ...string) {
		t.Helper()
		probe.Eventually(t, fmt.Sprintf("the taints to be %v", keys), func() error {
			if diff := cmp.Diff(keys, s.taints(usEast)); diff != "" {
				return fmt.Errorf("-want +got:\n%s", diff)
			}
			return nil
		})
	}
	decided := func(reason string) {
		t.Helper()
		probe.Eventually(t, "the decision on "+usEast+" to say "+reason, func() error {
			for _, page := range s.hub.List(t, "placementdecisions.cluster.open-cluster-management.io", s.ns) {
				for _, d := range page.List("status.decisions") {
					if page.GetName() == everywhere+"-decision-1" && d.Text("clusterName") == usEast && d.Text("reason") == reason {
						return nil
					}
				}
			}
			return fmt.Errorf("it does not")
		})
	}
	targets := s.hub.Record(t, usEast, "targets.kronvoy.io", "manifestworks.work.open-cluster-management.io")
	objects := s.spokes[usEast].Record(t, s.ns, "configmaps")
	s.state(usEast, "Tainted", "one", "Unreachable")
	tainted(mine, "cluster.open-cluster-management.io/unreachable")
	decided("SelectedInOutage")
	// It is decided anew, and still nothing goes.
	s.place(everywhere, regions("eu-west, us-east"))
	probe.Eventually(t, "another cluster to lose the instance", func() error {
		if target := s.target(apSouth, "Tainted", "one"); target != nil {
			return fmt.Errorf("it has %v", target.At("status.state"))
		}
		return nil
	})

	revive(t)
	tainted(mine)
	decided("Selected")
	s.ready("Tainted", "one", 2)
	for _, event := range append(targets.Events(t), objects.Events(t)...) {
		if event.Type == "DELETED" {
			t.Errorf("a watch has shown %s", event)
		}
	}
}
