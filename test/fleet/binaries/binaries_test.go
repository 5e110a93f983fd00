package binaries_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kronvoy/kronvoy/test/fleet/binaries"
)

// fakeGo stands in for the go command: it notes what is built, and writes a
// file as the compiler would. A file "fail" or "hang" beside it names a package
// that does so.
const fakeGo = `#!/bin/sh
here=$(dirname "$0")
if [ "$1" = list ]; then
  if [ "${PWD##*/}" != controlplane ]; then echo "module sigs.k8s.io/kwok: not a known dependency" >&2; exit 1; fi
  echo "$here/kwok"; exit 0
fi
while [ $# -gt 1 ]; do
  if [ "$1" = -o ]; then out=$2; fi
  shift
done
echo "$1" >> "$here/built"
if [ "$1" = "$(cat "$here/fail" 2>/dev/null)" ]; then echo "no such luck" >&2; exit 1; fi
if [ "$1" = "$(cat "$here/hang" 2>/dev/null)" ]; then echo half > "$out"; exec sleep 600; fi
echo whole > "$out"
`

// fakes makes a repository to build and a go command to build it with.
func fakes(t *testing.T) (bin string) {
	t.Helper()
	repo, bin := t.TempDir(), t.TempDir()
	write(t, filepath.Join(repo, "test/controlplane/go.mod"), "require (\n\tk8s.io/kubernetes v1.99.1 // indirect\n)\n", 0o600)
	write(t, filepath.Join(repo, "test/controlplane/go.sum"), "", 0o600)
	write(t, filepath.Join(repo, "test/ocm/agent/go.mod"), "require (\n\topen-cluster-management.io/ocm v1.98.0 // indirect\n)\n", 0o600)
	write(t, filepath.Join(repo, "test/ocm/agent/go.sum"), "", 0o600)
	write(t, filepath.Join(bin, "go"), fakeGo, 0o700)
	for _, stage := range []string{
		"node/fast/node-initialize.yaml", "node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
		"pod/fast/pod-ready.yaml", "pod/fast/pod-complete.yaml", "pod/fast/pod-delete.yaml",
	} {
		write(t, filepath.Join(bin, "kwok/kustomize/stage", stage), "kind: Stage\n", 0o600)
	}
	t.Setenv("KRONVOY_REPO", repo)
	t.Setenv("KRONVOY_CACHE", t.TempDir())
	t.Setenv("KUBEBUILDER_ASSETS", "")
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	return bin
}

func TestEverythingIsBuiltOnce(t *testing.T) {
	bin := fakes(t)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			paths, err := binaries.Ensure(t.Context(), t.Output())
			if err != nil {
				t.Error(err)
			}
			for _, path := range append([]string{paths.Etcd, paths.APIServer, paths.ControllerManager, paths.Scheduler, paths.Kubectl, paths.Kwok}, paths.KwokStages...) {
				if _, err := os.Stat(path); err != nil {
					t.Error(err)
				}
			}
			if got, want := paths.Version, "v1.99.1"; got != want {
				t.Errorf("version %q, want %q", got, want)
			}
		})
	}
	wg.Wait()
	if got, want := len(built(t, bin)), 6; got != want {
		t.Errorf("%d builds, want %d: %q", got, want, built(t, bin))
	}
}

func TestAnInterruptedBuildGoesOnWhereItStopped(t *testing.T) {
	bin := fakes(t)
	const third = "k8s.io/kubernetes/cmd/kube-apiserver"
	write(t, filepath.Join(bin, "hang"), third, 0o600)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for len(built(t, bin)) < 3 {
			<-tick.C
		}
	}()
	if _, err := binaries.Ensure(ctx, t.Output()); !errors.Is(err, context.Canceled) {
		t.Fatalf("a build that was interrupted: %v, want %v", err, context.Canceled)
	}
	write(t, filepath.Join(bin, "hang"), "", 0o600)
	paths, err := binaries.Ensure(t.Context(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(built(t, bin)), 3+4; got != want {
		t.Errorf("%d builds, want %d: %q", got, want, built(t, bin))
	}
	if text, err := os.ReadFile(paths.APIServer); err != nil || string(text) != "whole\n" {
		t.Errorf("the API server is %q (%v), want it whole", text, err)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(paths.APIServer), "*.partial*"))
	if err != nil || len(left) > 0 {
		t.Errorf("partial files %q are left (%v)", left, err)
	}
}

