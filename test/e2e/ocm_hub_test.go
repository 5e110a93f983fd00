//go:build integration

package e2e

import (
	"fmt"
	"testing"

	"github.com/kronvoy/kronvoy/test/fleet"
	"github.com/kronvoy/kronvoy/test/probe"
)

// guestRights are those that OCM's hub gives to the work agent of a cluster, and
// no others: nothing of Kronvoy's is on that hub.
const guestRights = `
apiVersion: v1
kind: Namespace
metadata: {name: guest}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: ocm-work, namespace: guest}
rules:
- {apiGroups: ["", events.k8s.io], resources: [events], verbs: [create, patch, update]}
- {apiGroups: [work.open-cluster-management.io], resources: [manifestworks], verbs: [get, list, watch, update, patch]}
- {apiGroups: [work.open-cluster-management.io], resources: [manifestworks/status], verbs: [patch, update]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: ocm-work, namespace: guest}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: ocm-work}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: Group, name: "system:open-cluster-management:guest"}`

const guestWork = `
apiVersion: work.open-cluster-management.io/v1
kind: ManifestWork
metadata: {name: shop, namespace: guest}
spec:
  workload:
    manifests:
    - apiVersion: apps/v1
      kind: Deployment
      metadata: {name: web, namespace: shop}
      spec:
        replicas: 1
        selector: {matchLabels: {app: web}}
        template:
          metadata: {labels: {app: web}}
          spec: {containers: [{name: web, image: "registry.example/web:1"}]}
    - {apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: shop}, data: {color: blue}}
    - {apiVersion: v1, kind: Namespace, metadata: {name: shop}}
  manifestConfigs:
  - resourceIdentifier: {group: apps, resource: deployments, name: web, namespace: shop}
    feedbackRules: [{type: WellKnownStatus}]
    conditionRules:
    - {condition: Progressing, type: CEL, celExpressions: ["object.status.?availableReplicas.orValue(0) < object.spec.replicas"]}`

func TestKronvoysAgentServesAnOCMHub(t *testing.T) {
	s := begin(t, "ocm-hub")
	defer s.end()
	const works, name = "manifestworks.work.open-cluster-management.io", "guest"
	spoke, err := s.stack.Fleet.AddSpoke(t.Context(), fleet.ClusterOptions{Name: name, Region: name, Nodes: 1, APIServerArgs: s.audit.Args(name)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.leave(spoke)
	s.hub.Apply(t, guestRights)
	s.hub.Apply(t, guestWork)
	cluster, err := probe.OpenIn(s.stack.Fleet, name)
	if err != nil {
		t.Fatal(err)
	}
	// OCM's registration agent keeps up the lease.
	if err := s.stack.Serve(t.Context(), spoke, "--lease-duration=-1s"); err != nil {
		t.Fatal(err)
	}

	probe.Eventually(t, "the work to be applied and judged", func() error {
		work := s.hub.Get(t, works, name+"/shop")
		for condition, want := range map[string]string{"Applied": "True", "Available": "True", "Progressing": "False"} {
			if got := work.Condition(condition); got.Status != want || got.ObservedGeneration != work.GetGeneration() {
				return fmt.Errorf("%s is %v", condition, got)
			}
		}
		for _, manifest := range work.List("status.resourceStatus.manifests") {
			for _, value := range manifest.List("statusFeedback.values") {
				if value.Text("name") == "AvailableReplicas" && value.Int("fieldValue.integer") == 1 {
					return nil
				}
			}
		}
		return fmt.Errorf("its feedback is %v", work.At("status.resourceStatus"))
	})
	cluster.Patch(t, "configmaps", "shop/settings", "{data: {color: green}}")
	probe.Eventually(t, "drift to be put right", func() error {
		if got := cluster.Get(t, "configmaps", "shop/settings").Text("data.color"); got != "blue" {
			return fmt.Errorf("the color is %s", got)
		}
		return nil
	})
	s.hub.Delete(t, works, name+"/shop")
	probe.Eventually(t, "the work to go with its objects", func() error {
		for _, left := range []*probe.Object{
			s.hub.Get(t, works, name+"/shop"), cluster.Get(t, "deployments.apps", "shop/web"), cluster.Get(t, "namespaces", "shop"),
		} {
			if left != nil {
				return fmt.Errorf("%s %s is still there", left.GetKind(), left.GetName())
			}
		}
		return nil
	})
}
