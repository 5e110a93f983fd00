//go:build integration

package e2e

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kronvoy/kronvoy/test/audit"
	"github.com/kronvoy/kronvoy/test/fleet"
	"github.com/kronvoy/kronvoy/test/probe"
	"github.com/kronvoy/kronvoy/test/stack"
)

// The clusters.
const (
	euWest  = "eu-west"
	usEast  = "us-east"
	apSouth = "ap-south"
)

// leaseSeconds is how often agents say that they are alive; the hub counts one
// as gone after five times that.
const leaseSeconds = 2

// world is what all tests share.
type world struct {
	stack  *stack.Stack
	audit  probe.Audit
	hub    *probe.Cluster
	spokes map[string]*probe.Cluster
	dir    string
}

var shared = probe.Shared[*world]{Start: start, Stop: (*world).stop}

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

func start() (*world, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "kronvoy-e2e")
	if err != nil {
		return nil, err
	}
	w := &world{dir: dir}
	if w.audit.Log, err = audit.New(dir); err != nil {
		return nil, errors.Join(err, w.stop())
	}
	spokes := fleet.DefaultSpokes(3)
	for i := range spokes {
		spokes[i].Nodes = 1
		spokes[i].APIServerArgs = w.audit.Args(spokes[i].Name)
	}
	w.stack, err = stack.Start(ctx, stack.Options{
		Fleet: fleet.Options{
			Name: "e2e", Dir: filepath.Join(dir, "fleet"), Spokes: spokes,
			Hub: fleet.ClusterOptions{APIServerArgs: w.audit.Args(fleet.HubName)},
		},
		Labels:       map[string]map[string]string{euWest: {"size": "large"}, usEast: {"size": "medium"}, apSouth: {"size": "small"}},
		LeaseSeconds: leaseSeconds,
		HubArgs:      []string{"--allow-agent-identity=auto"}, // what counts when nobody says anything
		Metrics:      true,
		Progress:     os.Stderr,
	})
	if err != nil {
		return nil, errors.Join(err, w.stop())
	}
	if w.hub, w.spokes, err = probe.OpenAll(w.stack.Fleet); err != nil {
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
