// Package probe looks at clusters and changes them as people do: tests on real
// control planes apply YAML with it, read objects back, record what watches
// show and count what Kronvoy's processes write.
package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"
)

// Author is the field manager of Apply, and Editor that of Patch.
const (
	Author = "author"
	Editor = "editor"
)

// Cluster is one API server, seen with one kubeconfig. Resources are named as
// kubectl names them, "deployments.apps"; objects in a namespace as "ns/name".
type Cluster struct {
	Name       string
	Kubeconfig string

	kubectl string
	dynamic dynamic.Interface
	mapper  *restmapper.DeferredDiscoveryRESTMapper
}

// Open makes a client of the cluster that a kubeconfig names. kubectl is the
// path of the program.
func Open(name, kubeconfig, kubectl string) (*Cluster, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig of %s: %w", name, err)
	}
	config.QPS, config.Burst, config.UserAgent = -1, -1, "probe"
	return open(name, kubeconfig, kubectl, config)
}

func open(name, kubeconfig, kubectl string, config *rest.Config) (*Cluster, error) {
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client of %s: %w", name, err)
	}
	kinds, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a discovery client of %s: %w", name, err)
	}
	return &Cluster{
		Name: name, Kubeconfig: kubeconfig, kubectl: kubectl, dynamic: objects,
		mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(kinds)),
	}, nil
}

// As is the cluster as somebody else sees it, who has another kubeconfig.
func (c *Cluster) As(t testing.TB, kubeconfig string) *Cluster {
	t.Helper()
	other, err := Open(c.Name, kubeconfig, c.kubectl)
	if err != nil {
		t.Fatal(err)
	}
	return other
}

// Apply applies all documents of a YAML text as Author, or ends the test.
func (c *Cluster) Apply(t testing.TB, text string) {
	t.Helper()
	if err := c.TryApply(t.Context(), text); err != nil {
		t.Fatal(err)
	}
}

// TryApply applies all documents of a YAML text as Author.
func (c *Cluster) TryApply(ctx context.Context, text string) error {
	for document := range strings.SplitSeq(text, "\n---\n") {
		obj := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &obj.Object); err != nil {
			return fmt.Errorf("reading %q: %w", document, err)
		}
		if len(obj.Object) == 0 {
			continue
		}
		if err := c.apply(ctx, obj); err != nil {
			return fmt.Errorf("applying %s %s/%s on %s: %w", obj.GetKind(), obj.GetNamespace(), obj.GetName(), c.Name, err)
		}
	}
	return nil
}

func (c *Cluster) apply(ctx context.Context, obj *unstructured.Unstructured) error {
	gvk := obj.GroupVersionKind()
	mapping, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if apimeta.IsNoMatchError(err) {
		c.mapper.Reset()
		mapping, err = c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	}
	if err != nil {
		return err
	}
	data, err := json.Marshal(obj)
	if err != nil {
		return err
	}
	force := true
	_, err = c.dynamic.Resource(mapping.Resource).Namespace(obj.GetNamespace()).
		Patch(ctx, obj.GetName(), types.ApplyPatchType, data, metav1.PatchOptions{FieldManager: Author, Force: &force})
	return err
}

// Get reads an object; nil when it does not exist.
func (c *Cluster) Get(t testing.TB, resource, name string) *Object {
	t.Helper()
	obj, err := c.TryGet(t.Context(), resource, name)
	if err != nil {
		t.Fatal(err)
	}
	return obj
}

// TryGet reads an object; nil when it does not exist.
func (c *Cluster) TryGet(ctx context.Context, resource, name string) (*Object, error) {
	client, name, err := c.client(resource, name)
	if err != nil {
		return nil, err
	}
	obj, err := client.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s %s on %s: %w", resource, name, c.Name, err)
	}
	return &Object{obj}, nil
}

