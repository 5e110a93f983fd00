// Package scheduler turns Placements into PlacementDecisions, as OCM's
// scheduler does: decisions in pages of at most 100, numbered from 1, each of one
// group.
package scheduler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	clusterv1alpha1 "open-cluster-management.io/api/cluster/v1alpha1"
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

// disableAnnotation leaves a Placement to another scheduler (OCM).
const disableAnnotation = "cluster.open-cluster-management.io/experimental-scheduling-disable"

// Reconciler schedules one Placement at a time.
type Reconciler struct {
	Client client.Client
	Clock  clock.Clock

	written index.Written[client.ObjectKey]
	fleet   fleet
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	// Conditions of a cluster change no decision but that of an expression: an
	// outage comes as a taint.
	clusterChanged := predicate.Or(predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{}, index.Changed(func(c client.Object) any {
		return c.GetAnnotations()[kronvoyv1alpha1.AnnotationDetached]
	}))
	return ctrl.NewControllerManagedBy(mgr).Named("placement").
		For(&clusterv1beta1.Placement{}, builder.WithPredicates(predicate.Or(
			predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		Owns(&clusterv1beta1.PlacementDecision{}).
		Watches(&clusterv1.ManagedCluster{}, handler.EnqueueRequestsFromMapFunc(r.all), builder.WithPredicates(clusterChanged)).
		Watches(&clusterv1.ManagedCluster{}, handler.EnqueueRequestsFromMapFunc(r.that(restsOnStatus)), builder.WithPredicates(statusChanged())).
		Watches(&clusterv1alpha1.AddOnPlacementScore{}, handler.EnqueueRequestsFromMapFunc(r.that(needsScores))).
		Watches(&clusterv1beta2.ManagedClusterSet{}, handler.EnqueueRequestsFromMapFunc(r.all), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&clusterv1beta2.ManagedClusterSetBinding{}, handler.EnqueueRequestsFromMapFunc(r.ofNamespace), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Complete(r)
}

func (r *Reconciler) all(ctx context.Context, _ client.Object) []reconcile.Request {
	return r.requests(ctx, nil)
}

// that are the Placements for which a change matters.
func (r *Reconciler) that(matters func(*clusterv1beta1.Placement) bool) handler.MapFunc {
	return func(ctx context.Context, _ client.Object) []reconcile.Request { return r.requests(ctx, matters) }
}

func (r *Reconciler) ofNamespace(ctx context.Context, obj client.Object) []reconcile.Request {
	return r.requests(ctx, nil, client.InNamespace(obj.GetNamespace()))
}

// requests are the Placements that keep lets through, all where it is nil.
func (r *Reconciler) requests(ctx context.Context, keep func(*clusterv1beta1.Placement) bool, opts ...client.ListOption) []reconcile.Request {
	var placements clusterv1beta1.PlacementList
	if err := r.Client.List(ctx, &placements, opts...); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing placements failed")
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
	stored := p.DeepCopy()
	policy, misconfigured, err := r.policy(ctx, &p)
	if err != nil {
		return reconcile.Result{}, err
	}
	if misconfigured != nil {
		return reconcile.Result{}, r.writeStatus(ctx, stored, &p, nil, policy, misconfigured)
	}
	pages, placed, err := r.decisions(ctx, &p)
	if err != nil {
		return reconcile.Result{}, err
	}
	clusters, err := r.fleet.snapshot(ctx, r.Client, policy, placed)
	if err != nil {
		return reconcile.Result{}, err
	}
	now := r.Clock.Now()
	decision := placement.Select(policy, clusters, convert.Decided(pages), now)
	if decision.Undecided != "" {
		return reconcile.Result{}, r.writeStatus(ctx, stored, &p, nil, policy, errors.New(decision.Undecided))
	}
	before := recorded(pages)
	write, wait := scoresToWrite(&p, pages, &decision, now)
	groups, err := r.writePages(ctx, &p, pages, &decision, write)
	if err != nil {
		return reconcile.Result{}, err
	}
	if write != nil && (p.Status.LastScoreUpdateTime == nil || !maps.Equal(before, write)) {
		p.Status.LastScoreUpdateTime = ptr.To(metav1.NewTime(now))
	}
	if err := r.writeStatus(ctx, stored, &p, &outcome{&decision, groups}, policy, nil); err != nil {
		return reconcile.Result{}, err
	}
	if !decision.RecheckAt.IsZero() && (wait == 0 || decision.RecheckAt.Sub(now) < wait) {
		wait = max(decision.RecheckAt.Sub(now), time.Second)
	}
	return reconcile.Result{RequeueAfter: wait}, nil
}

// policy says in misconfigured what is wrong with the Placement.
func (r *Reconciler) policy(ctx context.Context, p *clusterv1beta1.Placement) (policy placement.Policy, misconfigured, err error) {
	var bindings clusterv1beta2.ManagedClusterSetBindingList
	if err := r.Client.List(ctx, &bindings, client.InNamespace(p.Namespace)); err != nil {
		return policy, nil, fmt.Errorf("listing cluster set bindings: %w", err)
	}
	var sets clusterv1beta2.ManagedClusterSetList
	if err := r.Client.List(ctx, &sets); err != nil {
		return policy, nil, fmt.Errorf("listing cluster sets: %w", err)
	}
	policy, misconfigured = convert.Policy(p, bindings.Items, sets.Items)
	return policy, misconfigured, nil
}

// decisions are the Placement's own, and for each cluster how many others have
// selected it.
func (r *Reconciler) decisions(ctx context.Context, p *clusterv1beta1.Placement) (own []clusterv1beta1.PlacementDecision, placed map[string]int, err error) {
	var all clusterv1beta1.PlacementDecisionList
	if err := r.Client.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
		return nil, nil, fmt.Errorf("listing decisions: %w", err)
	}
	own, placed = convert.Decisions(p, all.Items)
	for i := range own {
		own[i] = *own[i].DeepCopy()
	}
	return own, placed, nil
}

// outcome is a decision, and the groups of its pages for the Placement's status.
type outcome struct {
	*placement.Decision
	groups []clusterv1beta1.DecisionGroupStatus
}

// writePages writes the decision, so that no reader ever sees a cluster missing
// that stays selected.
func (r *Reconciler) writePages(ctx context.Context, p *clusterv1beta1.Placement, live []clusterv1beta1.PlacementDecision, decision *placement.Decision, write scores) ([]clusterv1beta1.DecisionGroupStatus, error) {
	byNumber := map[int]*clusterv1beta1.PlacementDecision{}
	var existing []page
	for i := range live {
		number, err := numberOf(p, &live[i])
		if err != nil || byNumber[number] != nil {
			continue // somebody else's, which the label makes ours: it goes below
		}
		byNumber[number] = &live[i]
		existing = append(existing, pageOf(number, &live[i]))
	}
	plan := paginate(decision.Groups, existing)
	groups := make([]clusterv1beta1.DecisionGroupStatus, len(decision.Groups))
	for i, group := range decision.Groups {
		groups[i] = clusterv1beta1.DecisionGroupStatus{
			DecisionGroupIndex: int32(i), DecisionGroupName: group.Name, ClustersCount: int32(len(group.Clusters)), Decisions: []string{},
		}
	}
	for _, page := range plan.first {
		groups[page.index].Decisions = append(groups[page.index].Decisions, pageName(p, page.number))
	}
	for _, page := range slices.Concat(plan.first, plan.then) {
		written, err := r.writePage(ctx, p, byNumber[page.number], page, decision, write)
		if err != nil {
			return nil, fmt.Errorf("writing decision %s/%s: %w", p.Namespace, pageName(p, page.number), err)
		}
		byNumber[page.number] = written
	}
	for i := range live {
		number, err := numberOf(p, &live[i])
		if err == nil && !slices.Contains(plan.remove, number) {
			continue
		}
		if err := r.Client.Delete(ctx, &live[i]); client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("deleting decision %s/%s: %w", p.Namespace, live[i].Name, err)
		}
	}
	return groups, nil
}

func pageName(p *clusterv1beta1.Placement, number int) string {
	return p.Name + "-decision-" + strconv.Itoa(number)
}

func numberOf(p *clusterv1beta1.Placement, d *clusterv1beta1.PlacementDecision) (int, error) {
	number, err := strconv.Atoi(strings.TrimPrefix(d.Name, p.Name+"-decision-"))
	if err != nil || number < 1 || pageName(p, number) != d.Name {
		return 0, fmt.Errorf("%s is no page of %s", d.Name, p.Name)
	}
	return number, nil
}

func pageOf(number int, d *clusterv1beta1.PlacementDecision) page {
	out := page{number: number, name: d.Labels[clusterv1beta1.DecisionGroupNameLabel]}
	var err error
	if out.index, err = strconv.Atoi(d.Labels[clusterv1beta1.DecisionGroupIndexLabel]); err != nil {
		out.index = -1 // of no group: what is on it goes to another page
	}
	for _, decision := range d.Status.Decisions {
		if decision.ClusterName != "" {
			out.clusters = append(out.clusters, decision.ClusterName)
		}
	}
	return out
}

// writePage creates the page if live is nil, and writes what differs.
func (r *Reconciler) writePage(ctx context.Context, p *clusterv1beta1.Placement, live *clusterv1beta1.PlacementDecision, wanted page, decision *placement.Decision, write scores) (*clusterv1beta1.PlacementDecision, error) {
	decisions := make([]clusterv1beta1.ClusterDecision, 0, len(wanted.clusters))
	for _, name := range wanted.clusters {
		why, _ := decision.Why(name)
		decisions = append(decisions, clusterv1beta1.ClusterDecision{ClusterName: name, Reason: string(why.Code), Score: write[name]})
	}
	labels := map[string]string{
		clusterv1beta1.PlacementLabel:          p.Name,
		clusterv1beta1.DecisionGroupIndexLabel: strconv.Itoa(wanted.index),
		clusterv1beta1.DecisionGroupNameLabel:  wanted.name,
	}
	if live == nil {
		live = &clusterv1beta1.PlacementDecision{ObjectMeta: metav1.ObjectMeta{
			Namespace: p.Namespace, Name: pageName(p, wanted.number), Labels: labels,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(p, schema.GroupVersion(clusterv1beta1.GroupVersion).WithKind("Placement"))},
		}}
		if err := r.Client.Create(ctx, live); err != nil && !apierrors.IsAlreadyExists(err) {
			return nil, err
		} else if err != nil {
			if err := r.Client.Get(ctx, client.ObjectKeyFromObject(live), live); err != nil {
				return nil, err
			}
		}
	} else if equality.Semantic.DeepEqual(live.Status.Decisions, decisions) {
		return live, nil
	}
	live.Status.Decisions = decisions
	return live, r.Client.Status().Update(ctx, live)
}

func (r *Reconciler) writeStatus(ctx context.Context, before, p *clusterv1beta1.Placement, decision *outcome, policy placement.Policy, misconfigured error) error {
	condition := metav1.Condition{Type: clusterv1beta1.PlacementConditionMisconfigured, Status: metav1.ConditionFalse, Reason: "Succeedconfigured", ObservedGeneration: p.Generation}
	if misconfigured != nil {
		condition.Status, condition.Reason, condition.Message = metav1.ConditionTrue, "Misconfigured", misconfigured.Error()
	}
	apimeta.SetStatusCondition(&p.Status.Conditions, condition)
	markClaims(p, policy)
	if decision != nil {
		apimeta.SetStatusCondition(&p.Status.Conditions, satisfied(p, policy, *decision.Decision))
		p.Status.NumberOfSelectedClusters = int32(len(decision.Clusters))
		p.Status.DecisionGroups = decision.groups
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
		Message: "the decision goes by what clusters say of themselves, and nobody checks that: a cluster that lies is selected, " +
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
		if len(policy.NamedSets) > 0 {
			condition.Reason = "NoIntersection"
			condition.Message = "namespace " + p.Namespace + " is bound to none of the cluster sets in spec.clusterSets: create a ManagedClusterSetBinding for one of them"
		}
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
