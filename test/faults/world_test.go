//go:build integration

package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
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
	stack *stack.Stack
	// proxy is between Kronvoy's processes and the API servers; nil for none.
	proxy  *proxy.Proxy
	audit  probe.Audit
	dir    string
	hub    *probe.Cluster
	spokes map[string]*probe.Cluster
	songs  int
}

func start(t *testing.T) *world {
	t.Helper()
	return setUp(t, &world{dir: t.TempDir()}, func(string) error { return nil }, nil)
}

// startBehindProxy is start with a proxy between Kronvoy's processes and the API
// servers.
func startBehindProxy(t *testing.T) *world {
	t.Helper()
	w := &world{dir: t.TempDir()}
	var err error
	if w.proxy, err = proxy.New(w.dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.proxy.Close(); err != nil {
			t.Error(err)
		}
	})
	return setUp(t, w, w.proxy.Reroute, w.proxy.Args())
}

func setUp(t *testing.T, w *world, reroute func(string) error, args []string) *world {
	t.Helper()
	w.spokes = map[string]*probe.Cluster{}
	var err error
	if w.audit.Log, err = audit.New(w.dir); err != nil {
		t.Fatal(err)
	}
	spokes := fleet.DefaultSpokes(2)
	for i := range spokes {
		spokes[i].Nodes = 1
		spokes[i].APIServerArgs = append(w.audit.Args(spokes[i].Name), args...)
	}
	w.stack, err = stack.Start(t.Context(), stack.Options{
		Fleet: fleet.Options{
			Name: "faults", Dir: filepath.Join(w.dir, "fleet"), Spokes: spokes,
			Hub: fleet.ClusterOptions{APIServerArgs: append(w.audit.Args(fleet.HubName), args...)},
		},
		Reroute:  reroute,
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
	open := func(c *fleet.Cluster) *probe.Cluster {
		cluster, err := probe.Open(c.Name, c.Kubeconfig(), w.stack.Fleet.Kubectl())
		if err != nil {
			t.Fatal(err)
		}
		return cluster
	}
	w.hub = open(w.stack.Fleet.Hub())
	for _, spoke := range w.stack.Fleet.Spokes() {
		w.spokes[spoke.Name] = open(spoke)
		// The namespace outlives every life; its watches begin with the first.
		w.spokes[spoke.Name].Apply(t, "{apiVersion: v1, kind: Namespace, metadata: {name: "+namespace+"}}")
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
	w.sing(t)
	return w
}

// explain shows a failed test what was written since the last phase began, how
// things are, and the ends of the logs.
func (w *world) explain(t *testing.T, begin time.Time) {
	t.Helper()
	writes := w.audit.Since(t, begin)
	t.Logf("what was written:%s", probe.Lines(writes[:min(len(writes), 150)]))
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

// record is what was seen from the beginning of a phase.
type record struct {
	world *world
	// seen by cluster.
	seen map[string]*probe.Recording
	// from is where each audit log ended.
	from map[string]int64
	// total is the number of writes until all was in place.
	total int
}

func (w *world) record(t *testing.T) *record {
	t.Helper()
	r := &record{world: w, seen: map[string]*probe.Recording{}, from: map[string]int64{}}
	for name, spoke := range w.spokes {
		r.seen[name] = spoke.Record(t, namespace, "configmaps", "deployments.apps")
	}
	for _, log := range w.auditLogs(t) {
		info, err := os.Stat(log)
		if err != nil {
			t.Fatal(err)
		}
		r.from[log] = info.Size()
	}
	return r
}

func (w *world) auditLogs(t *testing.T) []string {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(w.dir, "*.audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	return logs
}

// writes counts requests since the beginning of the phase.
func (r *record) writes(t *testing.T) int {
	t.Helper()
	count := 0
	for _, log := range r.world.auditLogs(t) {
		text, err := readFrom(log, r.from[log])
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			if !bytes.Contains(line, []byte(`"resource":"leases"`)) && !bytes.Contains(line, []byte(`"resource":"events"`)) {
				count++
			}
		}
	}
	return count
}

func readFrom(path string, offset int64) (text []byte, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return nil, err
	}
	return io.ReadAll(file)
}

// awaitWrites returns when that many requests were made, or when it is clear
// that there will not be so many.
func (r *record) awaitWrites(t *testing.T, n int) {
	t.Helper()
	const idle = time.Second
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	last, since := 0, time.Now()
	for {
		now := r.writes(t)
		if now != last {
			last, since = now, time.Now()
		}
		if now >= n || time.Since(since) > idle {
			return
		}
		<-ticker.C
	}
}
