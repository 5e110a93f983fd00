//go:build integration

package faults

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kronvoy/kronvoy/test/audit"
	"github.com/kronvoy/kronvoy/test/fleet"
	"github.com/kronvoy/kronvoy/test/probe"
	"github.com/kronvoy/kronvoy/test/proxy"
	"github.com/kronvoy/kronvoy/test/stack"
)

// world is a hub and two spokes with Kronvoy on them.
type world struct {
	story
	stack *stack.Stack
	// proxy is between Kronvoy's processes and the API servers.
	proxy  *proxy.Proxy
	audit  probe.Audit
	dir    string
	hub    *probe.Cluster
	spokes map[string]*probe.Cluster
	// songs are the canary's objects by cluster, and sung is how often it sang.
	songs map[string]string
	sung  int
	// read is how much of the logs was searched for panics.
	read map[*fleet.Process]int
}

// start puts a proxy between Kronvoy's processes and the API servers, which
// ends processes where a plan says so.
func start(t *testing.T, s story) *world {
	t.Helper()
	w := &world{story: s, dir: t.TempDir(), songs: map[string]string{}, read: map[*fleet.Process]int{}}
	var err error
	if w.proxy, err = proxy.New(w.dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.proxy.Close(); err != nil {
			t.Error(err)
		}
	})
	if w.audit.Log, err = audit.New(w.dir); err != nil {
		t.Fatal(err)
	}
	spokes := fleet.DefaultSpokes(2)
	for i := range spokes {
		spokes[i].Nodes = 1
		spokes[i].APIServerArgs = append(w.audit.Args(spokes[i].Name), w.proxy.Args()...)
	}
	w.stack, err = stack.Start(t.Context(), stack.Options{
		Fleet: fleet.Options{
			Name: "faults", Dir: filepath.Join(w.dir, "fleet"), Spokes: spokes,
			Hub: fleet.ClusterOptions{APIServerArgs: append(w.audit.Args(fleet.HubName), w.proxy.Args()...)},
		},
		Reroute:  w.proxy.Reroute,
		Progress: os.Stderr,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.stack.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	if w.hub, w.spokes, err = probe.OpenAll(w.stack.Fleet); err != nil {
		t.Fatal(err)
	}
	for _, spoke := range w.spokes {
		// The namespace outlives every life; its watches begin with the first.
		spoke.Apply(t, "{apiVersion: v1, kind: Namespace, metadata: {name: "+namespace+"}}")
	}
	w.hub.Apply(t, definition)
	w.hub.Apply(t, canary)
	for _, name := range []string{"voyage", "canary"} {
		probe.Eventually(t, "the kind to be served", func() error {
			if ready := w.hub.Get(t, "resourcegraphdefinitions.kro.run", name).Condition("Ready"); ready.Status != "True" {
				return fmt.Errorf("Ready is %v", ready)
			}
			return nil
		})
	}
	w.proxy.OnCrash(func(link string, away time.Duration) { w.end(t, w.process(link), away) })
	w.sing(t)
	w.audit.Settled(t, quiet)
	return w
}

// The links of the proxy.
const (
	hub        = "kronvoy-hub"
	agent      = west + "-agent"
	agentOnHub = west + "-on-hub"
)

// processOf names the process that asks through a link: the hub, or a cluster's
// agent by the name of the cluster.
func processOf(link string) string {
	return strings.TrimSuffix(strings.TrimSuffix(link, "-agent"), "-on-hub")
}

func (w *world) process(link string) *fleet.Process {
	if link == hub {
		return w.stack.Hub
	}
	return w.stack.Agents[processOf(link)]
}

// end ends a process at once, and starts it again with nothing in its memory.
func (w *world) end(t *testing.T, victim *fleet.Process, away time.Duration) {
	if err := victim.Kill(); err != nil {
		t.Error(err)
		return
	}
	timer := time.NewTimer(away)
	defer timer.Stop()
	<-timer.C
	if err := victim.Start(); err != nil {
		t.Error(err)
	}
}

// panics looks for what controllers recover from, and try again, in the logs.
func (w *world) panics(t *testing.T) {
	t.Helper()
	processes := append(slices.Collect(maps.Values(w.stack.Agents)), w.stack.Hub)
	for _, process := range processes {
		text, err := os.ReadFile(process.Log())
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text[w.read[process]:])) {
			if strings.Contains(line, "panic: ") {
				t.Errorf("%s: %s", process.Name(), line)
			}
		}
		w.read[process] = len(text)
	}
}

// explain shows a failed test what was written since the last phase began, how
// things are, and the ends of the logs.
func (w *world) explain(t *testing.T, begin time.Time) {
	t.Helper()
	writes := w.audit.Since(t, begin)
	t.Logf("what was written:%s", probe.Lines(writes[:min(len(writes), 150)]))
	t.Logf("what has not happened:%s", w.proxy.Left())
	for name, spoke := range w.spokes {
		for _, obj := range append(spoke.List(t, "deployments.apps", namespace), spoke.List(t, "pods", namespace)...) {
			t.Logf("%s: %s %s has %v", name, obj.GetKind(), obj.GetName(), obj.At("status"))
		}
		for _, obj := range append(w.hub.List(t, "manifestworks.work.open-cluster-management.io", name), w.hub.List(t, "targets.kronvoy.io", name)...) {
			t.Logf("hub: %s %s/%s has %v", obj.GetKind(), name, obj.GetName(), obj.At("status"))
		}
	}
	t.Logf("the hub's log ends with:\n%s", probe.Tail(w.stack.Hub.Log(), 15))
	for name, agent := range w.stack.Agents {
		t.Logf("the log of %s's agent ends with:\n%s", name, probe.Tail(agent.Log(), 30))
	}
}

// record watches the instance's objects on each cluster until the test ends.
func (w *world) record(t *testing.T) map[string]*probe.Recording {
	t.Helper()
	seen := map[string]*probe.Recording{}
	for name, spoke := range w.spokes {
		seen[name] = spoke.Record(t, namespace, "configmaps", "deployments.apps")
	}
	return seen
}
