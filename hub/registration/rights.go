package registration

import (
	"context"
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// ClusterRoles in config/hub that every accepted cluster's agents are bound to.
const (
	// SpokeClusterRole holds an agent's rights in its own namespace.
	SpokeClusterRole = "kronvoy-spoke"
	// RenewClusterRole lets agents ask for certificates.
	RenewClusterRole = "kronvoy-renew"
)

// rights are what binds a cluster's agents: to its own namespace, to its own
// ManagedCluster by name, and to asking for the next certificate.
func rights(c *clusterv1.ManagedCluster) []client.Object {
	own := "kronvoy-spoke-" + c.Name
	agents := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: kronvoyv1alpha1.AgentGroup(c.Name)}}
	meta := func(namespace, name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{
			Namespace: namespace, Name: name,
			Labels:          map[string]string{clusterv1.ClusterNameLabelKey: c.Name},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(c, schema.GroupVersion(clusterv1.GroupVersion).WithKind("ManagedCluster"))},
		}
	}
	role := func(name string) rbacv1.RoleRef {
		return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}
	}
	return []client.Object{
		&rbacv1.RoleBinding{ObjectMeta: meta(c.Name, SpokeClusterRole), RoleRef: role(SpokeClusterRole), Subjects: agents},
		&rbacv1.ClusterRole{
			ObjectMeta: meta("", own),
			Rules: []rbacv1.PolicyRule{
				{APIGroups: []string{clusterv1.GroupName}, Resources: []string{"managedclusters"}, ResourceNames: []string{c.Name}, Verbs: []string{"get"}},
				{APIGroups: []string{clusterv1.GroupName}, Resources: []string{"managedclusters/status"}, ResourceNames: []string{c.Name}, Verbs: []string{"patch", "update"}},
				{APIGroups: []string{renewGroup}, Resources: []string{renewResource + "/" + renewSubresource}, ResourceNames: []string{c.Name}, Verbs: []string{renewVerb}},
			},
		},
		&rbacv1.ClusterRoleBinding{ObjectMeta: meta("", own), RoleRef: role(own), Subjects: agents},
		&rbacv1.ClusterRoleBinding{ObjectMeta: meta("", RenewClusterRole+"-"+c.Name), RoleRef: role(RenewClusterRole), Subjects: agents},
	}
}

// The right to renew, by OCM's names.
const (
	renewGroup       = "register.open-cluster-management.io"
	renewResource    = "managedclusters"
	renewSubresource = "clientcertificates"
	renewVerb        = "renew"
)

// grant brings a cluster's rights to what they should be, whatever was done to
// them.
func (r *Clusters) grant(ctx context.Context, c *clusterv1.ManagedCluster) error {
	for _, want := range rights(c) {
		if err := r.put(ctx, want); err != nil {
			return fmt.Errorf("granting cluster %s its rights: %s %s: %w", c.Name, kindOf(want), want.GetName(), err)
		}
	}
	return nil
}

func (r *Clusters) put(ctx context.Context, want client.Object) error {
	live, owner := emptyOf(want), client.FieldOwner(kronvoyv1alpha1.FieldManagerHub)
	err := r.Client.Get(ctx, client.ObjectKeyFromObject(want), live)
	if apierrors.IsNotFound(err) {
		if err = r.Client.Create(ctx, want, owner); !apierrors.IsAlreadyExists(err) {
			return err
		}
		// Somebody took the label off, or the cache is behind.
		err = r.Reader.Get(ctx, client.ObjectKeyFromObject(want), live)
	}
	if err != nil {
		return err
	}
	want.SetResourceVersion("")
	switch {
	case same(live, want):
		return nil
	case !equality.Semantic.DeepEqual(roleOf(live), roleOf(want)):
		// What a binding binds to cannot be changed.
		uid := live.GetUID()
		if err := r.Client.Delete(ctx, live, client.Preconditions{UID: &uid}); client.IgnoreNotFound(err) != nil {
			return err
		}
		return r.Client.Create(ctx, want, owner)
	}
	want.SetResourceVersion(live.GetResourceVersion())
	return r.Client.Update(ctx, want, owner)
}

// revoke takes all rights away. It asks for the objects' deletion without looking
// whether they are there: a cache may not know.
func (r *Clusters) revoke(ctx context.Context, c *clusterv1.ManagedCluster) error {
	for _, obj := range rights(c) {
		if err := r.Client.Delete(ctx, obj); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("taking cluster %s its rights: %s %s: %w", c.Name, kindOf(obj), obj.GetName(), err)
		}
	}
	return nil
}

// same compares what rights says, and leaves out what others may add.
func same(live, want client.Object) bool {
	for key, value := range want.GetLabels() {
		if live.GetLabels()[key] != value {
			return false
		}
	}
	return equality.Semantic.DeepEqual(live.GetOwnerReferences(), want.GetOwnerReferences()) &&
		equality.Semantic.DeepEqual(contentOf(live), contentOf(want))
}

// contentOf is what an object grants.
func contentOf(obj client.Object) any {
	switch o := obj.(type) {
	case *rbacv1.RoleBinding:
		return []any{o.RoleRef, o.Subjects}
	case *rbacv1.ClusterRoleBinding:
		return []any{o.RoleRef, o.Subjects}
	case *rbacv1.ClusterRole:
		return []any{o.Rules, o.AggregationRule}
	}
	return nil
}

func roleOf(obj client.Object) rbacv1.RoleRef {
	switch o := obj.(type) {
	case *rbacv1.RoleBinding:
		return o.RoleRef
	case *rbacv1.ClusterRoleBinding:
		return o.RoleRef
	}
	return rbacv1.RoleRef{}
}

func emptyOf(obj client.Object) client.Object {
	switch obj.(type) {
	case *rbacv1.RoleBinding:
		return &rbacv1.RoleBinding{}
	case *rbacv1.ClusterRoleBinding:
		return &rbacv1.ClusterRoleBinding{}
	}
	return &rbacv1.ClusterRole{}
}

func kindOf(obj client.Object) string {
	switch obj.(type) {
	case *rbacv1.RoleBinding:
		return "RoleBinding"
	case *rbacv1.ClusterRoleBinding:
		return "ClusterRoleBinding"
	}
	return "ClusterRole"
}
