package target

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/work"
)

// ensureNamespace keeps the work that carries a namespace to a cluster. All
// instances in the namespace share it; the namespace is only ever created, and
// stays when the work goes.
func (r *Reconciler) ensureNamespace(ctx context.Context, cluster, namespace string) (ready bool, err error) {
	live := &workv1.ManifestWork{}
	key := client.ObjectKey{Namespace: cluster, Name: work.NamespaceWorkName(namespace)}
	err = r.Client.Get(ctx, key, live)
	if apierrors.IsNotFound(err) {
		err := r.Client.Create(ctx, namespaceWork(cluster, namespace), client.FieldOwner(kronvoyv1alpha1.FieldManagerHub))
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return false, fmt.Errorf("creating work %s: %w", key, err)
		}
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading work %s: %w", key, err)
	}
	if live.DeletionTimestamp != nil {
		return false, nil
	}
	applied := apimeta.FindStatusCondition(live.Status.Conditions, workv1.WorkApplied)
	return applied != nil && applied.Status == metav1.ConditionTrue, nil
}

func namespaceWork(cluster, namespace string) *workv1.ManifestWork {
	manifest, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Namespace",
		"metadata": map[string]any{"name": namespace},
	})
	if err != nil {
		// A map of strings always encodes.
		panic(err)
	}
	return &workv1.ManifestWork{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: cluster, Name: work.NamespaceWorkName(namespace),
			Labels:     map[string]string{kronvoyv1alpha1.LabelNamespaceWork: namespace},
			Finalizers: []string{kronvoyv1alpha1.FinalizerWork},
		},
		Spec: workv1.ManifestWorkSpec{
			Workload:     workv1.ManifestsTemplate{Manifests: []workv1.Manifest{{RawExtension: runtime.RawExtension{Raw: manifest}}}},
			DeleteOption: &workv1.DeleteOption{PropagationPolicy: workv1.DeletePropagationPolicyTypeOrphan},
			ManifestConfigs: []workv1.ManifestConfigOption{{
				ResourceIdentifier: workv1.ResourceIdentifier{Resource: "namespaces", Name: namespace},
				UpdateStrategy:     &workv1.UpdateStrategy{Type: workv1.UpdateStrategyTypeCreateOnly},
			}},
		},
	}
}

// releaseNamespace deletes the namespace's work with the last Target that
// needs it; the namespace itself stays. A Target that is on its way out needs
// it no more: otherwise two that go at once would each leave it to the other.
func (r *Reconciler) releaseNamespace(ctx context.Context, target *kronvoyv1alpha1.Target) error {
	namespace := target.Spec.Instance.Namespace
	if namespace == "" {
		return nil
	}
	var targets kronvoyv1alpha1.TargetList
	if err := r.Client.List(ctx, &targets, client.InNamespace(target.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing targets on cluster %s: %w", target.Namespace, err)
	}
	for i := range targets.Items {
		other := &targets.Items[i]
		if other.UID != target.UID && other.DeletionTimestamp == nil && other.Spec.Instance.Namespace == namespace {
			return nil
		}
	}
	w := &workv1.ManifestWork{ObjectMeta: metav1.ObjectMeta{Namespace: target.Namespace, Name: work.NamespaceWorkName(namespace)}}
	if err := r.Client.Delete(ctx, w); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting work %s/%s: %w", w.Namespace, w.Name, err)
	}
	return nil
}
