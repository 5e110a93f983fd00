// Package bundle collects what a maintainer has to know of a hub, and of clusters,
// into one archive. It reads no Secrets, hides what may come from one, says what it
// left out and why, and is bounded in size.
package bundle

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/view"
)

// Bounds of what is read of one thing.
const (
	maxObjects  = 20_000
	pageSize    = 200
	maxLogBytes = 4 << 20
	maxLogLines = 10_000
)

// MaxBytes is how large the files of a bundle may be together, before they are
// compressed.
const MaxBytes = 256 << 20

// partOf marks the pods of hub and agents (app.kubernetes.io/part-of, Kubernetes'
// recommended labels).
const partOf = "app.kubernetes.io/part-of=kronvoy"

// Place is a cluster that is read: the hub, or one with an agent.
type Place struct {
	// Name of its folder in the bundle.
	Name      string
	Client    client.Client
	Clientset kubernetes.Interface
	// Namespace in which Kronvoy runs there.
	Namespace string
	// Hub is true for the hub.
	Hub bool
}

// Options say what is collected.
type Options struct {
	Places []Place
	// Root is the folder that all files are in, and Command the version of the
	// program.
	Root, Command string
	Now           func() time.Time
	Progress      func(string)
	MaxBytes      int64
}

// kindsOf are what is read of a hub besides instances, and of clusters.
var (
	hubKinds = []schema.GroupVersionKind{
		{Group: "kro.run", Version: "v1alpha1", Kind: "ResourceGraphDefinition"},
		{Group: "kronvoy.io", Version: "v1alpha1", Kind: "Distribution"},
		{Group: "kronvoy.io", Version: "v1alpha1", Kind: "Rollout"},
		{Group: "kronvoy.io", Version: "v1alpha1", Kind: "ApprovalRequest"},
		{Group: "kronvoy.io", Version: "v1alpha1", Kind: "Target"},
		{Group: "kronvoy.io", Version: "v1alpha1", Kind: "WorkReport"},
		{Group: "cluster.open-cluster-management.io", Version: "v1", Kind: "ManagedCluster"},
		{Group: "cluster.open-cluster-management.io", Version: "v1beta2", Kind: "ManagedClusterSet"},
		{Group: "cluster.open-cluster-management.io", Version: "v1beta2", Kind: "ManagedClusterSetBinding"},
		{Group: "cluster.open-cluster-management.io", Version: "v1beta1", Kind: "Placement"},
		{Group: "cluster.open-cluster-management.io", Version: "v1beta1", Kind: "PlacementDecision"},
		{Group: "work.open-cluster-management.io", Version: "v1", Kind: "ManifestWork"},
		{Group: "apps", Version: "v1", Kind: "ControllerRevision"},
	}
	clusterKinds = []schema.GroupVersionKind{
		{Group: "work.open-cluster-management.io", Version: "v1", Kind: "AppliedManifestWork"},
		{Version: "v1", Kind: "Node"},
	}
	// runningKinds are read in the namespace in which Kronvoy runs.
	runningKinds = []schema.GroupVersionKind{
		{Group: "apps", Version: "v1", Kind: "Deployment"},
		{Version: "v1", Kind: "Pod"},
		{Group: "coordination.k8s.io", Version: "v1", Kind: "Lease"},
	}
)

// Write collects a bundle. What cannot be read is named in its manifest; the error
// is about writing, or that it was interrupted.
func Write(ctx context.Context, w io.Writer, opts Options) (Manifest, error) {
	c := &collector{Options: opts, ctx: ctx, archive: newArchive(w, opts.Root, opts.Now().UTC(), opts.Command, cmp.Or(opts.MaxBytes, MaxBytes))}
	for _, place := range opts.Places {
		if err := c.place(place); err != nil {
			return c.Manifest, err
		}
	}
	if err := c.add("conditions.txt", []byte(strings.Join(c.conditions, "")), len(c.conditions), 0); err != nil {
		return c.Manifest, err
	}
	return c.Manifest, c.close()
}

type collector struct {
	Options
	ctx context.Context //nolint:containedctx // a collector is one call
	*archive
	// generated kinds are those of instances.
	generated []schema.GroupVersionKind
	// conditions of all objects that are not as they should be.
	conditions []string
}

