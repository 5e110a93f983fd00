package fleet

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Snapshot is etcd as it was at one moment, in a directory of the caller's.
type Snapshot struct{ dir string }

// Snapshot copies etcd into a directory that must not exist. For that etcd stops
// for a moment, which API servers wait out.
func (f *Fleet) Snapshot(ctx context.Context, dir string) (_ Snapshot, err error) {
	if err := f.Etcd().Stop(ctx); err != nil {
		return Snapshot{}, fmt.Errorf("taking a snapshot: %w", err)
	}
	err = os.CopyFS(dir, os.DirFS(f.etcdData()))
	if err = errors.Join(err, f.Etcd().Start()); err != nil {
		return Snapshot{}, fmt.Errorf("taking a snapshot: %w", err)
	}
	if err := f.waitEtcd(ctx); err != nil {
		return Snapshot{}, err
	}
	for _, c := range f.Clusters() {
		if err := c.waitAPIServer(ctx); err != nil {
			return Snapshot{}, err
		}
	}
	return Snapshot{dir: dir}, nil
}

// Restore gives the cluster an etcd of its own with what a snapshot has, and
// starts its control plane anew, as Kubernetes says to. All else in the fleet
// stays as it is. The cluster's resource versions go back: what followed the
// snapshot was never there.
func (c *Cluster) Restore(ctx context.Context, s Snapshot) error {
	if err := c.restore(ctx, s); err != nil {
		return fmt.Errorf("restoring cluster %q: %w", c.Name, err)
	}
	return nil
}

func (c *Cluster) restore(ctx context.Context, s Snapshot) error {
	var running []Command
	for _, program := range []string{ControllerManager, Scheduler, Kwok, APIServer} {
		if p := c.Process(program); p != nil && p.Running() {
			running = append(running, p.command)
			if err := p.Stop(ctx); err != nil {
				return err
			}
		}
	}
	if err := os.CopyFS(c.file("etcd"), os.DirFS(s.dir)); err != nil {
		return err
	}
	port, err := c.fleet.reserve(0)
	if err != nil {
		return err
	}
	peer, err := c.fleet.reserve(0)
	if err != nil {
		return err
	}
	command := etcdCommand(c.fleet.paths.Etcd, c.file("etcd"), port.number, peer.number)
	command.Name, command.Args = c.Name+"/"+Etcd, append(command.Args, "--force-new-cluster")
	if err := c.fleet.launch(command); err != nil {
		return err
	}
	if err := c.waitOwnEtcd(ctx, port.number); err != nil {
		return err
	}
	for _, command := range slices.Backward(running) {
		if command.Name == c.Name+"/"+APIServer {
			command.Args = slices.DeleteFunc(slices.Clone(command.Args), func(arg string) bool { return strings.HasPrefix(arg, etcdServers("")) })
			command.Args = append(command.Args, etcdServers(strconv.Itoa(port.number)))
		}
		if err := c.fleet.launch(command); err != nil {
			return err
		}
	}
	return c.WaitReady(ctx)
}

func (c *Cluster) waitOwnEtcd(ctx context.Context, port int) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	return poll(ctx, "the etcd of cluster "+c.Name, func(ctx context.Context) error {
		if err := c.fleet.died(c.Name + "/" + Etcd); err != nil {
			return err
		}
		return get(ctx, client, fmt.Sprintf("http://127.0.0.1:%d/health", port))
	})
}
