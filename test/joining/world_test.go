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

// euWest is the cluster.
const euWest = "eu-west"

// Resources as kubectl names them.
const (
	managedClusters = "managedclusters.cluster.open-cluster-management.io"
	appliedWorks    = "appliedmanifestworks.work.open-cluster-management.io"
)

// image is what the agent's Deployment is to run.
const image = "registry.example/kronvoy-spoke:test"

// world is a hub and a cluster on which nothing is installed. They have no
// nodes: the Deployments that the commands apply run nothing, and the hub and
// the agent are processes beside them, with the same rights.
type world struct {
	*testing.T
	stack      *stack.Stack
	kronvoy    string
	hub, spoke *probe.Cluster
}

func start(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	s, err := stack.Start(t.Context(), stack.Options{
		Fleet:        fleet.Options{Name: "joining", Dir: filepath.Join(dir, "fleet"), Spokes: []fleet.ClusterOptions{{Name: euWest}}},
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
	w.hub, w.spoke = w.open(fleet.HubName), w.open(euWest)
	return w
}

func (w *world) open(cluster string) *probe.Cluster {
	w.Helper()
	c, err := probe.OpenIn(w.stack.Fleet, cluster)
	if err != nil {
		w.Fatal(err)
	}
	return c
}

func (w *world) logs() {
	processes := []*fleet.Process{w.stack.Hub, w.stack.Agents[euWest]}
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
	if err := w.stack.RunAgent(w.Context(), w.stack.Fleet.Cluster(euWest)); err != nil {
		w.Fatal(err)
	}
}

func (w *world) endAgent() {
	w.Helper()
	if err := w.stack.Agents[euWest].Stop(w.Context()); err != nil {
		w.Fatal(err)
	}
}

// rejoin takes the cluster into the fleet again, by a token that is accepted at
// once, with the agent that it has.
func (w *world) rejoin() {
	w.Helper()
	token := w.run(w.hub, "", "hub", "token", "--cluster", euWest, "--labels", "region=eu", "--rejoin")
	w.run(w.spoke, token, "join", "--wait=false")
	w.startAgent()
	w.run(w.spoke, token, "join", "--without-agent")
}

// rejoinByHand does what docs/join.md says, letter for letter.
func (w *world) rejoinByHand() {
	w.Helper()
	text, err := os.ReadFile(filepath.Join(w.stack.Root(), "docs", "join.md"))
	if err != nil {
		w.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## By hand\n")
	var scripts []string
	for _, block := range strings.Split(section, "```sh\n")[1:] {
		script, _, _ := strings.Cut(block, "```")
		scripts = append(scripts, script)
	}
	if len(scripts) != 3 {
		w.Fatalf("the section has %d scripts, not those for the hub, for a token and for the cluster", len(scripts))
	}
	dir := w.TempDir()
	if err := os.Symlink(w.stack.Config(), filepath.Join(dir, "config")); err != nil {
		w.Fatal(err)
	}
	w.script(dir, w.hub, scripts[1])
	w.script(dir, w.spoke, scripts[2])
	w.startAgent()
}

func (w *world) script(dir string, on *probe.Cluster, script string) {
	w.Helper()
	cmd := exec.CommandContext(w.Context(), "bash", "-euo", "pipefail", "-c", script)
	path := filepath.Dir(w.stack.Fleet.Kubectl()) + string(os.PathListSeparator) + os.Getenv("PATH")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "KUBECONFIG="+on.Kubeconfig, "PATH="+path)
	if out, err := cmd.CombinedOutput(); err != nil {
		w.Fatalf("%s\n%v\n%s", script, err, out)
	}
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
		if w.spoke.Get(w, o.resource, o.name) != nil {
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
		object = w.spoke.Get(w, "configmaps", "shop/settings")
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