func (c *collector) place(p Place) error {
	steps := []func(Place) error{c.version, c.objects, c.running, c.events, c.logs, c.metrics}
	for _, step := range steps {
		if err := step(p); err != nil {
			return err
		}
		if err := c.ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// version is that of Kubernetes; those of hub and agent are in their pods' images.
func (c *collector) version(p Place) error {
	began := c.Now()
	version, err := p.Clientset.Discovery().ServerVersion()
	if err != nil {
		c.leave(p.Name+"/version.json", err.Error())
		return nil
	}
	content, err := json.MarshalIndent(version, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the version of %s: %w", p.Name, err)
	}
	return c.add(p.Name+"/version.json", content, 0, c.Now().Sub(began))
}

func (c *collector) objects(p Place) error {
	kinds := clusterKinds
	if p.Hub {
		kinds = slices.Clone(hubKinds)
		generated, err := view.Kinds(c.ctx, p.Client)
		if err != nil {
			c.leave(p.Name+": instances", err.Error())
		}
		kinds, c.generated = append(kinds, generated...), generated
	}
	for _, kind := range kinds {
		if err := c.list(p, kind, ""); err != nil {
			return err
		}
	}
	return nil
}

func (c *collector) running(p Place) error {
	for _, kind := range runningKinds {
		if err := c.list(p, kind, p.Namespace); err != nil {
			return err
		}
	}
	return nil
}

// list writes all objects of a kind, one on a line.
func (c *collector) list(p Place, kind schema.GroupVersionKind, namespace string) error {
	name := strings.ToLower(kind.Kind)
	if kind.Group != "" {
		name += "." + kind.Group
	}
	name = p.Name + "/objects/" + name + ".jsonl"
	c.Progress("reading " + name)
	began := c.Now()
	var content bytes.Buffer
	objects := 0
	for token := ""; ; {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		err := p.Client.List(c.ctx, list, client.InNamespace(namespace), client.Limit(pageSize), client.Continue(token))
		if c.ctx.Err() != nil {
			return c.ctx.Err()
		}
		if err != nil {
			c.leave(name, why(err))
			break
		}
		for i := range list.Items {
			object := clean(list.Items[i].Object)
			if slices.Contains(c.generated, kind) {
				// Its author chose the group.
				cleanInstance(object)
			}
			raw, err := json.Marshal(object)
			if err != nil {
				return fmt.Errorf("encoding %s: %w", name, err)
			}
			content.Write(append(raw, '\n'))
			objects++
			c.judge(p.Name, object)
		}
		if token = list.GetContinue(); token == "" {
			break
		}
		if objects >= maxObjects || int64(content.Len()) > c.left {
			c.leave(name, fmt.Sprintf("there are more than the %d in it", objects))
			break
		}
	}
	if objects == 0 {
		return nil
	}
	return c.add(name, content.Bytes(), objects, c.Now().Sub(began))
}

// why says why something could not be read, and what to do.
func why(err error) string {
	switch {
	case apierrors.IsForbidden(err):
		return "no right to read it: " + err.Error()
	case apimeta.IsNoMatchError(err) || apierrors.IsNotFound(err):
		return "the kind is not served there"
	}
	return err.Error()
}

// judge notes the conditions of an object that say that something is wrong, or
// under way, and since when.
func (c *collector) judge(place string, object map[string]any) {
	u := unstructured.Unstructured{Object: object}
	conditions, _, _ := unstructured.NestedSlice(object, "status", "conditions") // none if it is no list
	for _, item := range conditions {
		condition, _ := item.(map[string]any)
		if condition["status"] == "True" && !bad[fmt.Sprint(condition["type"])] || condition["status"] == "False" && bad[fmt.Sprint(condition["type"])] {
			continue
		}
		c.conditions = append(c.conditions, fmt.Sprintf("%s %s %s/%s: %v=%v (%v) since %v: %v\n", place, u.GetKind(), u.GetNamespace(), u.GetName(),
			condition["type"], condition["status"], condition["reason"], condition["lastTransitionTime"], oneLine(condition["message"])))
	}
	if u.GetKind() != "Target" {
		return
	}
	state, _, _ := unstructured.NestedString(object, "status", "state")
	if state == "Ready" {
		return
	}
	message, _, _ := unstructured.NestedString(object, "status", "message")
	since, _, _ := unstructured.NestedString(object, "status", "clocks", "stateSince")
	c.conditions = append(c.conditions, fmt.Sprintf("%s Target %s/%s: %s since %s: %s\n", place, u.GetNamespace(), u.GetName(), cmp.Or(state, "no state"), since, oneLine(message)))
}

// bad are conditions that are True where something is wrong.
var bad = map[string]bool{
	"Drifted": true, "RemovalHeld": true, "PlacementShadowed": true, "StatusDiffers": true, "Progressing": true, "Suspended": true,
	"WorksVanished": true, "PlacementMisconfigured": true, "MemoryPressure": true, "DiskPressure": true, "PIDPressure": true, "NetworkUnavailable": true,
}

func oneLine(value any) string {
	if value == nil {
		return ""
	}
	return strings.Join(strings.Fields(fmt.Sprint(value)), " ")
}

// events of Kronvoy's objects, and of those in its namespace.
func (c *collector) events(p Place) error {
	name := p.Name + "/events.jsonl"
	c.Progress("reading " + name)
	began := c.Now()
	var content bytes.Buffer
	count := 0
	for token := ""; ; {
		var list corev1.EventList
		err := p.Client.List(c.ctx, &list, client.Limit(pageSize), client.Continue(token))
		if err != nil {
			c.leave(name, why(err))
			break
		}
		for i := range list.Items {
			e := &list.Items[i]
			if e.Namespace != p.Namespace && !concerns(e) {
				continue
			}
			object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(e)
			if err != nil {
				return fmt.Errorf("encoding an event: %w", err)
			}
			raw, err := json.Marshal(clean(object))
			if err != nil {
				return fmt.Errorf("encoding an event: %w", err)
			}
			content.Write(append(raw, '\n'))
			count++
		}
		if token = list.Continue; token == "" || count >= maxObjects {
			break
		}
	}
	if count == 0 {
		return c.ctx.Err()
	}
	return c.add(name, content.Bytes(), count, c.Now().Sub(began))
}

func concerns(e *corev1.Event) bool {
	group := schema.FromAPIVersionAndKind(e.InvolvedObject.APIVersion, e.InvolvedObject.Kind).Group
	return group == "kro.run" || group == "kronvoy.io" || strings.HasSuffix(group, "open-cluster-management.io") ||
		strings.HasPrefix(e.Source.Component, "kronvoy") || strings.HasPrefix(e.ReportingController, "kronvoy")
}

// logs of the pods of hub or agent, of their last start and the one before.
func (c *collector) logs(p Place) error {
	pods, err := p.Clientset.CoreV1().Pods(p.Namespace).List(c.ctx, metav1.ListOptions{LabelSelector: partOf})
	if err != nil {
		c.leave(p.Name+": logs", why(err))
		return nil
	}
	if len(pods.Items) == 0 {
		c.leave(p.Name+": logs", "no pod in namespace "+p.Namespace+" has the label "+partOf)
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		for _, container := range pod.Status.ContainerStatuses {
			if err := c.log(p, pod.Name, container.Name, false); err != nil {
				return err
			}
			if container.RestartCount > 0 {
				if err := c.log(p, pod.Name, container.Name, true); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// metricsPort is how the manifests name the port that metrics are served on.
const metricsPort = "metrics"

// metrics of hub or agent as they are now, by way of the API server.
func (c *collector) metrics(p Place) error {
	pods, err := p.Clientset.CoreV1().Pods(p.Namespace).List(c.ctx, metav1.ListOptions{LabelSelector: partOf})
	if err != nil {
		c.leave(p.Name+": metrics", why(err))
		return nil
	}
	served := false
	for i := range pods.Items {
		if pod := &pods.Items[i]; servesMetrics(pod) {
			served = true
			if err := c.scrape(p, pod.Name); err != nil {
				return err
			}
		}
	}
	if !served {
		c.leave(p.Name+": metrics", "no pod in namespace "+p.Namespace+" with the label "+partOf+" has a port "+metricsPort)
	}
	return nil
}

func servesMetrics(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.Containers, func(container corev1.Container) bool {
		return slices.ContainsFunc(container.Ports, func(port corev1.ContainerPort) bool { return port.Name == metricsPort })
	})
}

func (c *collector) scrape(p Place, pod string) error {
	name := p.Name + "/metrics/" + pod + ".txt"
	return c.text(name, p.Clientset.CoreV1().Pods(p.Namespace).ProxyGet("http", pod, metricsPort, "metrics", nil))
}

func (c *collector) log(p Place, pod, container string, previous bool) error {
	name := p.Name + "/logs/" + pod + "." + container + ".log"
	if previous {
		name = p.Name + "/logs/" + pod + "." + container + ".previous.log"
	}
	lines, most := int64(maxLogLines), int64(maxLogBytes)
	return c.text(name, p.Clientset.CoreV1().Pods(p.Namespace).GetLogs(pod, &corev1.PodLogOptions{
		Container: container, Previous: previous, TailLines: &lines, LimitBytes: &most, Timestamps: true,
	}))
}

// text adds what a pod says.
func (c *collector) text(name string, from rest.ResponseWrapper) error {
	c.Progress("reading " + name)
	began := c.Now()
	content, err := from.DoRaw(c.ctx)
	if errors.Is(err, context.Canceled) {
		return err
	}
	if err != nil {
		c.leave(name, why(err))
		return nil
	}
	return c.add(name, []byte(text(string(content))), 0, c.Now().Sub(began))
}
