// Package view reads what the hub says about instances and prints it for
// people. It reads instances, Targets and WorkReports, and nothing else.
package view

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// Instance is one instance as the hub sums it up.
type Instance struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	State     string `json:"state"`
	Revision  string `json:"revision,omitempty"`
	Message   string `json:"message,omitempty"`
	Placed    int64  `json:"placed"`
	Ready     int64  `json:"ready"`
	Drifted   int64  `json:"drifted"`
	Failed    int64  `json:"failed"`
	// Unhealthy is on how many clusters objects are not healthy, or not yet,
	// whether or not they are ready.
	Unhealthy int64     `json:"unhealthy"`
	Clusters  []Cluster `json:"clusters,omitempty"`
}

// Cluster is one cluster's row of an instance.
type Cluster struct {
	Name     string `json:"name"`
	Region   string `json:"region,omitempty"`
	State    string `json:"state"`
	Revision string `json:"revision,omitempty"`
	Ready    string `json:"ready,omitempty"`
	Health   string `json:"health,omitempty"`
	Message  string `json:"message,omitempty"`
	// Suspended says why nothing is written there.
	Suspended string         `json:"suspended,omitempty"`
	Drift     string         `json:"drift,omitempty"`
	Since     string         `json:"since,omitempty"`
	Values    map[string]any `json:"values,omitempty"`
	Nodes     []Node         `json:"nodes,omitempty"`
}

// Node is a node that is not ready on a cluster, or not healthy.
type Node struct {
	ID       string   `json:"id"`
	State    string   `json:"state"`
	Health   string   `json:"health,omitempty"`
	WaitsFor []string `json:"waitsFor,omitempty"`
	Message  string   `json:"message,omitempty"`
}

// AllReady is true when every cluster has the newest revision and is ready.
func (i Instance) AllReady() bool { return i.State == "ACTIVE" && i.Placed > 0 && i.Ready == i.Placed }

var definitions = schema.GroupVersionKind{Group: "kro.run", Version: "v1alpha1", Kind: "ResourceGraphDefinitionList"}

// Kinds are the generated kinds that the hub's definitions describe.
func Kinds(ctx context.Context, c client.Client) ([]schema.GroupVersionKind, error) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(definitions)
	if err := c.List(ctx, list); err != nil {
		return nil, fmt.Errorf("listing ResourceGraphDefinitions: %w; is this the kubeconfig of a hub?", err)
	}
	var kinds []schema.GroupVersionKind
	for i := range list.Items {
		group, _, _ := unstructured.NestedString(list.Items[i].Object, "spec", "schema", "group")
		version, _, _ := unstructured.NestedString(list.Items[i].Object, "spec", "schema", "apiVersion")
		kind, _, _ := unstructured.NestedString(list.Items[i].Object, "spec", "schema", "kind")
		if kind != "" {
			kinds = append(kinds, schema.GroupVersionKind{Group: cmp.Or(group, "kro.run"), Version: version, Kind: kind})
		}
	}
	slices.SortFunc(kinds, func(a, b schema.GroupVersionKind) int { return cmp.Compare(a.String(), b.String()) })
	return kinds, nil
}

// List reads all instances, of one namespace or, with "", of all.
func List(ctx context.Context, c client.Client, namespace string) ([]Instance, error) {
	kinds, err := Kinds(ctx, c)
	if err != nil {
		return nil, err
	}
	var instances []Instance
	for _, kind := range kinds {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		err := c.List(ctx, list, client.InNamespace(namespace))
		if notServed(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("listing %s: %w", kind.Kind, err)
		}
		for i := range list.Items {
			instances = append(instances, read(&list.Items[i]))
		}
	}
	return instances, nil
}

// Get reads one instance, named NAME or KIND/NAME, with a row for every
// cluster.
func Get(ctx context.Context, c client.Client, namespace, reference string) (Instance, error) {
	kind, name, both := strings.Cut(reference, "/")
	if !both {
		kind, name = "", reference
	}
	kinds, err := Kinds(ctx, c)
	if err != nil {
		return Instance{}, err
	}
	var found []*unstructured.Unstructured
	for _, gvk := range kinds {
		if kind != "" && !strings.EqualFold(kind, gvk.Kind) {
			continue
		}
		obj := &unstructured.Unstructured{}
		obj.SetGroupVersionKind(gvk)
		err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, obj)
		if apierrors.IsNotFound(err) || notServed(err) {
			continue
		}
		if err != nil {
			return Instance{}, fmt.Errorf("reading %s %s/%s: %w", gvk.Kind, namespace, name, err)
		}
		found = append(found, obj)
	}
	switch len(found) {
	case 0:
		return Instance{}, fmt.Errorf("no instance %q in namespace %q: `kronvoy status -A` lists all", reference, namespace)
	case 1:
	default:
		return Instance{}, fmt.Errorf("%q is a %s and a %s: say which, as in %s/%s", name, found[0].GetKind(), found[1].GetKind(), strings.ToLower(found[0].GetKind()), name)
	}
	instance := read(found[0])
	if int64(len(instance.Clusters)) < instance.Placed {
		// The instance names only the worst; Targets name all.
		return instance, addTargets(ctx, c, &instance)
	}
	return instance, nil
}

