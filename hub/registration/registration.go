// Package registration gives an accepted cluster its place on the hub: a
// namespace, and rights in it that reach no further.
package registration

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// SpokeClusterRole is the ClusterRole in config/hub/rbac-spoke.yaml that holds an agent's
// rights in its own namespace.
const SpokeClusterRole = "kronvoy-spoke"

// Reconciler prepares the hub for one cluster at a time.
type Reconciler struct {
	Client client.Client
	// Reader bypasses the cache: a namespace that is not ours must be seen.
	Reader client.Reader
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).Named("registration").
		For(&clusterv1.ManagedCluster{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Complete(r)
}

// Reconcile creates what an accepted cluster needs. A namespace that exists
// and is not marked as this cluster's is never handed out.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	var c clusterv1.ManagedCluster
	if err := r.Client.Get(ctx, req.NamespacedName, &c); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if !c.Spec.HubAcceptsClient || c.DeletionTimestamp != nil {
		return reconcile.Result{}, nil
	}
	taken, err := r.ensureNamespace(ctx, c.Name)
	if err != nil {
		return reconcile.Result{}, err
	}
	condition := metav1.Condition{
		Type: clusterv1.ManagedClusterConditionHubAccepted, Status: metav1.ConditionTrue,
		Reason: "HubClusterAdminAccepted", Message: "accepted by the hub's administrator",
	}
	if taken != "" {
		condition.Status, condition.Reason, condition.Message = metav1.ConditionFalse, "NamespaceTaken", taken
	} else {
		for _, obj := range rights(&c) {
			if err := r.createMissing(ctx, obj); err != nil {
				return reconcile.Result{}, err
			}
		}
	}
	before := c.DeepCopy()
	apimeta.SetStatusCondition(&c.Status.Conditions, condition)
	if equality.Semantic.DeepEqual(before.Status, c.Status) {
		return reconcile.Result{}, nil
	}
	err = r.Client.Status().Patch(ctx, &c, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	return reconcile.Result{}, client.IgnoreNotFound(err)
}

// RegisterLocal makes the ManagedCluster of the hub's own cluster, accepted. One
// that exists stays as its administrator has it.
func RegisterLocal(ctx context.Context, c client.Client) error {
	err := c.Get(ctx, client.ObjectKey{Name: kronvoyv1alpha1.LocalCluster}, &clusterv1.ManagedCluster{})
	if apierrors.IsNotFound(err) {
		// An apply that creates can be granted for this name alone.
		err = c.Apply(ctx, client.ApplyConfigurationFromUnstructured(&unstructured.Unstructured{Object: map[string]any{
			"apiVersion": clusterv1.GroupVersion.String(), "kind": "ManagedCluster",
			"metadata": map[string]any{
				"name": kronvoyv1alpha1.LocalCluster, "labels": map[string]any{kronvoyv1alpha1.LocalCluster: "true"},
			},
			"spec": map[string]any{"hubAcceptsClient": true},
		}}), client.FieldOwner(kronvoyv1alpha1.FieldManagerHub))
	}
	if err != nil {
		return fmt.Errorf("registering the hub's own cluster: %w", err)
	}
	return nil
}

// ensureNamespace says why the cluster's name cannot be used, if so.
func (r *Reconciler) ensureNamespace(ctx context.Context, cluster string) (taken string, err error) {
	var namespace corev1.Namespace
	err = r.Reader.Get(ctx, client.ObjectKey{Name: cluster}, &namespace)
	if apierrors.IsNotFound(err) {
		namespace = corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name: cluster, Labels: map[string]string{clusterv1.ClusterNameLabelKey: cluster},
		}}
		return "", r.createMissing(ctx, &namespace)
	}
	if err != nil {
		return "", fmt.Errorf("reading namespace %s: %w", cluster, err)
	}
	if namespace.Labels[clusterv1.ClusterNameLabelKey] != cluster {
		return fmt.Sprintf("namespace %s exists and is not labelled %s=%s: choose another name for the cluster",
			cluster, clusterv1.ClusterNameLabelKey, cluster), nil
	}
	return "", nil
}

// createMissing looks first: a restarted hub would otherwise ask the API server
// to refuse three creations a cluster.
func (r *Reconciler) createMissing(ctx context.Context, obj client.Object) error {
	live := obj.DeepCopyObject().(client.Object)
	err := r.Reader.Get(ctx, client.ObjectKeyFromObject(obj), live)
	if err == nil {
		return nil
	}
	if !apierrors.IsNotFound(err) {
		return fmt.Errorf("reading %T %s/%s: %w", obj, obj.GetNamespace(), obj.GetName(), err)
	}
	err = r.Client.Create(ctx, obj, client.FieldOwner(kronvoyv1alpha1.FieldManagerHub))
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("creating %T %s/%s: %w", obj, obj.GetNamespace(), obj.GetName(), err)
	}
	return nil
}

// rights are what binds a cluster's agents: to its own namespace, and to its
// own ManagedCluster by name.
func rights(c *clusterv1.ManagedCluster) []client.Object {
	name := "kronvoy-spoke-" + c.Name
	owner := []metav1.OwnerReference{*metav1.NewControllerRef(c, schema.GroupVersion(clusterv1.GroupVersion).WithKind("ManagedCluster"))}
	agents := []rbacv1.Subject{{
		APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: kronvoyv1alpha1.AgentGroup(c.Name),
	}}
	return []client.Object{
		&rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: c.Name, Name: SpokeClusterRole, OwnerReferences: owner},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: SpokeClusterRole},
			Subjects:   agents,
		},
		&rbacv1.ClusterRole{
			ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: owner},
			Rules: []rbacv1.PolicyRule{
				{APIGroups: []string{clusterv1.GroupName}, Resources: []string{"managedclusters"}, ResourceNames: []string{c.Name}, Verbs: []string{"get"}},
				{APIGroups: []string{clusterv1.GroupName}, Resources: []string{"managedclusters/status"}, ResourceNames: []string{c.Name}, Verbs: []string{"patch", "update"}},
			},
		},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: owner},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
			Subjects:   agents,
		},
	}
}
