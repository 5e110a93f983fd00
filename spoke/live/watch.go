package live

import (
	"context"
	"errors"
	"maps"
	"slices"
	"unique"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// selectManaged is what every watch of a whole resource filters by.
const selectManaged = kronvoyv1alpha1.LabelManaged + "=true"

// byOwner indexes objects by the UIDs of their owners.
const byOwner = "owner"

// watch is one informer and who needs it.
type watch struct {
	cache    *Cache
	key      Watch
	informer cache.SharedIndexInformer
	users    map[string]bool
	cancel   context.CancelFunc
	// problem is the last error of a watch that has seen nothing yet.
	problem string
	// troubles keep a selection from being listed or watched.
	troubles [2]trouble
}

func (c *Cache) newWatch(key Watch) *watch {
	w := &watch{cache: c, key: key, users: map[string]bool{}}
	w.informer = cache.NewSharedIndexInformerWithOptions(
		ListFirst(w.listWatch()),
		&unstructured.Unstructured{},
		cache.SharedIndexInformerOptions{Indexers: cache.Indexers{byOwner: ownerUIDs}},
	)
	hold, changed := func(u *unstructured.Unstructured) any { return lighten(u) }, w.changed
	if key.Selects {
		hold, changed = taker(key.Paths.list()), w.selectionChanged
	}
	// Neither call can fail before the informer runs.
	_ = w.informer.SetTransform(func(obj any) (any, error) {
		if u, ok := obj.(*unstructured.Unstructured); ok {
			return hold(u), nil
		}
		return obj, nil
	})
	_ = w.informer.SetWatchErrorHandlerWithContext(w.failed)
	_, _ = w.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { changed(nil, obj) },
		UpdateFunc: func(old, obj any) { changed(old, obj) },
		DeleteFunc: func(obj any) { changed(obj, nil) },
	})
	return w
}

func (w *watch) listWatch() *cache.ListWatch {
	resource := w.cache.client.Resource(w.key.Resource).Namespace(w.key.Namespace)
	narrow := func(options metav1.ListOptions) metav1.ListOptions {
		switch {
		case w.key.Selects:
			options.LabelSelector = w.key.Labels
		case w.key.Name != "":
			options.FieldSelector = fields.OneTermEqualSelector("metadata.name", w.key.Name).String()
		default:
			options.LabelSelector = selectManaged
		}
		return options
	}
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			list, err := resource.List(ctx, narrow(options))
			w.answered(ctx, listing, err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (apiwatch.Interface, error) {
			events, err := resource.Watch(ctx, narrow(options))
			w.answered(ctx, watching, err)
			return events, err
		},
	}
}

// start runs the informer; its users hear when the first list is complete,
// because only then absence means something.
func (w *watch) start(ctx context.Context) {
	ctx, w.cancel = context.WithCancel(ctx)
	go w.informer.RunWithContext(ctx)
	go func() {
		if cache.WaitForCacheSync(ctx.Done(), w.informer.HasSynced) {
			w.cache.notify(Event{Key: Key{Resource: w.key.Resource}, Users: w.userNames()})
		}
	}()
}

func (w *watch) stop() {
	if w.cancel != nil {
		w.cancel()
	}
}

func (w *watch) synced() bool { return w.informer.HasSynced() }

func (w *watch) userNames() []string {
	w.cache.mu.Lock()
	defer w.cache.mu.Unlock()
	return slices.Sorted(maps.Keys(w.users))
}

func (w *watch) get(key Key) *unstructured.Unstructured {
	name := key.Name
	if key.Namespace != "" {
		name = key.Namespace + "/" + key.Name
	}
	obj, found, err := w.informer.GetStore().GetByKey(name)
	if err != nil || !found {
		return nil
	}
	u, _ := obj.(*unstructured.Unstructured)
	return u
}

func (w *watch) ownedBy(owner types.UID) []Key {
	objs, err := w.informer.GetIndexer().ByIndex(byOwner, string(owner))
	if err != nil {
		return nil
	}
	keys := make([]Key, 0, len(objs))
	for _, obj := range objs {
		if u, ok := obj.(*unstructured.Unstructured); ok {
			keys = append(keys, Key{Resource: w.key.Resource, Namespace: u.GetNamespace(), Name: u.GetName()})
		}
	}
	return keys
}

// changed passes one change on. Users of a watch by name are told by name, as
// the object may have no owner that leads to them.
func (w *watch) changed(before, after any) {
	event := Event{}
	for _, state := range []any{before, after} {
		if tomb, ok := state.(cache.DeletedFinalStateUnknown); ok {
			state = tomb.Obj
		}
		u, ok := state.(*unstructured.Unstructured)
		if !ok {
			continue
		}
		event.Key = Key{Resource: w.key.Resource, Namespace: u.GetNamespace(), Name: u.GetName()}
		event.Owners = append(event.Owners, u.GetOwnerReferences()...)
		w.cache.seen(event.Key, u)
	}
	if event.Key.Name == "" {
		return
	}
	if w.key.Name != "" {
		event.Users = w.userNames()
	}
	w.cache.notify(event)
}

// failed keeps a watch that cannot run from filling the log: the informer
// tries again by itself.
func (w *watch) failed(_ context.Context, _ *cache.Reflector, err error) {
	if errors.Is(err, context.Canceled) || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		return
	}
	w.cache.mu.Lock()
	w.problem = err.Error()
	w.cache.mu.Unlock()
	w.cache.log.V(1).Info("Watch interrupted", "resource", w.key.Resource.String(), "name", w.key.Name, "reason", err.Error())
}

func ownerUIDs(obj any) ([]string, error) {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return nil, nil
	}
	var uids []string
	for _, owner := range u.GetOwnerReferences() {
		uids = append(uids, string(owner.UID))
	}
	return uids, nil
}

// lighten drops what nobody here reads from a cached object: managed fields
// are often half of it, and are read live where they matter. What is left holds
// the names of its fields once for all objects.
func lighten(obj *unstructured.Unstructured) *unstructured.Unstructured {
	slim := obj.Object
	if metadata, ok := slim["metadata"].(map[string]any); ok && metadata["managedFields"] != nil {
		metadata = maps.Clone(metadata)
		delete(metadata, "managedFields")
		slim = maps.Clone(slim)
		slim["metadata"] = metadata
	}
	return &unstructured.Unstructured{Object: share(slim)}
}

// share copies the structure of an object. JSON decoding makes a new text of
// every field's name.
func share(object map[string]any) map[string]any {
	shared := make(map[string]any, len(object))
	for name, value := range object {
		name = unique.Make(name).Value()
		switch value := value.(type) {
		case map[string]any:
			shared[name] = share(value)
		case []any:
			shared[name] = shareList(value)
		default:
			shared[name] = value
		}
	}
	return shared
}

func shareList(list []any) []any {
	shared := make([]any, len(list))
	for i, value := range list {
		switch value := value.(type) {
		case map[string]any:
			shared[i] = share(value)
		case []any:
			shared[i] = shareList(value)
		default:
			shared[i] = value
		}
	}
	return shared
}
