//go:build integration

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kronvoy/kronvoy/test/audit"
	"github.com/kronvoy/kronvoy/test/fleet"
	"github.com/kronvoy/kronvoy/test/probe"
)

// restartHub ends the hub process and starts another, which knows nothing.
func (s *scene) restartHub() {
	s.Helper()
	if err := s.stack.Hub.Restart(s.Context()); err != nil {
		s.Fatal(err)
	}
}

func TestASpokeWithoutItsAgentHoldsUpNobodyKeepsItsObjectsAndCatchesUp(t *testing.T) {
	s := begin(t, "agentless")
	defer s.end()
	s.define("Deserted", chain)
	s.create("Deserted", "one", everywhere, "")
	s.ready("Deserted", "one", 3)
	uid := s.on(apSouth, "configmaps", "one-last").GetUID()
	agent := s.stack.Agents[apSouth]
	if err := agent.Kill(); err != nil {
		t.Fatal(err)
	}
	revive := onlyOnce(agent.Start)
	defer revive(t)

	s.create("Deserted", "one", everywhere, "text: two")
	s.create("Deserted", "fresh", everywhere, "")
	for _, cluster := range []string{euWest, usEast} {
		s.holds(cluster, "configmaps", "one-last", "data.text", "two")
		s.state(cluster, "Deserted", "one", "Ready")
		s.state(cluster, "Deserted", "fresh", "Ready")
	}
	// It takes five leases until the hub says so.
	s.state(apSouth, "Deserted", "one", "Unreachable")
	s.eventOf("default", "ManagedCluster", apSouth, "Unreachable")
	probe.Eventually(t, "the instance to count it", func() error {
		if n := s.instance("Deserted", "one").Int("status.fleet.unreachable"); n != 1 {
			return fmt.Errorf("%d are unreachable", n)
		}
		return nil
	})
	if got := s.on(apSouth, "configmaps", "one-last"); got.GetUID() != uid || got.Text("data.text") != "one" {
		t.Errorf("its object is %v", got)
	}

	revive(t)
	s.holds(apSouth, "configmaps", "one-last", "data.text", "two")
	s.ready("Deserted", "one", 3)
	s.ready("Deserted", "fresh", 3)
	if got := s.on(apSouth, "configmaps", "one-last"); got.GetUID() != uid {
		t.Error("the object was replaced")
	}
}

// onlyOnce runs a function once, however often it is called.
func onlyOnce(f func() error) func(testing.TB) {
	done := false
	return func(t testing.TB) {
		t.Helper()
		if done {
			return
		}
		done = true
		if err := f(); err != nil {
			t.Error(err)
		}
	}
}

func TestASpokeWithoutItsAPIServerHoldsUpNobodyAndCatchesUp(t *testing.T) {
	s := begin(t, "serverless")
	defer s.end()
	s.define("Silenced", chain)
	s.create("Silenced", "one", everywhere, "")
	s.ready("Silenced", "one", 3)
	uid := s.on(usEast, "configmaps", "one-last").GetUID()
	spoke := s.stack.Fleet.Cluster(usEast)
	if err := spoke.Process(fleet.APIServer).Kill(); err != nil {
		t.Fatal(err)
	}
	revive := onlyOnce(func() error {
		if err := spoke.Process(fleet.APIServer).Start(); err != nil {
			return err
		}
		return spoke.WaitReady(t.Context())
	})
	defer revive(t)

	s.create("Silenced", "one", everywhere, "text: two")
	for _, cluster := range []string{euWest, apSouth} {
		s.holds(cluster, "configmaps", "one-last", "data.text", "two")
		s.state(cluster, "Silenced", "one", "Ready")
	}
	if got := s.instance("Silenced", "one").Condition("Ready"); got.Status != "False" {
		t.Errorf("the instance is ready although a cluster has the old text: %v", got)
	}

	revive(t)
	s.holds(usEast, "configmaps", "one-last", "data.text", "two")
	s.ready("Silenced", "one", 3)
	if got := s.on(usEast, "configmaps", "one-last"); got.GetUID() != uid {
		t.Error("the object was replaced")
	}
}

