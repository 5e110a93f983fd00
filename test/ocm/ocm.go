// Package ocm runs OCM's own work agent, built from the module that
// test/ocm/agent pins, on a cluster of the local fleet: the hub must get along
// with clusters that have no other.
package ocm

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	clusterv1 "open-cluster-management.io/api/cluster/v1"

	"github.com/kronvoy/kronvoy/test/fleet"
	"github.com/kronvoy/kronvoy/test/fleet/binaries"
)

// Namespace and Account are where a klusterlet runs it.
const (
	Namespace = "open-cluster-management-agent"
	Account   = "klusterlet-work-sa"
)

// Start runs OCM's agent for a cluster that has joined; onHub is a kubeconfig of
// what it joined with. crds is a folder with the CRD of AppliedManifestWorks. On
// the cluster it has the rights that a klusterlet gives it by default, on the hub
// those that the hub gives to the agents of this cluster.
func Start(ctx context.Context, f *fleet.Fleet, spoke *fleet.Cluster, onHub, crds string, progress io.Writer) (*fleet.Process, error) {
	path, err := binaries.EnsureOCMAgent(ctx, progress)
	if err != nil {
		return nil, err
	}
	if err := spoke.InstallCRDs(ctx, crds); err != nil {
		return nil, fmt.Errorf("installing CRDs on %s: %w", spoke.Name, err)
	}
	if err := spoke.ApplyObjects(ctx, rights()...); err != nil {
		return nil, fmt.Errorf("installing the rights of OCM's agent on %s: %w", spoke.Name, err)
	}
	local := filepath.Join(f.Dir(), spoke.Name+"-ocm.kubeconfig")
	if err := spoke.ServiceAccountKubeconfig(ctx, Namespace, Account, local); err != nil {
		return nil, fmt.Errorf("making the identity of OCM's agent on %s: %w", spoke.Name, err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("looking for a free port: %w", err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		return nil, err
	}
	return f.Run(fleet.Command{Name: "ocm-work-" + spoke.Name, Path: path, Args: []string{
		"agent", "--spoke-cluster-name", spoke.Name, "--workload-source-config", onHub, "--kubeconfig", local,
		"--namespace", Namespace, "--disable-leader-election", "--listen", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
	}})
}

// Describe writes into the status of a ManagedCluster what OCM's registration
// agent would, which is not run: the version of Kubernetes, and claims without
// any of Kronvoy's.
func Describe(ctx context.Context, f *fleet.Fleet, cluster, version string) error {
	config, err := f.Hub().RESTConfig()
	if err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making a client of the hub: %w", err)
	}
	patch, err := json.Marshal(map[string]any{"status": map[string]any{
		"version":       map[string]any{"kubernetes": version},
		"clusterClaims": []any{map[string]any{"name": "kubeversion.open-cluster-management.io", "value": version}},
	}})
	if err != nil {
		return err
	}
	clusters := client.Resource(schema.GroupVersionResource{Group: clusterv1.GroupName, Version: "v1", Resource: "managedclusters"})
	if _, err := clusters.Patch(ctx, cluster, types.MergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
		return fmt.Errorf("describing cluster %s: %w", cluster, err)
	}
	return nil
}

// rights are a klusterlet's, as far as works of these tests need them: those of
// the role admin, and the agent's own.
func rights() []*unstructured.Unstructured {
	rule := func(group, resource string, verbs ...any) any {
		return map[string]any{"apiGroups": []any{group}, "resources": []any{resource}, "verbs": verbs}
	}
	const rbac = "rbac.authorization.k8s.io"
	objects := []*unstructured.Unstructured{
		{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": Namespace}}},
		{Object: map[string]any{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": map[string]any{"name": Account, "namespace": Namespace}}},
		{Object: map[string]any{"apiVersion": rbac + "/v1", "kind": "ClusterRole", "metadata": map[string]any{"name": "klusterlet-work"}, "rules": []any{
			rule("work.open-cluster-management.io", "appliedmanifestworks", "get", "list", "watch", "create", "update", "patch", "delete"),
			rule("work.open-cluster-management.io", "appliedmanifestworks/status", "patch", "update"),
			rule("work.open-cluster-management.io", "appliedmanifestworks/finalizers", "update"),
			rule("authorization.k8s.io", "subjectaccessreviews", "create"),
			rule("", "serviceaccounts", "impersonate"),
			rule("", "namespaces", "get", "list", "watch", "create", "update", "patch", "delete"),
		}}},
	}
	for _, role := range []string{"klusterlet-work", "admin"} {
		objects = append(objects, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": rbac + "/v1", "kind": "ClusterRoleBinding", "metadata": map[string]any{"name": "klusterlet-work-" + role},
			"roleRef":  map[string]any{"apiGroup": rbac, "kind": "ClusterRole", "name": role},
			"subjects": []any{map[string]any{"kind": "ServiceAccount", "name": Account, "namespace": Namespace}},
		}})
	}
	return objects
}
