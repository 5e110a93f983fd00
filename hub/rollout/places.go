package rollout

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/index"
	"github.com/kronvoy/kronvoy/hub/kinds"
	"github.com/kronvoy/kronvoy/hub/policy"
)

// reference names a Placement.
type reference struct {
	name string
	// at is where it is named, for people.
	at string
	// keeper is the Distribution that the hub keeps it for; nil for any other.
	keeper *kronvoyv1alpha1.Distribution
}

// references are the Placements by which a Distribution places, in order.
func references(d *kronvoyv1alpha1.Distribution) []reference {
	names := policy.Placements(d)
	refs := make([]reference, len(names))
	for i, name := range names {
		refs[i] = reference{name: name, at: fmt.Sprintf("spec.placement.refs[%d] of Distribution %s", i, d.Name)}
		if d.Spec.Placement.ClusterSelector != nil {
			refs[i] = reference{name: name, keeper: d}
		}
	}
	return refs
}

// read puts together what Placements of a namespace decided, in order.
func (p Placer) read(ctx context.Context, namespace string, refs ...reference) (Decision, error) {
	parts := make([]Decision, 0, len(refs))
	for _, ref := range refs {
		placement := &clusterv1beta1.Placement{}
		err := p.Reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: ref.name}, placement, client.UnsafeDisableDeepCopy)
		if apierrors.IsNotFound(err) {
			placement = nil
		} else if err != nil {
			return Decision{}, fmt.Errorf("reading placement %s/%s: %w", namespace, ref.name, err)
		}
		var pages clusterv1beta1.PlacementDecisionList
		err = p.Reader.List(ctx, &pages, client.InNamespace(namespace), client.MatchingLabels{clusterv1beta1.PlacementLabel: ref.name}, client.UnsafeDisableDeepCopy)
		if err != nil {
			return Decision{}, fmt.Errorf("listing decisions of placement %s/%s: %w", namespace, ref.name, err)
		}
		parts = append(parts, decided(ref, namespace, placement, pages.Items))
	}
	return merge(parts), nil
}

// merge gives a cluster that several Placements selected to the first of them.
// While one has not decided nothing is: what it will select, and what it would
// take from those after it, is not known.
func merge(parts []Decision) Decision {
	out := Decision{Decided: true, Reason: ReasonPlaced, Places: map[string]Place{}}
	for _, part := range parts {
		if !part.Decided {
			return part
		}
		for cluster, place := range part.Places {
			if _, taken := out.Places[cluster]; !taken {
				out.Places[cluster] = place
			}
		}
	}
	out.Clusters = slices.Sorted(maps.Keys(out.Places))
	wrong := slices.IndexFunc(parts, func(part Decision) bool {
		return part.Reason != ReasonPlaced && (len(part.Places) > 0 || len(out.Places) == 0)
	})
	if wrong >= 0 {
		out.Reason, out.Message = parts[wrong].Reason, parts[wrong].Message
	}
	return out
}

// decided is what one Placement decided; placement is nil where there is none.
// The decision is told by its pages, so they count only when all of them are
// there: a Placement that is being deleted loses them one by one, and those of
// one that was deleted before it was made anew go in the same way.
func decided(ref reference, namespace string, placement *clusterv1beta1.Placement, pages []clusterv1beta1.PlacementDecision) Decision {
	undecided := func(reason, format string, args ...any) Decision {
		return Decision{Reason: reason, Message: fmt.Sprintf(format, args...)}
	}
	gone := placement == nil || placement.DeletionTimestamp != nil
	switch {
	case gone && ref.keeper != nil:
		return undecided(kronvoyv1alpha1.ReasonPlacementPending, "Placement %s, which the hub keeps for Distribution %s, is not there yet", ref.name, ref.keeper.Name)
	case placement == nil:
		return undecided(kronvoyv1alpha1.ReasonPlacementNotFound, "%s: there is no Placement %s in namespace %s; create it, or name another", ref.at, ref.name, namespace)
	case gone:
		return undecided(kronvoyv1alpha1.ReasonPlacementNotFound, "%s: Placement %s in namespace %s is being deleted; name another", ref.at, ref.name, namespace)
	case ref.keeper != nil && !metav1.IsControlledBy(placement, ref.keeper):
		return undecided(kronvoyv1alpha1.ReasonPlacementTaken, "Placement %s in namespace %s is not Distribution %s's: delete it, and the hub makes its own", ref.name, namespace, ref.keeper.Name)
	}
	pages = slices.DeleteFunc(slices.Clone(pages), func(d clusterv1beta1.PlacementDecision) bool {
		owner := metav1.GetControllerOf(&d)
		return owner != nil && owner.UID != placement.UID
	})
	fault := misconfigured(placement)
	if len(pages) == 0 {
		if fault != "" {
			return undecided(kronvoyv1alpha1.ReasonPlacementMisconfigured, "Placement %s: %s", ref.name, fault)
		}
		return undecided(kronvoyv1alpha1.ReasonPlacementPending, "Placement %s has no decision yet", ref.name)
	}
	out := Decision{Decided: true, Reason: ReasonPlaced, Places: places(ref.name, pages)}
	switch {
	case fault != "":
		out.Reason = kronvoyv1alpha1.ReasonPlacementMisconfigured
		out.Message = fmt.Sprintf("Placement %s: %s; what it decided before stands", ref.name, fault)
	case len(out.Places) == 0:
		out.Reason, out.Message = nothingSelected(namespace, placement)
	}
	return out
}

