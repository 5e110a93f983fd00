// Package fleet runs a fleet of real Kubernetes control planes on this machine,
// without containers: one etcd, and for every cluster a kube-apiserver with its
// own certificates, a kube-controller-manager and, where the cluster has nodes,
// a kube-scheduler and kwok, which plays kubelets.
//
//	                     etcd
//	     ┌─────────────────┼──────────────────┐      a key prefix per cluster
//	hub apiserver    eu-west apiserver    us-east apiserver …
//	controllers      controllers          controllers
//	                 scheduler, kwok      scheduler, kwok
//
// Everything listens on 127.0.0.1. All files are in one directory, with a state
// file by which a later process finds and ends what a killed one has left.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kronvoy/kronvoy/test/fleet/binaries"
	"github.com/kronvoy/kronvoy/test/fleet/internal/filelock"
)

// ErrRunning is returned by Start where the same fleet runs already.
var ErrRunning = errors.New("the fleet is running")

// ErrNotFound is returned by Open and Down where there is no fleet.
var ErrNotFound = errNoState

var errStopped = errors.New("the fleet has been stopped")

// Fleet is a running fleet.
type Fleet struct {
	dir      string
	paths    binaries.Paths
	progress io.Writer

	lock       *filelock.Lock // nil where the fleet is only looked at
	startBound func(*exec.Cmd) error
	release    []func() // ports and the spawner, when the fleet stops

	mu        sync.Mutex
	state     state
	clusters  []*Cluster
	processes []*Process
	stopped   bool
}

// Name is the fleet's name.
func (f *Fleet) Name() string { return f.state.Name }

// Dir holds all the fleet's files.
func (f *Fleet) Dir() string { return f.dir }

// Kubectl is the path of the kubectl that belongs to the control planes.
func (f *Fleet) Kubectl() string { return f.state.Kubectl }

// Hub is the cluster that every fleet has.
func (f *Fleet) Hub() *Cluster { return f.Cluster(HubName) }

// Spokes are all clusters but the hub, in the order in which they were added.
func (f *Fleet) Spokes() []*Cluster {
	return slices.DeleteFunc(f.Clusters(), (*Cluster).IsHub)
}

// Clusters are all clusters, the hub first.
func (f *Fleet) Clusters() []*Cluster {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.clusters)
}

// Cluster is the cluster of that name, or nil.
func (f *Fleet) Cluster(name string) *Cluster {
	for _, c := range f.Clusters() {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Etcd is the one etcd behind all API servers.
func (f *Fleet) Etcd() *Process { return f.Process(Etcd) }

// Processes are all processes of the fleet, in the order of their first start.
func (f *Fleet) Processes() []*Process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.processes)
}

// Process is the process of that name, as in "eu-west/kube-apiserver", or nil.
func (f *Fleet) Process(name string) *Process {
	for _, p := range f.Processes() {
		if p.Name() == name {
			return p
		}
	}
	return nil
}

// Run starts a further process in the fleet. It has a log, is listed in the
// status and ends with the fleet, before the control planes do. A name that was
// used before may be used again once that process has ended.
func (f *Fleet) Run(command Command) (*Process, error) {
	if old := f.Process(command.Name); old != nil && old.Running() {
		return nil, fmt.Errorf("starting %s: it runs as process %d", command.Name, old.PID())
	}
	if err := f.add(command, true); err != nil {
		return nil, err
	}
	p := f.Process(command.Name)
	return p, p.Start()
}

// AddSpoke starts one more cluster and waits until it is ready.
func (f *Fleet) AddSpoke(ctx context.Context, options ClusterOptions) (*Cluster, error) {
	if err := options.validate(); err != nil {
		return nil, err
	}
	if f.Cluster(options.Name) != nil {
		return nil, fmt.Errorf("there is a cluster %q", options.Name)
	}
	c, err := f.prepare(options)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(c.writeFiles(), f.save()); err != nil {
		return nil, err
	}
	if err := c.start(ctx); err != nil {
		return nil, fmt.Errorf("starting cluster %q: %w", c.Name, err)
	}
	return c, nil
}

