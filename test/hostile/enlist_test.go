//go:build integration

package hostile

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// Who is there.
const (
	administrator = "administrator"
	// spoke has the certificate of c1's agent.
	spoke = "c1's agent"
	// twin has one that is signed for c1 and for c10, as by an approver that looks
	// for a group and not at all of them.
	twin = "an agent of two clusters"
	// suffix is in the group "…:c1:x", which is no cluster's.
	suffix = "an agent of c1:x"
	// joiner has a token for joining as cluster c7.
	joiner = "the token of c7"
	// tenant may make instances in namespace tenant-a.
	tenant = "a tenant"
	// operator decides about drift on c1.
	operator = "a drift operator"
	// clerk may edit clusters, bindings and namespaces, and has no say in who is
	// accepted and what belongs to which set.
	clerk = "a clerk"
	// decider answers what the hub asks in tenant-a, and steers rollouts there.
	decider = "an approver"
)

// victims are what is attacked: made by an administrator, and as he wants it.
const victims = `
apiVersion: cluster.open-cluster-management.io/v1
kind: ManagedCluster
metadata: {name: c1, labels: {region: us, tier: public}}
spec: {hubAcceptsClient: true, taints: [{key: quarantine, effect: NoSelect}]}
---
{apiVersion: v1, kind: Namespace, metadata: {name: tenant-a}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: tenant-b}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: kronvoy-join}}
---
{apiVersion: cluster.open-cluster-management.io/v1beta2, kind: ManagedClusterSet, metadata: {name: vault}, spec: {clusterSelector: {selectorType: ExclusiveClusterSetLabel}}}
`

// possessions need the namespaces of the clusters.
const possessions = `
apiVersion: work.open-cluster-management.io/v1
kind: ManifestWork
metadata: {name: victim, namespace: c1, labels: {team: a}, annotations: {kronvoy.io/hash: v1-1}}
spec: {workload: {manifests: [{apiVersion: v1, kind: ConfigMap, metadata: {name: victim, namespace: default}, data: {owner: hub}}]}}
---
apiVersion: work.open-cluster-management.io/v1
kind: ManifestWork
metadata: {name: victim, namespace: c10}
spec: {workload: {manifests: [{apiVersion: v1, kind: ConfigMap, metadata: {name: victim, namespace: default}, data: {owner: hub}}]}}
---
{apiVersion: kronvoy.io/v1alpha1, kind: WorkReport, metadata: {name: victim, namespace: c1}}
---
{apiVersion: kronvoy.io/v1alpha1, kind: WorkReport, metadata: {name: victim, namespace: c10}}
---
{apiVersion: v1, kind: Secret, metadata: {name: pull, namespace: c1}, stringData: {password: swordfish}}
---
{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: managed-cluster-lease, namespace: c1}, spec: {leaseDurationSeconds: 60}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: c7, namespace: kronvoy-join}}
---
apiVersion: kronvoy.io/v1alpha1
kind: Target
metadata: {name: victim, namespace: c1}
spec: {instance: {apiVersion: kro.run/v1alpha1, kind: Ghost, namespace: tenant-b, name: ghost}, revision: ghost-1}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: operator, namespace: c1},
 roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: kronvoy-drift-operator},
 subjects: [{kind: ServiceAccount, name: operator, namespace: tenant-a}]}
---
apiVersion: kronvoy.io/v1alpha1
kind: ApprovalRequest
metadata: {name: victim, namespace: tenant-a}
spec: {action: Remove, planHash: delete-1, clusterCount: 2, clusters: [c1, c10], message: "remove the instance from c1, c10?"}
---
apiVersion: kronvoy.io/v1alpha1
kind: ApprovalRequest
metadata: {name: theirs, namespace: tenant-b}
spec: {action: Remove, planHash: delete-1, clusterCount: 2, clusters: [c1, c10], message: "remove the instance from c1, c10?"}
---
{apiVersion: kronvoy.io/v1alpha1, kind: Rollout, metadata: {name: victim, namespace: tenant-a}}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: steerer, namespace: tenant-a},
 roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: kronvoy-rollout-operator},
 subjects: [{kind: ServiceAccount, name: approver, namespace: tenant-a}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: tenant, namespace: tenant-a},
 roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: kronvoy-tenant},
 subjects: [{kind: ServiceAccount, name: tenant, namespace: tenant-a}]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: hostile-clerk}
rules:
- {apiGroups: [cluster.open-cluster-management.io], resources: [managedclusters, managedclustersetbindings], verbs: [get, list, create, patch]}
- {apiGroups: [""], resources: [namespaces], verbs: [get, create, patch]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: approver, namespace: tenant-a},
 roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: kronvoy-approver},
 subjects: [{kind: ServiceAccount, name: approver, namespace: tenant-a}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: hostile-clerk},
 roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: hostile-clerk},
 subjects: [{kind: ServiceAccount, name: clerk, namespace: tenant-a}]}
`

