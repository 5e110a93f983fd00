package rollout

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// Decision is where an instance should run, as far as that is decided.
type Decision struct {
	// Clusters by name; meaningless unless Decided.
	Clusters []string
	// Decided is false while nothing may be concluded, least of all a removal.
	Decided bool
	// Reason and Message say what is missing: NoPlacement, PlacementNotFound,
	// PlacementPending, NotPinned.
	Reason, Message string
}

// Reasons of the condition Placed.
const (
	ReasonPlaced            = "Placed"
	ReasonNoPlacement       = "NoPlacement"
	ReasonPlacementNotFound = "PlacementNotFound"
	ReasonPlacementPending  = "PlacementPending"
	ReasonNoClusters        = "NoClusters"
	ReasonRemovalHeld       = "RemovalHeld"
	ReasonNotPinned         = "NotPinned"
)

// Placer finds out where instances run.
type Placer struct {
	Reader client.Reader
	// HubNamespace holds the Placements of cluster-scoped instances.
	HubNamespace string
	Default      DefaultPlacement
}

// Decide reads what the instance's Placement decided, or applies the default
// where it names none. An instance that the hub made runs where it was made for.
func (p Placer) Decide(ctx context.Context, instance *unstructured.Unstructured) (Decision, error) {
	if decision, known, err := p.pinned(ctx, instance); known || err != nil {
		return decision, err
	}
	name := instance.GetLabels()[kronvoyv1alpha1.LabelPlacement]
	if name == "" {
		return p.unplaced(ctx, instance)
	}
	c, namespace := p.Reader, RevisionNamespace(instance, p.HubNamespace)
	var placement clusterv1beta1.Placement
	err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &placement)
	if apierrors.IsNotFound(err) {
		return Decision{Reason: ReasonPlacementNotFound, Message: fmt.Sprintf("there is no Placement %s in namespace %s", name, namespace)}, nil
	}
	if err != nil {
		return Decision{}, fmt.Errorf("reading placement %s/%s: %w", namespace, name, err)
	}
	var pages clusterv1beta1.PlacementDecisionList
	if err := c.List(ctx, &pages, client.InNamespace(namespace), client.MatchingLabels{clusterv1beta1.PlacementLabel: name}); err != nil {
		return Decision{}, fmt.Errorf("listing decisions of placement %s/%s: %w", namespace, name, err)
	}
	if len(pages.Items) == 0 {
		return Decision{Reason: ReasonPlacementPending, Message: fmt.Sprintf("Placement %s has no decision yet", name)}, nil
	}
	decision := Decision{Decided: true, Reason: ReasonPlaced}
	for i := range pages.Items {
		for _, d := range pages.Items[i].Status.Decisions {
			if d.ClusterName != "" {
				decision.Clusters = append(decision.Clusters, d.ClusterName)
			}
		}
	}
	slices.Sort(decision.Clusters)
	decision.Clusters = slices.Compact(decision.Clusters)
	if len(decision.Clusters) == 0 {
		decision.Reason, decision.Message = ReasonNoClusters, fmt.Sprintf("Placement %s selects no cluster", name)
	}
	return decision, nil
}

// wanted is what every Target of an instance is to say.
type wanted struct{ revision, distribution string }

// plan is what to write.
type plan struct {
	wanted
	create []string
	update []*kronvoyv1alpha1.Target
	remove []*kronvoyv1alpha1.Target
}

// decide moves every placed cluster to the revision at once. A cluster that
// left the decision loses the instance only if its agent is alive, and only if
// the decision did not become empty: that is more often a mistyped label than
// a wish.
func decide(decision Decision, targets []kronvoyv1alpha1.Target, w wanted, unreachable func(string) bool) plan {
	p := plan{wanted: w}
	existing := map[string]bool{}
	for i := range targets {
		target := &targets[i]
		existing[target.Namespace] = true
		if target.DeletionTimestamp != nil {
			continue
		}
		_, placed := slices.BinarySearch(decision.Clusters, target.Namespace)
		switch {
		case decision.Decided && !placed && len(decision.Clusters) > 0 && !unreachable(target.Namespace):
			p.remove = append(p.remove, target.DeepCopy())
		case target.Spec.Revision != w.revision || target.Spec.Distribution != w.distribution:
			p.update = append(p.update, target.DeepCopy())
		}
	}
	if decision.Decided {
		for _, cluster := range decision.Clusters {
			if !existing[cluster] {
				p.create = append(p.create, cluster)
			}
		}
	}
	return p
}
