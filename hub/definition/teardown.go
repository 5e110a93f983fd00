package definition

import (
	"context"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
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
	gvk := r.lastKind(rgd)
	left, err := r.instances(ctx, gvk)
	if err != nil {
		return reconcile.Result{}, err
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
	if err := r.Kinds.Remove(ctx, gvk); err != nil {
		return reconcile.Result{}, err
	}
	r.Store.withdraw(rgd.Name)
	controllerutil.RemoveFinalizer(rgd, Finalizer)
	return reconcile.Result{}, client.IgnoreNotFound(r.Client.Patch(ctx, rgd, client.MergeFrom(before)))
}

func (r *Reconciler) lastKind(rgd *krov1alpha1.ResourceGraphDefinition) runtimeschema.GroupVersionKind {
	if serving, ok := r.Store.servingOf(rgd.Name); ok {
		return serving.Graph.GroupVersionKind()
	}
	if rgd.Spec.Schema == nil {
		return runtimeschema.GroupVersionKind{}
	}
	return runtimeschema.GroupVersionKind{Group: rgd.Spec.Schema.Group, Version: rgd.Spec.Schema.APIVersion, Kind: rgd.Spec.Schema.Kind}
}

// instances are some instances of the kind; nil when none exists.
func (r *Reconciler) instances(ctx context.Context, gvk runtimeschema.GroupVersionKind) (*metav1.PartialObjectMetadataList, error) {
	if gvk.Kind == "" {
		return nil, nil
	}
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
