package registration

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/clusters"
	"github.com/kronvoy/kronvoy/hub/events"
	"github.com/kronvoy/kronvoy/hub/index"
	"github.com/kronvoy/kronvoy/hub/registration/token"
)

// Tokens deletes the ServiceAccounts with which clusters join, as soon as they
// are of no use: their tokens are dead then.
type Tokens struct {
	Client client.Client
	Events *events.Recorder
	Clock  clock.Clock
}

// SetupWithManager registers the controller.
func (r *Tokens) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).Named("join-tokens").
		For(&corev1.ServiceAccount{}).
		Watches(&coordinationv1.Lease{}, handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, lease client.Object) []reconcile.Request {
			key := client.ObjectKey{Namespace: kronvoyv1alpha1.JoinNamespace, Name: lease.GetNamespace()}
			// Every agent renews its lease all the time, and few are joining.
			if err := r.Client.Get(ctx, key, &corev1.ServiceAccount{}); apierrors.IsNotFound(err) {
				return nil
			}
			return []reconcile.Request{{NamespacedName: key}}
		})).
		Complete(r)
}

// Reconcile looks at one ServiceAccount, and again when it expires.
func (r *Tokens) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	return index.Settle(r.reconcile(ctx, req))
}

func (r *Tokens) reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	account := &corev1.ServiceAccount{}
	if err := r.Client.Get(ctx, req.NamespacedName, account); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if !token.Is(account) || account.DeletionTimestamp != nil {
		return reconcile.Result{}, nil
	}
	t, err := token.Parse(account)
	if err != nil {
		// Requests with it are denied, and say so; its token ends by itself.
		ctrl.LoggerFrom(ctx).Info("A token for joining cannot be read", "cluster", account.Name, "reason", err.Error())
		return reconcile.Result{}, nil
	}
	seen, err := r.seen(ctx, account.Name, t)
	if err != nil {
		return reconcile.Result{}, err
	}
	now := r.Clock.Now()
	if !seen && !t.Over(now) {
		return reconcile.Result{RequeueAfter: t.Expires.Sub(now)}, nil
	}
	uid := account.UID
	if err := r.Client.Delete(ctx, account, client.Preconditions{UID: &uid}); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if !seen {
		r.tellExpired(ctx, account.Name, t)
	}
	return reconcile.Result{}, nil
}

// seen says whether the agent came back with its certificate: nobody else can
// write the lease.
func (r *Tokens) seen(ctx context.Context, cluster string, t token.Token) (bool, error) {
	if t.UsedBy == "" {
		return false, nil
	}
	version, err := leaseVersion(ctx, r.Client, cluster)
	return version != "" && version != t.Lease, err
}

// leaseVersion is the resourceVersion of a cluster's lease, empty for none.
func leaseVersion(ctx context.Context, c client.Reader, cluster string) (string, error) {
	lease := &coordinationv1.Lease{}
	err := c.Get(ctx, client.ObjectKey{Namespace: cluster, Name: clusters.LeaseName}, lease)
	if client.IgnoreNotFound(err) != nil {
		return "", fmt.Errorf("reading the lease of cluster %s: %w", cluster, err)
	}
	return lease.ResourceVersion, nil
}

// tellExpired is for who looks why a cluster did not come.
func (r *Tokens) tellExpired(ctx context.Context, cluster string, t token.Token) {
	c := &clusterv1.ManagedCluster{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: cluster}, c); err != nil {
		return
	}
	what := "no request came with it"
	if t.UsedBy != "" {
		what = "the agent was not seen with its certificate: look at its log on the cluster"
	}
	r.Events.Tell(c, nil, events.TokenExpired,
		"the token for joining expired at %s, and %s; \"kronvoy hub token --cluster %s --rejoin\" makes another one", t.Expires.Format(time.RFC3339), what, cluster)
}
