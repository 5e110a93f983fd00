package registration

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/events"
	"github.com/kronvoy/kronvoy/hub/index"
	"github.com/kronvoy/kronvoy/hub/registration/csr"
	"github.com/kronvoy/kronvoy/hub/registration/token"
)

// MaxPending is how many requests of one cluster may wait for a person; more
// are refused (OCM's agents stop at as many).
const MaxPending = 10

// atOnce is how many requests are decided about, and how many clusters prepared,
// at the same time: each takes several answers of the API server, and a fleet
// may join in one go.
const atOnce = 8

// Requests decides about the CertificateSigningRequests of agents.
type Requests struct {
	Client client.Client
	// Reader bypasses the cache: a decision about an identity is made on what is
	// so now.
	Reader client.Reader
	Events *events.Recorder
	Clock  clock.Clock
	// MaxDuration is the longest that a certificate may last; 0 for no bound.
	MaxDuration time.Duration
}

// SetupWithManager registers the controller. A request that waits is looked at
// again when its cluster comes or goes, and when its token does.
func (r *Requests) SetupWithManager(mgr ctrl.Manager) error {
	comesOrGoes := predicate.Funcs{UpdateFunc: func(event.UpdateEvent) bool { return false }}
	return ctrl.NewControllerManagedBy(mgr).Named("certificate-requests").
		For(&certificatesv1.CertificateSigningRequest{}).
		Watches(&clusterv1.ManagedCluster{}, handler.EnqueueRequestsFromMapFunc(r.ofCluster), builder.WithPredicates(comesOrGoes)).
		Watches(&corev1.ServiceAccount{}, handler.EnqueueRequestsFromMapFunc(r.ofCluster), builder.WithPredicates(comesOrGoes)).
		WithOptions(controller.Options{MaxConcurrentReconciles: atOnce}).
		Complete(r)
}

// ofCluster are the undecided requests of the cluster by whose name an object is
// called.
func (r *Requests) ofCluster(ctx context.Context, obj client.Object) []reconcile.Request {
	pending, err := r.pending(ctx, obj.GetName())
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing requests failed", "cluster", obj.GetName())
	}
	requests := make([]reconcile.Request, 0, len(pending))
	for i := range pending {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKey{Name: pending[i].Name}})
	}
	return requests
}

// pending are the undecided requests of a cluster, oldest first.
func (r *Requests) pending(ctx context.Context, cluster string) ([]certificatesv1.CertificateSigningRequest, error) {
	var list certificatesv1.CertificateSigningRequestList
	if err := r.Client.List(ctx, &list, client.MatchingLabels{clusterv1.ClusterNameLabelKey: cluster}); err != nil {
		return nil, fmt.Errorf("listing requests of cluster %s: %w", cluster, err)
	}
	items := slices.DeleteFunc(list.Items, func(request certificatesv1.CertificateSigningRequest) bool {
		return csr.Cluster(&request) != cluster || !csr.Pending(&request)
	})
	slices.SortFunc(items, func(a, b certificatesv1.CertificateSigningRequest) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return items, nil
}

// Reconcile gathers, has csr decide, and carries it out.
func (r *Requests) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	return index.Settle(reconcile.Result{}, r.reconcile(ctx, req.Name))
}

func (r *Requests) reconcile(ctx context.Context, name string) error {
	request := &certificatesv1.CertificateSigningRequest{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: name}, request); err != nil {
		return client.IgnoreNotFound(err)
	}
	if csr.Cluster(request) == "" {
		return nil
	}
	in, err := r.gather(ctx, request)
	if err != nil {
		return err
	}
	if !csr.Pending(request) {
		return r.recordUse(ctx, in)
	}
	v := csr.Judge(in)
	if v.Action == csr.Wait && v.Reason == csr.ReasonWaitingForApproval {
		if v, err = r.bound(ctx, request, v); err != nil {
			return err
		}
	}
	switch v.Action {
	case csr.Approve:
		return r.approve(ctx, in, v)
	case csr.Deny:
		return r.decide(ctx, in, v, certificatesv1.CertificateDenied)
	}
	return nil
}

// gather reads all that a decision depends on.
func (r *Requests) gather(ctx context.Context, request *certificatesv1.CertificateSigningRequest) (csr.Input, error) {
	in := csr.Input{Request: request, MaxDuration: r.MaxDuration, Now: r.Clock.Now()}
	name := csr.Cluster(request)
	cluster := &clusterv1.ManagedCluster{}
	err := r.Reader.Get(ctx, client.ObjectKey{Name: name}, cluster)
	switch {
	case err == nil:
		in.Cluster = cluster
	case !apierrors.IsNotFound(err):
		return in, fmt.Errorf("reading cluster %s: %w", name, err)
	}
	if _, _, isAgent := kronvoyv1alpha1.ParseAgentUser(request.Spec.Username); isAgent {
		in.MayRenew, err = r.mayRenew(ctx, request, name)
		return in, err
	}
	if account, joins := kronvoyv1alpha1.ParseJoinUser(request.Spec.Username); joins {
		live := &corev1.ServiceAccount{}
		err := r.Reader.Get(ctx, client.ObjectKey{Namespace: kronvoyv1alpha1.JoinNamespace, Name: account}, live)
		switch {
		case err == nil:
			in.Account = live
		case !apierrors.IsNotFound(err):
			return in, fmt.Errorf("reading the token of cluster %s: %w", account, err)
		}
	}
	in.NameTaken, _, err = namespaceOf(ctx, r.Reader, name)
	return in, err
}

