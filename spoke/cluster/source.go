package cluster

import (
	"context"
	"fmt"
	"sync"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kronvoy/kronvoy/spoke/live"
)

// pageSize bounds what is in memory of a list at once: a node with all its
// images is many times what is kept of it.
const pageSize = 100

// source watches all objects of a cluster-wide kind, as far as the agent may,
// and keeps of each what slim leaves. An agent that may not read them is told
// so, and goes on trying.
type source[T client.Object] struct {
	client  client.WithWatch
	example T
	list    func() client.ObjectList
	slim    func(T) T
	// content is what makes a difference.
	content func(T) any
	// changed is called when what is known changes.
	changed func()
	log     logr.Logger

	informer cache.SharedIndexInformer
	mu       sync.Mutex
	refused  bool
}

// knowledge is how much a source knows.
type knowledge int

const (
	// pending: nothing yet, from which nothing may be concluded.
	pending knowledge = iota
	// closed: the agent may not read the objects, or there is no such kind.
	closed
	// open: all objects that there are.
	open
)

// start begins to watch, and does not wait.
func (s *source[T]) start(ctx context.Context) error {
	s.informer = cache.NewSharedIndexInformerWithOptions(
		live.ListFirst(&cache.ListWatch{ListWithContextFunc: s.listAll, WatchFuncWithContext: s.watch}),
		s.example, cache.SharedIndexInformerOptions{},
	)
	err := s.informer.SetTransform(func(obj any) (any, error) {
		if object, is := obj.(T); is {
			return s.slim(object), nil
		}
		return obj, nil
	})
	if err != nil {
		return fmt.Errorf("watching %T: %w", s.example, err)
	}
	err = s.informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
		s.log.V(1).Info("Watch interrupted", "kind", fmt.Sprintf("%T", s.example), "reason", err.Error())
	})
	if err != nil {
		return fmt.Errorf("watching %T: %w", s.example, err)
	}
	if _, err = s.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { s.changed() },
		UpdateFunc: func(before, after any) {
			old, _ := before.(T)
			now, _ := after.(T)
			if !equality.Semantic.DeepEqual(s.content(old), s.content(now)) {
				s.changed()
			}
		},
		DeleteFunc: func(any) { s.changed() },
	}); err != nil {
		return fmt.Errorf("watching %T: %w", s.example, err)
	}
	go s.informer.RunWithContext(ctx)
	go func() {
		if cache.WaitForCacheSync(ctx.Done(), s.informer.HasSynced) {
			s.changed()
		}
	}()
	return nil
}

// all gives what is known.
func (s *source[T]) all() ([]T, knowledge) {
	s.mu.Lock()
	refused := s.refused
	s.mu.Unlock()
	switch {
	case refused:
		return nil, closed
	case !s.informer.HasSynced():
		return nil, pending
	}
	objects := make([]T, 0, 16)
	for _, obj := range s.informer.GetStore().List() {
		if object, is := obj.(T); is {
			objects = append(objects, object)
		}
	}
	return objects, open
}

// listAll lists page by page, whatever the informer asks for.
func (s *source[T]) listAll(ctx context.Context, _ metav1.ListOptions) (runtime.Object, error) {
	all := &internalversion.List{}
	for {
		page := s.list()
		err := s.client.List(ctx, page, client.Limit(pageSize), client.Continue(all.Continue))
		s.answered(err)
		if err != nil {
			return nil, err
		}
		err = apimeta.EachListItem(page, func(obj runtime.Object) error {
			object, is := obj.(T)
			if !is {
				return fmt.Errorf("a list of %T holds a %T", s.example, obj)
			}
			all.Items = append(all.Items, s.slim(object))
			return nil
		})
		if err != nil {
			return nil, err
		}
		all.ResourceVersion, all.Continue = page.GetResourceVersion(), page.GetContinue()
		if all.Continue == "" {
			return all, nil
		}
	}
}

func (s *source[T]) watch(ctx context.Context, options metav1.ListOptions) (apiwatch.Interface, error) {
	return s.client.Watch(ctx, s.list(), &client.ListOptions{Raw: &options})
}

// answered notes whether the objects may be read.
func (s *source[T]) answered(err error) {
	refused := apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || apimeta.IsNoMatchError(err)
	if err != nil && !refused {
		return
	}
	s.mu.Lock()
	changed := s.refused != refused
	s.refused = refused
	s.mu.Unlock()
	if !changed {
		return
	}
	if refused {
		s.log.Info("The hub is told nothing that rests on what the agent cannot read", "kind", fmt.Sprintf("%T", s.example), "reason", err.Error())
	}
	s.changed()
}
