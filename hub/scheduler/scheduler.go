// Package scheduler turns Placements into PlacementDecisions, as OCM's
// scheduler does: decisions in pages of at most 100, numbered from 1.
package scheduler

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	clusterv1beta2 "open-cluster-management.io/api/cluster/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/convert"
	"github.com/kronvoy/kronvoy/hub/index"
	"github.com/kronvoy/kronvoy/placement"
)

// pageSize is the most decisions one PlacementDecision holds (OCM).
const pageSize = 100

// disableAnnotation leaves a Placement to another scheduler (OCM).
const disableAnnotation = "cluster.open-cluster-management.io/experimental-scheduling-disable"

// Reconciler schedules one Placement at a time.
type Reconciler struct {
	Client client.Client

	written index.Written[client.ObjectKey]
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	// Conditions of a cluster change no decision: an outage comes as a taint.
	clusterChanged := predicate.Or(predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{}, index.Changed(func(c client.Object) any {
		return c.GetAnnotations()[kronvoyv1alpha1.AnnotationDetached]
	}))
	claimsChanged := index.Changed(func(c client.Object) any {
		managed, _ := c.(*clusterv1.ManagedCluster)
		return managed.Status.ClusterClaims
	})
	return ctrl.NewControllerManagedBy(mgr).Named("placement").
		For(&clusterv1beta1.Placement{}, builder.WithPredicates(predicate.Or(
			predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		Owns(&clusterv1beta1.PlacementDecision{}).
		Watches(&clusterv1.ManagedCluster{}, handler.EnqueueRequestsFromMapFunc(r.all), builder.WithPredicates(clusterChanged)).
		Watches(&clusterv1.ManagedCluster{}, handler.EnqueueRequestsFromMapFunc(r.byClaims), builder.WithPredicates(claimsChanged)).
		Watches(&clusterv1beta2.ManagedClusterSet{}, handler.EnqueueRequestsFromMapFunc(r.all), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&clusterv1beta2.ManagedClusterSetBinding{}, handler.EnqueueRequestsFromMapFunc(r.ofNamespace), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Complete(r)
}

func (r *Reconciler) all(ctx context.Context, _ client.Object) []reconcile.Request {
	return r.requests(ctx, nil)
}

// byClaims are the Placements that select by claims.
func (r *Reconciler) byClaims(ctx context.Context, _ client.Object) []reconcile.Request {
	return r.requests(ctx, func(p *clusterv1beta1.Placement) bool {
		return slices.ContainsFunc(p.Spec.Predicates, func(predicate clusterv1beta1.ClusterPredicate) bool {
			return len(predicate.RequiredClusterSelector.ClaimSelector.MatchExpressions) > 0
		})
	})
}

func (r *Reconciler) ofNamespace(ctx context.Context, obj client.Object) []reconcile.Request {
	return r.requests(ctx, nil, client.InNamespace(obj.GetNamespace()))
}

// requests are the Placements that keep lets through, all where it is nil.
func (r *Reconciler) requests(ctx context.Context, keep func(*clusterv1beta1.Placement) bool, opts ...client.ListOption) []reconcile.Request {
	var placements clusterv1beta1.PlacementList
	if err := r.Client.List(ctx, &placements, opts...); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "listing placements")
		return nil
	}
	requests := make([]reconcile.Request, 0, len(placements.Items))
	for i := range placements.Items {
		if keep == nil || keep(&placements.Items[i]) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&placements.Items[i])})
		}
	}
	return requests
}

// Reconcile decides and writes what changed.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	var p clusterv1beta1.Placement
	if err := r.Client.Get(ctx, req.NamespacedName, &p); err != nil {
		r.written.Forget(req.NamespacedName)
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if r.written.Behind(req.NamespacedName, &p) {
		return index.Later(), nil
	}
	if p.DeletionTimestamp != nil || p.Annotations[disableAnnotation] == "true" {
		return reconcile.Result{}, nil
	}
	policy, clusters, misconfigured, err := r.gather(ctx, &p)
	if err != nil {
		return reconcile.Result{}, err
	}
	if misconfigured != nil {
		return reconcile.Result{}, r.writeStatus(ctx, &p, nil, policy, misconfigured)
	}
	pages, err := r.pages(ctx, &p)
	if err != nil {
		return reconcile.Result{}, err
	}
	decision := placement.Select(policy, clusters, previous(pages))
	if err := r.writePages(ctx, &p, pages, decision); err != nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{}, r.writeStatus(ctx, &p, &decision, policy, nil)
}

