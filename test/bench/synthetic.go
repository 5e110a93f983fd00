package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"

	"github.com/kronvoy/kronvoy/test/browser"
	"github.com/kronvoy/kronvoy/test/fleet"
	"github.com/kronvoy/kronvoy/test/stack"
)

const (
	// manyClusters, each with manyInstances Targets, in manyRegions.
	manyClusters, manyInstances, manyRegions = 2000, 10, 20
	// realCluster is the one among them that exists; the others are its copies.
	realCluster = "cluster-0000"
	// perDecision is how many clusters a PlacementDecision holds (OCM).
	perDecision = 100
	// handedBack is when the hub has looked for memory that it does not use.
	handedBack = 65 * time.Second
)

// siteYAML are sites that differ by the size of their cluster alone, so that a
// copy of what was made for one cluster is what another one needs.
var siteYAML = []string{`
apiVersion: v1
kind: Namespace
metadata: {name: bench}
`, `
apiVersion: cluster.open-cluster-management.io/v1beta2
kind: ManagedClusterSetBinding
metadata: {name: global, namespace: bench}
spec: {clusterSet: global}
`, `
apiVersion: cluster.open-cluster-management.io/v1beta1
kind: Placement
metadata: {name: all, namespace: bench}
spec: {clusterSets: [global]}
`, `
apiVersion: kronvoy.io/v1alpha1
kind: Distribution
metadata: {name: sites, namespace: bench}
spec: {instances: {apiVersion: kro.run/v1alpha1, kind: Site}, policies: [{drift: Report}]}
`, `
apiVersion: kro.run/v1alpha1
kind: ResourceGraphDefinition
metadata: {name: site}
spec:
  schema:
    apiVersion: v1alpha1
    kind: Site
    spec: {image: string}
    status: {availableReplicas: "${deployment.status.availableReplicas}"}
  resources:
  - id: settings
    template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.metadata.name}-settings"}, data: {size: "${cluster.labels.size}"}}
  - id: deployment
    readyWhen: ["${deployment.status.availableReplicas == deployment.spec.replicas}"]
    template:
      apiVersion: apps/v1
      kind: Deployment
      metadata: {name: "${schema.metadata.name}"}
      spec:
        replicas: 1
        selector: {matchLabels: {app: "${schema.metadata.name}"}}
        template:
          metadata: {labels: {app: "${schema.metadata.name}"}}
          spec:
            containers:
            - name: web
              image: ${schema.spec.image}
              ports: [{name: http, containerPort: 80}]
              envFrom: [{configMapRef: {name: "${settings.metadata.name}"}}]
  - id: service
    template:
      apiVersion: v1
      kind: Service
      metadata: {name: "${schema.metadata.name}"}
      spec: {selector: "${deployment.spec.selector.matchLabels}", ports: [{name: http, port: 80, targetPort: http}]}
`}

// Resources of which every cluster has its own.
var (
	clustersResource  = schema.GroupVersionResource{Group: "cluster.open-cluster-management.io", Version: "v1", Resource: "managedclusters"}
	decisionsResource = schema.GroupVersionResource{Group: "cluster.open-cluster-management.io", Version: "v1beta1", Resource: "placementdecisions"}
	targetsResource   = schema.GroupVersionResource{Group: "kronvoy.io", Version: "v1alpha1", Resource: "targets"}
	reportsResource   = schema.GroupVersionResource{Group: "kronvoy.io", Version: "v1alpha1", Resource: "workreports"}
	worksResource     = schema.GroupVersionResource{Group: "work.open-cluster-management.io", Version: "v1", Resource: "manifestworks"}
)

// synthetic is a hub with 2,000 clusters and 20,000 Targets, all ready. One
// cluster is real, with an agent; hub and agent made everything for it, and the
// others are copies of it.
type synthetic struct {
	*system
	hub    dynamic.Interface
	driver browser.Driver
}

