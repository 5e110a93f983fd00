//go:build integration

package regions

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kronvoy/kronvoy/test/probe"
)

// A Deployment without readyWhen is ready as soon as it is applied. Whether it
// works is its health, which the hub knows besides, and which changes nothing of
// what kro's users see.
func TestWhatIsReadyAndDoesNotWorkIsShownAsUnhealthy(t *testing.T) {
	s := begin(t, "health")
	defer s.end()
	s.place("gold", `{matchLabels: {tier: gold}, matchExpressions: [{key: region, operator: In, values: [eu-west, us-east]}]}`)
	s.define("Served", `
schema:
  spec: {deadline: integer | default=600}
resources:
- id: deployment
  template:
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: "${schema.metadata.name}"}
    spec:
      replicas: 1
      progressDeadlineSeconds: "${schema.spec.deadline}"
      selector: {matchLabels: {app: "${schema.metadata.name}"}}
      template:
        metadata: {labels: {app: "${schema.metadata.name}"}}
        spec: {containers: [{name: main, image: none}]}
- id: settings
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.metadata.name}"}, data: {a: b}}`)
	s.create("Served", "web", "gold", "")
	s.ready("Served", "web", euWest1, usEast1)
	s.healthy("web", euWest1, "Progressing")
	s.healthy("web", usEast1, "Progressing")
	if node := s.node("web", euWest1, "settings"); node.Text("health") != "Healthy" {
		t.Errorf("a ConfigMap is %v", node)
	}

	// No kubelet is there; the test plays one of a single cluster.
	s.kubelet(euWest1, true)
	since := s.healthy("web", euWest1, "Healthy").Text("status.clocks.healthySince")
	if since == "" {
		t.Error("it is not said since when the cluster is ready and healthy")
	}

	s.create("Served", "web", "gold", "deadline: 1")
	failed := s.healthy("web", usEast1, "Failed")
	if got := failed.Text("status.clocks.healthySince"); failed.Text("status.state") != "Ready" || got != "" {
		t.Errorf("what failed is %s, and healthy since %q", failed.Text("status.state"), got)
	}
	const why = "deployments.apps health/web: ProgressDeadlineExceeded: "
	if node := s.node("web", usEast1, "deployment"); node.Text("state") != "Ready" || !strings.HasPrefix(node.Text("healthMessage"), why) {
		t.Errorf("the Deployment that failed is %v", node)
	}
	s.healthy("web", euWest1, "Healthy")
	instance := s.ready("Served", "web", euWest1, usEast1)
	if got := instance.Text("status.state"); got != "ACTIVE" {
		t.Errorf("the instance, which is ready, is %s", got)
	}
	probe.Eventually(t, "the instance to say where it is not healthy", func() error {
		instance := s.instance("Served", "web")
		row := entry(instance, "status.fleet.clusters", "name", usEast1)
		if instance.Int("status.fleet.healthy") != 1 || instance.Int("status.fleet.unhealthy") != 1 || row.Text("health") != "Failed" ||
			!strings.HasPrefix(row.Text("message"), "deployment is not healthy, and has failed: "+why) {
			return fmt.Errorf("its fleet is %v", instance.At("status.fleet"))
		}
		return nil
	})

	// What worked stops working.
	s.kubelet(euWest1, false)
	if got := s.healthy("web", euWest1, "Progressing"); got.Text("status.state") != "Ready" || got.Text("status.clocks.healthySince") != "" {
		t.Errorf("its status is %v", got.At("status"))
	}
	s.kubelet(euWest1, true)
	s.healthy("web", euWest1, "Healthy")
	s.outage(euWest1)
	probe.Eventually(t, "nothing to be known of a cluster that is silent", func() error {
		if got := s.targets("Served", "web")[euWest1]; got.Text("status.health") != "Unknown" || got.Text("status.clocks.healthySince") != "" {
			return fmt.Errorf("its status is %v", got.At("status"))
		}
		return nil
	})
}

// healthy waits until the hub knows of a health at the revision that the cluster
// should have, and returns the Target.
func (s *scene) healthy(name, cluster, health string) *probe.Object {
	s.Helper()
	var target *probe.Object
	probe.Eventually(s, fmt.Sprintf("%s on %s to be %s", name, cluster, health), func() error {
		target = s.targets("Served", name)[cluster]
		if target.Text("status.health") != health || target.Text("status.revision") != target.Text("spec.revision") {
			return fmt.Errorf("its status is %v", target.At("status"))
		}
		return nil
	})
	return target
}

// node is a node in the status of a Target.
func (s *scene) node(name, cluster, id string) *probe.Object {
	s.Helper()
	return entry(s.targets("Served", name)[cluster], "status.nodes", "id", id)
}

// entry is that of a list in which key has a value; nil if none has.
func entry(o *probe.Object, list, key, value string) *probe.Object {
	for _, e := range o.List(list) {
		if e.Text(key) == value {
			return e
		}
	}
	return nil
}

// kubelet says of all pods of the scene's namespace on a cluster that they are
// ready, or are not.
func (s *scene) kubelet(cluster string, ready bool) {
	s.Helper()
	status := "False"
	if ready {
		status = "True"
	}
	probe.Eventually(s, "a pod on "+cluster, func() error {
		pods := s.spokes[cluster].List(s, "pods", s.ns)
		if len(pods) == 0 {
			return fmt.Errorf("there is none")
		}
		for _, pod := range pods {
			s.spokes[cluster].Patch(s, "pods/status", s.ns+"/"+pod.GetName(),
				`{status: {phase: Running, conditions: [{type: Ready, status: "`+status+`", lastTransitionTime: "2026-01-01T00:00:00Z"}]}}`)
		}
		return nil
	})
}