func (r *Reconciler) gather(ctx context.Context, p *clusterv1beta1.Placement) (policy placement.Policy, clusters []placement.Cluster, misconfigured, err error) {
	var bindings clusterv1beta2.ManagedClusterSetBindingList
	if err := r.Client.List(ctx, &bindings, client.InNamespace(p.Namespace)); err != nil {
		return policy, nil, nil, fmt.Errorf("listing cluster set bindings: %w", err)
	}
	var sets clusterv1beta2.ManagedClusterSetList
	if err := r.Client.List(ctx, &sets); err != nil {
		return policy, nil, nil, fmt.Errorf("listing cluster sets: %w", err)
	}
	var managed clusterv1.ManagedClusterList
	if err := r.Client.List(ctx, &managed); err != nil {
		return policy, nil, nil, fmt.Errorf("listing clusters: %w", err)
	}
	for i := range managed.Items {
		clusters = append(clusters, convert.PlacementCluster(&managed.Items[i]))
	}
	policy, misconfigured = convert.Policy(p, bindings.Items, sets.Items)
	return policy, clusters, misconfigured, nil
}

func (r *Reconciler) pages(ctx context.Context, p *clusterv1beta1.Placement) ([]clusterv1beta1.PlacementDecision, error) {
	var pages clusterv1beta1.PlacementDecisionList
	err := r.Client.List(ctx, &pages, client.InNamespace(p.Namespace), client.MatchingLabels{clusterv1beta1.PlacementLabel: p.Name})
	if err != nil {
		return nil, fmt.Errorf("listing decisions of placement %s/%s: %w", p.Namespace, p.Name, err)
	}
	return pages.Items, nil
}

func previous(pages []clusterv1beta1.PlacementDecision) []string {
	var names []string
	for i := range pages {
		for _, decision := range pages[i].Status.Decisions {
			if decision.ClusterName != "" {
				names = append(names, decision.ClusterName)
			}
		}
	}
	return names
}

// writePages writes the decision. Pages are filled before surplus ones are
// deleted, so that no reader ever sees a cluster missing that is selected.
func (r *Reconciler) writePages(ctx context.Context, p *clusterv1beta1.Placement, existing []clusterv1beta1.PlacementDecision, decision placement.Decision) error {
	var decisions []clusterv1beta1.ClusterDecision
	for _, reason := range decision.Reasons {
		if _, selected := slices.BinarySearch(decision.Clusters, reason.Cluster); selected {
			decisions = append(decisions, clusterv1beta1.ClusterDecision{ClusterName: reason.Cluster, Reason: string(reason.Code)})
		}
	}
	wanted := map[string]bool{}
	for page := 0; page == 0 || page*pageSize < len(decisions); page++ {
		name := p.Name + "-decision-" + strconv.Itoa(page+1)
		wanted[name] = true
		part := decisions[page*pageSize : min((page+1)*pageSize, len(decisions))]
		if err := r.writePage(ctx, p, existing, name, part); err != nil {
			return fmt.Errorf("writing decision %s/%s: %w", p.Namespace, name, err)
		}
	}
	for i := range existing {
		if !wanted[existing[i].Name] {
			if err := r.Client.Delete(ctx, &existing[i]); client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("deleting decision %s/%s: %w", p.Namespace, existing[i].Name, err)
			}
		}
	}
	return nil
}

func (r *Reconciler) writePage(ctx context.Context, p *clusterv1beta1.Placement, existing []clusterv1beta1.PlacementDecision, name string, decisions []clusterv1beta1.ClusterDecision) error {
	i := slices.IndexFunc(existing, func(d clusterv1beta1.PlacementDecision) bool { return d.Name == name })
	var page *clusterv1beta1.PlacementDecision
	if i >= 0 {
		page = existing[i].DeepCopy()
	} else {
		page = &clusterv1beta1.PlacementDecision{ObjectMeta: metav1.ObjectMeta{
			Namespace: p.Namespace, Name: name,
			Labels: map[string]string{
				clusterv1beta1.PlacementLabel:          p.Name,
				clusterv1beta1.DecisionGroupIndexLabel: "0",
				clusterv1beta1.DecisionGroupNameLabel:  "",
			},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(p, schema.GroupVersion(clusterv1beta1.GroupVersion).WithKind("Placement"))},
		}}
		if err := r.Client.Create(ctx, page); err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		} else if err != nil {
			if err := r.Client.Get(ctx, client.ObjectKeyFromObject(page), page); err != nil {
				return err
			}
		}
	}
	if i >= 0 && equality.Semantic.DeepEqual(page.Status.Decisions, decisions) {
		return nil
	}
	page.Status.Decisions = decisions
	if page.Status.Decisions == nil {
		page.Status.Decisions = []clusterv1beta1.ClusterDecision{}
	}
	return r.Client.Status().Update(ctx, page)
}