// misconfigured is what a Placement says is wrong with it; empty for nothing.
func misconfigured(placement *clusterv1beta1.Placement) string {
	c := apimeta.FindStatusCondition(placement.Status.Conditions, clusterv1beta1.PlacementConditionMisconfigured)
	if c == nil || c.Status != metav1.ConditionTrue {
		return ""
	}
	return cmp.Or(c.Message, c.Reason)
}

// nothingSelected passes on what a Placement says of itself. The reasons are
// OCM's, and so are the same whichever scheduler runs.
func nothingSelected(namespace string, placement *clusterv1beta1.Placement) (reason, message string) {
	satisfied := apimeta.FindStatusCondition(placement.Status.Conditions, clusterv1beta1.PlacementConditionSatisfied)
	if satisfied == nil || satisfied.Status == metav1.ConditionTrue {
		satisfied = &metav1.Condition{}
	}
	switch satisfied.Reason {
	case "NoManagedClusterSetBindings":
		return kronvoyv1alpha1.ReasonNoClusterSetBinding, fmt.Sprintf(
			"Placement %s selects no cluster, for no cluster set is bound to namespace %s: create a ManagedClusterSetBinding there", placement.Name, namespace)
	case "NoIntersection":
		return kronvoyv1alpha1.ReasonNoClusterSetBinding, fmt.Sprintf(
			"Placement %s selects no cluster, for none of its spec.clusterSets is bound to namespace %s: create a ManagedClusterSetBinding there", placement.Name, namespace)
	}
	message = fmt.Sprintf("Placement %s selects no cluster", placement.Name)
	if satisfied.Message != "" {
		message += ": " + satisfied.Message
	}
	return kronvoyv1alpha1.ReasonNoClusters, message
}

// places are the clusters on a Placement's pages. One that changes its group is
// on pages of both for a moment; the lower counts.
func places(placement string, pages []clusterv1beta1.PlacementDecision) map[string]Place {
	out := map[string]Place{}
	for i := range pages {
		// A page without an index, as of an older scheduler, is of the first group.
		index, _ := strconv.Atoi(pages[i].Labels[clusterv1beta1.DecisionGroupIndexLabel])
		place := Place{Placement: placement, Group: pages[i].Labels[clusterv1beta1.DecisionGroupNameLabel], GroupIndex: index}
		for _, d := range pages[i].Status.Decisions {
			if d.ClusterName == "" {
				continue
			}
			known, twice := out[d.ClusterName]
			if !twice || cmp.Or(cmp.Compare(place.GroupIndex, known.GroupIndex), cmp.Compare(place.Group, known.Group)) < 0 {
				out[d.ClusterName] = place
			}
		}
	}
	return out
}

// Placements lets Placements through that come, go, or say of themselves that
// something else is wrong. How many clusters they select their decisions tell.
func Placements() predicate.TypedPredicate[*clusterv1beta1.Placement] {
	return index.Changed(func(p *clusterv1beta1.Placement) any {
		reason, message := nothingSelected(p.Namespace, p)
		return []any{p.UID, p.DeletionTimestamp, p.OwnerReferences, misconfigured(p), reason, message}
	})
}

// OnPlacement maps a Placement to the instances that it may be about.
func OnPlacement(c client.Reader) func(context.Context, *clusterv1beta1.Placement) []kinds.Request {
	return func(ctx context.Context, p *clusterv1beta1.Placement) []kinds.Request {
		return ofNamespace(ctx, c, p.Namespace)
	}
}

// OnDecision maps a page of a Placement's decision to the instances that it may
// be about: those with Targets already, and those whose revision waits.
func OnDecision(c client.Reader) func(context.Context, *clusterv1beta1.PlacementDecision) []kinds.Request {
	return func(ctx context.Context, d *clusterv1beta1.PlacementDecision) []kinds.Request {
		return ofNamespace(ctx, c, d.Namespace)
	}
}
