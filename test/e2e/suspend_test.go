//go:build integration

package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/kronvoy/kronvoy/test/fleet"
	"github.com/kronvoy/kronvoy/test/probe"
)

const pausable = `
schema:
  spec:
    color: string | default="blue"
  status:
    color: ${settings.data.color}
resources:
- id: settings
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.metadata.name}-settings"}
    data: {color: "${schema.spec.color}"}
- id: spare
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.metadata.name}-spare"}
    data: {color: "${schema.spec.color}"}
- id: web
  template:
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: "${schema.metadata.name}"}
    spec:
      replicas: 2
      selector: {matchLabels: {app: "${schema.metadata.name}"}}
      template:
        metadata: {labels: {app: "${schema.metadata.name}"}}
        spec: {containers: [{name: web, image: "registry.k8s.io/pause:3.10"}]}`

// suspend annotates an instance, and waits until its works on a cluster say so.
func (s *scene) suspend(cluster, kind, name, word string) {
	s.Helper()
	s.hub.Patch(s, probe.Resource(kind), s.ns+"/"+name, `{metadata: {annotations: {kro.run/reconcile: `+word+`}}}`)
	probe.Eventually(s, name+" to be suspended", func() error {
		instance := s.instance(kind, name)
		if c := instance.Condition("ResourcesReady"); c.Status != "False" || c.Reason != "ReconciliationSuspended" {
			return fmt.Errorf("its status is %v", instance.At("status"))
		}
		if c := instance.Condition("Ready"); c.Status != "False" || c.Reason != "ReconciliationSuspended" {
			return fmt.Errorf("its status is %v", instance.At("status"))
		}
		for _, w := range s.works(cluster, kind, name) {
			if w.GetAnnotations()["kronvoy.io/reconcile"] != "suspended" {
				return fmt.Errorf("work %s is not marked", w.GetName())
			}
		}
		return nil
	})
}

func (s *scene) resume(kind, name string) {
	s.Helper()
	s.hub.Patch(s, probe.Resource(kind), s.ns+"/"+name, `{metadata: {annotations: {kro.run/reconcile: null}}}`)
}

func TestASuspendedInstanceStaysAsItIsOnEveryClusterUntilItGoesOn(t *testing.T) {
	s := begin(t, "suspended")
	defer s.end()
	s.define("Pausable", pausable)
	s.create("Pausable", "one", usEast, "")
	s.ready("Pausable", "one", 1)
	s.suspend(usEast, "Pausable", "one", "Suspended")
	if state := s.instance("Pausable", "one").Text("status.state"); state != "ACTIVE" {
		t.Errorf("the state is %s", state)
	}
	begin := time.Now()

	// Somebody scales and deletes; the spec changes, and the placement.
	if out, err := s.spokes[usEast].Kubectl(t, "-n", s.ns, "scale", "deployment/one", "--replicas=7"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s.spokes[usEast].Delete(t, "configmaps", s.ns+"/one-spare")
	s.create("Pausable", "one", everywhere, "color: red")
	s.reported("Pausable", "one", "Deployment", "ConfigMap")

	probe.During(t, 3*time.Second, "a suspended instance", func() error {
		if n := s.on(usEast, "deployments.apps", "one").Int("spec.replicas"); n != 7 {
			return fmt.Errorf("the Deployment has %d replicas", n)
		}
		if color := s.on(usEast, "configmaps", "one-settings").Text("data.color"); color != "blue" {
			return fmt.Errorf("the ConfigMap is %s", color)
		}
		if s.on(usEast, "configmaps", "one-spare") != nil {
			return fmt.Errorf("what was deleted is there again")
		}
		for _, cluster := range []string{euWest, apSouth} {
			if s.target(cluster, "Pausable", "one") != nil || s.on(cluster, "deployments.apps", "one") != nil {
				return fmt.Errorf("it came to %s", cluster)
			}
		}
		return nil
	})
	for _, w := range s.audit.Since(t, begin) {
		if w.Namespace == s.ns && w.Cluster != fleet.HubName {
			t.Errorf("the agent wrote: %s", w)
		}
	}
	instance := s.instance("Pausable", "one")
	if drifted := instance.Condition("Drifted"); drifted.Status != "True" {
		t.Errorf("the drift is not told: %v", drifted)
	}
	if color := instance.Text("status.color"); color != "blue" {
		t.Errorf("the instance says it is %q", color)
	}

	s.resume("Pausable", "one")
	s.ready("Pausable", "one", 3)
	s.holds(usEast, "deployments.apps", "one", "spec.replicas", int64(2))
	for _, cluster := range []string{euWest, usEast, apSouth} {
		s.holds(cluster, "configmaps", "one-settings", "data.color", "red")
		s.holds(cluster, "configmaps", "one-spare", "data.color", "red")
	}
	probe.Eventually(t, "no drift to be left", func() error {
		if c := s.instance("Pausable", "one").Condition("Drifted"); c.Status != "False" {
			return fmt.Errorf("it is %v", c)
		}
		return nil
	})
}

// reported waits until drift of objects of these kinds is reported and not
// corrected.
func (s *scene) reported(kind, name string, of ...string) {
	s.Helper()
	probe.Eventually(s, "the drift to be reported", func() error {
		findings := s.report(usEast, kind, name).List("status.findings")
		for _, k := range of {
			if !slices.ContainsFunc(findings, func(f *probe.Object) bool { return f.Text("kind") == k && f.Text("action") == "Reported" }) {
				return fmt.Errorf("of %s nothing: %v", k, findings)
			}
		}
		return nil
	})
}

func TestASuspendedInstanceCanBeDeleted(t *testing.T) {
	s := begin(t, "suspended-away")
	defer s.end()
	s.define("Deletable", pausable)
	s.create("Deletable", "one", usEast, "")
	s.ready("Deletable", "one", 1)
	s.suspend(usEast, "Deletable", "one", "disabled")
	s.hub.Delete(t, probe.Resource("Deletable"), s.ns+"/one")
	for _, name := range []string{"one-settings", "one-spare"} {
		s.goes(usEast, "configmaps", name)
	}
	s.goes(usEast, "deployments.apps", "one")
	probe.Eventually(t, "the instance to be gone", func() error {
		if instance := s.instance("Deletable", "one"); instance != nil {
			return fmt.Errorf("it is there: %v", instance.At("status"))
		}
		return nil
	})
}

func TestAnInstanceThatIsMadeSuspendedComesNowhereUntilItGoesOn(t *testing.T) {
	s := begin(t, "suspended-first")
	defer s.end()
	s.define("Reluctant", pausable)
	s.hub.Apply(t, fmt.Sprintf(`
apiVersion: kro.run/v1alpha1
kind: Reluctant
metadata: {name: one, namespace: %s, labels: {kronvoy.io/placement: %s}, annotations: {kro.run/reconcile: suspended}}
spec: {}`, s.ns, usEast))
	s.suspend(usEast, "Reluctant", "one", "suspended")
	probe.During(t, time.Second, "an instance that is suspended from the start", func() error {
		if s.target(usEast, "Reluctant", "one") != nil {
			return fmt.Errorf("it has a Target")
		}
		return nil
	})
	s.resume("Reluctant", "one")
	s.ready("Reluctant", "one", 1)
}
