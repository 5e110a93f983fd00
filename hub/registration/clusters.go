package registration

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/go-multierror"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	workv1 "open-cluster-management.io/api/work/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/clusters"
	"github.com/kronvoy/kronvoy/hub/events"
	"github.com/kronvoy/kronvoy/hub/index"
)

// Reasons of the conditions HubAcceptedManagedCluster (OCM's where OCM has one)
// and of those beside it.
const (
	reasonAccepted     = "HubClusterAdminAccepted"
	reasonDenied       = "HubClusterAdminDenied"
	reasonWaiting      = "WaitingForApproval"
	reasonNameReserved = "NameReserved"
	reasonNameTaken    = "NamespaceTaken"
	reasonTerminating  = "NamespaceTerminating"
	reasonJoined       = "ManagedClusterJoined"
	reasonDetached     = "Detached"
	reasonLettingGo    = "LettingGo"
)

// maxRequestedLabels bounds what a message quotes of a cluster's own wishes.
const maxRequestedLabels = 512

// Clusters gives an accepted cluster its place on the hub, takes a denied one its
// rights, and takes a deleted one down.
type Clusters struct {
	Client client.Client
	// Reader bypasses the cache: a namespace that is not ours must be seen.
	Reader client.Reader
	Events *events.Recorder
}

// SetupWithManager registers the controller. Rights that somebody edits are put
// right at once.
func (r *Clusters) SetupWithManager(mgr ctrl.Manager) error {
	comesOrGoes := builder.WithPredicates(predicate.Funcs{UpdateFunc: func(event.UpdateEvent) bool { return false }})
	goes := builder.WithPredicates(predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(event.UpdateEvent) bool { return false },
	})
	byLabel := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, obj client.Object) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: obj.GetLabels()[clusterv1.ClusterNameLabelKey]}}}
	})
	byNamespace := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, obj client.Object) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: obj.GetNamespace()}}}
	})
	leaving := handler.EnqueueRequestsFromMapFunc(r.ifLeaving)
	return ctrl.NewControllerManagedBy(mgr).Named("registration").
		For(&clusterv1.ManagedCluster{}, builder.WithPredicates(index.IgnoreStatus[client.Object]())).
		Watches(&rbacv1.RoleBinding{}, byLabel).
		Watches(&rbacv1.ClusterRole{}, byLabel).
		Watches(&rbacv1.ClusterRoleBinding{}, byLabel).
		Watches(&corev1.Namespace{}, &handler.EnqueueRequestForObject{}, goes).
		Watches(&coordinationv1.Lease{}, byNamespace, comesOrGoes).
		Watches(&workv1.ManifestWork{}, leaving, comesOrGoes).
		Watches(&kronvoyv1alpha1.Target{}, leaving, comesOrGoes).
		WithOptions(controller.Options{MaxConcurrentReconciles: atOnce}).
		Complete(r)
}

// ifLeaving is the cluster of an object, if it waits for such objects to go.
func (r *Clusters) ifLeaving(ctx context.Context, obj client.Object) []reconcile.Request {
	c := &clusterv1.ManagedCluster{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: obj.GetNamespace()}, c); err != nil {
		return nil // without the cluster nothing waits
	}
	if c.DeletionTimestamp == nil && c.Annotations[kronvoyv1alpha1.AnnotationDetached] == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: c.Name}}}
}

// Reconcile brings one cluster's place on the hub to what its ManagedCluster
// says.
func (r *Clusters) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	return index.Settle(reconcile.Result{}, r.reconcile(ctx, req.Name))
}

func (r *Clusters) reconcile(ctx context.Context, name string) error {
	c := &clusterv1.ManagedCluster{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: name}, c); err != nil {
		return client.IgnoreNotFound(err)
	}
	before := c.DeepCopy()
	var errs *multierror.Error
	switch {
	case c.DeletionTimestamp != nil:
		gone, err := r.teardown(ctx, c)
		if gone {
			return err
		}
		errs = multierror.Append(errs, err)
	case c.Spec.HubAcceptsClient:
		errs = multierror.Append(errs, r.admit(ctx, c))
	default:
		errs = multierror.Append(errs, r.refuse(ctx, c))
	}
	errs = multierror.Append(errs, r.letGoIfDetached(ctx, c))
	// What was found out is told, whatever failed beside it.
	errs = multierror.Append(errs, r.writeStatus(ctx, before, c))
	if len(errs.WrappedErrors()) == 1 {
		return errs.Errors[0]
	}
	return errs.ErrorOrNil()
}

