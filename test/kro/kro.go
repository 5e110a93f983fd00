// Package kro runs kro's own controller, built from the module that
// test/compare pins, on a cluster of the local fleet: to measure beside it, and
// to move from it and back to it.
package kro

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kronvoy/kronvoy/test/fleet"
)

const (
	module  = "github.com/kubernetes-sigs/kro"
	command = module + "/cmd/controller"
)

// Namespace and Account are where kro's Helm chart runs it.
const (
	Namespace = "kro-system"
	Account   = "kro"
)

// Kro is kro's controller on one cluster.
type Kro struct {
	// Process is the controller; nil before the first Start.
	Process *fleet.Process

	fleet   *fleet.Fleet
	command fleet.Command
}

// Install builds kro's controller and brings its CRDs and the rights that its
// chart gives by default, which are all, to a cluster. root is the repository.
func Install(ctx context.Context, f *fleet.Fleet, cluster *fleet.Cluster, root string) (*Kro, error) {
	pinned := filepath.Join(root, "test", "compare")
	path := filepath.Join(root, "bin", "kro-controller")
	if _, err := run(ctx, pinned, "build", "-trimpath", "-o", path, command); err != nil {
		return nil, fmt.Errorf("building kro's controller: %w", err)
	}
	source, err := run(ctx, pinned, "list", "-m", "-f", "{{.Dir}}", module)
	if err != nil {
		return nil, fmt.Errorf("looking for kro's module: %w", err)
	}
	if err := cluster.InstallCRDs(ctx, filepath.Join(source, "helm", "crds")); err != nil {
		return nil, fmt.Errorf("installing kro's CRDs: %w", err)
	}
	if err := cluster.ApplyObjects(ctx, rights()...); err != nil {
		return nil, fmt.Errorf("installing kro's rights: %w", err)
	}
	kubeconfig := filepath.Join(f.Dir(), "kro.kubeconfig")
	if err := cluster.ServiceAccountKubeconfig(ctx, Namespace, Account, kubeconfig); err != nil {
		return nil, fmt.Errorf("making kro's identity: %w", err)
	}
	return &Kro{fleet: f, command: fleet.Command{Name: "kro", Path: path, Args: []string{
		"--kubeconfig", kubeconfig, "--metrics-bind-address", "0", "--health-probe-bind-address", "0",
		"--leader-elect", "--leader-election-namespace", Namespace,
	}}}, nil
}

// Start runs the controller, with the defaults of its chart.
func (k *Kro) Start() error {
	process, err := k.fleet.Run(k.command)
	k.Process = process
	return err
}

// Stop ends the controller; what it made stays.
func (k *Kro) Stop(ctx context.Context) error { return k.Process.Stop(ctx) }

func rights() []*unstructured.Unstructured {
	subjects := []any{map[string]any{"kind": "ServiceAccount", "name": Account, "namespace": Namespace}}
	return []*unstructured.Unstructured{
		{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": Namespace}}},
		{Object: map[string]any{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": map[string]any{"name": Account, "namespace": Namespace}}},
		{Object: map[string]any{
			"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": map[string]any{"name": "kro"},
			"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
			"subjects": subjects,
		}},
	}
}

// run runs the go command in a directory and returns what it printed.
func run(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return strings.TrimSpace(string(out)), nil
}
