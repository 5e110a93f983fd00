// Package live keeps a view up to date that somebody leaves open.
//
//	informers ──change──► Follow ──at most every Pace──► draw ──► Screen
//	probe ──contact lost, regained──┘
package live

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

const (
	// Pace is the shortest time between two looks.
	Pace = 250 * time.Millisecond
	// probing is how often it is asked whether the hub is there.
	probing = 5 * time.Second
)

// Feed reads from informers, and tells when something has changed of what was
// read before. It begins to watch a kind when that is first read.
type Feed struct {
	live    client.Client
	cache   cache.Cache
	version discovery.ServerVersionInterface
	changed chan struct{}

	mutex   sync.Mutex
	watched map[string]bool
	lost    Contact
}

// Contact is whether the hub answers.
type Contact struct {
	// Since when it does not; zero if it does.
	Since time.Time
	Err   error
}

// NewFeed makes a feed. The options say which objects are of interest.
func NewFeed(config *rest.Config, c client.Client, options cache.Options) (*Feed, error) {
	options.Scheme, options.Mapper = c.Scheme(), c.RESTMapper()
	options.DefaultTransform = cache.TransformStripManagedFields()
	informers, err := cache.New(config, options)
	if err != nil {
		return nil, fmt.Errorf("preparing to watch: %w", err)
	}
	asking := rest.CopyConfig(config)
	asking.Timeout = probing - time.Second
	version, err := discovery.NewDiscoveryClientForConfig(asking)
	if err != nil {
		return nil, fmt.Errorf("connecting to the hub: %w", err)
	}
	return &Feed{live: c, cache: informers, version: version, changed: make(chan struct{}, 1), watched: map[string]bool{}}, nil
}

// Start watches until the context ends.
func (f *Feed) Start(ctx context.Context) error {
	go f.probe(ctx)
	return f.cache.Start(ctx)
}

// Contact says whether the hub answers.
func (f *Feed) Contact() Contact {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return f.lost
}

// probe asks now and then whether the hub is there: a watch that has ended is
// begun anew without a word, and one whose other side is gone stays silent.
func (f *Feed) probe(ctx context.Context) {
	ticker := time.NewTicker(probing)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		_, err := f.version.ServerVersion()
		if ctx.Err() == nil {
			f.note(err)
		}
	}
}

func (f *Feed) note(err error) {
	if answer := apierrors.APIStatus(nil); errors.As(err, &answer) && answer.Status().Code < 500 {
		err = nil // it is there, and says no
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	switch {
	case err == nil && f.lost.Err != nil:
		f.lost = Contact{}
	case err != nil && f.lost.Err == nil:
		f.lost = Contact{Since: time.Now(), Err: err}
	default:
		return
	}
	f.mark()
}

// mark says that something has changed.
func (f *Feed) mark() {
	select {
	case f.changed <- struct{}{}:
	default: // that is known already
	}
}

// Get implements client.Reader.
func (f *Feed) Get(ctx context.Context, key client.ObjectKey, obj client.Object, options ...client.GetOption) error {
	gvk, err := apiutil.GVKForObject(obj, f.live.Scheme())
	if err != nil {
		return err
	}
	if err := f.watch(ctx, gvk, obj, key.Namespace); err != nil {
		return err
	}
	return f.cache.Get(ctx, key, obj, options...)
}

// List implements client.Reader.
func (f *Feed) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	gvk, err := apiutil.GVKForObject(list, f.live.Scheme())
	if err != nil {
		return err
	}
	gvk.Kind = strings.TrimSuffix(gvk.Kind, "List")
	selected := (&client.ListOptions{}).ApplyOptions(options)
	obj, err := f.object(gvk, list)
	if err != nil {
		return err
	}
	if err := f.watch(ctx, gvk, obj, selected.Namespace); err != nil {
		return err
	}
	return f.cache.List(ctx, list, options...)
}

// object is an empty one of the kind that a list has, in the same representation:
// each has an informer of its own.
func (f *Feed) object(gvk schema.GroupVersionKind, list client.ObjectList) (client.Object, error) {
	switch list.(type) {
	case *metav1.PartialObjectMetadataList:
		obj := &metav1.PartialObjectMetadata{}
		obj.SetGroupVersionKind(gvk)
		return obj, nil
	case *unstructured.UnstructuredList:
		obj := &unstructured.Unstructured{}
		obj.SetGroupVersionKind(gvk)
		return obj, nil
	}
	made, err := f.live.Scheme().New(gvk)
	if err != nil {
		return nil, err
	}
	obj, is := made.(client.Object)
	if !is {
		return nil, fmt.Errorf("%s is no kind of objects", gvk.Kind)
	}
	return obj, nil
}

// watch begins to watch a kind, if it may: an informer would ask for ever.
func (f *Feed) watch(ctx context.Context, gvk schema.GroupVersionKind, obj client.Object, namespace string) error {
	key := fmt.Sprintf("%T %s", obj, gvk)
	f.mutex.Lock()
	watched := f.watched[key]
	f.mutex.Unlock()
	if watched {
		return nil
	}
	allowed := &metav1.PartialObjectMetadataList{}
	allowed.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
	if err := f.live.List(ctx, allowed, client.InNamespace(namespace), client.Limit(1)); err != nil {
		return err
	}
	informer, err := f.cache.GetInformer(ctx, obj)
	if err != nil {
		return err
	}
	mark := func(any) { f.mark() }
	if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{AddFunc: mark, UpdateFunc: func(_, _ any) { f.mark() }, DeleteFunc: mark}); err != nil {
		return fmt.Errorf("watching %s: %w", gvk.Kind, err)
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.watched[key] = true
	return nil
}

// Follow looks at once, and again after changes, though not more often than every
// Pace, and whenever again says so, until the context ends or a look fails.
func (f *Feed) Follow(ctx context.Context, again <-chan time.Time, look func(context.Context) error) error {
	pace := time.NewTicker(Pace)
	defer pace.Stop()
	for {
		if err := look(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-pace.C:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-again:
		case <-f.changed:
		}
	}
}
