//go:build integration

package joining

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kronvoy/kronvoy/test/fleet"
	"github.com/kronvoy/kronvoy/test/probe"
	"github.com/kronvoy/kronvoy/test/stack"
)

// east is the cluster.
const east = "east"

// Resources as kubectl names them.
const (
	managedClusters = "managedclusters.cluster.open-cluster-management.io"
	appliedWorks    = "appliedmanifestworks.work.open-cluster-management.io"
)

// world is a hub and a cluster on which nothing is installed. They have no
// nodes: the Deployments that the commands apply run nothing, and the hub and
// the agent are processes beside them, with the same rights.
type world struct {
	*testing.T
	stack     *stack.Stack
	kronvoy   string
	hub, east *probe.Cluster
}

func start(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	s, err := stack.Start(t.Context(), stack.Options{
		Fleet:        fleet.Options{Name: "joining", Dir: filepath.Join(dir, "fleet"), Spokes: []fleet.ClusterOptions{{Name: east}}},
		LeaseSeconds: 1, Bare: true, Progress: t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, stack: s, kronvoy: filepath.Join(dir, "kronvoy")}
	t.Cleanup(func() {
		if t.Failed() {
			w.logs()
		}
		if err := s.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", w.kronvoy, "./cmd/kronvoy")
	build.Dir, build.Env = s.Root(), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the command: %v\n%s", err, out)
	}
	w.hub, w.east = w.open(fleet.HubName), w.open(east)
	return w
}

func (w *world) open(cluster string) *probe.Cluster {
	w.Helper()
	c, err := probe.Open(cluster, w.stack.Fleet.Cluster(cluster).Kubeconfig(), w.stack.Fleet.Kubectl())
	if err != nil {
		w.Fatal(err)
	}
	return c
}

func (w *world) logs() {
	processes := []*fleet.Process{w.stack.Hub, w.stack.Agents[east]}
	for _, p := range processes {
		if p != nil {
			w.Logf("the log of %s ends with:\n%s", p.Name(), probe.Tail(p.Log(), 20))
		}
	}
}

// try runs a command against a cluster, and returns what it printed.
func (w *world) try(on *probe.Cluster, input string, args ...string) (string, error) {
	w.Helper()
	cmd := exec.CommandContext(w.Context(), w.kronvoy, append(args, "--kubeconfig", on.Kubeconfig)...)
	var out, errOut bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &errOut
	err := cmd.Run()
	w.Logf("kronvoy %s\n%s", strings.Join(args, " "), errOut.String())
	if err != nil {
		err = fmt.Errorf("kronvoy %s: %w\n%s%s", strings.Join(args, " "), err, out.String(), errOut.String())
	}
	return out.String(), err
}

// run is try for a command that has to succeed.
func (w *world) run(on *probe.Cluster, input string, args ...string) string {
	w.Helper()
	out, err := w.try(on, input, args...)
	if err != nil {
		w.Fatal(err)
	}
	return out
}

// result runs a command that prints JSON.
func (w *world) result(on *probe.Cluster, input string, args ...string) map[string]any {
	w.Helper()
	result := map[string]any{}
	if err := json.Unmarshal([]byte(w.run(on, input, append(args, "-o", "json")...)), &result); err != nil {
		w.Fatal(err)
	}
	return result
}

// startAgent does what the Deployment would do on a cluster with nodes.
func (w *world) startAgent() {
	w.Helper()
	if err := w.stack.RunAgent(w.Context(), w.stack.Fleet.Cluster(east)); err != nil {
		w.Fatal(err)
	}
}

func (w *world) endAgent() {
	w.Helper()
	if err := w.stack.Agents[east].Stop(w.Context()); err != nil {
		w.Fatal(err)
	}
}

// join takes the cluster into the fleet, by a token that is accepted at once.
func (w *world) join() {
	w.Helper()
	token := w.run(w.hub, "", "hub", "token", "--cluster", east, "--labels", "region=east", "--rejoin")
	w.run(w.east, token, "join", "--image", "registry.example/kronvoy-spoke:test", "--wait=false")
	w.startAgent()
	w.run(w.east, token, "join", "--without-agent")
}

// installed are the objects of the agent that are on the cluster.
func (w *world) installed() []string {
	w.Helper()
	var found []string
	for _, o := range []struct{ resource, name string }{
		{"namespaces", stack.AgentNamespace},
		{"deployments.apps", stack.AgentNamespace + "/kronvoy-agent"},
		{"serviceaccounts", stack.AgentNamespace + "/kronvoy-agent"},
		{"clusterroles.rbac.authorization.k8s.io", "kronvoy-agent"},
		{"clusterrolebindings.rbac.authorization.k8s.io", "kronvoy-agent"},
		{"customresourcedefinitions.apiextensions.k8s.io", appliedWorks},
	} {
		if w.east.Get(w, o.resource, o.name) != nil {
			found = append(found, o.resource+" "+o.name)
		}
	}
	return found
}

// settings waits for the instance's object on the cluster to say what the
// instance says.
func (w *world) settings(text string) *probe.Object {
	w.Helper()
	var object *probe.Object
	probe.Eventually(w, "the instance to be on the cluster with "+text, func() error {
		object = w.east.Get(w, "configmaps", "shop/settings")
		if got := object.Text("data.text"); got != text {
			return fmt.Errorf("it says %q", got)
		}
		if len(object.GetOwnerReferences()) != 1 {
			return fmt.Errorf("its owners are %v", object.GetOwnerReferences())
		}
		return nil
	})
	return object
}

// say changes the instance.
func (w *world) say(text string) {
	w.Helper()
	w.hub.Apply(w, "{apiVersion: kro.run/v1alpha1, kind: Shop, metadata: {name: one, namespace: shop, labels: {kronvoy.io/placement: all}}, spec: {text: "+text+"}}")
}
