//go:build integration

package hostile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kronvoy/kronvoy/test/fleet"
	"github.com/kronvoy/kronvoy/test/probe"
	"github.com/kronvoy/kronvoy/test/stack"
)

// The clusters: c1 is the attacker's, who has its credentials and is all that
// there is of it. c10 is a good one, whose name begins with the other's.
const (
	bad  = "c1"
	good = "c10"
)

// world is the one fleet that is attacked.
type world struct {
	stack *stack.Stack
	dir   string
	// hub and spoke are seen as their administrators see them.
	hub, spoke *probe.Cluster
	actors     map[string]*actor
}

var shared = probe.Shared[*world]{Start: start, Stop: (*world).stop}

func TestMain(m *testing.M) {
	code := shared.Run(m)
	if told := tally.String(); told != "" {
		fmt.Println(told)
	}
	os.Exit(code)
}

func start() (*world, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "kronvoy-hostile")
	if err != nil {
		return nil, err
	}
	w := &world{dir: dir, actors: map[string]*actor{}}
	if err := w.begin(ctx); err != nil {
		return nil, errors.Join(err, w.stop())
	}
	return w, nil
}

func (w *world) begin(ctx context.Context) error {
	audited, err := w.auditArgs()
	if err != nil {
		return err
	}
	w.stack, err = stack.Start(ctx, stack.Options{
		Fleet: fleet.Options{Name: "hostile", Dir: filepath.Join(w.dir, "fleet"), Spokes: []fleet.ClusterOptions{{Name: good, Region: "eu", Nodes: 1}},
			Hub: fleet.ClusterOptions{APIServerArgs: audited}},
		LeaseSeconds: 5,
		HubArgs:      []string{"--allow-agent-identity=auto"},
		Progress:     os.Stderr,
	})
	if err != nil {
		return err
	}
	if w.hub, err = probe.OpenIn(w.stack.Fleet, fleet.HubName); err != nil {
		return err
	}
	if w.spoke, err = probe.OpenIn(w.stack.Fleet, good); err != nil {
		return err
	}
	if err := w.hub.TryApply(ctx, victims); err != nil {
		return err
	}
	return w.enlist(ctx)
}

func (w *world) stop() error {
	var err error
	if w.stack != nil {
		err = w.stack.Stop(context.Background())
	}
	return errors.Join(err, os.RemoveAll(w.dir))
}