func TestADefinitionUnderDeletionServesItsInstancesToTheEnd(t *testing.T) {
	s := begin(t, "dying")
	defer s.end()
	s.define("Dying", chain)
	s.create("Dying", "one", euWest, "")
	s.ready("Dying", "one", 1)
	s.hub.Delete(t, "resourcegraphdefinitions.kro.run", "dying")
	probe.Eventually(t, "the definition to say what it waits for", func() error {
		ready := s.definition("Dying").Condition("Ready")
		if ready.Status != "False" || !strings.Contains(ready.Message, "instances of Dying still exist") {
			return fmt.Errorf("Ready is %v", ready)
		}
		return nil
	})
	s.restartHub()
	s.create("Dying", "one", euWest, "text: two")
	s.holds(euWest, "configmaps", "one-last", "data.text", "two")

	s.hub.Delete(t, probe.Resource("Dying"), s.ns+"/one")
	s.goes(euWest, "configmaps", "one-first")
	probe.Eventually(t, "the definition to go", func() error {
		if rgd := s.definition("Dying"); rgd != nil {
			return fmt.Errorf("Ready is %v", rgd.Condition("Ready"))
		}
		return nil
	})
}

func TestARestartOfTheHubOrOfAnAgentWritesNothing(t *testing.T) {
	s := begin(t, "restart")
	defer s.end()
	s.define("Restarted", chain)
	s.define("RestartedWeb", drifting)
	for i := range 3 {
		s.create("Restarted", fmt.Sprintf("chain-%d", i), everywhere, "")
		s.create("RestartedWeb", fmt.Sprintf("web-%d", i), everywhere, "")
	}
	for i := range 3 {
		s.ready("Restarted", fmt.Sprintf("chain-%d", i), 3)
		s.ready("RestartedWeb", fmt.Sprintf("web-%d", i), 3)
	}

	restarts := map[string]func() error{
		"the hub": func() error { return s.stack.Hub.Restart(t.Context()) },
		"all agents": func() error {
			for _, agent := range s.stack.Agents {
				if err := agent.Restart(t.Context()); err != nil {
					return err
				}
			}
			return nil
		},
		"the hub by kill -9": func() error {
			if err := s.stack.Hub.Kill(); err != nil {
				return err
			}
			return s.stack.Hub.Start()
		},
	}
	for what, restart := range restarts {
		t.Run(what, func(t *testing.T) {
			s.audit.Quiet(t, 2*time.Second)
			begin := time.Now()
			if err := restart(); err != nil {
				t.Fatal(err)
			}
			// Something new passes through everybody: by then all that is old was
			// looked at.
			s.create("Restarted", "later", everywhere, "text: '"+what+"'")
			s.ready("Restarted", "later", 3)
			s.audit.Quiet(t, 2*time.Second)
			later := work(s, "later")
			var written []audit.Write
			for _, w := range s.audit.Since(t, begin) {
				if !later(w) {
					written = append(written, w)
				}
			}
			if len(written) > 0 {
				t.Errorf("it wrote:%s", probe.Lines(written))
			}
		})
	}
}

// work tells the writes about one instance from others.
func work(s *scene, name string) func(audit.Write) bool {
	s.Helper()
	names := map[string]bool{name: true, name + "-first": true, name + "-second": true, name + "-last": true}
	for _, cluster := range []string{euWest, usEast, apSouth} {
		names[s.target(cluster, "Restarted", name).GetName()] = true
		for _, w := range s.works(cluster, "Restarted", name) {
			names[w.GetName()] = true
			for _, applied := range s.spokes[cluster].List(s, "appliedmanifestworks.work.open-cluster-management.io", "") {
				if applied.Text("spec.manifestWorkName") == w.GetName() {
					names[applied.GetName()] = true
				}
			}
		}
	}
	for _, r := range s.hub.List(s, "controllerrevisions.apps", s.ns) {
		if owners := r.GetOwnerReferences(); len(owners) == 1 && owners[0].Name == name {
			names[r.GetName()] = true
		}
	}
	return func(w audit.Write) bool { return names[w.Name] }
}
