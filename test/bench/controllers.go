package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"

	"github.com/kronvoy/kronvoy/test/fleet"
	"github.com/kronvoy/kronvoy/test/kro"
	"github.com/kronvoy/kronvoy/test/stack"
)

const (
	// many is how many instances are applied at once.
	many = 100
	// crowds is how often that is done; the median counts.
	crowds = 3
	// appliers apply them.
	appliers = 20
)

// linkYAML is a chain of three ConfigMaps whose text comes back in the status.
const linkYAML = `
apiVersion: kro.run/v1alpha1
kind: ResourceGraphDefinition
metadata: {name: link}
spec:
  schema:
    apiVersion: v1alpha1
    kind: Link
    spec: {text: string}
    status: {last: "${third.data.text}"}
  resources:
  - id: first
    template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.metadata.name}-1"}, data: {text: "${schema.spec.text}"}}
  - id: second
    template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.metadata.name}-2"}, data: {text: "${first.data.text}"}}
  - id: third
    template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.metadata.name}-3"}, data: {text: "${second.data.text}"}}
`

// controllers are the two under measurement, on one API server, one after the
// other.
type controllers struct {
	options options
	cluster *fleet.Cluster
	links   dynamic.ResourceInterface
	maps    dynamic.ResourceInterface
	rgds    dynamic.ResourceInterface
}

// figure of one controller.
type figure struct{ chain, restore, create, update time.Duration }

// controllerBenchmarks measure kro's controller and then ours, a hub that is its
// own spoke; both with their defaults, each alone on the same API server.
func controllerBenchmarks(ctx context.Context, o options) (_ []Result, err error) {
	dir, err := os.MkdirTemp("", "kronvoy-bench-")
	if err != nil {
		return nil, fmt.Errorf("making a directory for the fleet: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	f, err := fleet.Start(ctx, fleet.Options{Dir: filepath.Join(dir, "fleet"), Spokes: []fleet.ClusterOptions{}, Progress: o.progress})
	if err != nil {
		return nil, fmt.Errorf("starting a cluster: %w", err)
	}
	defer func() { err = errors.Join(err, f.Stop(context.WithoutCancel(ctx))) }()
	c, err := newControllers(ctx, f, o)
	if err != nil {
		return nil, err
	}
	theirs, err := c.kro(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("measuring kro's controller: %w", err)
	}
	if _, err := stack.On(ctx, f, stack.Options{Local: true, Progress: o.progress}); err != nil {
		return nil, fmt.Errorf("starting the hub: %w", err)
	}
	ours, err := c.measure(ctx, "kronvoy")
	if err != nil {
		return nil, fmt.Errorf("measuring the hub: %w", err)
	}
	return compare(ours, theirs, o.rounds), nil
}

func newControllers(ctx context.Context, f *fleet.Fleet, o options) (*controllers, error) {
	config, err := f.Hub().RESTConfig()
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = -1, -1
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	namespace := object("{apiVersion: v1, kind: Namespace, metadata: {name: " + benchNamespace + "}}")
	if err := f.Hub().ApplyObjects(ctx, namespace); err != nil {
		return nil, err
	}
	generated := func(resource string) schema.GroupVersionResource {
		return schema.GroupVersionResource{Group: "kro.run", Version: "v1alpha1", Resource: resource}
	}
	return &controllers{
		options: o, cluster: f.Hub(),
		links: client.Resource(generated("links")).Namespace(benchNamespace),
		maps:  client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}).Namespace(benchNamespace),
		rgds:  client.Resource(generated("resourcegraphdefinitions")),
	}, nil
}

// kro measures kro's controller and leaves nothing of it running.
func (c *controllers) kro(ctx context.Context, f *fleet.Fleet) (figure, error) {
	root, err := stack.FindRoot()
	if err != nil {
		return figure{}, err
	}
	peer, err := kro.Install(ctx, f, f.Hub(), root)
	if err != nil {
		return figure{}, err
	}
	if err := peer.Start(); err != nil {
		return figure{}, err
	}
	measured, err := c.measure(ctx, "kro")
	return measured, errors.Join(err, peer.Stop(ctx))
}