// startSynthetic makes them: a minute on an idle machine, and 4 GiB of memory.
func startSynthetic(ctx context.Context, o options, dir string) (_ *synthetic, err error) {
	s, err := startSystem(ctx, o, dir, []fleet.ClusterOptions{{Name: realCluster, Region: region(0), Nodes: 2}}, func(o *stack.Options) {
		o.Dashboard, o.HubStart = true, patience
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop(context.WithoutCancel(ctx)))
		}
	}()
	config, err := s.Fleet.Hub().RESTConfig()
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = -1, -1
	hub, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client of the hub: %w", err)
	}
	f := &synthetic{system: s, hub: hub}
	if err := f.first(ctx); err != nil {
		return nil, err
	}
	// While the hub is away nobody sees half of it.
	if err := f.Hub.Stop(ctx); err != nil {
		return nil, err
	}
	if err := f.multiply(ctx); err != nil {
		return nil, err
	}
	// Namespaces and roles are for agents: there are none.
	if err := f.StartHub(ctx, "--without-registration"); err != nil {
		return nil, err
	}
	return f, f.settle(ctx, manyClusters)
}

func region(i int) string { return fmt.Sprintf("region-%02d", i%manyRegions) }

func clusterName(i int) string { return fmt.Sprintf("cluster-%04d", i) }

func siteName(i int) string { return fmt.Sprintf("site-%d", i) }

// first is everything on the real cluster.
func (f *synthetic) first(ctx context.Context) error {
	var objects []*unstructured.Unstructured
	for _, text := range siteYAML {
		objects = append(objects, object(text))
	}
	if err := f.Fleet.Hub().ApplyObjects(ctx, objects...); err != nil {
		return err
	}
	if err := f.served(ctx, "sites"); err != nil {
		return err
	}
	for i := range manyInstances {
		site := object(fmt.Sprintf(`{apiVersion: kro.run/v1alpha1, kind: Site, metadata: {name: %s, namespace: %s, labels: {kronvoy.io/placement: all}},
			spec: {image: "registry.k8s.io/pause:3.10"}}`, siteName(i), benchNamespace))
		if err := f.apply(ctx, "sites", site); err != nil {
			return err
		}
	}
	return f.settle(ctx, 1)
}

// settle waits until every site is ready on that many clusters, and nothing is
// written any more.
func (f *synthetic) settle(ctx context.Context, clusters int64) error {
	for i := range manyInstances {
		if err := f.ready(ctx, "sites", benchNamespace, siteName(i), clusters); err != nil {
			return err
		}
	}
	_, err := f.quiet(ctx, settled)
	return err
}

// multiply copies what the real cluster has.
func (f *synthetic) multiply(ctx context.Context) error {
	f.options.say("making %d clusters with %d Targets", manyClusters, manyClusters*manyInstances)
	uids := map[string]bool{}
	type kind struct {
		resource schema.GroupVersionResource
		items    []unstructured.Unstructured
	}
	kinds := []kind{{resource: targetsResource}, {resource: worksResource}, {resource: reportsResource}}
	for i := range kinds {
		list, err := f.hub.Resource(kinds[i].resource).Namespace(realCluster).List(ctx, metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("reading what the hub made: %w", err)
		}
		kinds[i].items = list.Items
	}
	first, err := f.hub.Resource(clustersResource).Get(ctx, realCluster, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("reading what the hub made: %w", err)
	}
	kinds = append(kinds, kind{clustersResource, []unstructured.Unstructured{*first}})
	for _, k := range kinds {
		for _, item := range k.items {
			uids[string(item.GetUID())] = true
		}
	}
	for _, k := range kinds {
		copies, err := copiesOf(k.items, uids)
		if err == nil {
			err = f.Fleet.Hub().Put(ctx, k.resource.GroupResource(), copies)
		}
		if err != nil {
			return err
		}
	}
	return f.decide(ctx)
}

// copiesOf are an object's for all other clusters: their names, and the UIDs of
// all that is copied, are other ones in each.
func copiesOf(items []unstructured.Unstructured, uids map[string]bool) (iter.Seq[*unstructured.Unstructured], error) {
	known := slices.Sorted(maps.Keys(uids))
	texts := make([]string, len(items))
	for i := range items {
		items[i].SetResourceVersion("")
		// Who wrote which field is half of the text.
		items[i].SetManagedFields(nil)
		text, err := json.Marshal(&items[i])
		if err != nil {
			return nil, fmt.Errorf("encoding %s: %w", items[i].GetName(), err)
		}
		texts[i] = string(text)
	}
	return func(yield func(*unstructured.Unstructured) bool) {
		for i := 1; i < manyClusters; i++ {
			name := clusterName(i)
			pairs := []string{realCluster, name}
			for _, uid := range known {
				pairs = append(pairs, uid, uuid.NewSHA1(uuid.NameSpaceURL, []byte(name+uid)).String())
			}
			replacer := strings.NewReplacer(pairs...)
			for _, text := range texts {
				o := copied(replacer.Replace(text))
				if o.GetKind() == "ManagedCluster" {
					labels := o.GetLabels()
					labels["region"] = region(i)
					o.SetLabels(labels)
				}
				if !yield(o) {
					return
				}
			}
		}
	}, nil
}