// mayRenew asks the API server what OCM asks, for this cluster by name.
func (r *Requests) mayRenew(ctx context.Context, request *certificatesv1.CertificateSigningRequest, cluster string) (bool, error) {
	extra := make(map[string]authorizationv1.ExtraValue, len(request.Spec.Extra))
	for key, value := range request.Spec.Extra {
		extra[key] = authorizationv1.ExtraValue(value)
	}
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: request.Spec.Username, Groups: request.Spec.Groups, UID: request.Spec.UID, Extra: extra,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Group: renewGroup, Resource: renewResource, Subresource: renewSubresource, Verb: renewVerb, Name: cluster,
		},
	}}
	if err := r.Client.Create(ctx, review); err != nil {
		return false, fmt.Errorf("asking whether %s may renew: %w", request.Spec.Username, err)
	}
	return review.Status.Allowed, nil
}

// bound refuses a request where enough others of its cluster wait already.
func (r *Requests) bound(ctx context.Context, request *certificatesv1.CertificateSigningRequest, v csr.Verdict) (csr.Verdict, error) {
	cluster := csr.Cluster(request)
	pending, err := r.pending(ctx, cluster)
	if err != nil {
		return v, err
	}
	before := slices.IndexFunc(pending, func(other certificatesv1.CertificateSigningRequest) bool { return other.UID == request.UID })
	if before < MaxPending {
		return v, nil
	}
	return csr.Verdict{Action: csr.Deny, Reason: "TooManyRequests", Message: fmt.Sprintf(
		"%d requests of cluster %s wait for approval already: decide about them first, with \"kronvoy accept %s\" or \"kubectl certificate deny\"", MaxPending, cluster, cluster)}, nil
}

// approve marks the token as used before all else: whatever happens then, no
// other request gets anything for it, and this one is carried on.
func (r *Requests) approve(ctx context.Context, in csr.Input, v csr.Verdict) error {
	if v.Token {
		if err := r.use(ctx, in); err != nil {
			return err
		}
	}
	if v.Accept {
		if err := r.accept(ctx, in.Cluster, v.Labels); err != nil {
			return err
		}
	}
	return r.decide(ctx, in, v, certificatesv1.CertificateApproved)
}

// recordUse marks a token as used when a person approved the request.
func (r *Requests) recordUse(ctx context.Context, in csr.Input) error {
	approved := slices.ContainsFunc(in.Request.Status.Conditions, func(c certificatesv1.CertificateSigningRequestCondition) bool {
		return c.Type == certificatesv1.CertificateApproved
	})
	if !approved || in.Account == nil || string(in.Account.UID) != in.Request.Spec.UID || !token.Is(in.Account) {
		return nil
	}
	if in.Account.Annotations[kronvoyv1alpha1.AnnotationJoinUsedBy] != "" {
		return nil
	}
	return r.use(ctx, in)
}

func (r *Requests) use(ctx context.Context, in csr.Input) error {
	if in.Account.Annotations[kronvoyv1alpha1.AnnotationJoinUsedBy] == string(in.Request.UID) {
		return nil
	}
	lease, err := leaseVersion(ctx, r.Reader, in.Account.Name)
	if err != nil {
		return err
	}
	before := in.Account.DeepCopy()
	metav1.SetMetaDataAnnotation(&in.Account.ObjectMeta, kronvoyv1alpha1.AnnotationJoinUsedBy, string(in.Request.UID))
	metav1.SetMetaDataAnnotation(&in.Account.ObjectMeta, kronvoyv1alpha1.AnnotationJoinLease, lease)
	// The lock makes it impossible that two requests use one token.
	err = r.Client.Patch(ctx, in.Account, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}),
		client.FieldOwner(kronvoyv1alpha1.FieldManagerHub))
	if err != nil {
		return fmt.Errorf("marking the token of cluster %s as used: %w", in.Account.Name, err)
	}
	return nil
}

// accept does what an administrator does: the cluster gets what it was promised
// with the token, and is no longer detached.
func (r *Requests) accept(ctx context.Context, c *clusterv1.ManagedCluster, labels map[string]string) error {
	before := c.DeepCopy()
	c.Spec.HubAcceptsClient = true
	delete(c.Annotations, kronvoyv1alpha1.AnnotationDetached)
	delete(c.Annotations, kronvoyv1alpha1.AnnotationDetachedBy)
	if c.Labels == nil {
		c.Labels = map[string]string{}
	}
	maps.Copy(c.Labels, labels)
	err := r.Client.Patch(ctx, c, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}),
		client.FieldOwner(kronvoyv1alpha1.FieldManagerHub))
	if err != nil {
		return fmt.Errorf("accepting cluster %s: %w", c.Name, err)
	}
	return nil
}

// decide writes the decision, and tells of it.
func (r *Requests) decide(ctx context.Context, in csr.Input, v csr.Verdict, decision certificatesv1.RequestConditionType) error {
	request := in.Request.DeepCopy()
	request.Status.Conditions = append(request.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
		Type: decision, Status: corev1.ConditionTrue, Reason: v.Reason, Message: v.Message,
		LastUpdateTime: metav1.NewTime(in.Now),
	})
	if err := r.Client.SubResource("approval").Update(ctx, request); err != nil {
		return fmt.Errorf("writing that request %s is %s: %w", request.Name, decision, err)
	}
	var regarding client.Object = in.Request
	if in.Cluster != nil {
		regarding = in.Cluster
	}
	kind := events.CertificateApproved
	if decision == certificatesv1.CertificateDenied {
		kind = events.CertificateDenied
	}
	r.Events.Tell(regarding, nil, kind, "request %s of %s: %s", request.Name, request.Spec.Username, v.Message)
	ctrl.LoggerFrom(ctx).Info("Decided about a certificate request", "cluster", csr.Cluster(request), "requester", request.Spec.Username,
		"decision", string(decision), "reason", v.Reason, "message", v.Message)
	return nil
}
