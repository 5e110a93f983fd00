package target

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/kinds"
	"github.com/kronvoy/kronvoy/hub/nested"
	"github.com/kronvoy/kronvoy/hub/rollout"
	"github.com/kronvoy/kronvoy/hub/work"
)

// Orphans deletes nested instances whose Target somebody has forced away.
type Orphans struct {
	Client client.Client
	// Reader bypasses the cache: nothing is deleted on its word.
	Reader client.Reader
	Clock  clock.Clock
}

// SetupWithManager registers the controller.
func (r *Orphans) SetupWithManager(mgr ctrl.Manager, k *kinds.Kinds) error {
	c, err := controller.NewTyped("orphans", mgr, controller.TypedOptions[kinds.Request]{Reconciler: r})
	if err != nil {
		return err
	}
	marked := predicate.NewTypedPredicateFuncs(func(obj *unstructured.Unstructured) bool {
		_, isNested := markOf(obj)
		return isNested
	})
	k.Subscribe(func(gvk schema.GroupVersionKind) error {
		return c.Watch(source.TypedKind(mgr.GetCache(), kinds.Object(gvk), handler.TypedEnqueueRequestsFromMapFunc(
			func(_ context.Context, obj *unstructured.Unstructured) []kinds.Request {
				return []kinds.Request{kinds.RequestFor(obj)}
			}),
			marked, only[*unstructured.Unstructured](true, false)))
	})
	return c.Watch(source.TypedKind(mgr.GetCache(), &kronvoyv1alpha1.Target{}, handler.TypedEnqueueRequestsFromMapFunc(rollout.OnPins),
		only[*kronvoyv1alpha1.Target](false, true)))
}

// only lets through what comes into the cache, what leaves it, or both.
func only[T client.Object](created, deleted bool) predicate.TypedPredicate[T] {
	return predicate.TypedFuncs[T]{
		CreateFunc:  func(event.TypedCreateEvent[T]) bool { return created },
		UpdateFunc:  func(event.TypedUpdateEvent[T]) bool { return false },
		DeleteFunc:  func(event.TypedDeleteEvent[T]) bool { return deleted },
		GenericFunc: func(event.TypedGenericEvent[T]) bool { return false },
	}
}

func markOf(obj *unstructured.Unstructured) (kronvoyv1alpha1.NestedMark, bool) {
	return kronvoyv1alpha1.ParseNestedMark(work.IdentityOfInstance(obj).Reference(), obj.GetAnnotations())
}

// Reconcile looks at one nested instance.
func (r *Orphans) Reconcile(ctx context.Context, req kinds.Request) (reconcile.Result, error) {
	obj := kinds.Object(req.GVK())
	if err := r.Client.Get(ctx, client.ObjectKey{Namespace: req.Namespace, Name: req.Name}, obj); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	mark, isNested := markOf(obj)
	if !isNested || obj.GetDeletionTimestamp() != nil {
		return reconcile.Result{}, nil
	}
	key := client.ObjectKey{Namespace: mark.Cluster, Name: work.IdentityOf(mark.Parent).TargetName()}
	for _, reader := range []client.Reader{r.Client, r.Reader} {
		exists, err := exists(ctx, reader, key, &kronvoyv1alpha1.Target{})
		if exists || err != nil {
			return reconcile.Result{}, err
		}
	}
	// The cache has no managed fields.
	live := &metav1.PartialObjectMetadata{}
	live.SetGroupVersionKind(req.GVK())
	if exists, err := exists(ctx, r.Reader, client.ObjectKeyFromObject(obj), live); !exists || err != nil {
		return reconcile.Result{}, err
	}
	parent := &metav1.PartialObjectMetadata{}
	parent.SetGroupVersionKind(schema.FromAPIVersionAndKind(mark.Parent.APIVersion, mark.Parent.Kind))
	hasParent, err := exists(ctx, r.Reader, client.ObjectKey{Namespace: mark.Parent.Namespace, Name: mark.Parent.Name}, parent)
	if err != nil {
		return reconcile.Result{}, err
	}
	remove, again := nested.Abandoned(nested.Orphan{
		Created: live.CreationTimestamp.Time, ManagedFields: live.ManagedFields, Parent: hasParent,
	}, r.Clock.Now())
	if !remove {
		return reconcile.Result{RequeueAfter: again}, nil
	}
	ctrl.LoggerFrom(ctx).Info("Deleting an instance that was made for another one, which is gone", "cluster", mark.Cluster, "instance", req,
		"parent", mark.Parent)
	if err := r.Client.Delete(ctx, obj, client.Preconditions{UID: &live.UID}); client.IgnoreNotFound(err) != nil {
		return reconcile.Result{}, fmt.Errorf("deleting %s %s/%s: %w", req.Kind, req.Namespace, req.Name, err)
	}
	return reconcile.Result{}, nil
}

func exists(ctx context.Context, reader client.Reader, key client.ObjectKey, obj client.Object) (bool, error) {
	err := reader.Get(ctx, key, obj)
	if apierrors.IsNotFound(err) || apimeta.IsNoMatchError(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading %T %s: %w", obj, key, err)
	}
	return true, nil
}
