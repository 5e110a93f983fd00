//go:build integration

package joining

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/kronvoy/kronvoy/test/probe"
	"github.com/kronvoy/kronvoy/test/stack"
)

const shop = `
apiVersion: v1
kind: Namespace
metadata: {name: shop, annotations: {kronvoy.io/agent-identity: allowed}}
---
apiVersion: cluster.open-cluster-management.io/v1beta2
kind: ManagedClusterSetBinding
metadata: {name: global, namespace: shop}
spec: {clusterSet: global}
---
apiVersion: cluster.open-cluster-management.io/v1beta1
kind: Placement
metadata: {name: all, namespace: shop}
spec:
  clusterSets: [global]
  predicates: [{requiredClusterSelector: {labelSelector: {matchLabels: {region: eu}}}}]
---
apiVersion: kro.run/v1alpha1
kind: ResourceGraphDefinition
metadata: {name: shop}
spec:
  schema:
    apiVersion: v1alpha1
    kind: Shop
    spec: {text: string}
  resources:
  - id: settings
    template:
      apiVersion: v1
      kind: ConfigMap
      metadata: {name: settings}
      data: {text: "${schema.spec.text}"}`

// users are objects of the cluster's own people, some of them where an agent's
// are.
const users = `
apiVersion: v1
kind: ConfigMap
metadata: {name: users, namespace: shop, labels: {kronvoy.io/managed: "true"}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: users-aggregated, labels: {rbac.kronvoy.io/aggregate-to-spoke: "true"}}
rules: [{apiGroups: [example.com], resources: [widgets], verbs: [get]}]`

// TestAClusterJoinsLeavesAndComesBack is one cluster's life in a fleet, by the
// commands that README names.
func TestAClusterJoinsLeavesAndComesBack(t *testing.T) {
	w := start(t)
	var uid types.UID
	for _, step := range []struct {
		name string
		run  func(*world)
	}{
		{"a cluster becomes a hub", (*world).becomesAHub},
		{"a person accepts a cluster", (*world).isAccepted},
		{"an instance runs there", func(w *world) {
			w.hub.Apply(w, shop)
			probe.Eventually(w, "the definition to be ready", func() error {
				if ready := w.hub.Get(w, "resourcegraphdefinitions.kro.run", "shop").Condition("Ready"); ready.Status != "True" {
					return fmt.Errorf("Ready is %v", ready)
				}
				return nil
			})
			w.say("one")
			uid = w.settings("one").GetUID()
			w.spoke.Apply(w, users)
		}},
		{"it leaves, and keeps what was applied", func(w *world) { w.leaves(uid) }},
		{"it comes back by hand, and nothing is made anew", func(w *world) {
			w.say("two")
			w.rejoinByHand()
			if got := w.settings("two").GetUID(); got != uid {
				w.Error("the object was made anew")
			}
			w.hasUsers()
		}},
		{"it is lost, and the hub lets go of it", (*world).isLost},
		{"it is found again, and nothing is made anew", func(w *world) {
			w.rejoin() // with the image that it has
			for _, container := range w.spoke.Get(w, "deployments.apps", stack.AgentNamespace+"/kronvoy-agent").List("spec.template.spec.containers") {
				if got := container.Text("image"); got != "registry.example/kronvoy-spoke:dev" {
					w.Errorf("the agent runs %s", got)
				}
			}
			w.say("three")
			if got := w.settings("three").GetUID(); got != uid {
				w.Error("the object was made anew")
			}
			if at := w.hub.Get(w, managedClusters, euWest).GetAnnotations()["kronvoy.io/detached"]; at != "" {
				w.Errorf("it is detached since %s", at)
			}
		}},
		{"it leaves for good, and takes along what was applied", (*world).leavesWithAll},
	} {
		if !t.Run(step.name, func(t *testing.T) {
			own := *w
			own.T = t
			step.run(&own)
		}) {
			t.FailNow()
		}
	}
}

func (w *world) becomesAHub() {
	if _, err := w.try(w.hub, "", "hub", "token", "--cluster", euWest); err == nil || !strings.Contains(err.Error(), "kronvoy hub init") {
		w.Errorf("a token of what is no hub: %v", err)
	}
	for _, option := range [][]string{{"--dry-run"}, nil, nil} {
		w.run(w.hub, "", append([]string{"hub", "init", "--image", "registry.example/kronvoy-hub:test"}, option...)...)
	}
	if err := w.stack.StartHub(w.Context()); err != nil {
		w.Fatal(err)
	}
}

