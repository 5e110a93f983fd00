// Package binaries builds the control plane of the local fleet, once: etcd,
// kube-apiserver, kube-controller-manager, kube-scheduler, kubectl and kwok
// from the Go modules that test/controlplane pins; and OCM's own work agent, for
// the tests beside it. What it builds stays in a cache directory whose name
// changes with the pins.
package binaries

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kronvoy/kronvoy/test/fleet/internal/filelock"
)

// Paths are the programs of a control plane.
type Paths struct {
	Etcd              string
	APIServer         string
	ControllerManager string
	Scheduler         string
	Kubectl           string
	Kwok              string
	// KwokStages say how kwok plays nodes and pods.
	KwokStages []string
	// Version is that of Kubernetes, as in v1.36.3.
	Version string
}

// Ensure returns the programs, and first builds those that are missing. It
// reports what it does to progress, may be interrupted and goes on where it
// stopped. Several processes may call it at once: one builds, the others wait.
//
// Where the environment names KUBEBUILDER_ASSETS, the kube-apiserver, etcd and
// kubectl found in that directory are used instead.
func Ensure(ctx context.Context, progress io.Writer) (Paths, error) {
	if progress == nil {
		progress = io.Discard
	}
	mod, err := controlPlane()
	if err != nil {
		return Paths{}, err
	}
	cache, err := CacheDir()
	if err != nil {
		return Paths{}, err
	}
	dir := filepath.Join(cache, controlPlanes, mod.key)
	paths, wanted, err := plan(dir, mod)
	if err != nil {
		return Paths{}, err
	}
	if err := ensure(ctx, builder{module: mod, dir: dir, progress: progress}, wanted, paths.KwokStages); err != nil {
		return Paths{}, err
	}
	return paths, nil
}

// EnsureOCMAgent is Ensure for OCM's own work agent, which test/ocm/agent pins,
// and returns its path.
func EnsureOCMAgent(ctx context.Context, progress io.Writer) (string, error) {
	if progress == nil {
		progress = io.Discard
	}
	mod, err := ocmAgent()
	if err != nil {
		return "", err
	}
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, ocmAgents, mod.key)
	agent := program{"work", "open-cluster-management.io/ocm/cmd/work", filepath.Join(dir, "work")}
	return agent.path, ensure(ctx, builder{module: mod, dir: dir, progress: progress}, []program{agent}, nil)
}

// The folders of the cache, one level of pins in each.
const (
	controlPlanes = "controlplane"
	ocmAgents     = "ocm-agent"
)

// ensure builds what is missing, behind a lock.
func ensure(ctx context.Context, b builder, wanted []program, stages []string) error {
	if complete(wanted, stages) {
		return nil
	}
	lock, err := filelock.Acquire(ctx, filepath.Join(b.dir, ".lock"), func(err error) {
		fmt.Fprintf(b.progress, "waiting for another build of %s: %v\n", b.module.what, err)
	})
	if err != nil {
		return err
	}
	if complete(wanted, stages) { // the other build has done it
		return lock.Release()
	}
	if err := errors.Join(b.build(ctx, wanted, stages), lock.Release()); err != nil {
		return fmt.Errorf("building %s from %s into %s (what is built so far is kept): %w", b.module.what, b.module.dir, b.dir, err)
	}
	return nil
}

// CacheDir is where Kronvoy keeps what it can make again: $KRONVOY_CACHE, or
// "kronvoy" in the user's cache directory.
func CacheDir() (string, error) {
	if dir := os.Getenv("KRONVOY_CACHE"); dir != "" {
		return filepath.Abs(filepath.Join(dir, "kronvoy"))
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding a cache directory (set KRONVOY_CACHE to choose one): %w", err)
	}
	return filepath.Join(dir, "kronvoy"), nil
}

// program is one binary and the package that makes it.
type program struct {
	name, pkg, path string
}

// plan says where everything is, and which programs have to be built there.
func plan(dir string, mod module) (Paths, []program, error) {
	paths := Paths{Version: mod.version}
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	if assets != "" { // the programs run elsewhere
		var err error
		if assets, err = filepath.Abs(assets); err != nil {
			return paths, nil, fmt.Errorf("finding KUBEBUILDER_ASSETS: %w", err)
		}
	}
	var wanted []program
	for _, p := range []struct {
		name, pkg string
		path      *string
		asset     bool
	}{
		{"etcd", "go.etcd.io/etcd/server/v3", &paths.Etcd, true},
		{"kwok", "sigs.k8s.io/kwok/cmd/kwok", &paths.Kwok, false},
		{"kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver", &paths.APIServer, true},
		{"kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager", &paths.ControllerManager, false},
		{"kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler", &paths.Scheduler, false},
		{"kubectl", "k8s.io/kubernetes/cmd/kubectl", &paths.Kubectl, true},
	} {
		if p.asset && assets != "" {
			if path := filepath.Join(assets, p.name); exists(path) {
				*p.path = path
				continue
			}
		}
		*p.path = filepath.Join(dir, p.name)
		wanted = append(wanted, program{p.name, p.pkg, *p.path})
	}
	for _, stage := range kwokStages {
		paths.KwokStages = append(paths.KwokStages, filepath.Join(dir, "stages", filepath.Base(stage)))
	}
	return paths, wanted, nil
}

func complete(programs []program, stages []string) bool {
	for _, p := range programs {
		if !exists(p.path) {
			return false
		}
	}
	for _, stage := range stages {
		if !exists(stage) {
			return false
		}
	}
	return true
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
