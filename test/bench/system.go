package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kronvoy/kronvoy/test/audit"
	"github.com/kronvoy/kronvoy/test/fleet"
	"github.com/kronvoy/kronvoy/test/stack"
)

const (
	mebi = 1 << 20
	kibi = 1 << 10
	// settled is how long nothing may be written for the fleet to count as idle.
	settled = 3 * time.Second
	// sampling is how often memory is looked at.
	sampling = 250 * time.Millisecond

	demoNamespace  = "shop"
	benchNamespace = "bench"
)

// sizes of the clusters in examples/webapp.
var sizes = map[string]string{"eu-west": "large", "us-east": "medium", "ap-south": "small"}

// system is the stack under measurement.
type system struct {
	*stack.Stack
	options options
	audit   *audit.Log
	// metrics is where the hub serves them.
	metrics string
}

// systemBenchmarks measures Kronvoy on a hub and three spokes, all processes
// freshly started.
func systemBenchmarks(ctx context.Context, o options) (_ []Result, err error) {
	dir, err := os.MkdirTemp("", "kronvoy-bench-")
	if err != nil {
		return nil, fmt.Errorf("making a directory for the fleet: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := startSystem(ctx, o, dir, fleet.DefaultSpokes(3))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Stop(context.WithoutCancel(ctx))) }()

	var results []Result
	for _, measure := range []func(context.Context) ([]Result, error){s.demo, s.idle, s.size, s.chains, s.evaluations, s.instances} {
		found, err := measure(ctx)
		if err != nil {
			return nil, err
		}
		results = append(results, found...)
	}
	for i := range results {
		results[i].Command = "make bench"
	}
	return results, nil
}

func startSystem(ctx context.Context, o options, dir string, spokes []fleet.ClusterOptions, set ...func(*stack.Options)) (*system, error) {
	log, err := audit.New(dir)
	if err != nil {
		return nil, err
	}
	options := stack.Options{
		Fleet:    fleet.Options{Dir: filepath.Join(dir, "fleet"), Spokes: spokes},
		Labels:   map[string]map[string]string{},
		Progress: o.progress,
	}
	options.Fleet.Hub.APIServerArgs = log.Args(fleet.HubName)
	for i := range options.Fleet.Spokes {
		spoke := &options.Fleet.Spokes[i]
		spoke.APIServerArgs = log.Args(spoke.Name)
		options.Labels[spoke.Name] = map[string]string{"size": cmp.Or(sizes[spoke.Name], "large")}
	}
	metrics, err := freeAddress()
	if err != nil {
		return nil, err
	}
	options.HubArgs = []string{"--metrics-bind-address=" + metrics}
	for _, f := range set {
		f(&options)
	}
	running, err := stack.Start(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("starting Kronvoy on a local fleet: %w", err)
	}
	return &system{Stack: running, options: o, audit: log, metrics: metrics}, nil
}

// demo is what `make demo` does first: everything is applied at once to a hub
// that has just started.
func (s *system) demo(ctx context.Context) ([]Result, error) {
	if _, err := s.quiet(ctx, settled); err != nil {
		return nil, err
	}
	s.options.say("applying examples/webapp")
	example := func(name string) string { return filepath.Join(s.Root(), "examples", "webapp", name) }
	instance, err := os.ReadFile(example("instance.yaml"))
	if err != nil {
		return nil, fmt.Errorf("reading the example: %w", err)
	}
	begin := time.Now()
	if err := s.Fleet.Hub().Apply(ctx, example("placement.yaml"), example("rgd.yaml")); err != nil {
		return nil, err
	}
	if err := s.served(ctx, "webapps"); err != nil {
		return nil, err
	}
	if err := s.apply(ctx, "webapps", object(string(instance))); err != nil {
		return nil, err
	}
	if err := s.ready(ctx, "webapps", demoNamespace, "shop", 3); err != nil {
		return nil, err
	}
	return []Result{{Name: "demo-apply-to-ready-ms", Value: milli(time.Since(begin)), Unit: "ms",
		What: "`examples/webapp` applied to a hub that has just started, its definition included, until it is ready on all three clusters"}}, nil
}

// idle watches the processes while nothing happens. Resident memory goes up and
// down, since pages of the executable come and go: the highest counts.
func (s *system) idle(ctx context.Context) ([]Result, error) {
	if _, err := s.quiet(ctx, settled); err != nil {
		return nil, err
	}
	s.options.say("watching the idle fleet for %s", s.options.idle)
	agents := make([]*watched, 0, len(s.Agents))
	for _, agent := range s.Agents {
		agents = append(agents, observe(agent))
	}
	hub := observe(s.Hub)
	ctx, cancel := context.WithTimeout(ctx, s.options.idle)
	defer cancel()
	err := wait.PollUntilContextCancel(ctx, sampling, true, func(context.Context) (bool, error) {
		for _, w := range append(agents, hub) {
			if err := w.look(); err != nil {
				return false, err
			}
		}
		return false, nil
	})
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, fmt.Errorf("watching the idle fleet: %w", err)
	}
	var rss, anonymous, peak, cpu float64
	for _, w := range agents {
		rss, anonymous, peak, cpu = max(rss, w.rss), max(anonymous, w.anonymous), max(peak, w.peak), max(cpu, w.cpu())
	}
	return []Result{
		{Name: "hub-rss-mib", Value: hub.rss, Unit: "MiB",
			What: "highest resident memory of the idle hub process, with one definition, three clusters and one instance"},
		{Name: "agent-rss-mib", Value: rss, Unit: "MiB", Target: 40,
			What: "highest resident memory of an idle agent process, with `examples/webapp` applied. The agent gives pages of its executable back " +
				"some seconds after its start, so this is less than the next figure"},
		{Name: "agent-peak-rss-mib", Value: peak, Unit: "MiB",
			What: "highest resident memory of an agent process since its start"},
		{Name: "agent-anonymous-mib", Value: anonymous, Unit: "MiB",
			What: "the part of agent-rss-mib that is no page of the executable, which the kernel cannot take back"},
		{Name: "agent-idle-cpu-percent", Value: cpu, Unit: "%", Target: 1,
			What: "share of one core that the busiest agent uses while nothing changes"},
	}, nil
}

func (s *system) size(context.Context) ([]Result, error) {
	info, err := os.Stat(filepath.Join(s.Root(), "bin", "kronvoy-spoke"))
	if err != nil {
		return nil, fmt.Errorf("measuring the agent's binary: %w", err)
	}
	return []Result{{Name: "agent-binary-mib", Value: float64(info.Size()) / mebi, Unit: "MiB",
		What: "size of the static, stripped binary"}}, nil
}

// chains counts what an instance of three ConfigMaps, each of which reads the
// one before it, costs on one cluster.
func (s *system) chains(ctx context.Context) ([]Result, error) {
	if err := s.Fleet.Hub().ApplyObjects(ctx, benchObjects()...); err != nil {
		return nil, err
	}
	if err := s.served(ctx, "chains"); err != nil {
		return nil, err
	}
	// The first one makes the namespace on the spoke and opens watches.
	if _, err := s.chainWrites(ctx, "first"); err != nil {
		return nil, err
	}
	writes, err := s.chainWrites(ctx, "second")
	if err != nil {
		return nil, err
	}
	s.options.say("an instance of three ConfigMaps takes %d writes: %s", len(writes), tally(writes))
	onHub := 0
	for _, w := range writes {
		if w.Cluster == fleet.HubName {
			onHub++
		}
	}
	return []Result{
		{Name: "hub-writes-per-instance", Value: float64(onHub), Unit: "requests", Target: 14, Reach: true,
			What: "requests to the hub's API server that change something, by the hub and the agent together, for one instance of three ConfigMaps " +
				"that each read the one before, placed on one cluster, from its creation until all is quiet. Counted in the API server's audit log, " +
				"whatever was answered; without heartbeats, events and the user's own request"},
		{Name: "fleet-writes-per-instance", Value: float64(len(writes)), Unit: "requests",
			What: "the same with those to the spoke's API server, whose namespace is there already. This time: " + tally(writes)},
	}, nil
}

func (s *system) chainWrites(ctx context.Context, name string) ([]audit.Write, error) {
	if _, err := s.quiet(ctx, settled); err != nil {
		return nil, err
	}
	begin := time.Now()
	if err := s.apply(ctx, "chains", chain(name)); err != nil {
		return nil, err
	}
	if err := s.ready(ctx, "chains", benchNamespace, name, 1); err != nil {
		return nil, err
	}
	after, err := s.quiet(ctx, settled)
	if err != nil {
		return nil, err
	}
	return since(after, begin), nil
}

// instances takes the time of one more instance.
func (s *system) instances(ctx context.Context) ([]Result, error) {
	var times []time.Duration
	for i := range s.options.rounds {
		if _, err := s.quiet(ctx, settled); err != nil {
			return nil, err
		}
		name := fmt.Sprintf("web-%d", i)
		begin := time.Now()
		if err := s.apply(ctx, "webapps", webapp(name)); err != nil {
			return nil, err
		}
		if err := s.ready(ctx, "webapps", demoNamespace, name, 3); err != nil {
			return nil, err
		}
		times = append(times, time.Since(begin))
		s.options.say("instance %s is ready on three clusters after %s", name, times[i].Round(time.Millisecond))
	}
	return []Result{{Name: "instance-apply-to-ready-ms", Value: milli(median(times)), Unit: "ms",
		What: fmt.Sprintf("one more instance of `examples/webapp` on three clusters, from its creation to ready on all; median of %d", len(times))}}, nil
}

func milli(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
