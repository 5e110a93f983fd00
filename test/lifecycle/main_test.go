//go:build integration

package lifecycle

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kronvoy/kronvoy/test/audit"
	"github.com/kronvoy/kronvoy/test/fleet"
	"github.com/kronvoy/kronvoy/test/probe"
	"github.com/kronvoy/kronvoy/test/stack"
)

// world is what all tests share: one cluster with a hub on it.
type world struct {
	stack   *stack.Stack
	audit   probe.Audit
	cluster *probe.Cluster
	dir     string
}

var shared = probe.Shared[*world]{Start: start, Stop: (*world).stop}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	// What runs side by side waits more than it works. The command line may say
	// otherwise.
	if err := flag.Set("test.parallel", "6"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return shared.Run(m)
}

func start() (*world, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "kronvoy-lifecycle")
	if err != nil {
		return nil, err
	}
	w := &world{dir: dir}
	if w.audit.Log, err = audit.New(dir); err != nil {
		return nil, errors.Join(err, w.stop())
	}
	w.stack, err = stack.Start(ctx, stack.Options{
		Fleet: fleet.Options{
			Name: "lifecycle", Dir: filepath.Join(dir, "fleet"), Spokes: []fleet.ClusterOptions{},
			Hub: fleet.ClusterOptions{Nodes: 1, APIServerArgs: w.audit.Args(fleet.HubName)},
		},
		Local:    true,
		Progress: os.Stderr,
	})
	if err != nil {
		return nil, errors.Join(err, w.stop())
	}
	if w.cluster, err = probe.OpenIn(w.stack.Fleet, fleet.HubName); err != nil {
		return nil, errors.Join(err, w.stop())
	}
	return w, nil
}

func (w *world) stop() error {
	var err error
	if w.stack != nil {
		err = w.stack.Stop(context.Background())
	}
	return errors.Join(err, os.RemoveAll(w.dir))
}