func (r *Reconciler) writeStatus(ctx context.Context, p *clusterv1beta1.Placement, decision *placement.Decision, policy placement.Policy, misconfigured error) error {
	before := p.DeepCopy()
	condition := metav1.Condition{Type: clusterv1beta1.PlacementConditionMisconfigured, Status: metav1.ConditionFalse, Reason: "Succeedconfigured", ObservedGeneration: p.Generation}
	if misconfigured != nil {
		condition.Status, condition.Reason, condition.Message = metav1.ConditionTrue, "Misconfigured", misconfigured.Error()
	}
	apimeta.SetStatusCondition(&p.Status.Conditions, condition)
	markClaims(p, policy)
	if decision != nil {
		apimeta.SetStatusCondition(&p.Status.Conditions, satisfied(p, policy, *decision))
		p.Status.NumberOfSelectedClusters = int32(len(decision.Clusters))
		group := clusterv1beta1.DecisionGroupStatus{ClustersCount: p.Status.NumberOfSelectedClusters, Decisions: []string{}}
		for page := 0; page == 0 || page*pageSize < len(decision.Clusters); page++ {
			group.Decisions = append(group.Decisions, p.Name+"-decision-"+strconv.Itoa(page+1))
		}
		p.Status.DecisionGroups = []clusterv1beta1.DecisionGroupStatus{group}
	}
	if p.Status.DecisionGroups == nil {
		p.Status.DecisionGroups = []clusterv1beta1.DecisionGroupStatus{}
	}
	if equality.Semantic.DeepEqual(before.Status, p.Status) {
		return nil
	}
	if err := r.Client.Status().Patch(ctx, p, client.MergeFrom(before), client.FieldOwner(kronvoyv1alpha1.FieldManagerHub)); err != nil {
		return fmt.Errorf("writing status of placement %s/%s: %w", p.Namespace, p.Name, err)
	}
	r.written.Note(client.ObjectKeyFromObject(p), p)
	return nil
}

// markClaims says of a Placement that its decision rests on what nobody checks.
func markClaims(p *clusterv1beta1.Placement, policy placement.Policy) {
	if !policy.RestsOnClaims() {
		apimeta.RemoveStatusCondition(&p.Status.Conditions, kronvoyv1alpha1.ConditionRestsOnClaims)
		return
	}
	apimeta.SetStatusCondition(&p.Status.Conditions, metav1.Condition{
		Type: kronvoyv1alpha1.ConditionRestsOnClaims, Status: metav1.ConditionTrue, ObservedGeneration: p.Generation,
		Reason: kronvoyv1alpha1.ReasonClaimsAreUntrusted,
		Message: "claimSelector goes by what clusters say of themselves, and nobody checks that: a cluster that lies is selected, " +
			"and gets what is placed here; where that matters select by labels, which only the hub gives",
	})
}

// satisfied uses OCM's reasons.
func satisfied(p *clusterv1beta1.Placement, policy placement.Policy, decision placement.Decision) metav1.Condition {
	condition := metav1.Condition{
		Type: clusterv1beta1.PlacementConditionSatisfied, Status: metav1.ConditionFalse, ObservedGeneration: p.Generation,
	}
	wanted := p.Spec.NumberOfClusters
	switch {
	case len(policy.Sets) == 0:
		condition.Reason = "NoManagedClusterSetBindings"
		condition.Message = "no cluster set is bound to namespace " + p.Namespace + ": create a ManagedClusterSetBinding"
	case len(decision.Clusters) == 0:
		condition.Reason = "NoManagedClusterMatched"
		condition.Message = "no cluster matches"
	case wanted != nil && len(decision.Clusters) < int(*wanted):
		condition.Reason = "NotAllDecisionsScheduled"
		condition.Message = fmt.Sprintf("%d of %d clusters found", len(decision.Clusters), *wanted)
	default:
		condition.Status, condition.Reason = metav1.ConditionTrue, "AllDecisionsScheduled"
		condition.Message = fmt.Sprintf("%d clusters selected", len(decision.Clusters))
	}
	return condition
}
