package join

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// watchBootstrap notices each change of the bootstrap Secret at once, until the
// context ends: the way back of a cluster that was away too long needs no
// restart.
func (j *Joiner) watchBootstrap(ctx context.Context) {
	selector := fields.OneTermEqualSelector("metadata.name", j.options.BootstrapSecret)
	options := func(o metav1.ListOptions) *client.ListOptions {
		return &client.ListOptions{Namespace: j.options.Namespace, FieldSelector: selector, Raw: &o}
	}
	_, informer := toolscache.NewInformerWithOptions(toolscache.InformerOptions{
		ObjectType: &corev1.Secret{},
		ListerWatcher: &toolscache.ListWatch{
			ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				list := &corev1.SecretList{}
				return list, j.options.Cluster.List(ctx, list, options(o))
			},
			WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
				return j.options.Cluster.Watch(ctx, &corev1.SecretList{}, options(o))
			},
		},
		Handler: toolscache.ResourceEventHandlerFuncs{
			AddFunc:    func(obj any) { j.seen(obj.(*corev1.Secret)) },
			UpdateFunc: func(_, obj any) { j.seen(obj.(*corev1.Secret)) },
			DeleteFunc: func(any) { j.seen(nil) },
		},
	})
	go func() {
		if toolscache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
			j.mu.Lock()
			j.looked = true
			j.mu.Unlock()
			j.hurry()
		}
	}()
	informer.RunWithContext(ctx)
}

func (j *Joiner) seen(secret *corev1.Secret) {
	j.mu.Lock()
	j.bootstrap = secret
	j.mu.Unlock()
	j.hurry()
}

// currentBootstrap is the bootstrap as it is now; nil where there is none.
func (j *Joiner) currentBootstrap() (*bootstrap, error) {
	j.mu.Lock()
	secret := j.bootstrap
	j.mu.Unlock()
	if secret == nil {
		return nil, nil
	}
	return readBootstrap(secret.Data, j.options.ClusterName)
}

// lookedForBootstrap is whether it is known that there is none.
func (j *Joiner) lookedForBootstrap() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.looked
}