// up starts everything that a new fleet needs.
func (f *Fleet) up(ctx context.Context, options Options) error {
	begin := time.Now()
	client, err := f.reserve(0)
	if err != nil {
		return err
	}
	peer, err := f.reserve(0)
	if err != nil {
		return err
	}
	f.state.EtcdPort = client.number
	for _, c := range append([]ClusterOptions{options.Hub}, options.Spokes...) {
		if _, err := f.prepare(c); err != nil {
			return err
		}
	}
	if err := f.save(); err != nil {
		return err
	}
	if err := f.launch(f.etcdCommand(client.number, peer.number)); err != nil {
		return err
	}
	if err := f.waitEtcd(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, c := range f.Clusters() {
		group.Go(func() error {
			if err := errors.Join(c.writeFiles(), c.start(ctx)); err != nil {
				return fmt.Errorf("starting cluster %q: %w", c.Name, err)
			}
			f.say("cluster %s is ready after %s", c.Name, time.Since(begin).Round(100*time.Millisecond))
			return nil
		})
	}
	return group.Wait()
}

// prepare gives a cluster its place in the fleet, and starts nothing.
func (f *Fleet) prepare(options ClusterOptions) (*Cluster, error) {
	port, err := f.reserve(0)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s := clusterState{ClusterOptions: options, Port: port.number, Index: len(f.state.Clusters)}
	f.state.Clusters = append(f.state.Clusters, s)
	c := f.newCluster(s)
	f.clusters = append(f.clusters, c)
	return c, nil
}

func (f *Fleet) newCluster(s clusterState) *Cluster {
	return &Cluster{Name: s.Name, Region: s.Region, fleet: f, state: s, dir: filepath.Join(f.dir, clustersDir, s.Name)}
}

// launch starts a process of a control plane.
func (f *Fleet) launch(command Command) error {
	if err := f.add(command, false); err != nil {
		return err
	}
	return f.Process(command.Name).Start()
}

// add makes the process known, in place of an earlier one of its name.
func (f *Fleet) add(command Command, extra bool) error {
	if f.lock == nil {
		return fmt.Errorf("starting %s: this fleet was opened to be looked at; only the process that started it can add to it", command.Name)
	}
	if command.Dir == "" {
		command.Dir = f.dir
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped {
		return fmt.Errorf("starting %s: %w", command.Name, errStopped)
	}
	same := func(p *Process) bool { return p.Name() == command.Name }
	f.processes = slices.DeleteFunc(f.processes, same)
	f.state.Processes = slices.DeleteFunc(f.state.Processes, func(p processState) bool { return p.Name == command.Name })
	f.processes = append(f.processes, &Process{command: command, log: f.logPath(command.Name), fleet: f})
	f.state.Processes = append(f.state.Processes, processState{Command: command, Extra: extra})
	return nil
}

// mayStart returns an error where this process must not start others.
func (f *Fleet) mayStart() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.stopped:
		return errStopped
	case f.lock == nil && !f.state.Detached:
		return errors.New("the fleet belongs to the process that started it")
	}
	return nil
}

// record notes that a process has been started.
func (f *Fleet) record(command Command, id identity) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.state.Processes {
		if f.state.Processes[i].Name == command.Name {
			f.state.Processes[i].Command, f.state.Processes[i].identity = command, id
		}
	}
}

func (f *Fleet) save() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state.write(f.dir)
}

// spawn starts a child: bound to this process, or in a session of its own.
func (f *Fleet) spawn(cmd *exec.Cmd) error {
	if f.state.Detached {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		return cmd.Start()
	}
	// Its own group keeps a terminal's Ctrl-C away: the fleet stops in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	bind(cmd.SysProcAttr)
	return f.startBound(cmd)
}

func (f *Fleet) mark() string { return mark(f.dir) }

func (f *Fleet) etcdPort() int { return f.state.EtcdPort }

func (f *Fleet) reserve(number int) (*port, error) {
	p, err := reservePort(number)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.release = append(f.release, p.release)
	return p, nil
}

func (f *Fleet) waitEtcd(ctx context.Context) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	return poll(ctx, "etcd", func(ctx context.Context) error {
		if err := f.died(Etcd); err != nil {
			return err
		}
		return get(ctx, client, fmt.Sprintf("http://127.0.0.1:%d/health", f.etcdPort()))
	})
}

// died returns a fatal error where one of these processes was started and has
// ended: what is waited for will not come.
func (f *Fleet) died(names ...string) error {
	for _, name := range names {
		if p := f.Process(name); p != nil {
			if err := p.died(); err != nil {
				return fatal{err}
			}
		}
	}
	return nil
}

func (f *Fleet) say(format string, args ...any) {
	fmt.Fprintf(f.progress, format+"\n", args...)
}

// removeDir removes the directory if nothing else is in it.
func removeDir(dir string) error {
	err := os.Remove(dir)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTEMPTY) {
		return nil
	}
	return err
}