// admit prepares the hub for an accepted cluster. A name that is something
// else's gives no rights.
func (r *Clusters) admit(ctx context.Context, c *clusterv1.ManagedCluster) error {
	accepted := metav1.Condition{
		Type: clusterv1.ManagedClusterConditionHubAccepted, Status: metav1.ConditionTrue,
		Reason: reasonAccepted, Message: "accepted by the hub's administrator",
	}
	reason, message, err := r.place(ctx, c)
	if err != nil {
		return err
	}
	if reason != "" {
		accepted.Status, accepted.Reason, accepted.Message = metav1.ConditionFalse, reason, message
		apimeta.SetStatusCondition(&c.Status.Conditions, accepted)
		return r.revoke(ctx, c)
	}
	if err := r.keep(ctx, c); err != nil {
		return err
	}
	if err := r.grant(ctx, c); err != nil {
		return err
	}
	apimeta.SetStatusCondition(&c.Status.Conditions, accepted)
	apimeta.RemoveStatusCondition(&c.Status.Conditions, clusterv1.ManagedClusterConditionHubDenied)
	lease, err := leaseVersion(ctx, r.Client, c.Name)
	if err != nil {
		return err
	}
	if lease != "" {
		apimeta.SetStatusCondition(&c.Status.Conditions, metav1.Condition{
			Type: clusterv1.ManagedClusterConditionJoined, Status: metav1.ConditionTrue,
			Reason: reasonJoined, Message: "the agent came with its certificate and renews its lease",
		})
	}
	return nil
}

// place makes the cluster's namespace, or says why there can be none.
func (r *Clusters) place(ctx context.Context, c *clusterv1.ManagedCluster) (reason, message string, err error) {
	if reserved := reservedName(c.Name); reserved != "" {
		return reasonNameReserved, reserved, nil
	}
	taken, namespace, err := namespaceOf(ctx, r.Reader, c.Name)
	switch {
	case err != nil:
		return "", "", err
	case taken != "":
		return reasonNameTaken, taken, nil
	case namespace == nil:
		err := r.Client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name: c.Name, Labels: map[string]string{clusterv1.ClusterNameLabelKey: c.Name},
		}}, client.FieldOwner(kronvoyv1alpha1.FieldManagerHub))
		if err != nil {
			return "", "", fmt.Errorf("creating namespace %s: %w", c.Name, err)
		}
	case namespace.DeletionTimestamp != nil:
		return reasonTerminating, fmt.Sprintf("namespace %s is being deleted; it is made again when it is gone", c.Name), nil
	}
	return "", "", nil
}

// reservedName says why no cluster may have a name but, where it is so called,
// the hub's own.
func reservedName(cluster string) string {
	if err := kronvoyv1alpha1.ValidateJoinName(cluster); err != nil && cluster != kronvoyv1alpha1.LocalCluster {
		return err.Error()
	}
	return ""
}

// namespaceOf is the namespace of a cluster, nil if there is none yet, or why it
// is not the cluster's.
func namespaceOf(ctx context.Context, reader client.Reader, cluster string) (taken string, _ *corev1.Namespace, _ error) {
	namespace := &corev1.Namespace{}
	err := reader.Get(ctx, client.ObjectKey{Name: cluster}, namespace)
	switch {
	case apierrors.IsNotFound(err):
		return "", nil, nil
	case err != nil:
		return "", nil, fmt.Errorf("reading namespace %s: %w", cluster, err)
	case namespace.Labels[clusterv1.ClusterNameLabelKey] != cluster:
		return fmt.Sprintf("namespace %s exists and is not labelled %s=%s: choose another name for the cluster",
			cluster, clusterv1.ClusterNameLabelKey, cluster), nil, nil
	}
	return "", namespace, nil
}

