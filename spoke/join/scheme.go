package join

import (
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// NewClient makes a client for the few kinds that joining is about, on either
// side. It asks nothing to be made, and no API server what it serves.
func NewClient(config *rest.Config) (client.WithWatch, error) {
	scheme := runtime.NewScheme()
	mapper := apimeta.NewDefaultRESTMapper(nil)
	clusters := schema.GroupVersion(clusterv1.GroupVersion)
	for _, kind := range []struct {
		version  schema.GroupVersion
		resource string
		scope    apimeta.RESTScope
		name     string
		object   runtime.Object
		list     runtime.Object
	}{
		{corev1.SchemeGroupVersion, "secrets", apimeta.RESTScopeNamespace, "Secret", &corev1.Secret{}, &corev1.SecretList{}},
		{eventsv1.SchemeGroupVersion, "events", apimeta.RESTScopeNamespace, "Event", &eventsv1.Event{}, &eventsv1.EventList{}},
		{certificatesv1.SchemeGroupVersion, "certificatesigningrequests", apimeta.RESTScopeRoot, "CertificateSigningRequest",
			&certificatesv1.CertificateSigningRequest{}, &certificatesv1.CertificateSigningRequestList{}},
		{clusters, "managedclusters", apimeta.RESTScopeRoot, "ManagedCluster", &clusterv1.ManagedCluster{}, &clusterv1.ManagedClusterList{}},
	} {
		scheme.AddKnownTypes(kind.version, kind.object, kind.list)
		metav1.AddToGroupVersion(scheme, kind.version)
		for _, name := range []string{kind.name, kind.name + "List"} {
			resource := kind.version.WithResource(kind.resource)
			mapper.AddSpecific(kind.version.WithKind(name), resource, resource, kind.scope)
		}
	}
	return client.NewWithWatch(config, client.Options{Scheme: scheme, Mapper: mapper})
}