func notServed(err error) bool {
	return err != nil && (apierrors.IsNotFound(err) || strings.Contains(err.Error(), "no matches for kind"))
}

// read takes an instance's status apart. A status that is not there yet reads
// as a state of "-".
func read(obj *unstructured.Unstructured) Instance {
	instance := Instance{Kind: obj.GetKind(), Namespace: obj.GetNamespace(), Name: obj.GetName()}
	status, _ := obj.Object["status"].(map[string]any)
	instance.State = cmp.Or(text(status, "state"), "-")
	fleet, ok := status["kronvoyFleet"].(map[string]any)
	if !ok {
		fleet, _ = status["fleet"].(map[string]any)
	}
	instance.Revision = text(fleet, "revision")
	instance.Placed, instance.Ready = number(fleet, "placed"), number(fleet, "ready")
	instance.Drifted, instance.Failed, instance.Unhealthy = number(fleet, "drifted"), number(fleet, "failed"), number(fleet, "unhealthy")
	instance.Message = fault(status, fleet)
	if instance.Message == "" && instance.Unhealthy > 0 {
		instance.Message = fmt.Sprintf("ready, but not healthy on %d of %d clusters", instance.Unhealthy, instance.Placed)
	}
	rows, _ := fleet["clusters"].([]any)
	for _, r := range rows {
		row, _ := r.(map[string]any)
		values, _ := row["values"].(map[string]any)
		instance.Clusters = append(instance.Clusters, Cluster{
			Name: text(row, "name"), Region: text(row, "region"), State: text(row, "state"), Revision: text(row, "revision"),
			Ready: text(row, "ready"), Message: text(row, "message"), Drift: text(row, "drift"), Since: text(row, "since"), Values: values,
			Suspended: text(row, "suspended"), Health: text(row, "health"),
			Nodes: nodes(row),
		})
	}
	return instance
}

// fault says why an instance is not ready: the built-in conditions say it, which
// stand in the fleet's summary where the definition has its own. An instance may
// be ready, and its author's status at fault all the same.
func fault(status, fleet map[string]any) string {
	conditions, ok := fleet["conditions"].([]any)
	if !ok {
		conditions, _ = status["conditions"].([]any)
	}
	for _, c := range conditions {
		if condition, ok := c.(map[string]any); ok && condition["type"] == "Ready" && condition["status"] != "True" {
			return text(condition, "message")
		}
	}
	issues, _ := fleet["issues"].([]any)
	if len(issues) == 0 {
		return ""
	}
	first, _ := issues[0].(string)
	return first
}

func nodes(row map[string]any) []Node {
	listed, _ := row["nodes"].([]any)
	var out []Node
	for _, n := range listed {
		node, _ := n.(map[string]any)
		waits, _ := node["waitsFor"].([]any)
		read := Node{ID: text(node, "id"), State: text(node, "state"), Health: text(node, "health"), Message: text(node, "message")}
		for _, wait := range waits {
			if path, ok := wait.(string); ok {
				read.WaitsFor = append(read.WaitsFor, path)
			}
		}
		out = append(out, read)
	}
	return out
}

// addTargets completes the rows from the Targets of all clusters.
func addTargets(ctx context.Context, c client.Client, instance *Instance) error {
	var targets kronvoyv1alpha1.TargetList
	if err := c.List(ctx, &targets); err != nil {
		return fmt.Errorf("listing targets: %w", err)
	}
	known := map[string]bool{}
	for _, row := range instance.Clusters {
		known[row.Name] = true
	}
	for i := range targets.Items {
		t := &targets.Items[i]
		ref := t.Spec.Instance
		if known[t.Namespace] || ref.Kind != instance.Kind || ref.Namespace != instance.Namespace || ref.Name != instance.Name {
			continue
		}
		row := Cluster{
			Name: t.Namespace, State: string(t.Status.State), Revision: t.Status.Revision, Message: t.Status.Message, Drift: t.Status.Drift.Last,
			Suspended: t.Status.Suspended, Health: string(t.Status.Health),
		}
		for _, node := range t.Status.Nodes {
			sick := node.Health == kronvoyv1alpha1.HealthProgressing || node.Health == kronvoyv1alpha1.HealthFailed
			if !sick && (node.State == "Ready" || node.State == "Excluded") {
				continue
			}
			n := Node{ID: node.ID, State: node.State, WaitsFor: node.WaitsFor, Message: node.Message}
			if sick {
				n.Health, n.Message = string(node.Health), cmp.Or(n.Message, node.HealthMessage)
			}
			row.Nodes = append(row.Nodes, n)
		}
		instance.Clusters = append(instance.Clusters, row)
	}
	slices.SortFunc(instance.Clusters, func(a, b Cluster) int { return cmp.Compare(a.Name, b.Name) })
	return nil
}

func text(m map[string]any, key string) string {
	s, _ := m[key].(string)
	return s
}

func number(m map[string]any, key string) int64 {
	n, _ := m[key].(int64)
	return n
}
