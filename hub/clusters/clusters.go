// Package clusters judges by the hub's own clock whether a cluster's agent is
// alive: a lease counts as renewed when the hub sees it change, whatever time
// the spoke wrote into it.
package clusters

import (
	"context"
	"fmt"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// LeaseName is the name of an agent's lease in its cluster's namespace (OCM).
const LeaseName = "managed-cluster-lease"

// graceFactor times the lease's duration is how long an agent may be silent
// (OCM: 5).
const graceFactor = 5

// defaultLeaseSeconds applies when the ManagedCluster names none (OCM).
const defaultLeaseSeconds = 60

// Reconciler keeps the condition ManagedClusterConditionAvailable.
type Reconciler struct {
	Client client.Client
	Clock  clock.Clock

	mu   sync.Mutex
	seen map[string]sighting
}

// sighting is a lease's content and when the hub first saw it so.
type sighting struct {
	version string
	at      time.Time
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).Named("cluster-health").
		For(&clusterv1.ManagedCluster{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&coordinationv1.Lease{}, handler.EnqueueRequestsFromMapFunc(func(_ context.Context, lease client.Object) []reconcile.Request {
			return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: lease.GetNamespace()}}}
		})).
		Complete(r)
}

// Reconcile judges one cluster and comes back when its grace would end.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	var c clusterv1.ManagedCluster
	if err := r.Client.Get(ctx, req.NamespacedName, &c); err != nil {
		r.forget(req.Name)
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if !c.Spec.HubAcceptsClient || c.DeletionTimestamp != nil {
		return reconcile.Result{}, nil
	}
	var lease coordinationv1.Lease
	if err := r.Client.Get(ctx, client.ObjectKey{Namespace: c.Name, Name: LeaseName}, &lease); err != nil {
		// Not joined yet: there is nothing to judge.
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	grace := Grace(&c)
	silent := r.silence(c.Name, lease.ResourceVersion)
	condition := metav1.Condition{
		Type: clusterv1.ManagedClusterConditionAvailable, Status: metav1.ConditionTrue,
		Reason: "ManagedClusterAvailable", Message: "the agent renews its lease",
	}
	if silent >= grace {
		condition.Status, condition.Reason = metav1.ConditionUnknown, "ManagedClusterLeaseUpdateStopped"
		condition.Message = fmt.Sprintf("the agent has not renewed its lease for more than %s", grace)
	}
	before := c.DeepCopy()
	if apimeta.SetStatusCondition(&c.Status.Conditions, condition) {
		err := r.Client.Status().Patch(ctx, &c, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}),
			client.FieldOwner(kronvoyv1alpha1.FieldManagerHub))
		if err != nil {
			return reconcile.Result{}, fmt.Errorf("writing availability of cluster %s: %w", c.Name, err)
		}
	}
	if silent >= grace {
		return reconcile.Result{}, nil
	}
	return reconcile.Result{RequeueAfter: grace - silent}, nil
}

// silence is how long ago the hub saw the lease change. A hub that has just
// started gives every cluster the whole grace anew.
func (r *Reconciler) silence(cluster, version string) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = map[string]sighting{}
	}
	now := r.Clock.Now()
	last, known := r.seen[cluster]
	if !known || last.version != version {
		last = sighting{version: version, at: now}
		r.seen[cluster] = last
	}
	return now.Sub(last.at)
}

func (r *Reconciler) forget(cluster string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.seen, cluster)
}

// Grace is how long a cluster's agent may be silent.
func Grace(c *clusterv1.ManagedCluster) time.Duration {
	seconds := c.Spec.LeaseDurationSeconds
	if seconds <= 0 {
		seconds = defaultLeaseSeconds
	}
	return graceFactor * time.Duration(seconds) * time.Second
}

// Unreachable is true when the cluster's agent is known to be silent or its
// API server to be down. A cluster that was never judged is not unreachable.
func Unreachable(c *clusterv1.ManagedCluster) bool {
	available := apimeta.FindStatusCondition(c.Status.Conditions, clusterv1.ManagedClusterConditionAvailable)
	return available != nil && available.Status != metav1.ConditionTrue
}

// Accepted says whether the hub's own cluster is accepted, and how many others.
func Accepted(ctx context.Context, c client.Reader) (local bool, others int, err error) {
	var list clusterv1.ManagedClusterList
	if err := c.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return false, 0, fmt.Errorf("listing clusters: %w", err)
	}
	for i := range list.Items {
		switch m := &list.Items[i]; {
		case !m.Spec.HubAcceptsClient:
		case m.Name == kronvoyv1alpha1.LocalCluster:
			local = true
		default:
			others++
		}
	}
	return local, others, nil
}
