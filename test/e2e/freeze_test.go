//go:build integration

package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/kronvoy/kronvoy/test/probe"
)

const frozenSettings = `
schema:
  spec:
    color: string | default="blue"
resources:
- id: settings
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.metadata.name}"}
    data: {color: "${schema.spec.color}"}`

// kronvoy runs the command line against the hub.
func (s *scene) kronvoy(args ...string) string {
	s.Helper()
	out, err := s.tryKronvoy(s.hub.Kubeconfig, args...)
	if err != nil {
		s.Fatalf("kronvoy %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// tryKronvoy runs the command line as whom a kubeconfig is for.
func (s *scene) tryKronvoy(kubeconfig string, args ...string) (string, error) {
	s.Helper()
	cmd := exec.CommandContext(s.Context(), "go", append([]string{"run", "./cmd/kronvoy"}, append(args, "--kubeconfig", kubeconfig)...)...)
	cmd.Dir = s.stack.Root()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// quiet holds that an agent writes nothing of the scene for a while.
func (s *scene) quiet(what string, since time.Time, clusters ...string) {
	s.Helper()
	probe.During(s, 3*time.Second, what, func() error {
		for _, w := range s.audit.Since(s, since) {
			for _, cluster := range clusters {
				if w.Namespace == s.ns && w.Cluster == cluster && strings.Contains(w.User, "kronvoy") {
					return fmt.Errorf("the agent wrote: %s", w)
				}
			}
		}
		return nil
	})
}

// frozen waits until the works of an instance on a cluster are marked, or are not.
func (s *scene) frozen(cluster, kind, name, mark string) {
	s.Helper()
	probe.Eventually(s, "works on "+cluster+" to be marked "+mark, func() error {
		for _, w := range s.works(cluster, kind, name) {
			if got := w.GetAnnotations()["kronvoy.io/reconcile"]; got != mark {
				return fmt.Errorf("work %s is marked %q", w.GetName(), got)
			}
		}
		return nil
	})
}

func TestAFrozenClusterIsNotWrittenTo(t *testing.T) {
	s := begin(t, "frozen")
	defer s.end()
	s.define("Froze", frozenSettings)
	s.create("Froze", "one", everywhere, "")
	s.ready("Froze", "one", 3)
	s.kronvoy("freeze", usEast, "--reason", "incident 7")
	defer s.kronvoy("thaw", usEast)
	s.frozen(usEast, "Froze", "one", "suspended")
	since := time.Now()

	s.spokes[usEast].Patch(t, "configmaps", s.ns+"/one", "{data: {color: green}}")
	s.create("Froze", "one", everywhere, "color: red")
	s.holds(euWest, "configmaps", "one", "data.color", "red")
	s.holds(apSouth, "configmaps", "one", "data.color", "red")
	s.quiet("the frozen cluster", since, usEast)
	probe.Eventually(t, "the instance to say why", func() error {
		if ready := s.instance("Froze", "one").Condition("Ready"); ready.Status != "False" || !strings.Contains(ready.Message, "us-east: cluster us-east is frozen: incident 7") {
			return fmt.Errorf("Ready is %v", ready)
		}
		return nil
	})

	s.hub.Delete(t, probe.Resource("Froze"), s.ns+"/one")
	s.goes(euWest, "configmaps", "one")
	s.state(usEast, "Froze", "one", "Deleting")
	s.quiet("the frozen cluster", since, usEast)
	if s.on(usEast, "configmaps", "one") == nil {
		t.Error("it was deleted from the frozen cluster")
	}
	s.kronvoy("thaw", usEast)
	s.goes(usEast, "configmaps", "one")
}

func TestAFrozenFleetIsNotWrittenTo(t *testing.T) {
	s := begin(t, "frozen-fleet")
	defer s.end()
	s.define("Ice", frozenSettings)
	s.create("Ice", "one", everywhere, "")
	s.ready("Ice", "one", 3)
	s.kronvoy("freeze", "--all")
	defer s.kronvoy("thaw", "--all")
	for _, cluster := range []string{euWest, usEast, apSouth} {
		s.frozen(cluster, "Ice", "one", "suspended")
	}
	since := time.Now()
	s.create("Ice", "one", everywhere, "color: red")
	s.create("Ice", "two", everywhere, "color: red")
	if err := s.stack.Hub.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.quiet("the frozen fleet", since, euWest, usEast, apSouth)
	for _, w := range s.hub.List(t, "manifestworks.work.open-cluster-management.io", euWest) {
		if w.GetAnnotations()["kronvoy.io/instance"] == "Ice.kro.run/"+s.ns+"/two" {
			t.Error("a new instance was shipped")
		}
	}
	s.kronvoy("thaw", "--all")
	s.ready("Ice", "one", 3)
	s.ready("Ice", "two", 3)
	s.holds(usEast, "configmaps", "one", "data.color", "red")
}
