package preview

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/index"
)

// memory is a hub's objects in memory: as they are, with what is put into it over
// that. It answers the reads of the hub's controllers, indices included, by what
// was loaded; a single object of a kind that was not is asked of the hub. What it
// answers with is shared: read-only. It is safe for concurrent use.
type memory struct {
	scheme *runtime.Scheme
	// live is the hub; nil without one.
	live client.Reader

	mu      sync.RWMutex
	objects map[schema.GroupVersionKind]map[string]map[string]client.Object
	// whole are the kinds of which what is not here does not exist.
	whole map[schema.GroupVersionKind]bool
	// children are Targets by the index Child.
	children map[string]map[client.ObjectKey]bool
}

func newMemory(scheme *runtime.Scheme, live client.Reader) *memory {
	return &memory{
		scheme: scheme, live: live,
		objects: map[schema.GroupVersionKind]map[string]map[string]client.Object{}, whole: map[schema.GroupVersionKind]bool{},
		children: map[string]map[client.ObjectKey]bool{},
	}
}

// put adds an object, or replaces it.
func (m *memory) put(obj client.Object) error {
	gvk, err := apiutil.GVKForObject(obj, m.scheme)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	byNamespace := m.objects[gvk]
	if byNamespace == nil {
		byNamespace = map[string]map[string]client.Object{}
		m.objects[gvk] = byNamespace
	}
	if byNamespace[obj.GetNamespace()] == nil {
		byNamespace[obj.GetNamespace()] = map[string]client.Object{}
	}
	byNamespace[obj.GetNamespace()][obj.GetName()] = obj
	for _, hash := range index.Children(obj) {
		if m.children[hash] == nil {
			m.children[hash] = map[client.ObjectKey]bool{}
		}
		m.children[hash][client.ObjectKeyFromObject(obj)] = true
	}
	return nil
}

// has says whether an object is there.
func (m *memory) has(gvk schema.GroupVersionKind, key client.ObjectKey) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.objects[gvk][key.Namespace][key.Name] != nil
}

// drop takes objects away.
func (m *memory) drop(gvk schema.GroupVersionKind, namespace string, which func(client.Object) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.objects[gvk][namespace], func(_ string, obj client.Object) bool { return which(obj) })
}

// Get implements client.Reader.
func (m *memory) Get(ctx context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	gvk, err := apiutil.GVKForObject(into, m.scheme)
	if err != nil {
		return err
	}
	m.mu.RLock()
	found, whole := m.objects[gvk][key.Namespace][key.Name], m.whole[gvk]
	m.mu.RUnlock()
	if found == nil && !whole && m.live != nil {
		fresh, _ := reflect.New(reflect.TypeOf(into).Elem()).Interface().(client.Object)
		fresh.GetObjectKind().SetGroupVersionKind(gvk)
		if err := m.live.Get(ctx, key, fresh); err != nil {
			return err
		}
		if err := m.put(fresh); err != nil {
			return err
		}
		found = fresh
	}
	if found == nil {
		return apierrors.NewNotFound(schema.GroupResource{Group: gvk.Group, Resource: gvk.Kind}, key.String())
	}
	reflect.ValueOf(into).Elem().Set(reflect.ValueOf(found).Elem())
	return nil
}

// List implements client.Reader. Only the indices of hub/index are known as
// fields.
func (m *memory) List(_ context.Context, into client.ObjectList, opts ...client.ListOption) error {
	gvk, err := apiutil.GVKForObject(into, m.scheme)
	if err != nil {
		return err
	}
	gvk.Kind = gvk.Kind[:len(gvk.Kind)-len("List")]
	options := (&client.ListOptions{}).ApplyOptions(opts)
	matches, child, err := matcher(options)
	if err != nil {
		return err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	var found []client.Object
	add := func(obj client.Object) {
		if obj != nil && matches.Matches(labels.Set(obj.GetLabels())) {
			found = append(found, obj)
		}
	}
	switch {
	case child != "":
		for key := range m.children[child] {
			// It may have been replaced by one without the child.
			if obj := m.objects[gvk][key.Namespace][key.Name]; obj != nil && slices.Contains(index.Children(obj), child) {
				add(obj)
			}
		}
	case options.Namespace != "":
		for _, obj := range m.objects[gvk][options.Namespace] {
			add(obj)
		}
	default:
		for _, byName := range m.objects[gvk] {
			for _, obj := range byName {
				add(obj)
			}
		}
	}
	slices.SortFunc(found, func(a, b client.Object) int {
		return compare(client.ObjectKeyFromObject(a), client.ObjectKeyFromObject(b))
	})
	items := make([]runtime.Object, len(found))
	for i, obj := range found {
		items[i] = obj
	}
	if list, untyped := into.(*unstructured.UnstructuredList); untyped {
		list.Items = make([]unstructured.Unstructured, len(found))
		for i, obj := range found {
			list.Items[i] = *obj.(*unstructured.Unstructured)
		}
		return nil
	}
	return apimeta.SetList(into, items)
}

// matcher turns the options of a List into labels, and the one index that is not
// one: the instance that Targets have made.
func matcher(options *client.ListOptions) (matches labels.Selector, child string, err error) {
	matches = labels.Everything()
	if options.LabelSelector != nil {
		matches = options.LabelSelector
	}
	if options.FieldSelector == nil {
		return matches, "", nil
	}
	for _, r := range options.FieldSelector.Requirements() {
		switch r.Field {
		case index.Instance:
			instance := labels.SelectorFromSet(labels.Set{kronvoyv1alpha1.LabelInstance: r.Value})
			requirements, _ := instance.Requirements()
			matches = matches.Add(requirements...)
		case index.Child:
			child = r.Value
		default:
			return nil, "", fmt.Errorf("there is no index of %s", r.Field)
		}
	}
	return matches, child, nil
}

func compare(a, b client.ObjectKey) int {
	if a.Namespace != b.Namespace {
		if a.Namespace < b.Namespace {
			return -1
		}
		return 1
	}
	switch {
	case a.Name < b.Name:
		return -1
	case a.Name > b.Name:
		return 1
	}
	return 0
}