// tooMuch are rights that nobody who attacks has. The policies hold whoever has
// them; those that ask for a right of a person need persons without it.
const tooMuch = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: hostile-agents}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: Group, name: "system:open-cluster-management:c1"}
- {apiGroup: rbac.authorization.k8s.io, kind: Group, name: "system:open-cluster-management:c1:x"}
- {kind: ServiceAccount, name: c7, namespace: kronvoy-join}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: hostile-people}
rules:
- {apiGroups: [work.open-cluster-management.io, kronvoy.io, cluster.open-cluster-management.io, apps], resources: ["*"], verbs: [get, list, create, patch]}
- {apiGroups: [kro.run], resources: ["*"], verbs: [get, list, create, patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: hostile-people}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: hostile-people}
subjects:
- {kind: ServiceAccount, name: tenant, namespace: tenant-a}
- {kind: ServiceAccount, name: operator, namespace: tenant-a}
- {kind: ServiceAccount, name: approver, namespace: tenant-a}`

// enlist gives everybody his credentials.
func (w *world) enlist(ctx context.Context) error {
	hub := w.stack.Fleet.Hub()
	admin, err := newActor(administrator, hub.Kubeconfig())
	if err != nil {
		return err
	}
	w.actors[administrator] = admin
	for _, namespace := range []string{bad, good} {
		err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
			_, err := admin.send(ctx, http.MethodGet, "/api/v1/namespaces/"+namespace, "")
			return err == nil, nil
		})
		if err != nil {
			return fmt.Errorf("waiting for namespace %s: %w", namespace, err)
		}
	}
	if err := w.hub.TryApply(ctx, possessions); err != nil {
		return err
	}
	const group = "system:open-cluster-management:"
	certificates := map[string]struct {
		user   string
		groups []string
	}{
		spoke:  {group + "c1:agent", []string{group + "c1", group + "managed-clusters"}},
		twin:   {group + "c1:agent", []string{group + "c1", group + "c10"}},
		suffix: {group + "c1:x:agent", []string{group + "c1:x"}},
	}
	for name, who := range certificates {
		path := w.kubeconfig(fmt.Sprint(len(w.actors)))
		if err := hub.ClientKubeconfig(ctx, who.user, who.groups, path); err != nil {
			return err
		}
		if w.actors[name], err = newActor(name, path); err != nil {
			return err
		}
	}
	for name, account := range map[string][2]string{
		joiner: {"kronvoy-join", "c7"}, tenant: {"tenant-a", "tenant"}, operator: {"tenant-a", "operator"}, clerk: {"tenant-a", "clerk"},
		decider: {"tenant-a", "approver"},
	} {
		path := w.kubeconfig(account[1])
		if err := hub.ServiceAccountKubeconfig(ctx, account[0], account[1], path); err != nil {
			return err
		}
		if w.actors[name], err = newActor(name, path); err != nil {
			return err
		}
	}
	return nil
}

// csr is a certificate request as it is in the API: base64 of PEM.
func csr(user string, groups ...string) string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: user, Organization: groups}}, key)
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}