// List reads all objects in a namespace, or everywhere when it is empty.
func (c *Cluster) List(t testing.TB, resource, namespace string) []*Object {
	t.Helper()
	objects, err := c.TryList(t.Context(), resource, namespace)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// TryList reads all objects in a namespace, or everywhere when it is empty.
func (c *Cluster) TryList(ctx context.Context, resource, namespace string) ([]*Object, error) {
	client, _, err := c.client(resource, namespace+"/")
	if err != nil {
		return nil, err
	}
	list, err := client.List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing %s on %s: %w", resource, c.Name, err)
	}
	objects := make([]*Object, 0, len(list.Items))
	for i := range list.Items {
		objects = append(objects, &Object{&list.Items[i]})
	}
	return objects, nil
}

// Goes waits until an object is not there.
func (c *Cluster) Goes(t testing.TB, resource, name string) {
	t.Helper()
	Eventually(t, resource+" "+name+" to leave "+c.Name, func() error {
		if c.Get(t, resource, name) != nil {
			return errors.New("it is there")
		}
		return nil
	})
}

// Holds waits until a field of an object has a value.
func (c *Cluster) Holds(t testing.TB, resource, name, path string, want any) {
	t.Helper()
	Eventually(t, fmt.Sprintf("%s %s on %s to have %s %v", resource, name, c.Name, path, want), func() error {
		if got := c.Get(t, resource, name).At(path); got != want {
			return fmt.Errorf("it is %v", got)
		}
		return nil
	})
}

// Patch merges JSON or YAML into an object as Editor, and returns the outcome.
// A resource may name a subresource, as in "deployments.apps/scale".
func (c *Cluster) Patch(t testing.TB, resource, name, text string) *Object {
	t.Helper()
	resource, subresource, _ := strings.Cut(resource, "/")
	client, name, err := c.client(resource, name)
	if err != nil {
		t.Fatal(err)
	}
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatalf("reading %q: %v", text, err)
	}
	var subresources []string
	if subresource != "" {
		subresources = append(subresources, subresource)
	}
	obj, err := client.Patch(t.Context(), name, types.MergePatchType, data, metav1.PatchOptions{FieldManager: Editor}, subresources...)
	if err != nil {
		t.Fatalf("patching %s %s on %s: %v", resource, name, c.Name, err)
	}
	return &Object{obj}
}

// Delete deletes an object; one that does not exist is no fault.
func (c *Cluster) Delete(t testing.TB, resource, name string) {
	t.Helper()
	client, name, err := c.client(resource, name)
	if err != nil {
		t.Fatal(err)
	}
	background := metav1.DeletePropagationBackground
	err = client.Delete(t.Context(), name, metav1.DeleteOptions{PropagationPolicy: &background})
	if err != nil && !apierrors.IsNotFound(err) {
		t.Fatalf("deleting %s %s on %s: %v", resource, name, c.Name, err)
	}
}

// Kubectl runs kubectl and returns what it printed, whatever came of it.
func (c *Cluster) Kubectl(t testing.TB, args ...string) (string, error) {
	t.Helper()
	return c.KubectlWith(t, "", args...)
}

// KubectlWith runs kubectl with a text on its standard input.
func (c *Cluster) KubectlWith(t testing.TB, input string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), c.kubectl, append([]string{"--kubeconfig", c.Kubeconfig}, args...)...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// client finds the client of a resource, and the name in "ns/name".
func (c *Cluster) client(resource, name string) (dynamic.ResourceInterface, string, error) {
	partial := schema.ParseGroupResource(resource).WithVersion("")
	gvr, err := c.mapper.ResourceFor(partial)
	if apimeta.IsNoMatchError(err) {
		c.mapper.Reset()
		gvr, err = c.mapper.ResourceFor(partial)
	}
	if err != nil {
		return nil, "", fmt.Errorf("looking up %s on %s: %w", resource, c.Name, err)
	}
	if namespace, rest, found := strings.Cut(name, "/"); found {
		return c.dynamic.Resource(gvr).Namespace(namespace), rest, nil
	}
	return c.dynamic.Resource(gvr), name, nil
}