// measure takes all times of the controller that runs, and then deletes what it
// made.
func (c *controllers) measure(ctx context.Context, who string) (figure, error) {
	var m figure
	if err := c.cluster.ApplyObjects(ctx, object(linkYAML)); err != nil {
		return m, err
	}
	if err := c.active(ctx); err != nil {
		return m, err
	}
	var chains, restores []time.Duration
	for i := range c.options.rounds {
		took, err := c.apply(ctx, "hello", fmt.Sprintf("one-%d", i))
		if err != nil {
			return m, err
		}
		chains = append(chains, took)
	}
	var creations, updates []time.Duration
	for round := range crowds {
		names := make([]string, many)
		for i := range names {
			names[i] = fmt.Sprintf("many-%d-%d", round, i)
		}
		created, err := c.apply(ctx, "hello", names...)
		if err != nil {
			return m, err
		}
		updated, err := c.apply(ctx, "good day", names...)
		if err != nil {
			return m, err
		}
		creations, updates = append(creations, created), append(updates, updated)
		for _, name := range names[:c.options.rounds] {
			took, err := c.restore(ctx, name+"-2")
			if err != nil {
				return m, err
			}
			restores = append(restores, took)
		}
		if err := c.empty(ctx); err != nil {
			return m, err
		}
	}
	m.create, m.update = median(creations), median(updates)
	m.chain, m.restore = median(chains), median(restores)
	c.options.say("%s: one chain %s, a child restored %s, %d chains %s, changed %s", who, round(m.chain), round(m.restore), many, round(m.create), round(m.update))
	return m, c.clean(ctx)
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// active waits until the definition is served.
func (c *controllers) active(ctx context.Context) error {
	var last any
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		rgd, err := c.rgds.Get(ctx, "link", metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		last = rgd.Object["status"]
		state, _, _ := unstructured.NestedString(rgd.Object, "status", "state")
		return state == "Active", nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the definition to be served: %w; its status is %v", err, last)
	}
	return nil
}

// apply applies instances at once and gives the time until all of them are
// ACTIVE with that text in their status.
func (c *controllers) apply(ctx context.Context, text string, names ...string) (time.Duration, error) {
	waiting := make(map[string]bool, len(names))
	for _, name := range names {
		waiting[name] = true
	}
	begin := time.Now()
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(appliers)
	done := make(chan error, 1)
	go func() {
		done <- c.await(ctx, c.links, fmt.Sprintf("%d instances to be ACTIVE", len(names)), func(u *unstructured.Unstructured) bool {
			state, _, _ := unstructured.NestedString(u.Object, "status", "state")
			last, _, _ := unstructured.NestedString(u.Object, "status", "last")
			if state == "ACTIVE" && last == text {
				delete(waiting, u.GetName())
			}
			return len(waiting) == 0
		})
	}()
	for _, name := range names {
		group.Go(func() error {
			link := object(fmt.Sprintf(`{apiVersion: kro.run/v1alpha1, kind: Link, metadata: {name: %s, namespace: %s}, spec: {text: %s}}`,
				name, benchNamespace, text))
			_, err := c.links.Apply(groupCtx, name, link, metav1.ApplyOptions{FieldManager: "bench", Force: true})
			return err
		})
	}
	if err := errors.Join(group.Wait(), <-done); err != nil {
		return 0, err
	}
	return time.Since(begin), nil
}

// restore deletes a ConfigMap and gives the time until there is another one.
func (c *controllers) restore(ctx context.Context, name string) (time.Duration, error) {
	old, err := c.maps.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return 0, err
	}
	// The watch begins before the deletion: to start one takes longer than to
	// restore a child may take.
	watcher, err := c.maps.Watch(ctx, metav1.ListOptions{
		FieldSelector: "metadata.name=" + name, ResourceVersion: old.GetResourceVersion(),
	})
	if err != nil {
		return 0, err
	}
	defer watcher.Stop()
	uid := old.GetUID()
	begin := time.Now()
	if err := c.maps.Delete(ctx, name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}}); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err = watchtools.UntilWithoutRetry(ctx, watcher, func(event watch.Event) (bool, error) { return event.Type == watch.Added, nil })
	if err != nil {
		return 0, fmt.Errorf("waiting for %s to be restored: %w", name, err)
	}
	return time.Since(begin), nil
}

// await watches until done.
func (c *controllers) await(ctx context.Context, client dynamic.ResourceInterface, what string, done func(*unstructured.Unstructured) bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return client.List(ctx, o) },
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return client.Watch(ctx, o)
		},
	}
	var last any
	_, err := watchtools.UntilWithSync(ctx, lw, &unstructured.Unstructured{}, nil, func(event watch.Event) (bool, error) {
		u, ok := event.Object.(*unstructured.Unstructured)
		if !ok {
			return false, nil
		}
		last = u.Object
		return done(u), nil
	})
	if err != nil {
		return fmt.Errorf("waiting for %s: %w; the last to change was %v", what, err, last)
	}
	return nil
}

// empty deletes all instances.
func (c *controllers) empty(ctx context.Context) error {
	if err := c.links.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		return fmt.Errorf("deleting instances: %w", err)
	}
	return gone(ctx, c.links)
}

// clean deletes the definition, so that the next controller begins with nothing.
func (c *controllers) clean(ctx context.Context) error {
	if err := c.rgds.Delete(ctx, "link", metav1.DeleteOptions{}); err != nil {
		return fmt.Errorf("deleting the definition: %w", err)
	}
	return gone(ctx, c.rgds)
}

// gone waits until nothing is left of a kind.
func gone(ctx context.Context, client dynamic.ResourceInterface) error {
	var left *unstructured.UnstructuredList
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, patience, true, func(ctx context.Context) (_ bool, err error) {
		left, err = client.List(ctx, metav1.ListOptions{Limit: 1})
		return err == nil && len(left.Items) == 0, err
	})
	if err != nil && left != nil && len(left.Items) > 0 {
		return fmt.Errorf("waiting for %s %s to be gone: %w", left.Items[0].GetKind(), left.Items[0].GetName(), err)
	}
	return err
}

func compare(ours, theirs figure, rounds int) []Result {
	result := func(name string, ours, theirs time.Duration, target float64, what string) Result {
		peer, ratio := milli(theirs), float64(ours)/float64(theirs)
		return Result{Name: name, Value: milli(ours), Unit: "ms", Peer: &peer, Ratio: &ratio, RatioTarget: target, What: what, Command: "make bench"}
	}
	const both = "; a hub that is its own spoke, and kro's controller with its chart's defaults, one after the other on one API server"
	return []Result{
		result("controller-chain3", ours.chain, theirs.chain, 0.75,
			fmt.Sprintf("one instance of three ConfigMaps that each read the one before, from its creation to ACTIVE with its value in the status; median of %d%s", rounds, both)),
		result("controller-100-instances", ours.create, theirs.create, 0.6, fmt.Sprintf("%d such instances applied at once, until all are ACTIVE; median of %d", many, crowds)),
		result("controller-restore-child", ours.restore, theirs.restore, 0.025, fmt.Sprintf("a child that was deleted by hand, until it is there again, with those instances present; median of %d", rounds*crowds)),
		result("controller-update-100", ours.update, theirs.update, 0.5, fmt.Sprintf("the text of those %d instances changed at once, until all have it in their status; median of %d", many, crowds)),
	}
}