// copied is an object of the API server's, which is right.
func copied(text string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	if err := o.UnmarshalJSON([]byte(text)); err != nil {
		panic(fmt.Sprintf("reading %q: %v", text, err))
	}
	return o
}

// decide places everything on all clusters, as the hub's scheduler would.
func (f *synthetic) decide(ctx context.Context) error {
	decisions, err := f.hub.Resource(decisionsResource).Namespace(benchNamespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("reading the hub's decision: %w", err)
	}
	if len(decisions.Items) != 1 {
		return fmt.Errorf("the hub made %d decisions for one cluster", len(decisions.Items))
	}
	one := decisions.Items[0]
	placed, _, err := unstructured.NestedSlice(one.Object, "status", "decisions")
	if err != nil || len(placed) != 1 {
		return fmt.Errorf("the hub's decision for one cluster is %v: %w", one.Object["status"], err)
	}
	one.SetResourceVersion("")
	text, err := json.Marshal(&one)
	if err != nil {
		return err
	}
	var all []*unstructured.Unstructured
	for i := range manyClusters / perDecision {
		uid := string(one.GetUID())
		o := copied(strings.NewReplacer(uid, uuid.NewSHA1(uuid.NameSpaceURL, []byte(uid+clusterName(i))).String()).Replace(string(text)))
		o.SetName(strings.TrimSuffix(one.GetName(), "1") + fmt.Sprint(i+1))
		page := make([]any, perDecision)
		for n := range page {
			decision := map[string]any{}
			for key, value := range placed[0].(map[string]any) {
				decision[key] = value
			}
			decision["clusterName"] = clusterName(i*perDecision + n)
			page[n] = decision
		}
		if err := unstructured.SetNestedSlice(o.Object, page, "status", "decisions"); err != nil {
			return err
		}
		all = append(all, o)
	}
	return f.Fleet.Hub().Put(ctx, decisionsResource.GroupResource(), slices.Values(all))
}

// syntheticBenchmarks are those of many clusters.
func syntheticBenchmarks(ctx context.Context, o options) (_ []Result, err error) {
	dir, err := os.MkdirTemp("", "kronvoy-bench-")
	if err != nil {
		return nil, fmt.Errorf("making a directory for the fleet: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	f, err := startSynthetic(ctx, o, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Stop(context.WithoutCancel(ctx))) }()
	if f.driver, err = browser.Install(ctx); err != nil {
		return nil, err
	}
	var results []Result
	for _, measure := range []func(context.Context) ([]Result, error){f.memory, f.screen, f.commandLine} {
		found, err := measure(ctx)
		if err != nil {
			return nil, err
		}
		results = append(results, found...)
	}
	for i := range results {
		results[i].Command = "go run ./test/bench -only many"
	}
	return results, nil
}

// memory is that of the whole process, once it has given back what it needed to
// read everything.
func (f *synthetic) memory(ctx context.Context) ([]Result, error) {
	f.options.say("waiting %s for the hub to give memory back", handedBack)
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(handedBack):
	}
	hub := observe(f.Hub)
	ctx, cancel := context.WithTimeout(ctx, f.options.idle)
	defer cancel()
	err := wait.PollUntilContextCancel(ctx, sampling, true, func(context.Context) (bool, error) { return false, hub.look() })
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, fmt.Errorf("watching the hub: %w", err)
	}
	f.options.say("the hub has %s MiB, of which %s are no pages of its executable; %s at most since its start", number(hub.rss), number(hub.anonymous), number(hub.peak))
	return []Result{{Name: "hub-rss-kib-per-target", Value: hub.rss * kibi / (manyClusters * manyInstances), Unit: "KiB", Target: 20,
		What: fmt.Sprintf("highest resident memory of the idle hub process with %d clusters, %d Targets and as many works and reports in its caches, divided by the Targets",
			manyClusters, manyClusters*manyInstances)}}, nil
}
