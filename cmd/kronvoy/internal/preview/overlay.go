package preview

import (
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	clusterv1alpha1 "open-cluster-management.io/api/cluster/v1alpha1"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	clusterv1beta2 "open-cluster-management.io/api/cluster/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/manifest"
)

// kinds that a preview looks at, beside those that definitions generate.
var kinds = map[schema.GroupKind]func() client.Object{
	{Group: krov1alpha1.GroupVersion.Group, Kind: "ResourceGraphDefinition"}: func() client.Object { return &krov1alpha1.ResourceGraphDefinition{} },
	{Group: kronvoyv1alpha1.GroupVersion.Group, Kind: "Distribution"}:        func() client.Object { return &kronvoyv1alpha1.Distribution{} },
	{Group: clusterv1.GroupName, Kind: "ManagedCluster"}:                     func() client.Object { return &clusterv1.ManagedCluster{} },
	{Group: clusterv1.GroupName, Kind: "ManagedClusterSet"}:                  func() client.Object { return &clusterv1beta2.ManagedClusterSet{} },
	{Group: clusterv1.GroupName, Kind: "ManagedClusterSetBinding"}:           func() client.Object { return &clusterv1beta2.ManagedClusterSetBinding{} },
	{Group: clusterv1.GroupName, Kind: "Placement"}:                          func() client.Object { return &clusterv1beta1.Placement{} },
	{Group: clusterv1.GroupName, Kind: "AddOnPlacementScore"}:                func() client.Object { return &clusterv1alpha1.AddOnPlacementScore{} },
	{Group: corev1.GroupName, Kind: "Namespace"}:                             func() client.Object { return &corev1.Namespace{} },
}

// clusterScoped kinds have no namespace, whatever a file says.
var clusterScoped = map[string]bool{"ResourceGraphDefinition": true, "ManagedCluster": true, "ManagedClusterSet": true, "Namespace": true}

// change is an object of a file, laid over the one on the hub.
type change struct {
	document *manifest.Document
	object   client.Object
	// isNew is true where the hub has none of that name.
	isNew bool
}

func (c change) wrap(err error) error {
	return fmt.Errorf("%s:%d: %s %s: %w", c.document.File, c.document.Line, c.document.Kind(), c.document.Name(), err)
}

// overlay is a document over what memory has of its name, as `kubectl apply` would
// have it: the spec is the document's; labels, annotations and all of a
// ManagedCluster are merged, where null takes away; what the server and
// controllers write stays.
func (s *simulation) overlay(d *manifest.Document) (change, error) {
	c := change{document: d}
	gv, err := schema.ParseGroupVersion(d.APIVersion())
	if err != nil {
		return c, c.wrap(err)
	}
	gvk := gv.WithKind(d.Kind())
	namespace := d.Namespace()
	var found client.Object
	typed, known := kinds[gvk.GroupKind()]
	switch {
	case known:
		found = typed()
		if namespace == "" {
			namespace = s.Namespace
		}
		if clusterScoped[gvk.Kind] {
			namespace = ""
		}
	case s.generated(gvk.GroupKind()) != nil:
		instance := &unstructured.Unstructured{}
		instance.SetGroupVersionKind(gvk)
		found = instance
		if namespace == "" && !clusterWide(s.generated(gvk.GroupKind())) {
			namespace = s.Namespace
		}
	default:
		return c, c.wrap(fmt.Errorf("no definition, on the hub or in the files, generates %s, and it has nothing to do with where instances run: leave it out", gvk.Kind))
	}
	err = s.memory.Get(s.ctx, client.ObjectKey{Namespace: namespace, Name: d.Name()}, found)
	if c.isNew = apierrors.IsNotFound(err) || apimeta.IsNoMatchError(err); err != nil && !c.isNew {
		return c, c.wrap(fmt.Errorf("reading it from the hub: %w", err))
	}
	below := map[string]any{}
	if !c.isNew {
		if below, err = runtime.DefaultUnstructuredConverter.ToUnstructured(found); err != nil {
			return c, c.wrap(err)
		}
	}
	merged := applied(below, d.Object)
	metadata, _ := merged["metadata"].(map[string]any)
	metadata["namespace"] = namespace
	if namespace == "" {
		delete(metadata, "namespace")
	}
	if !known {
		c.object = &unstructured.Unstructured{Object: merged}
		return c, nil
	}
	c.object = typed()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(merged, c.object); err != nil {
		return c, c.wrap(err)
	}
	return c, nil
}

func clusterWide(rgd *krov1alpha1.ResourceGraphDefinition) bool {
	return strings.EqualFold(string(rgd.Spec.Schema.Scope), "Cluster")
}

// applied lays a document over an object.
func applied(below, document map[string]any) map[string]any {
	out := maps.Clone(below)
	for key, value := range document {
		switch key {
		case "metadata":
			under, _ := below["metadata"].(map[string]any)
			above, _ := value.(map[string]any)
			out[key] = appliedMetadata(under, above)
		case "status":
			if _, known := below["status"]; !known {
				out[key] = value
			}
		default:
			if document["kind"] == "ManagedCluster" {
				value = merge(below[key], value)
			}
			out[key] = value
		}
	}
	return out
}

// appliedMetadata takes of a document what a person may say there.
func appliedMetadata(below, document map[string]any) map[string]any {
	out := maps.Clone(below)
	if out == nil {
		out = map[string]any{}
	}
	for _, key := range []string{"name", "labels", "annotations"} {
		if value, given := document[key]; given {
			out[key] = merge(below[key], value)
		}
	}
	if document["resourceVersion"] != nil {
		// It is the object as it was read from the hub, and then edited.
		for _, key := range []string{"labels", "annotations"} {
			out[key] = document[key]
		}
	}
	return out
}

// merge is a JSON merge patch (RFC 7386).
func merge(below, patch any) any {
	above, isObject := patch.(map[string]any)
	if !isObject {
		return patch
	}
	under, _ := below.(map[string]any)
	out := maps.Clone(under)
	if out == nil {
		out = map[string]any{}
	}
	for key, value := range above {
		if value == nil {
			delete(out, key)
			continue
		}
		out[key] = merge(out[key], value)
	}
	return out
}
