package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"

	"github.com/kronvoy/kronvoy/test/audit"
	"github.com/kronvoy/kronvoy/test/fleet"
)

const (
	// crowd is how many instances, and so works, one agent has.
	crowd = 100
	// few and lots are how many objects each of them has.
	few, lots = 10, 50
	// rested is how long after its last write the agent has given back what it
	// needed only then.
	rested = 10 * time.Second
	// samples is how often a latency is taken.
	samples = 200
)

// crowdYAML is a Widget, whose status comes back, and ConfigMaps.
const crowdYAML = `
apiVersion: kro.run/v1alpha1
kind: ResourceGraphDefinition
metadata: {name: crowd}
spec:
  schema:
    apiVersion: v1alpha1
    kind: Crowd
    spec: {settings: "[]string"}
    status: {ready: "${widget.status.?ready.orValue(0)}"}
  resources:
  - id: widget
    template:
      apiVersion: bench.example/v1
      kind: Widget
      metadata: {name: "${schema.metadata.name}"}
      spec: {text: as the hub says}
  - id: settings
    forEach: [{part: "${schema.spec.settings}"}]
    template:
      apiVersion: v1
      kind: ConfigMap
      metadata: {name: "${schema.metadata.name}-${part}"}
      data: {part: "${part}", text: as the hub says}
`

// widgetYAML is a kind whose status no controller writes, and the agent's right
// to it.
var widgetYAML = []string{`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.bench.example}
spec:
  group: bench.example
  names: {kind: Widget, plural: widgets}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, properties: {text: {type: string}}}
          status: {type: object, properties: {ready: {type: integer}}}
`, `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: widgets
  labels: {rbac.kronvoy.io/aggregate-to-spoke: "true", rbac.authorization.k8s.io/aggregate-to-admin: "true"}
rules:
- apiGroups: [bench.example]
  resources: [widgets]
  verbs: [get, list, watch, create, update, patch, delete]
`}

var (
	mapsResource    = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	widgetsResource = schema.GroupVersionResource{Group: "bench.example", Version: "v1", Resource: "widgets"}
)

// agent is one agent with many works.
type agent struct {
	*system
	cluster *fleet.Cluster
	crowds, maps, widgets,
	targets, reports dynamic.ResourceInterface
}

