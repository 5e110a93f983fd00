//go:build integration

package restore

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kronvoy/kronvoy/test/fleet"
	"github.com/kronvoy/kronvoy/test/probe"
	"github.com/kronvoy/kronvoy/test/stack"
)

const west, east = "eu-west", "us-east"

const setting = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: cluster.open-cluster-management.io/v1beta2
kind: ManagedClusterSetBinding
metadata: {name: global, namespace: shop}
spec: {clusterSet: global}
---
apiVersion: cluster.open-cluster-management.io/v1beta1
kind: Placement
metadata: {name: everywhere, namespace: shop}
spec: {clusterSets: [global]}
---
apiVersion: cluster.open-cluster-management.io/v1beta1
kind: Placement
metadata: {name: gold, namespace: shop}
spec:
  clusterSets: [global]
  predicates: [{requiredClusterSelector: {labelSelector: {matchLabels: {tier: gold}}}}]
---
apiVersion: kro.run/v1alpha1
kind: ResourceGraphDefinition
metadata: {name: shop}
spec:
  schema:
    apiVersion: v1alpha1
    kind: Shop
    spec: {text: string}
    status: {text: "${settings.data.text}"}
  resources:
  - id: settings
    template:
      apiVersion: v1
      kind: ConfigMap
      metadata: {name: "${schema.metadata.name}"}
      data: {text: "${schema.spec.text}"}`

// world is a hub and two clusters.
type world struct {
	stack  *stack.Stack
	hub    *probe.Cluster
	spokes map[string]*probe.Cluster
}

func start(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	spokes := fleet.DefaultSpokes(2)
	for i := range spokes {
		spokes[i].Nodes = 0
	}
	s, err := stack.Start(t.Context(), stack.Options{
		Fleet:        fleet.Options{Name: "restore", Dir: filepath.Join(dir, "fleet"), Spokes: spokes},
		LeaseSeconds: 2,
		Progress:     os.Stderr,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	w := &world{stack: s}
	if w.hub, w.spokes, err = probe.OpenAll(s.Fleet); err != nil {
		t.Fatal(err)
	}
	w.hub.Apply(t, setting)
	return w
}

func (w *world) create(t *testing.T, name, placement string) {
	t.Helper()
	w.hub.Apply(t, fmt.Sprintf(`{apiVersion: kro.run/v1alpha1, kind: Shop, metadata: {name: %s, namespace: shop, labels: {kronvoy.io/placement: %s}}, spec: {text: %s}}`, name, placement, name))
}

func (w *world) ready(t *testing.T, name string, clusters int64) {
	t.Helper()
	probe.Within(t, 2*time.Minute, "instance "+name+" to be ready", func() error {
		shop := w.hub.Get(t, "shops.kro.run", "shop/"+name)
		if shop.Condition("Ready").Status != "True" || shop.Int("status.fleet.ready") != clusters || shop.Int("status.fleet.placed") != clusters {
			return fmt.Errorf("its status is %v", shop.At("status"))
		}
		return nil
	})
}

func (w *world) gold(t *testing.T, cluster string) {
	t.Helper()
	w.hub.Apply(t, "{apiVersion: cluster.open-cluster-management.io/v1, kind: ManagedCluster, metadata: {name: "+cluster+", labels: {tier: gold}}}")
}

// objects are the UIDs of the instances' objects by cluster and name.
func (w *world) objects(t *testing.T) map[string]string {
	t.Helper()
	uids := map[string]string{}
	for name, spoke := range w.spokes {
		for _, obj := range spoke.List(t, "configmaps", "shop") {
			uids[name+"/"+obj.GetName()] = string(obj.GetUID())
		}
	}
	return uids
}

// vanished waits for the condition of a cluster.
func (w *world) vanished(t *testing.T, cluster, status, reason, message string) {
	t.Helper()
	probe.Within(t, 2*time.Minute, "the hub to say of "+cluster+" which works vanished", func() error {
		c := w.hub.Get(t, "managedclusters.cluster.open-cluster-management.io", cluster).Condition("WorksVanished")
		if c.Status != status || c.Reason != reason || !strings.Contains(c.Message, message) {
			return fmt.Errorf("it says %v, not %s, %s, %q", c, status, reason, message)
		}
		return nil
	})
}

// TestAHubThatIsRestoredDeletesNothingUntold: what a snapshot does not know yet
// stays on the clusters for the grace period, the hub says so, and what is made
// again takes the objects over.
func TestAHubThatIsRestoredDeletesNothingUntold(t *testing.T) {
	w := start(t)
	w.gold(t, west)
	probe.Eventually(t, "the kind to be served", func() error {
		if ready := w.hub.Get(t, "resourcegraphdefinitions.kro.run", "shop").Condition("Ready"); ready.Status != "True" {
			return fmt.Errorf("Ready is %v", ready)
		}
		return nil
	})
	w.create(t, "before", "everywhere")
	w.create(t, "wider", "gold")
	w.ready(t, "before", 2)
	w.ready(t, "wider", 1)
	snapshot, err := w.stack.Fleet.Snapshot(t.Context(), filepath.Join(t.TempDir(), "snapshot"))
	if err != nil {
		t.Fatal(err)
	}
	w.gold(t, east)
	w.create(t, "again", "everywhere")
	w.create(t, "lost", "everywhere")
	w.ready(t, "wider", 2)
	w.ready(t, "again", 2)
	w.ready(t, "lost", 2)
	was := w.objects(t)
	seen := map[string]*probe.Recording{}
	for name, spoke := range w.spokes {
		seen[name] = spoke.Record(t, "shop", "configmaps")
	}

	if err := w.stack.Fleet.Hub().Restore(t.Context(), snapshot); err != nil {
		t.Fatal(err)
	}
	if err := w.stack.Hub.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, agent := range w.stack.Agents {
		probe.Within(t, 2*time.Minute, name+"'s agent to see that the hub is another one", func() error {
			if agent.Running() {
				return fmt.Errorf("it runs")
			}
			return nil
		})
		if err := agent.Start(); err != nil { // as its Deployment does
			t.Fatal(err)
		}
	}
	w.vanished(t, west, "True", "Vanished", ": 2 (")
	w.vanished(t, east, "True", "Vanished", ": 3 (")
	w.ready(t, "before", 2)
	w.ready(t, "wider", 1)

	w.gold(t, east)
	w.create(t, "again", "everywhere")
	w.ready(t, "again", 2)
	w.ready(t, "wider", 2)
	for name := range w.spokes {
		w.vanished(t, name, "True", "Vanished", ": 1 (")
	}
	for name, uid := range was {
		if now := w.objects(t)[name]; now != uid {
			t.Errorf("%s is %q, and was %s", name, now, uid)
		}
	}
	for name, seen := range seen {
		for _, event := range seen.Events(t) {
			if event.Type != "MODIFIED" {
				t.Errorf("%s: %s", name, event)
			}
		}
	}

	// The countdown goes on from where it began; with a shorter grace period it is
	// over.
	for _, spoke := range w.stack.Fleet.Spokes() {
		if err := w.stack.Agents[spoke.Name].Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := w.stack.Serve(t.Context(), spoke, "--eviction-grace-period=1s"); err != nil {
			t.Fatal(err)
		}
	}
	for name := range w.spokes {
		w.vanished(t, name, "False", "Evicted", "were deleted: 1, ")
	}
	for name := range w.objects(t) {
		if strings.HasSuffix(name, "/lost") {
			t.Errorf("%s is still there", name)
		}
	}
	for name, seen := range seen {
		var deleted []string
		for _, event := range seen.Events(t) {
			if event.Type == "DELETED" {
				deleted = append(deleted, event.GetName())
			}
		}
		if !slices.Equal(deleted, []string{"lost"}) {
			t.Errorf("%s: these were deleted: %v", name, deleted)
		}
	}
}
