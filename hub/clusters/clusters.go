// Package clusters judges by the hub's own clock whether a cluster's agent is
// alive: a lease counts as renewed when the hub sees it change, whatever time
// the spoke wrote into it. What follows from that, and from what the agent says
// of its API server, it marks with OCM's taints.
package clusters

import (
	"context"
	"fmt"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
	"github.com/kronvoy/kronvoy/hub/events"
	"github.com/kronvoy/kronvoy/hub/index"
)

// LeaseName is the name of an agent's lease in its cluster's namespace (OCM).
const LeaseName = "managed-cluster-lease"

// graceFactor times the lease's duration is how long an agent may be silent
// (OCM: 5).
const graceFactor = 5

// defaultLeaseSeconds applies when the ManagedCluster names none (OCM).
const defaultLeaseSeconds = 60

// Reconciler keeps of a ManagedCluster the conditions and taints that follow
// from its lease: ManagedClusterConditionAvailable is Unknown while the lease is
// not renewed, and True or False as the agent says otherwise.
type Reconciler struct {
	Client client.Client
	Clock  clock.Clock
	Events *events.Recorder

	mu   sync.Mutex
	seen map[string]sighting
}

// sighting is a lease's version and when the hub first saw it so.
type sighting struct {
	version string
	renewal
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	availability := index.Changed(func(c client.Object) any {
		managed, _ := c.(*clusterv1.ManagedCluster)
		available := apimeta.FindStatusCondition(managed.Status.Conditions, clusterv1.ManagedClusterConditionAvailable)
		if available == nil {
			return nil
		}
		return available.Status
	})
	return ctrl.NewControllerManagedBy(mgr).Named("cluster-health").
		For(&clusterv1.ManagedCluster{}, builder.WithPredicates(predicate.Or[client.Object](
			predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}, availability))).
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
	if c.DeletionTimestamp != nil {
		return reconcile.Result{}, nil
	}
	var wait time.Duration
	if c.Spec.HubAcceptsClient {
		var err error
		if wait, err = r.keepConditions(ctx, &c); err != nil {
			return index.Settle(reconcile.Result{}, err)
		}
	}
	return index.Settle(reconcile.Result{RequeueAfter: wait}, r.keepTaints(ctx, &c))
}

// keepConditions says how long the lease may stay as it is.
func (r *Reconciler) keepConditions(ctx context.Context, c *clusterv1.ManagedCluster) (wait time.Duration, err error) {
	var lease coordinationv1.Lease
	err = r.Client.Get(ctx, client.ObjectKey{Namespace: c.Name, Name: LeaseName}, &lease)
	if apierrors.IsNotFound(err) {
		return 0, nil // not joined yet: there is nothing to judge
	}
	if err != nil {
		return 0, fmt.Errorf("reading the lease of cluster %s: %w", c.Name, err)
	}
	now := r.Clock.Now()
	seen := r.look(c.Name, lease.ResourceVersion, now)
	before := c.DeepCopy()
	c.Status.Conditions = judgeLease(c, &lease, seen, now)
	if !equality.Semantic.DeepEqual(before.Status.Conditions, c.Status.Conditions) {
		// The list is replaced as a whole: the agent may have written meanwhile.
		err = r.Client.Status().Patch(ctx, c, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}),
			client.FieldOwner(kronvoyv1alpha1.FieldManagerHub))
		if err != nil {
			return 0, fmt.Errorf("writing conditions of cluster %s: %w", c.Name, err)
		}
	}
	return max(0, Grace(c)-now.Sub(seen.at)), nil
}

func (r *Reconciler) keepTaints(ctx context.Context, c *clusterv1.ManagedCluster) error {
	wanted := taints(c, r.Clock.Now())
	if equality.Semantic.DeepEqual(c.Spec.Taints, wanted) {
		return nil
	}
	before := c.DeepCopy()
	c.Spec.Taints = wanted
	// The list is replaced as a whole: somebody may have added a taint meanwhile.
	err := r.Client.Patch(ctx, c, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}),
		client.FieldOwner(kronvoyv1alpha1.FieldManagerHub))
	if err != nil {
		return fmt.Errorf("writing taints of cluster %s: %w", c.Name, err)
	}
	r.announce(before, c)
	return nil
}

// announce records an event when the taint that tells of an outage comes, goes or
// becomes the other one. Nobody misses a cluster that has not joined yet.
func (r *Reconciler) announce(before, after *clusterv1.ManagedCluster) {
	available := apimeta.FindStatusCondition(after.Status.Conditions, clusterv1.ManagedClusterConditionAvailable)
	if available == nil {
		return
	}
	is := marked(after)
	if is == marked(before) {
		return
	}
	kind := events.ClusterAvailable
	switch is {
	case clusterv1.ManagedClusterTaintUnavailable:
		kind = events.ClusterUnavailable
	case clusterv1.ManagedClusterTaintUnreachable:
		kind = events.ClusterUnreachable
	}
	r.Events.Tell(after, nil, kind, "%s", available.Message)
}

// look notes when the hub first saw a lease as it is. A hub that has just
// started gives every cluster the whole grace anew.
func (r *Reconciler) look(cluster, version string, now time.Time) renewal {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = map[string]sighting{}
	}
	last, known := r.seen[cluster]
	if !known || last.version != version {
		last = sighting{version: version, renewal: renewal{at: now, fresh: known}}
		r.seen[cluster] = last
	}
	return last.renewal
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
