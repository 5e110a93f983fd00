// Package live keeps a view up to date that somebody leaves open.
//
//	informers ──change──► Follow ──at most every Pace──► draw ──► Screen
//	probe ──contact lost, regained──┘
//
// Contact is regained when all is watched anew: informers that could not watch
// wait for up to a minute before they try again, and what they hold would be taken
// for how things are.
package live

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
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
	// patience is how long its answer may take.
	patience = 4 * time.Second
	// renewal is how long it may take until all that was watched is known again: a
	// large fleet over a slow link.
	renewal = time.Minute
)

// Feed reads from informers, and tells when something has changed of what was
// read before. It begins to watch a kind when that is first read.
type Feed struct {
	live    client.Client
	make    func() (*watching, error)
	ask     func(context.Context) error
	changed chan struct{}

	mutex sync.Mutex
	now   *watching
	lost  Contact
	// answered is when the hub last did.
	answered time.Time
}

// watching is what is watched between one loss of contact and the next.
type watching struct {
	cache cache.Cache
	// over ends when it is.
	over context.Context //nolint:containedctx // it is the life of the informers
	end  context.CancelFunc

	mutex sync.Mutex
	kinds map[string]kind
}

// kind of objects that are watched, in a representation.
type kind struct {
	schema.GroupVersionKind
	obj client.Object
	// namespace that somebody reads, who may read no other.
	namespace string
}

func (k kind) String() string { return fmt.Sprintf("%T %s", k.obj, k.GroupVersionKind) }

// Contact is whether the hub answers.
type Contact struct {
	// Since is when it last did; zero if it does.
	Since time.Time
	Err   error
}

// NewFeed makes a feed. The options say which objects are of interest.
func NewFeed(config *rest.Config, c client.Client, options cache.Options) (*Feed, error) {
	options.Scheme, options.Mapper = c.Scheme(), c.RESTMapper()
	options.DefaultTransform = cache.TransformStripManagedFields()
	begin := func() (*watching, error) {
		informers, err := cache.New(config, options)
		if err != nil {
			return nil, fmt.Errorf("preparing to watch: %w", err)
		}
		w := &watching{cache: informers, kinds: map[string]kind{}}
		w.over, w.end = context.WithCancel(context.Background())
		return w, nil
	}
	now, err := begin()
	if err != nil {
		return nil, err
	}
	asking, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connecting to the hub: %w", err)
	}
	// What any user may ask, and what is true only when objects can be read.
	ask := func(ctx context.Context) error { return asking.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error() }
	return &Feed{live: c, make: begin, now: now, ask: ask, changed: make(chan struct{}, 1)}, nil
}

// Start watches until the context ends.
func (f *Feed) Start(ctx context.Context) error {
	f.mutex.Lock()
	f.answered = time.Now()
	f.mutex.Unlock()
	group, ctx := errgroup.WithContext(ctx)
	start := func(w *watching) {
		group.Go(func() error {
			defer context.AfterFunc(ctx, w.end)()
			return w.cache.Start(w.over)
		})
	}
	start(f.current())
	group.Go(func() error {
		f.probe(ctx, start)
		return nil
	})
	return group.Wait()
}

func (f *Feed) current() *watching {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return f.now
}

// renew watches anew what was watched before, and forgets that when all of it is
// known again.
func (f *Feed) renew(ctx context.Context, start func(*watching)) error {
	ctx, done := context.WithTimeout(ctx, renewal)
	defer done()
	old := f.current()
	w, err := f.make()
	if err != nil {
		return err
	}
	start(w)
	old.mutex.Lock()
	kinds := maps.Clone(old.kinds)
	old.mutex.Unlock()
	for _, k := range kinds {
		switch err := f.begin(ctx, w, k); {
		case answered(err):
			// It is served no more, or not to everybody: whoever reads it hears that.
		case err != nil:
			w.end()
			return err
		}
	}
	f.mutex.Lock()
	f.now = w
	f.mutex.Unlock()
	old.end()
	f.mark()
	return nil
}

// Contact says whether the hub answers.
func (f *Feed) Contact() Contact {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return f.lost
}

// probe asks now and then whether the hub is there: a watch that has ended is
// begun anew without a word, and one whose other side is gone stays silent.
func (f *Feed) probe(ctx context.Context, start func(*watching)) {
	ticker := time.NewTicker(probing)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		asking, done := context.WithTimeout(ctx, patience)
		err := f.ask(asking)
		done()
		if answered(err) {
			err = nil
		}
		if err == nil && f.Contact().Err != nil {
			err = f.renew(ctx, start)
		}
		if ctx.Err() == nil {
			f.note(err, time.Now())
		}
	}
}

// answered says of an error that the hub is there, and says no.
func answered(err error) bool {
	answer := apierrors.APIStatus(nil)
	return errors.As(err, &answer) && answer.Status().Code < 500
}

// note takes down whether the hub answered.
func (f *Feed) note(err error, at time.Time) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if err == nil {
		f.answered = at
	}
	switch lost := f.lost.Err != nil; {
	case err == nil && lost:
		f.lost = Contact{}
	case err != nil && !lost:
		f.lost = Contact{Since: f.answered, Err: err}
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
	return f.read(ctx, kind{gvk, obj, key.Namespace}, func(ctx context.Context, c cache.Cache) error { return c.Get(ctx, key, obj, options...) })
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
	return f.read(ctx, kind{gvk, obj, selected.Namespace}, func(ctx context.Context, c cache.Cache) error { return c.List(ctx, list, options...) })
}

// read reads what is watched, and again where that was renewed meanwhile.
func (f *Feed) read(ctx context.Context, k kind, from func(context.Context, cache.Cache) error) error {
	for {
		w := f.current()
		reading, done := context.WithCancel(ctx)
		stop := context.AfterFunc(w.over, done)
		err := f.watch(reading, w, k)
		if err == nil {
			err = from(reading, w.cache)
		}
		stop()
		done()
		if err == nil || w.over.Err() == nil || ctx.Err() != nil || f.current() == w {
			return err
		}
	}
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

// watch begins to watch a kind, unless it is watched.
func (f *Feed) watch(ctx context.Context, w *watching, k kind) error {
	w.mutex.Lock()
	_, watched := w.kinds[k.String()]
	w.mutex.Unlock()
	if watched {
		return nil
	}
	return f.begin(ctx, w, k)
}

// begin begins to watch a kind, if it may: an informer would ask for ever. It
// returns when it is known what there is.
func (f *Feed) begin(ctx context.Context, w *watching, k kind) error {
	allowed := &metav1.PartialObjectMetadataList{}
	allowed.SetGroupVersionKind(k.GroupVersion().WithKind(k.Kind + "List"))
	if err := f.live.List(ctx, allowed, client.InNamespace(k.namespace), client.Limit(1)); err != nil {
		return err
	}
	informer, err := w.cache.GetInformer(ctx, k.obj)
	if err != nil {
		return err
	}
	mark := func(any) { f.mark() }
	if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{AddFunc: mark, UpdateFunc: func(_, _ any) { f.mark() }, DeleteFunc: mark}); err != nil {
		return fmt.Errorf("watching %s: %w", k.Kind, err)
	}
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.kinds[k.String()] = k
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
