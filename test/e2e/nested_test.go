//go:build integration

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kronvoy/kronvoy/test/probe"
)

// store is a kind that others use as a resource: its address is the cluster's.
const store = `
schema:
  spec: {size: string | default=small}
  status: {address: "${settings.data.address}"}
resources:
- id: settings
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.metadata.name}-settings"}
    data: {address: "${schema.metadata.name + '.' + cluster.name + '/' + schema.spec.size}"}`

// nesting has a Store between two ConfigMaps.
func nesting(store string) string {
	return `
schema:
  spec: {size: string | default=small, withStore: boolean | default=true}
  status: {address: "${store.status.address}"}
resources:
- id: before
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.metadata.name}-before"}
    data: {size: "${schema.spec.size}"}
- id: store
  includeWhen: ["${schema.spec.withStore}"]
  readyWhen: ["${store.status.state == 'ACTIVE'}"]
  template:
    apiVersion: kro.run/v1alpha1
    kind: ` + store + `
    metadata: {name: "${schema.metadata.name}-store"}
    spec: {size: "${before.data.size}"}
- id: after
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.metadata.name}-after"}
    data: {address: "${store.status.address}"}`
}

// made are the instances of a kind that the hub made, by cluster.
func (s *scene) made(kind string) map[string]*probe.Object {
	s.Helper()
	found := map[string]*probe.Object{}
	for _, instance := range s.hub.Instances(s, kind, s.ns) {
		cluster := instance.GetLabels()["kronvoy.io/cluster"]
		if other := found[cluster]; other != nil {
			s.Fatalf("%s and %s are both for cluster %q", other.GetName(), instance.GetName(), cluster)
		}
		found[cluster] = instance
	}
	return found
}

// awaitMade waits until the hub has made instances of a kind for exactly these
// clusters, and none is on its way out.
func (s *scene) awaitMade(kind string, clusters ...string) map[string]*probe.Object {
	s.Helper()
	var found map[string]*probe.Object
	probe.Eventually(s, fmt.Sprintf("%ss for the clusters %v", kind, clusters), func() error {
		found = s.made(kind)
		for _, cluster := range clusters {
			if found[cluster] == nil || found[cluster].GetDeletionTimestamp() != nil {
				return fmt.Errorf("%s has %v", cluster, found[cluster])
			}
		}
		if len(found) != len(clusters) {
			return fmt.Errorf("there are %d", len(found))
		}
		return nil
	})
	return found
}

func TestANestedInstanceIsMadeForEachClusterAndRunsThereAlone(t *testing.T) {
	s := begin(t, "nested")
	defer s.end()
	s.define("Store", store)
	s.define("Nesting", nesting("Store"))
	s.create("Nesting", "one", everywhere, "")
	s.ready("Nesting", "one", 3)
	for cluster, instance := range s.awaitMade("Store", euWest, usEast, apSouth) {
		var rows []string
		for _, row := range instance.List("status.fleet.clusters") {
			rows = append(rows, row.Text("name"))
		}
		if diff := cmp.Diff([]string{cluster}, rows); diff != "" {
			t.Errorf("%s runs on (-want +got):\n%s", instance.GetName(), diff)
		}
		if want := "one-store." + cluster + "/small"; instance.Text("status.address") != want {
			t.Errorf("%s has the address %q, want %q", instance.GetName(), instance.Text("status.address"), want)
		}
		// What reaches the cluster has the names of the templates.
		s.holds(cluster, "configmaps", "one-store-settings", "data.address", "one-store."+cluster+"/small")
		s.holds(cluster, "configmaps", "one-after", "data.address", "one-store."+cluster+"/small")
	}

	s.create("Nesting", "one", everywhere, "size: large")
	for _, cluster := range []string{euWest, usEast, apSouth} {
		s.holds(cluster, "configmaps", "one-after", "data.address", "one-store."+cluster+"/large")
	}
	s.ready("Nesting", "one", 3)

	s.hub.Apply(t, fmt.Sprintf(`{apiVersion: kronvoy.io/v1alpha1, kind: Distribution, metadata: {name: at-once, namespace: %s},
 spec: {instances: {apiVersion: kro.run/v1alpha1, kind: Nesting}, removal: {maxPercent: 100}}}`, s.ns))
	s.create("Nesting", "one", euWest, "size: large")
	s.goes(apSouth, "configmaps", "one-store-settings")
	s.goes(usEast, "configmaps", "one-before")
	s.awaitMade("Store", euWest)
	s.ready("Nesting", "one", 1)

	s.create("Nesting", "one", euWest, "size: large\nwithStore: false")
	s.goes(euWest, "configmaps", "one-store-settings")
	s.awaitMade("Store")
	s.ready("Nesting", "one", 1)
}