// keep adds the finalizer that lets the hub take the cluster down.
func (r *Clusters) keep(ctx context.Context, c *clusterv1.ManagedCluster) error {
	before := c.DeepCopy()
	if !controllerutil.AddFinalizer(c, kronvoyv1alpha1.FinalizerCluster) {
		return nil
	}
	return r.patch(ctx, before, c)
}

// patch writes metadata or spec, and keeps what is to become of the status.
func (r *Clusters) patch(ctx context.Context, before, c *clusterv1.ManagedCluster) error {
	status := c.Status.DeepCopy()
	err := r.Client.Patch(ctx, c, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}),
		client.FieldOwner(kronvoyv1alpha1.FieldManagerHub))
	c.Status = *status
	if err != nil {
		return fmt.Errorf("writing cluster %s: %w", c.Name, err)
	}
	return nil
}

// refuse takes the rights first, and then says so. A cluster that was accepted
// before has the finalizer.
func (r *Clusters) refuse(ctx context.Context, c *clusterv1.ManagedCluster) error {
	if err := r.revoke(ctx, c); err != nil {
		return err
	}
	accepted := metav1.Condition{
		Type: clusterv1.ManagedClusterConditionHubAccepted, Status: metav1.ConditionFalse,
		Reason: reasonWaiting, Message: waiting(c),
	}
	if controllerutil.ContainsFinalizer(c, kronvoyv1alpha1.FinalizerCluster) {
		accepted.Reason = reasonDenied
		accepted.Message = fmt.Sprintf("denied by the hub's administrator: its agent has no rights here, and what is on the cluster stays; \"kronvoy accept %s\" accepts it again", c.Name)
		denied := accepted
		denied.Type, denied.Status = clusterv1.ManagedClusterConditionHubDenied, metav1.ConditionTrue
		apimeta.SetStatusCondition(&c.Status.Conditions, denied)
	}
	apimeta.SetStatusCondition(&c.Status.Conditions, accepted)
	return nil
}

// waiting is what to do about a cluster that nobody has accepted yet.
func waiting(c *clusterv1.ManagedCluster) string {
	text := fmt.Sprintf("it waits to be accepted: \"kronvoy accept %s\" shows what it asks for, and does so", c.Name)
	if asked := c.Annotations[kronvoyv1alpha1.AnnotationRequestedLabels]; asked != "" {
		if len(asked) > maxRequestedLabels {
			asked = strings.ToValidUTF8(asked[:maxRequestedLabels], "") + "…"
		}
		text += fmt.Sprintf("; it asks for the labels %q", asked)
	}
	return text
}

// writeStatus patches the conditions and tells of those that changed.
func (r *Clusters) writeStatus(ctx context.Context, before, c *clusterv1.ManagedCluster) error {
	if equality.Semantic.DeepEqual(before.Status, c.Status) {
		return nil
	}
	previous := before.DeepCopy()
	previous.ObjectMeta = c.ObjectMeta
	told := c.DeepCopy()
	err := r.Client.Status().Patch(ctx, c, client.MergeFromWithOptions(previous, client.MergeFromWithOptimisticLock{}),
		client.FieldOwner(kronvoyv1alpha1.FieldManagerHub))
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	for _, now := range told.Status.Conditions {
		was := apimeta.FindStatusCondition(before.Status.Conditions, now.Type)
		if was != nil && was.Status == now.Status && was.Reason == now.Reason {
			continue
		}
		// HubDenied repeats what HubAccepted says.
		if now.Type != clusterv1.ManagedClusterConditionHubDenied {
			r.Events.Tell(told, nil, events.Registration(now.Reason), "%s", now.Message)
		}
	}
	return nil
}

// unreachable says why nobody takes an agent's finalizers off, if so.
func unreachable(c *clusterv1.ManagedCluster) string {
	switch {
	case !c.Spec.HubAcceptsClient:
		return "the cluster is denied, so its agent can remove nothing: accept it again"
	case clusters.Unreachable(c):
		return "the agent is silent: bring it back"
	}
	return ""
}
