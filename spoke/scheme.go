package spoke

import (
	"net/http"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	clusterv1alpha1 "open-cluster-management.io/api/cluster/v1alpha1"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

var (
	workVersion    = schema.GroupVersion(workv1.GroupVersion)
	clusterVersion = schema.GroupVersion(clusterv1.GroupVersion)
	claimVersion   = schema.GroupVersion(clusterv1alpha1.GroupVersion)
)

// newScheme holds only the kinds that the agent itself reads and writes; what
// it applies is never typed.
func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	scheme.AddKnownTypes(workVersion,
		&workv1.ManifestWork{}, &workv1.ManifestWorkList{}, &workv1.AppliedManifestWork{}, &workv1.AppliedManifestWorkList{})
	scheme.AddKnownTypes(clusterVersion, &clusterv1.ManagedCluster{}, &clusterv1.ManagedClusterList{})
	scheme.AddKnownTypes(kronvoyv1alpha1.GroupVersion, &kronvoyv1alpha1.WorkReport{}, &kronvoyv1alpha1.WorkReportList{})
	scheme.AddKnownTypes(coordinationv1.SchemeGroupVersion, &coordinationv1.Lease{}, &coordinationv1.LeaseList{})
	scheme.AddKnownTypes(corev1.SchemeGroupVersion, &corev1.Secret{}, &corev1.SecretList{}, &corev1.Node{}, &corev1.NodeList{})
	scheme.AddKnownTypes(claimVersion, &clusterv1alpha1.ClusterClaim{}, &clusterv1alpha1.ClusterClaimList{})
	for _, version := range []schema.GroupVersion{
		workVersion, clusterVersion, claimVersion, kronvoyv1alpha1.GroupVersion,
		coordinationv1.SchemeGroupVersion, corev1.SchemeGroupVersion,
	} {
		metav1.AddToGroupVersion(scheme, version)
	}
	return scheme
}

// newHubMapper knows the hub's kinds without asking it: the agent never needs
// any other, and may not be allowed to look around.
func newHubMapper() apimeta.RESTMapper { return newOwnMapper() }

// spokeMapper knows the agent's own kinds, so that it can start before its API
// server answers, and asks for all others.
type spokeMapper struct {
	apimeta.RESTMapper
	own apimeta.RESTMapper
}

func newSpokeMapper(config *rest.Config, client *http.Client) (apimeta.RESTMapper, error) {
	asking, err := apiutil.NewDynamicRESTMapper(config, client)
	if err != nil {
		return nil, err
	}
	return &spokeMapper{RESTMapper: asking, own: newOwnMapper()}, nil
}

// RESTMapping implements apimeta.RESTMapper.
func (m *spokeMapper) RESTMapping(kind schema.GroupKind, versions ...string) (*apimeta.RESTMapping, error) {
	if kind.Group == workVersion.Group {
		if mapping, err := m.own.RESTMapping(kind, versions...); err == nil {
			return mapping, nil
		}
	}
	return m.RESTMapper.RESTMapping(kind, versions...)
}

func newOwnMapper() apimeta.RESTMapper {
	mapper := apimeta.NewDefaultRESTMapper(nil)
	add := func(version schema.GroupVersion, kind, resource string, scope apimeta.RESTScope) {
		for _, name := range []string{kind, kind + "List"} { // caches ask for lists by the list's kind
			mapper.AddSpecific(version.WithKind(name), version.WithResource(resource), version.WithResource(resource), scope)
		}
	}
	add(workVersion, "ManifestWork", "manifestworks", apimeta.RESTScopeNamespace)
	add(workVersion, "AppliedManifestWork", "appliedmanifestworks", apimeta.RESTScopeRoot)
	add(kronvoyv1alpha1.GroupVersion, "WorkReport", "workreports", apimeta.RESTScopeNamespace)
	add(coordinationv1.SchemeGroupVersion, "Lease", "leases", apimeta.RESTScopeNamespace)
	add(clusterVersion, "ManagedCluster", "managedclusters", apimeta.RESTScopeRoot)
	add(claimVersion, "ClusterClaim", "clusterclaims", apimeta.RESTScopeRoot)
	add(corev1.SchemeGroupVersion, "Node", "nodes", apimeta.RESTScopeRoot)
	add(corev1.SchemeGroupVersion, "Namespace", "namespaces", apimeta.RESTScopeRoot)
	return mapper
}