func TestNestedInstancesAreDeletedInOrderOnEachCluster(t *testing.T) {
	s := begin(t, "nested-order")
	defer s.end()
	s.define("OrderedStore", store)
	s.define("Ordered", nesting("OrderedStore"))
	s.create("Ordered", "one", everywhere, "")
	s.ready("Ordered", "one", 3)
	made := s.awaitMade("OrderedStore", euWest, usEast, apSouth)
	onHub := s.hub.Record(t, s.ns, probe.Resource("OrderedStore"))
	onSpoke := s.spokes[usEast].Record(t, s.ns, "configmaps")
	hold := s.on(usEast, "configmaps", "one-store-settings")
	s.spokes[usEast].Patch(t, "configmaps", s.ns+"/"+hold.GetName(), `{metadata: {finalizers: ["example.com/hold"]}}`)
	s.hub.Delete(t, probe.Resource("Ordered"), s.ns+"/one")

	s.goes(euWest, "configmaps", "one-before")
	name := made[usEast].GetName()
	probe.Eventually(t, "the hub to say what us-east waits for", func() error {
		if message := s.target(usEast, "Ordered", "one").Text("status.message"); !strings.Contains(message, name+" is still being deleted") {
			return fmt.Errorf("it says %q", message)
		}
		return nil
	})
	if before := s.on(usEast, "configmaps", "one-before"); before == nil || before.GetDeletionTimestamp() != nil {
		t.Errorf("one-before goes while what depends on it is there: %v", before)
	}
	s.spokes[usEast].Patch(t, "configmaps", s.ns+"/"+hold.GetName(), `{metadata: {finalizers: null}}`)
	s.goes(usEast, "configmaps", "one-before")
	order := []int64{
		onSpoke.Await(t, "DELETED", "one-after").Version(), onSpoke.Await(t, "DELETED", "one-store-settings").Version(),
		onHub.Await(t, "DELETED", name).Version(), onSpoke.Await(t, "DELETED", "one-before").Version(),
	}
	if !slices.IsSorted(order) {
		t.Errorf("they were deleted at %v: %s; %s", order, onSpoke.Summary(t), onHub.Summary(t))
	}
	s.awaitMade("OrderedStore")
}

