package apply

import (
	"context"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	workv1 "open-cluster-management.io/api/work/v1"

	"github.com/kronvoy/kronvoy/spoke/live"
)

// A work with an executor is applied, and its objects deleted, in the executor's
// name: the API server, not the agent, says what a work may do. Watches stay
// the agent's own, as one serves many works; so that nobody sees through them
// what he could not read himself, an object that this work did not apply is
// shown only after the executor has read it.

// showFor is how long an executor's right to read is taken for granted.
const showFor = 5 * time.Minute

// executorOf gives the user name of an executor; empty for none.
func executorOf(executor *workv1.ManifestWorkExecutor) (string, error) {
	if executor == nil {
		return "", nil
	}
	subject := executor.Subject
	if subject.Type != workv1.ExecutorSubjectTypeServiceAccount || subject.ServiceAccount == nil {
		return "", fmt.Errorf("the executor is a %s without a name; only a named ServiceAccount can be one", subject.Type)
	}
	return strings.Join([]string{"system", "serviceaccount", subject.ServiceAccount.Namespace, subject.ServiceAccount.Name}, ":"), nil
}

// as gives a client that acts in the name of a work's executor.
func (a *Applier) as(executor string) (dynamic.Interface, error) {
	if executor == "" {
		return a.dynamic, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if client, ok := a.executors[executor]; ok {
		return client, nil
	}
	client, err := a.impersonate(executor)
	if err != nil {
		return nil, fmt.Errorf("making a client for %q: %w", executor, err)
	}
	a.executors[executor] = client
	return client, nil
}

// shown is what an executor was last allowed to read of an object.
type shown struct {
	uid      types.UID
	executor string
	at       time.Time
}

// read asks the API server for an object in the executor's name.
func (r *run) read(ctx context.Context, item *Item) (*unstructured.Unstructured, error) {
	obj, err := r.a.live.ReadAs(ctx, r.client, item.Key)
	if err == nil && obj != nil && r.w.Executor != "" {
		r.stateOf(item).shown = shown{uid: obj.GetUID(), executor: r.w.Executor, at: r.now}
	}
	return obj, err
}

// mayShow says whether the executor may see an object that the agent sees.
func (r *run) mayShow(item *Item, obj *unstructured.Unstructured) bool {
	if r.w.Executor == "" {
		return true
	}
	st := r.stateOf(item)
	if st.baseline != nil && st.uid == obj.GetUID() {
		return true
	}
	return st.shown.uid == obj.GetUID() && st.shown.executor == r.w.Executor && r.now.Sub(st.shown.at) < showFor
}

// mayList says why the executor may not have a list.
func (r *run) mayList(ctx context.Context, watch live.Watch) error {
	if r.w.Executor == "" || r.now.Sub(r.st.listed[watch]) < showFor {
		return nil
	}
	_, err := r.client.Resource(watch.Resource).Namespace(watch.Namespace).List(ctx, metav1.ListOptions{LabelSelector: watch.Labels, Limit: 1})
	if err == nil {
		r.st.listed[watch] = r.now
	}
	return err
}