// agentBenchmarks measure what an agent with many works costs, and how fast it
// is.
func agentBenchmarks(ctx context.Context, o options) (_ []Result, err error) {
	dir, err := os.MkdirTemp("", "kronvoy-bench-")
	if err != nil {
		return nil, fmt.Errorf("making a directory for the fleet: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := startSystem(ctx, o, dir, []fleet.ClusterOptions{{Name: "eu-west", Region: "eu-west"}})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Stop(context.WithoutCancel(ctx))) }()
	a, err := newAgent(s)
	if err != nil {
		return nil, err
	}
	if err := a.define(ctx); err != nil {
		return nil, err
	}
	if err := s.served(ctx, "crowds"); err != nil {
		return nil, err
	}
	if err := a.fill(ctx, few); err != nil {
		return nil, err
	}
	var results []Result
	for _, measure := range []func(context.Context) ([]Result, error){a.hundred, a.feedback, a.drift, a.thousands} {
		found, err := measure(ctx)
		if err != nil {
			return nil, err
		}
		results = append(results, found...)
	}
	peer, err := a.ocm(ctx)
	if err != nil {
		return nil, fmt.Errorf("measuring OCM's agent: %w", err)
	}
	peer.beside(results)
	for i := range results {
		results[i].Command = "go run ./test/bench -only agent"
	}
	return results, nil
}

func newAgent(s *system) (*agent, error) {
	cluster := s.Fleet.Spokes()[0]
	hub, err := unlimited(s.Fleet.Hub())
	if err != nil {
		return nil, err
	}
	spoke, err := unlimited(cluster)
	if err != nil {
		return nil, err
	}
	ours := schema.GroupVersion{Group: "kronvoy.io", Version: "v1alpha1"}
	return &agent{
		system: s, cluster: cluster,
		crowds:  hub.Resource(schema.GroupVersionResource{Group: "kro.run", Version: "v1alpha1", Resource: "crowds"}).Namespace(benchNamespace),
		targets: hub.Resource(ours.WithResource("targets")).Namespace(cluster.Name),
		reports: hub.Resource(ours.WithResource("workreports")).Namespace(cluster.Name),
		maps:    spoke.Resource(mapsResource).Namespace(benchNamespace),
		widgets: spoke.Resource(widgetsResource).Namespace(benchNamespace),
	}, nil
}

// unlimited is a client that does not hold requests back.
func unlimited(cluster *fleet.Cluster) (dynamic.Interface, error) {
	config, err := cluster.RESTConfig()
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = -1, -1
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client of %s: %w", cluster.Name, err)
	}
	return client, nil
}

// define makes the kinds known on both sides.
func (a *agent) define(ctx context.Context) error {
	widget := []*unstructured.Unstructured{object(widgetYAML[0]), object(widgetYAML[1])}
	for _, cluster := range []*fleet.Cluster{a.cluster, a.Fleet.Hub()} {
		if err := cluster.ApplyObjects(ctx, widget...); err != nil {
			return err
		}
	}
	return a.Fleet.Hub().ApplyObjects(ctx, append(benchObjects(), object(crowdYAML))...)
}

func crowdName(i int) string { return fmt.Sprintf("crowd-%d", i) }

func partName(i int) string { return fmt.Sprintf("part-%d", i) }

// fill gives every instance that many objects, and waits until all are ready.
func (a *agent) fill(ctx context.Context, objects int) error {
	a.options.say("%d works with %d objects each", crowd, objects)
	settings := make([]any, objects-1)
	for i := range settings {
		settings[i] = partName(i)
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(appliers)
	for i := range crowd {
		group.Go(func() error {
			instance := &unstructured.Unstructured{Object: map[string]any{
				"apiVersion": "kro.run/v1alpha1", "kind": "Crowd",
				"metadata": map[string]any{"name": crowdName(i), "namespace": benchNamespace, "labels": map[string]any{"kronvoy.io/placement": "one"}},
				"spec":     map[string]any{"settings": settings},
			}}
			_, err := a.crowds.Apply(groupCtx, crowdName(i), instance, metav1.ApplyOptions{FieldManager: "bench", Force: true})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("applying instances: %w", err)
	}
	ready := 0
	err := wait.PollUntilContextTimeout(ctx, time.Second, 2*patience, true, func(ctx context.Context) (bool, error) {
		instances, err := a.crowds.List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		ready = 0
		for i := range instances.Items {
			if isReady(&instances.Items[i], 1) {
				ready++
			}
		}
		return ready == crowd, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for %d instances, of which %d are ready: %w", crowd, ready, err)
	}
	_, err = a.quiet(ctx, settled)
	return err
}

// idleAgent watches the agent while nothing happens, and counts what it writes.
func (a *agent) idleAgent(ctx context.Context) (*watched, []audit.Write, error) {
	if _, err := a.quiet(ctx, rested); err != nil {
		return nil, nil, err
	}
	a.options.say("watching the idle agent for %s", a.options.idle)
	w, begin := observe(a.Agents[a.cluster.Name]), time.Now()
	ctx, cancel := context.WithTimeout(ctx, a.options.idle)
	defer cancel()
	err := wait.PollUntilContextCancel(ctx, sampling, true, func(context.Context) (bool, error) { return false, w.look() })
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, nil, fmt.Errorf("watching the idle agent: %w", err)
	}
	writes, err := a.audit.Writes()
	if err != nil {
		return nil, nil, err
	}
	return w, slices.DeleteFunc(since(writes, begin), func(w audit.Write) bool { return !byAgent(w) }), nil
}

// hundred is an agent with 100 works and 1,000 objects at rest.
func (a *agent) hundred(ctx context.Context) ([]Result, error) {
	w, writes, err := a.idleAgent(ctx)
	if err != nil {
		return nil, err
	}
	return []Result{
		{Name: "agent-rss-mib-100-works", Value: w.rss, Unit: "MiB", Target: 40,
			What: "highest resident memory of an idle agent with 100 works of 10 objects each"},
		{Name: "agent-peak-rss-mib-100-works", Value: w.peak, Unit: "MiB",
			What: "highest resident memory of that agent since its start, while it applied them"},
		{Name: "agent-idle-writes", Value: float64(len(writes)), Unit: "requests", Reach: true,
			What: fmt.Sprintf("requests of that agent in %s, to either API server, that change something; its heartbeat is not counted", a.options.idle)},
	}, nil
}

// thousands is the same agent with 5,000 objects.
func (a *agent) thousands(ctx context.Context) ([]Result, error) {
	if err := a.fill(ctx, lots); err != nil {
		return nil, err
	}
	w, _, err := a.idleAgent(ctx)
	if err != nil {
		return nil, err
	}
	return []Result{
		{Name: "agent-rss-mib-5000-objects", Value: w.rss, Unit: "MiB", Target: 120,
			What: "highest resident memory of an idle agent with 100 works of 50 objects each"},
		{Name: "agent-peak-rss-mib-5000-objects", Value: w.peak, Unit: "MiB",
			What: "highest resident memory of that agent since its start, while it applied them"},
	}, nil
}

// feedback takes the time from a change of a status on the spoke to the Target.
func (a *agent) feedback(ctx context.Context) ([]Result, error) {
	targets, err := follow(ctx, a.targets)
	if err != nil {
		return nil, err
	}
	defer targets.stop()
	var times []time.Duration
	for i := range samples {
		name, count := crowdName(i%crowd), int64(i+1)
		begin := time.Now()
		patch := fmt.Appendf(nil, `{"status":{"ready":%d}}`, count)
		if _, err := a.widgets.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "somebody"}, "status"); err != nil {
			return nil, fmt.Errorf("changing the status of widget %s: %w", name, err)
		}
		err := targets.until(ctx, "the status of "+name+" to come back", func(target *unstructured.Unstructured) bool {
			instance, _, _ := unstructured.NestedString(target.Object, "spec", "instance", "name")
			ready, _, _ := unstructured.NestedInt64(target.Object, "status", "values", "ready")
			return instance == name && ready == count
		})
		if err != nil {
			return nil, err
		}
		times = append(times, time.Since(begin))
	}
	return latencies("feedback-latency", times, 50, 200,
		"an object's status is changed on the spoke, until the hub's Target has the value, with 100 works and 1,000 objects present"), nil
}

// drift takes the times from a change of an object on the spoke until it is
// undone, and until the hub's WorkReport says so.
func (a *agent) drift(ctx context.Context) ([]Result, error) {
	maps, err := follow(ctx, a.maps)
	if err != nil {
		return nil, err
	}
	defer maps.stop()
	reports, err := follow(ctx, a.reports)
	if err != nil {
		return nil, err
	}
	defer reports.stop()
	var corrected, reported []time.Duration
	for i := range samples {
		// Each object once: one that is changed again and again is a fight.
		name := crowdName(i%crowd) + "-" + partName(i/crowd)
		begin := time.Now()
		changed, err := a.maps.Patch(ctx, name, types.MergePatchType, []byte(`{"data":{"text":"as somebody says"}}`), metav1.PatchOptions{FieldManager: "somebody"})
		if err != nil {
			return nil, fmt.Errorf("changing configmap %s: %w", name, err)
		}
		err = maps.until(ctx, name+" to be corrected", func(u *unstructured.Unstructured) bool {
			text, _, _ := unstructured.NestedString(u.Object, "data", "text")
			return u.GetName() == name && text == "as the hub says" && u.GetResourceVersion() != changed.GetResourceVersion()
		})
		if err != nil {
			return nil, err
		}
		corrected = append(corrected, time.Since(begin))
		err = reports.until(ctx, "the drift of "+name+" to be reported", func(report *unstructured.Unstructured) bool {
			findings, _, _ := unstructured.NestedSlice(report.Object, "status", "findings")
			return slices.ContainsFunc(findings, func(finding any) bool {
				f, ok := finding.(map[string]any)
				return ok && f["name"] == name && f["action"] == "Corrected"
			})
		})
		if err != nil {
			return nil, err
		}
		reported = append(reported, time.Since(begin))
	}
	return append(
		latencies("drift-correct", corrected, 80, 300, "a ConfigMap is changed on the spoke, until it is as before, with 100 works and 1,000 objects present"),
		latencies("drift-report", reported, 150, 500, "the same change, until the hub's WorkReport names it")...,
	), nil
}

// latencies are the median and the 99th percentile of times.
func latencies(name string, times []time.Duration, medianTarget, p99Target float64, what string) []Result {
	return []Result{
		{Name: name + "-ms", Value: milli(median(times)), Unit: "ms", Target: medianTarget, What: fmt.Sprintf("%s; median of %d", what, len(times))},
		{Name: name + "-p99-ms", Value: milli(percentile(times, 99)), Unit: "ms", Target: p99Target, What: "the 99th percentile of those"},
	}
}

// followed is what happens to the objects of a kind, from some moment on.
type followed struct {
	watcher *watchtools.RetryWatcher
}

func follow(ctx context.Context, client dynamic.ResourceInterface) (*followed, error) {
	list, err := client.List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return nil, err
	}
	watcher, err := watchtools.NewRetryWatcherWithContext(ctx, list.GetResourceVersion(), &cache.ListWatch{
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) { return client.Watch(ctx, o) },
	})
	if err != nil {
		return nil, fmt.Errorf("watching: %w", err)
	}
	return &followed{watcher: watcher}, nil
}

func (f *followed) stop() { f.watcher.Stop() }

// until waits for an object that is as wanted.
func (f *followed) until(ctx context.Context, what string, wanted func(*unstructured.Unstructured) bool) error {
	return f.within(ctx, patience, what, wanted)
}

func (f *followed) within(ctx context.Context, long time.Duration, what string, wanted func(*unstructured.Unstructured) bool) error {
	ctx, cancel := context.WithTimeout(ctx, long)
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		case event, open := <-f.watcher.ResultChan():
			if !open {
				return fmt.Errorf("waiting for %s: the watch has ended", what)
			}
			if u, ok := event.Object.(*unstructured.Unstructured); ok && wanted(u) {
				return nil
			}
		}
	}
}