func (w *world) isAccepted() {
	token := w.run(w.hub, "", "hub", "token", "--cluster", euWest, "--approval", "manual")
	if _, err := w.try(w.spoke, token, "join"); err == nil || !strings.Contains(err.Error(), "--image is needed") {
		w.Errorf("joining with no image: %v", err)
	}
	w.run(w.spoke, token, "join", "--image", image, "--wait=false", "--request-labels", "region=us")
	if found := w.installed(); len(found) != 6 {
		w.Errorf("of the agent there is only %v", found)
	}
	w.startAgent()
	_, err := w.try(w.spoke, token, "join", "--without-agent", "--request-labels", "region=us", "--timeout", "3s")
	if err == nil || !strings.Contains(err.Error(), "Error: cluster "+euWest+" has not joined yet: the hub has not approved") || !strings.Contains(err.Error(), "kronvoy accept "+euWest) {
		w.Errorf("joining before it is accepted: %v", err)
	}
	if shown := w.run(w.hub, "", "accept", euWest, "--dry-run"); !strings.Contains(shown, "region=us") {
		w.Errorf("who accepts is shown %s", shown)
	}
	w.run(w.hub, "", "accept", euWest, "--labels", "region=eu")
	joined := w.result(w.spoke, token, "join", "--without-agent", "--request-labels", "region=us")
	if joined["joined"] != true {
		w.Errorf("joining says %v", joined)
	}
	probe.Eventually(w, "the cluster to have joined", func() error {
		c := w.hub.Get(w, managedClusters, euWest)
		if joined := c.Condition("ManagedClusterJoined"); joined.Status != "True" {
			return fmt.Errorf("ManagedClusterJoined is %v", joined)
		}
		if got := c.GetLabels()["region"]; got != "eu" {
			return fmt.Errorf("its region is %q", got)
		}
		return nil
	})
	w.hub.Patch(w, managedClusters, euWest, `{"spec":{"leaseDurationSeconds":1}}`)
}

// hasUsers checks that nobody has taken what is the users'.
func (w *world) hasUsers() {
	w.Helper()
	if w.spoke.Get(w, "configmaps", "shop/users") == nil || w.spoke.Get(w, "clusterroles.rbac.authorization.k8s.io", "users-aggregated") == nil {
		w.Error("objects of users were deleted")
	}
}

func (w *world) leaves(uid types.UID) {
	w.endAgent()
	left := w.result(w.spoke, "", "unjoin")
	if left["cluster"] != euWest || left["kept"] != 1.0 || left["deleted"] != 0.0 {
		w.Errorf("leaving says %v", left)
	}
	if found := w.installed(); len(found) > 0 {
		w.Errorf("of the agent there is still %v", found)
	}
	object := w.spoke.Get(w, "configmaps", "shop/settings")
	if object == nil || object.GetUID() != uid || len(object.GetOwnerReferences()) > 0 {
		w.Errorf("what was applied is now %v", object)
	}
	w.hasUsers()
	// Run again it finds nothing to do.
	if again := w.result(w.spoke, "", "unjoin"); again["works"] != 0.0 {
		w.Errorf("leaving again says %v", again)
	}
}

// isLost ends the agent alone: all else stays as it was, on a cluster that nobody
// reaches.
func (w *world) isLost() {
	w.endAgent()
	if _, err := w.try(w.hub, "", "detach", euWest); err == nil || !strings.Contains(err.Error(), "--yes") && !strings.Contains(err.Error(), "is alive") {
		w.Errorf("detaching without a word: %v", err)
	}
	w.unheard()
	detached := w.result(w.hub, "", "detach", euWest, "--yes")
	if detached["cluster"] != euWest || detached["detached"] == "" || detached["gone"] == true {
		w.Errorf("detaching says %v", detached)
	}
	if left := w.hub.List(w, "manifestworks.work.open-cluster-management.io", euWest); len(left) > 0 {
		w.Errorf("%d works are left", len(left))
	}
	probe.Eventually(w, "the instance to be nowhere", func() error {
		if n := w.hub.Get(w, "shops.kro.run", "shop/one").Int("status.fleet.placed"); n != 0 {
			return fmt.Errorf("it is on %d clusters", n)
		}
		return nil
	})
	if w.spoke.Get(w, "configmaps", "shop/settings") == nil {
		w.Error("what was applied is gone")
	}
}

func (w *world) unheard() {
	w.Helper()
	probe.Eventually(w, "the hub to hear nothing of the cluster", func() error {
		if available := w.hub.Get(w, managedClusters, euWest).Condition("ManagedClusterConditionAvailable"); available.Status != "Unknown" {
			return fmt.Errorf("Available is %v", available)
		}
		return nil
	})
}

func (w *world) leavesWithAll() {
	w.endAgent()
	left := w.result(w.spoke, "", "unjoin", "--delete-workloads")
	if left["kept"] != 0.0 || left["deleted"] != 1.0 {
		w.Errorf("leaving says %v", left)
	}
	if found := w.installed(); len(found) > 0 {
		w.Errorf("of the agent there is still %v", found)
	}
	if object := w.spoke.Get(w, "configmaps", "shop/settings"); object != nil {
		w.Errorf("what was applied is there: %v", object)
	}
	w.hasUsers()
	// Nobody is left to clean up, so that a deletion waits for a word.
	w.unheard()
	w.hub.Delete(w, managedClusters, euWest)
	if detached := w.result(w.hub, "", "detach", euWest, "--yes"); detached["gone"] != true {
		w.Errorf("detaching says %v", detached)
	}
	if c := w.hub.Get(w, managedClusters, euWest); c != nil {
		w.Errorf("the cluster is still there: %v", c)
	}
}