func TestAHubThatIsKilledAgainAndAgainLosesAndLeavesNoNestedInstance(t *testing.T) {
	s := begin(t, "nested-killed")
	defer s.end()
	s.define("KilledStore", store)
	s.define("Killed", nesting("KilledStore"))
	kill := func() {
		t.Helper()
		if err := s.stack.Hub.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := s.stack.Hub.Start(); err != nil {
			t.Fatal(err)
		}
	}
	stores := s.hub.Record(t, s.ns, probe.Resource("KilledStore"))
	added := func(n int) func() error {
		return func() error {
			seen := 0
			for _, e := range stores.Events(t) {
				if e.Type == "ADDED" {
					seen++
				}
			}
			if seen < n {
				return fmt.Errorf("%d instances were made", seen)
			}
			return nil
		}
	}
	s.create("Killed", "one", everywhere, "")
	kill()
	probe.Eventually(t, "the first nested instance", added(1))
	kill()
	s.ready("Killed", "one", 3)
	before := s.awaitMade("KilledStore", euWest, usEast, apSouth)

	s.create("Killed", "one", everywhere, "size: large")
	s.holds(euWest, "configmaps", "one-before", "data.size", "large")
	kill()
	s.ready("Killed", "one", 3)
	for cluster, instance := range s.awaitMade("KilledStore", euWest, usEast, apSouth) {
		if instance.GetUID() != before[cluster].GetUID() {
			t.Errorf("%s was replaced", instance.GetName())
		}
		s.holds(cluster, "configmaps", "one-after", "data.address", "one-store."+cluster+"/large")
	}

	s.hub.Delete(t, probe.Resource("Killed"), s.ns+"/one")
	s.goes(euWest, "configmaps", "one-after")
	kill()
	s.goes(euWest, "configmaps", "one-store-settings")
	kill()
	for _, cluster := range []string{euWest, usEast, apSouth} {
		s.goes(cluster, "configmaps", "one-before")
		s.goes(cluster, "configmaps", "one-store-settings")
	}
	s.awaitMade("KilledStore")
}

func TestAnInstanceCannotPinItself(t *testing.T) {
	s := begin(t, "nested-forged")
	defer s.end()
	s.define("ForgedStore", store)
	s.define("Forged", nesting("ForgedStore"))
	s.create("Forged", "one", euWest, "")
	s.ready("Forged", "one", 1)
	made := s.awaitMade("ForgedStore", euWest)[euWest]
	mark := made.GetAnnotations()["kronvoy.io/nested"]
	copied := func(name, mark string) {
		s.hub.Apply(t, fmt.Sprintf(`
apiVersion: kro.run/v1alpha1
kind: ForgedStore
metadata: {name: %s, namespace: %s, labels: {kronvoy.io/placement: %s}, annotations: {kronvoy.io/nested: '%s'}}
spec: {}`, name, s.ns, usEast, mark))
	}
	// A copy is an instance like any other; one that says of itself what is not
	// so runs nowhere.
	copied("copy", mark)
	s.ready("ForgedStore", "copy", 1)
	s.state(usEast, "ForgedStore", "copy", "Ready")
	copied("forged", strings.ReplaceAll(mark, made.GetName(), "forged"))
	probe.Eventually(t, "forged to be refused", func() error {
		if placed := s.instance("ForgedStore", "forged").Condition("Placed"); placed.Status != "False" || placed.Reason != "NotPinned" {
			return fmt.Errorf("Placed is %v", placed)
		}
		return nil
	})
	for _, cluster := range []string{euWest, usEast} {
		if target := s.target(cluster, "ForgedStore", "forged"); target != nil {
			t.Errorf("it is on %s: %v", cluster, target)
		}
	}
}

func TestAnExternalReferenceToAGeneratedKindReadsTheInstanceOnTheHub(t *testing.T) {
	s := begin(t, "nested-external")
	defer s.end()
	s.define("SharedStore", store)
	s.define("Reader", `
schema:
  spec: {}
resources:
- id: store
  externalRef: {apiVersion: kro.run/v1alpha1, kind: SharedStore, metadata: {name: shared}}
  readyWhen: ["${store.status.state == 'ACTIVE'}"]
- id: copy
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: copy}
    data: {address: "${store.status.address}"}`)
	s.create("Reader", "one", usEast, "")
	s.node(usEast, "Reader", "one", "store", "Progressing")
	s.create("SharedStore", "shared", euWest, "")
	s.holds(usEast, "configmaps", "copy", "data.address", "shared.eu-west/small")
	s.create("SharedStore", "shared", euWest, "size: large")
	s.holds(usEast, "configmaps", "copy", "data.address", "shared.eu-west/large")
	s.hub.Delete(t, probe.Resource("Reader"), s.ns+"/one")
	s.goes(usEast, "configmaps", "copy")
	if shared := s.instance("SharedStore", "shared"); shared == nil || shared.GetDeletionTimestamp() != nil {
		t.Errorf("what was only read is %v", shared)
	}
}