func TestAFailedBuildSaysWhatFailedAndWhere(t *testing.T) {
	bin := fakes(t)
	write(t, filepath.Join(bin, "fail"), "sigs.k8s.io/kwok/cmd/kwok", 0o600)
	_, err := binaries.Ensure(t.Context(), t.Output())
	if err == nil {
		t.Fatal("a failed build is no error")
	}
	for _, want := range []string{"building kwok", "no such luck", "controlplane"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

func TestAssetsOfKubebuilderAreUsed(t *testing.T) {
	bin := fakes(t)
	assets := t.TempDir()
	write(t, filepath.Join(assets, "kube-apiserver"), "", 0o700)
	write(t, filepath.Join(assets, "etcd"), "", 0o700)
	t.Setenv("KUBEBUILDER_ASSETS", assets)
	paths, err := binaries.Ensure(t.Context(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := filepath.Dir(paths.APIServer), assets; got != want {
		t.Errorf("the API server is in %s, want %s", got, want)
	}
	if got, want := filepath.Dir(paths.Etcd), assets; got != want {
		t.Errorf("etcd is in %s, want %s", got, want)
	}
	if got, want := len(built(t, bin)), 4; got != want { // the assets hold no kubectl
		t.Errorf("%d builds, want %d: %q", got, want, built(t, bin))
	}
}

func TestWithoutACloneTheErrorSaysWhatToDo(t *testing.T) {
	t.Setenv("KRONVOY_REPO", t.TempDir())
	_, err := binaries.Ensure(t.Context(), t.Output())
	if err == nil || !strings.Contains(err.Error(), "KRONVOY_REPO") {
		t.Errorf("%v, want it to name KRONVOY_REPO", err)
	}
}

func built(t *testing.T, bin string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(bin, "built"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	return strings.Fields(string(text))
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func TestOCMsAgentIsBuiltOnceAndBesideTheControlPlane(t *testing.T) {
	bin := fakes(t)
	agent, err := binaries.EnsureOCMAgent(t.Context(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	again, err := binaries.EnsureOCMAgent(t.Context(), t.Output())
	if err != nil || again != agent {
		t.Errorf("%q (%v) the second time, want %q", again, err, agent)
	}
	if text, err := os.ReadFile(agent); err != nil || string(text) != "whole\n" {
		t.Errorf("the agent is %q (%v), want it whole", text, err)
	}
	if got, want := built(t, bin), []string{"open-cluster-management.io/ocm/cmd/work"}; !slices.Equal(got, want) {
		t.Errorf("built %q, want %q", got, want)
	}
}

func TestPruneLeavesWhatIsPinned(t *testing.T) {
	fakes(t)
	paths, err := binaries.Ensure(t.Context(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	agent, err := binaries.EnsureOCMAgent(t.Context(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(filepath.Dir(filepath.Dir(paths.Kwok)), "v1.98.0-of-earlier-pins")
	write(t, filepath.Join(old, "etcd"), "old", 0o700)
	oldAgent := filepath.Join(filepath.Dir(filepath.Dir(agent)), "v1.97.0-of-earlier-pins")
	write(t, filepath.Join(oldAgent, "work"), "old", 0o700)
	removed, err := binaries.Prune()
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{old, oldAgent}; !slices.Equal(removed, want) {
		t.Errorf("removed %q, want %q", removed, want)
	}
	for path, want := range map[string]bool{old: false, paths.Kwok: true, oldAgent: false, agent: true} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: %v, want it to exist: %t", path, err, want)
		}
	}
}
