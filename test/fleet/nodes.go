package fleet

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

func (c *Cluster) createNodes(ctx context.Context, client kubernetes.Interface) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i := range c.state.Nodes {
		node := c.node(i)
		group.Go(func() error {
			_, err := client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
			if err := ignoreExists(err); err != nil {
				return fmt.Errorf("creating node %q of cluster %q: %w", node.Name, c.Name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// node is what a kubelet would register. Its own words about its system stay:
// kwok only adds what is missing.
func (c *Cluster) node(i int) *corev1.Node {
	name := fmt.Sprintf("%s-node-%d", c.Name, i+1)
	labels := map[string]string{
		corev1.LabelHostname:   name,
		corev1.LabelOSStable:   "linux",
		corev1.LabelArchStable: "amd64",
	}
	for label, value := range map[string]string{corev1.LabelTopologyRegion: c.state.Region, corev1.LabelTopologyZone: c.state.Zone} {
		if value != "" {
			labels[label] = value
		}
	}
	maps.Copy(labels, c.state.NodeLabels)
	resources := corev1.ResourceList{
		corev1.ResourceCPU:              resource.MustParse("32"),
		corev1.ResourceMemory:           resource.MustParse("256Gi"),
		corev1.ResourceEphemeralStorage: resource.MustParse("1Ti"),
		corev1.ResourcePods:             resource.MustParse("500"),
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels, Annotations: map[string]string{"kwok.x-k8s.io/node": "fake"}},
		Spec:       corev1.NodeSpec{ProviderID: "kwok://" + name},
		Status: corev1.NodeStatus{
			Capacity:    resources,
			Allocatable: resources,
			NodeInfo: corev1.NodeSystemInfo{
				OSImage:                 c.state.OSImage,
				KernelVersion:           c.state.KernelVersion,
				ContainerRuntimeVersion: c.state.ContainerRuntime,
				KubeletVersion:          c.fleet.paths.Version,
				OperatingSystem:         "linux",
				Architecture:            "amd64",
			},
		},
	}
}

// nodesReady returns an error while a node is missing or not ready.
func (c *Cluster) nodesReady(ctx context.Context, client kubernetes.Interface) error {
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	if len(nodes.Items) < c.state.Nodes {
		return fmt.Errorf("%d of %d nodes are there", len(nodes.Items), c.state.Nodes)
	}
	var errs []error
	for _, node := range nodes.Items {
		if !nodeReady(node) {
			errs = append(errs, fmt.Errorf("node %q is not ready", node.Name))
		}
	}
	return errors.Join(errs...)
}

func nodeReady(node corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}
