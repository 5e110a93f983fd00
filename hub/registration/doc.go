// Package registration takes clusters into the fleet and out of it: it decides
// about the certificates that agents ask for, gives an accepted cluster its
// namespace and rights that reach no further, and takes them away again.
//
//	ServiceAccount in kronvoy-join ("kronvoy hub token")
//	      │ asks in its name
//	      ▼
//	ManagedCluster + CertificateSigningRequest ──► csr.Judge ─┬─► approved, and the cluster accepted
//	                                                          ├─► a person decides: "kronvoy accept"
//	                                                          └─► denied, with what to do next
//	accepted ──► namespace, bindings ──► lease renewed: joined, the ServiceAccount goes
//	denied   ──► bindings go, works stay
//	deleted  ──► works go while the agent can still remove what they brought, then the bindings
package registration

import (
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// CacheOptions limits a manager's cache to what the package's controllers look
// at.
func CacheOptions() (map[client.Object]cache.ByObject, error) {
	ofACluster, err := labels.NewRequirement(clusterv1.ClusterNameLabelKey, selection.Exists, nil)
	if err != nil {
		return nil, err
	}
	labelled := labels.NewSelector().Add(*ofACluster)
	return map[client.Object]cache.ByObject{
		&certificatesv1.CertificateSigningRequest{}: {
			Label: labelled,
			Field: fields.OneTermEqualSelector("spec.signerName", certificatesv1.KubeAPIServerClientSignerName),
		},
		&corev1.ServiceAccount{}:     {Namespaces: map[string]cache.Config{kronvoyv1alpha1.JoinNamespace: {}}},
		&rbacv1.RoleBinding{}:        {Label: labelled},
		&rbacv1.ClusterRole{}:        {Label: labelled},
		&rbacv1.ClusterRoleBinding{}: {Label: labelled},
	}, nil
}
