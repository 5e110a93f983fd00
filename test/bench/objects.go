package main

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
	"sigs.k8s.io/yaml"
)

// patience is how long anything may take before the benchmark gives up.
const patience = 5 * time.Minute

// benchYAML places instances on one cluster, and defines a chain.
var benchYAML = []string{`
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
metadata: {name: one, namespace: bench}
spec:
  clusterSets: [global]
  predicates:
  - requiredClusterSelector:
      labelSelector: {matchLabels: {region: eu-west}}
`, `
apiVersion: kro.run/v1alpha1
kind: ResourceGraphDefinition
metadata: {name: chain}
spec:
  schema:
    apiVersion: v1alpha1
    kind: Chain
    spec: {text: string}
  resources:
  - id: first
    template:
      apiVersion: v1
      kind: ConfigMap
      metadata: {name: "${schema.metadata.name}-1"}
      data: {text: "${schema.spec.text}"}
  - id: second
    template:
      apiVersion: v1
      kind: ConfigMap
      metadata: {name: "${schema.metadata.name}-2"}
      data: {before: "${first.metadata.uid}"}
  - id: third
    template:
      apiVersion: v1
      kind: ConfigMap
      metadata: {name: "${schema.metadata.name}-3"}
      data: {before: "${second.metadata.uid}"}
`}

func benchObjects() []*unstructured.Unstructured {
	objects := make([]*unstructured.Unstructured, len(benchYAML))
	for i, text := range benchYAML {
		objects[i] = object(text)
	}
	return objects
}

func chain(name string) *unstructured.Unstructured {
	return object(`{apiVersion: kro.run/v1alpha1, kind: Chain,
		metadata: {name: ` + name + `, namespace: bench, labels: {kronvoy.io/placement: one}}, spec: {text: hello}}`)
}

func webapp(name string) *unstructured.Unstructured {
	return object(`{apiVersion: kro.run/v1alpha1, kind: WebApp,
		metadata: {name: ` + name + `, namespace: shop, labels: {kronvoy.io/placement: everywhere}}, spec: {name: ` + name + `}}`)
}

// object reads YAML of this program or of an example, which is right.
func object(text string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		panic(fmt.Sprintf("reading %q: %v", text, err))
	}
	return u
}

// served waits until the hub serves a kind that it generates.
func (s *system) served(ctx context.Context, resource string) error {
	client, err := s.client(resource, metav1.NamespaceAll)
	if err != nil {
		return err
	}
	err = wait.PollUntilContextTimeout(ctx, 10*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		_, err := client.List(ctx, metav1.ListOptions{Limit: 1})
		return err == nil, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the hub to serve %s: %w; its log is %s", resource, err, s.Hub.Log())
	}
	return nil
}

// apply applies an instance of a generated kind, of which discovery may not know
// yet although it is served.
func (s *system) apply(ctx context.Context, resource string, instance *unstructured.Unstructured) error {
	client, err := s.client(resource, instance.GetNamespace())
	if err != nil {
		return err
	}
	if _, err := client.Apply(ctx, instance.GetName(), instance, metav1.ApplyOptions{FieldManager: "bench", Force: true}); err != nil {
		return fmt.Errorf("applying %s %s: %w", resource, instance.GetName(), err)
	}
	return nil
}

// ready waits until the instance is ready on that many clusters.
func (s *system) ready(ctx context.Context, resource, namespace, name string, clusters int64) error {
	client, err := s.client(resource, namespace)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var last map[string]any
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = "metadata.name=" + name
			return client.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = "metadata.name=" + name
			return client.Watch(ctx, o)
		},
	}
	_, err = watchtools.UntilWithSync(ctx, lw, &unstructured.Unstructured{}, nil, func(event watch.Event) (bool, error) {
		u, ok := event.Object.(*unstructured.Unstructured)
		if !ok {
			return false, nil
		}
		last, _, _ = unstructured.NestedMap(u.Object, "status")
		return isReady(u, clusters), nil
	})
	if err != nil {
		return fmt.Errorf("waiting for %s %s/%s to be ready on %d clusters: %w; its status is %v", resource, namespace, name, clusters, err, last)
	}
	return nil
}

func isReady(u *unstructured.Unstructured, clusters int64) bool {
	ready, _, _ := unstructured.NestedInt64(u.Object, "status", "fleet", "ready")
	if ready != clusters {
		return false
	}
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		if m, _ := c.(map[string]any); m["type"] == "Ready" {
			return m["status"] == "True" && m["observedGeneration"] == u.GetGeneration()
		}
	}
	return false
}

func (s *system) client(resource, namespace string) (dynamic.ResourceInterface, error) {
	config, err := s.Fleet.Hub().RESTConfig()
	if err != nil {
		return nil, err
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client of the hub: %w", err)
	}
	kind := client.Resource(schema.GroupVersionResource{Group: "kro.run", Version: "v1alpha1", Resource: resource})
	if namespace == metav1.NamespaceAll {
		return kind, nil
	}
	return kind.Namespace(namespace), nil
}
