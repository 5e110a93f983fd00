//go:build integration

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kronvoy/kronvoy/test/probe"
)

// eu-west has Talos's Pod Security defaults: baseline is enforced where a
// namespace says nothing. A pod is refused there; a workload's pods are refused
// later, by whoever makes them.
func TestWhatPodSecurityRefusesOnTalosIsToldOnTheHub(t *testing.T) {
	s := begin(t, "privileged")
	defer s.end()
	s.define("Bare", `
schema:
  spec: {}
resources:
- id: pod
  template:
    apiVersion: v1
    kind: Pod
    metadata: {name: "${schema.metadata.name}"}
    spec:
      containers: [{name: main, image: registry.example/main, securityContext: {privileged: true}}]`)
	s.define("Exporter", `
schema:
  spec: {}
resources:
- id: daemon
  readyWhen: ["${daemon.status.?numberReady.orValue(0) > 0}"]
  template:
    apiVersion: apps/v1
    kind: DaemonSet
    metadata: {name: "${schema.metadata.name}"}
    spec:
      selector: {matchLabels: {app: "${schema.metadata.name}"}}
      template:
        metadata: {labels: {app: "${schema.metadata.name}"}}
        spec:
          tolerations: [{operator: Exists}]
          containers: [{name: main, image: registry.example/main, securityContext: {privileged: true}}]`)
	s.create("Bare", "bare", euWest, "")
	s.create("Exporter", "exporter", euWest, "")

	const violation = `violates PodSecurity "baseline:latest": privileged`
	probe.Eventually(t, "the refusal of the pod to be in the instance's status", func() error {
		status := s.instance("Bare", "bare").At("status")
		if !strings.Contains(fmt.Sprint(status), violation) {
			return fmt.Errorf("its status is %v", status)
		}
		return nil
	})
	s.node(euWest, "Exporter", "exporter", "daemon", "Progressing")
	probe.Eventually(t, "the cluster to say why the DaemonSet has no pods", func() error {
		for _, event := range s.spokes[euWest].List(t, "events", s.ns) {
			if event.Text("involvedObject.kind") == "DaemonSet" && event.Text("reason") == "FailedCreate" && strings.Contains(event.Text("message"), violation) {
				return nil
			}
		}
		return fmt.Errorf("it does not")
	})

	// The way out: a namespace that allows it, which the cluster's owner labels.
	s.spokes[euWest].Patch(t, "namespaces", s.ns, "{metadata: {labels: {pod-security.kubernetes.io/enforce: privileged}}}")
	s.appears(euWest, "pods", "bare")
	s.ready("Bare", "bare", 1)
}
