//go:build integration

package regions

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/kronvoy/kronvoy/test/fleet"
	"github.com/kronvoy/kronvoy/test/probe"
	"github.com/kronvoy/kronvoy/test/proxy"
	"github.com/kronvoy/kronvoy/test/stack"
)

// The regions; the clusters are <region>-1 and <region>-2.
const (
	euWest  = "eu-west"
	usEast  = "us-east"
	apSouth = "ap-south"
)

// The clusters.
const (
	euWest1, euWest2   = euWest + "-1", euWest + "-2"
	usEast1, usEast2   = usEast + "-1", usEast + "-2"
	apSouth1, apSouth2 = apSouth + "-1", apSouth + "-2"
)

// severable is the cluster that a test may cut off from the hub, without ending its
// agent.
const severable = usEast1

// leaseSeconds is how often agents say that they are alive; the hub counts one
// as gone after five times that.
const leaseSeconds = 2

// world is what all tests share.
type world struct {
	stack  *stack.Stack
	hub    *probe.Cluster
	spokes map[string]*probe.Cluster
	dir    string
	// proxy is between the agent of severable and the hub.
	proxy *proxy.Proxy
	// hubs is held by who ends the hub, until he has started another.
	hubs sync.Mutex
	// killed is when that was done last by SIGKILL.
	killed time.Time
}

var shared = probe.Shared[*world]{Start: start, Stop: (*world).stop}

// parallel is how many tests run side by side that disturb nobody: they wait for
// others most of the time.
const parallel = "8"

func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", parallel); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(shared.Run(m))
}

// start makes clusters without nodes: what runs on them is not what is tested.
// In each region the label tier is gold for the first and silver for the second.
func start() (*world, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "kronvoy-regions")
	if err != nil {
		return nil, err
	}
	w := &world{dir: dir}
	var spokes []fleet.ClusterOptions
	labels := map[string]map[string]string{}
	for _, region := range []string{euWest, usEast, apSouth} {
		for i, tier := range []string{"gold", "silver"} {
			name := fmt.Sprintf("%s-%d", region, i+1)
			spokes = append(spokes, fleet.ClusterOptions{Name: name, Region: region})
			labels[name] = map[string]string{"tier": tier}
		}
	}
	if w.proxy, err = proxy.New(dir); err != nil {
		return nil, errors.Join(err, w.stop())
	}
	w.stack, err = stack.Start(ctx, stack.Options{
		Fleet: fleet.Options{
			Name: "regions", Dir: filepath.Join(dir, "fleet"), Spokes: spokes,
			Hub: fleet.ClusterOptions{APIServerArgs: w.proxy.Args()},
		},
		Reroute: func(kubeconfig string) error {
			if filepath.Base(kubeconfig) != severable+"-on-hub.kubeconfig" {
				return nil
			}
			return w.proxy.Reroute(kubeconfig)
		},
		Labels:       labels,
		LeaseSeconds: leaseSeconds,
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
	if w.proxy != nil {
		err = errors.Join(err, w.proxy.Close())
	}
	return errors.Join(err, os.RemoveAll(w.dir))
}
