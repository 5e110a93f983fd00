package definition

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
)

// instancesRecheck is how often a definition under deletion looks whether its
// instances are gone.
const instancesRecheck = 2 * time.Second

// maxNamed is how many instances a condition names.
const maxNamed = 10

// teardown keeps a definition until its last instance is gone: without it
// nobody would take the instances' finalizers off. The CRD stays, as in kro.
func (r *Reconciler) teardown(ctx context.Context, rgd *krov1alpha1.ResourceGraphDefinition) (reconcile.Result, error) {
	if !controllerutil.ContainsFinalizer(rgd, Finalizer) {
		return reconcile.Result{}, nil
	}
	gvk, owned, err := r.ownKind(ctx, rgd)
	if err != nil {
		return reconcile.Result{}, err
	}
	var left *metav1.PartialObjectMetadataList
	if owned {
		if left, err = r.instances(ctx, gvk); err != nil {
			return reconcile.Result{}, err
		}
	}
	before := rgd.DeepCopy()
	if left != nil {
		// After a restart nobody else would see the instances go.
		o := &outcome{waitsFor: stillExist(gvk.Kind, left)}
		serveErr := r.serveLastGood(ctx, rgd, o)
		r.Store.judge(rgd.Name)
		if err := r.writeStatus(ctx, before, rgd, o); err != nil {
			return reconcile.Result{}, err
		}
		return reconcile.Result{RequeueAfter: instancesRecheck}, serveErr
	}
	if owned {
		if err := r.Kinds.Remove(ctx, gvk); err != nil {
			return reconcile.Result{}, err
		}
	}
	r.Store.withdraw(rgd.Name)
	controllerutil.RemoveFinalizer(rgd, Finalizer)
	return reconcile.Result{}, client.IgnoreNotFound(r.Client.Patch(ctx, rgd, client.MergeFrom(before)))
}

// ownKind is the kind that a definition generates, and whether it is its own: a
// definition that another one, or a CRD of somebody else's, was in the way of
// has no instances.
func (r *Reconciler) ownKind(ctx context.Context, rgd *krov1alpha1.ResourceGraphDefinition) (runtimeschema.GroupVersionKind, bool, error) {
	if serving, ok := r.Store.servingOf(rgd.Name); ok {
		return serving.Graph.GroupVersionKind(), true, nil
	}
	gvk := specKind(rgd)
	var crds apiextensionsv1.CustomResourceDefinitionList
	if err := r.Reader.List(ctx, &crds, client.MatchingLabels{graph.LabelOwned: "true", graph.LabelDefinition: rgd.Name}); err != nil {
		return gvk, false, fmt.Errorf("looking for the CRD of definition %s: %w", rgd.Name, err)
	}
	return gvk, slices.ContainsFunc(crds.Items, func(crd apiextensionsv1.CustomResourceDefinition) bool {
		return crd.Spec.Group == gvk.Group && crd.Spec.Names.Kind == gvk.Kind
	}), nil
}

// specKind is the kind that a definition generates; empty if it does not say.
func specKind(rgd *krov1alpha1.ResourceGraphDefinition) runtimeschema.GroupVersionKind {
	s := rgd.Spec.Schema
	if s == nil {
		return runtimeschema.GroupVersionKind{}
	}
	return runtimeschema.GroupVersionKind{Group: s.Group, Version: s.APIVersion, Kind: s.Kind}
}

// instances are some instances of the kind; nil when none exists.
func (r *Reconciler) instances(ctx context.Context, gvk runtimeschema.GroupVersionKind) (*metav1.PartialObjectMetadataList, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
	err := r.Reader.List(ctx, list, client.Limit(maxNamed))
	if apierrors.IsNotFound(err) || isNoMatch(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for instances of %s: %w", gvk, err)
	}
	if len(list.Items) == 0 {
		return nil, nil
	}
	return list, nil
}

// stillExist names the instances that a definition waits for.
func stillExist(kind string, left *metav1.PartialObjectMetadataList) string {
	named := make([]string, 0, len(left.Items))
	for i := range left.Items {
		name := left.Items[i].Name
		if namespace := left.Items[i].Namespace; namespace != "" {
			name = namespace + "/" + name
		}
		if left.Items[i].DeletionTimestamp != nil {
			name += " (being deleted)"
		}
		named = append(named, name)
	}
	more := ""
	if left.RemainingItemCount != nil && *left.RemainingItemCount > 0 {
		more = fmt.Sprintf(" and %d more", *left.RemainingItemCount)
	}
	return fmt.Sprintf("instances of %s still exist and are served until they are gone: %s%s. Delete them; to leave what they made where it is, take their finalizer %s off",
		kind, strings.Join(named, ", "), more, kronvoyv1alpha1.FinalizerInstance)
}
