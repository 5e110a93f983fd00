// Package index finds the objects that belong to one instance without looking
// at those of others.
package index

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/work"
)

// Instance is the field that Targets, works, reports, revisions and approval
// requests are indexed by: the hash of their instance's identity.
const Instance = "instance"

// Child is the field that Targets are indexed by: the hashes of the instances
// that they have made, or read.
const Child = "child"

// Add registers the indices with a cache.
func Add(ctx context.Context, indexer client.FieldIndexer) error {
	for _, obj := range []client.Object{
		&kronvoyv1alpha1.Target{}, &kronvoyv1alpha1.WorkReport{}, &workv1.ManifestWork{}, &appsv1.ControllerRevision{},
		&kronvoyv1alpha1.ApprovalRequest{},
	} {
		err := indexer.IndexField(ctx, obj, Instance, func(o client.Object) []string {
			if hash := o.GetLabels()[kronvoyv1alpha1.LabelInstance]; hash != "" {
				return []string{hash}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("indexing %T: %w", obj, err)
		}
	}
	err := indexer.IndexField(ctx, &kronvoyv1alpha1.Target{}, Child, Children)
	if err != nil {
		return fmt.Errorf("indexing targets by child: %w", err)
	}
	return nil
}

// Children are the values of Child for a Target.
func Children(o client.Object) []string {
	target, isTarget := o.(*kronvoyv1alpha1.Target)
	if !isTarget {
		return nil
	}
	hashes := make([]string, 0, len(target.Status.Children))
	for _, c := range target.Status.Children {
		hashes = append(hashes, work.IdentityOf(c.Reference()).Hash())
	}
	return hashes
}

// Targets are all Targets of an instance, by cluster.
func Targets(ctx context.Context, c client.Reader, identity work.Identity) ([]kronvoyv1alpha1.Target, error) {
	var list kronvoyv1alpha1.TargetList
	if err := c.List(ctx, &list, client.MatchingFields{Instance: identity.Hash()}); err != nil {
		return nil, fmt.Errorf("listing targets of %s: %w", identity, err)
	}
	slices.SortFunc(list.Items, func(a, b kronvoyv1alpha1.Target) int { return cmp.Compare(a.Namespace, b.Namespace) })
	return list.Items, nil
}

// LiveTargets asks the server, not a cache, for all Targets of an instance, by
// cluster.
func LiveTargets(ctx context.Context, reader client.Reader, identity work.Identity) ([]kronvoyv1alpha1.Target, error) {
	var list kronvoyv1alpha1.TargetList
	if err := reader.List(ctx, &list, client.MatchingLabels{kronvoyv1alpha1.LabelInstance: identity.Hash()}); err != nil {
		return nil, fmt.Errorf("listing targets of %s: %w", identity, err)
	}
	slices.SortFunc(list.Items, func(a, b kronvoyv1alpha1.Target) int { return cmp.Compare(a.Namespace, b.Namespace) })
	return list.Items, nil
}

// ApprovalRequests are the questions about one instance; namespace is where its
// revisions are.
func ApprovalRequests(ctx context.Context, c client.Reader, namespace string, identity work.Identity) ([]kronvoyv1alpha1.ApprovalRequest, error) {
	var list kronvoyv1alpha1.ApprovalRequestList
	if err := c.List(ctx, &list, client.InNamespace(namespace), client.MatchingFields{Instance: identity.Hash()}); err != nil {
		return nil, fmt.Errorf("listing approval requests of %s: %w", identity, err)
	}
	return list.Items, nil
}

// Works are the works of an instance on one cluster by name, with their
// reports. The works are shared with the cache: read-only.
func Works(ctx context.Context, c client.Reader, cluster string, identity work.Identity) ([]*workv1.ManifestWork, map[string]*kronvoyv1alpha1.WorkReport, error) {
	var list workv1.ManifestWorkList
	opts := []client.ListOption{client.InNamespace(cluster), client.MatchingFields{Instance: identity.Hash()}, client.UnsafeDisableDeepCopy}
	if err := c.List(ctx, &list, opts...); err != nil {
		return nil, nil, fmt.Errorf("listing works of %s on cluster %s: %w", identity, cluster, err)
	}
	var reports kronvoyv1alpha1.WorkReportList
	if err := c.List(ctx, &reports, opts...); err != nil {
		return nil, nil, fmt.Errorf("listing reports of %s on cluster %s: %w", identity, cluster, err)
	}
	works := make([]*workv1.ManifestWork, 0, len(list.Items))
	for i := range list.Items {
		works = append(works, &list.Items[i])
	}
	slices.SortFunc(works, func(a, b *workv1.ManifestWork) int { return cmp.Compare(a.Name, b.Name) })
	byName := make(map[string]*kronvoyv1alpha1.WorkReport, len(reports.Items))
	for i := range reports.Items {
		byName[reports.Items[i].Name] = &reports.Items[i]
	}
	return works, byName, nil
}

// AnyWork asks the server, not a cache, whether an instance has a work on a
// cluster.
func AnyWork(ctx context.Context, reader client.Reader, cluster string, identity work.Identity) (bool, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(schema.GroupVersion(workv1.GroupVersion).WithKind("ManifestWorkList"))
	err := reader.List(ctx, list, client.InNamespace(cluster), client.MatchingLabels{kronvoyv1alpha1.LabelInstance: identity.Hash()}, client.Limit(1))
	if err != nil {
		return false, fmt.Errorf("listing works of %s on cluster %s: %w", identity, cluster, err)
	}
	return len(list.Items) > 0, nil
}

// IgnoreStatus lets through what is created, deleted, or changed in spec or
// metadata.
func IgnoreStatus[T client.Object]() predicate.TypedPredicate[T] {
	return predicate.TypedFuncs[T]{UpdateFunc: func(e event.TypedUpdateEvent[T]) bool {
		before, after := e.ObjectOld, e.ObjectNew
		return before.GetGeneration() != after.GetGeneration() ||
			before.GetDeletionTimestamp().IsZero() != after.GetDeletionTimestamp().IsZero() ||
			!reflect.DeepEqual(before.GetLabels(), after.GetLabels()) ||
			!reflect.DeepEqual(before.GetAnnotations(), after.GetAnnotations()) ||
			!reflect.DeepEqual(before.GetFinalizers(), after.GetFinalizers())
	}}
}

// Changed lets updates through only when the given part of an object changed.
func Changed[T client.Object](part func(T) any) predicate.TypedPredicate[T] {
	return predicate.TypedFuncs[T]{UpdateFunc: func(e event.TypedUpdateEvent[T]) bool {
		return !reflect.DeepEqual(part(e.ObjectOld), part(e.ObjectNew))
	}}
}

// conflictDelay is how long the cache is given to catch up after a conflict.
const conflictDelay = 20 * time.Millisecond

// Later is another look when the cache has had time to catch up.
func Later() reconcile.Result { return reconcile.Result{RequeueAfter: conflictDelay} }

// Settle turns a conflict, or an object that exists already, into another
// look: the cache was behind, which is no error. Every other outcome stays what
// it is.
func Settle(result reconcile.Result, err error) (reconcile.Result, error) {
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return Later(), nil
	}
	return result, err
}
