package live

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// ListFirst makes an informer begin with a list. A streamed list would be
// complete only with a bookmark that the API server sends after a second or so,
// and what happens until then would be seen only after it. The lists here are
// short.
func ListFirst(lw cache.ListerWatcher) cache.ListerWatcher { return listFirst{lw} }

// NewInformer makes informers that list first, for a controller-runtime cache.
func NewInformer(lw cache.ListerWatcher, example runtime.Object, resync time.Duration, indexers cache.Indexers) cache.SharedIndexInformer {
	return cache.NewSharedIndexInformer(ListFirst(lw), example, resync, indexers)
}

type listFirst struct{ cache.ListerWatcher }

// IsWatchListSemanticsUnSupported tells the informer not to stream the list.
func (listFirst) IsWatchListSemanticsUnSupported() bool { return true }

// ListWithContext keeps the context that the embedded interface hides.
func (l listFirst) ListWithContext(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	return cache.ToListerWatcherWithContext(l.ListerWatcher).ListWithContext(ctx, options)
}

// WatchWithContext keeps the context that the embedded interface hides.
func (l listFirst) WatchWithContext(ctx context.Context, options metav1.ListOptions) (apiwatch.Interface, error) {
	return cache.ToListerWatcherWithContext(l.ListerWatcher).WatchWithContext(ctx, options)
}
