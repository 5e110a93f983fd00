package rollout

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/policy"
)

// Decision is where an instance should run, as far as that is decided.
type Decision struct {
	// Clusters by name; meaningless unless Decided.
	Clusters []string
	// Places says how each of Clusters was chosen, if a Placement did it.
	Places map[string]Place
	// By is who decided, or should have.
	By Authority
	// Decided is false while nothing may be concluded, least of all a removal.
	Decided bool
	// Reason and Message say what is missing, or what is wrong with a decision
	// that stands all the same.
	Reason, Message string
	// Shadowed is the Placement that the instance's label names and that counts
	// for nothing, since its Distribution says where it runs.
	Shadowed string
}

// Place is how a cluster was chosen.
type Place struct {
	// Placement that selected the cluster; of several the first.
	Placement string
	// Group is the name of the cluster's decision group there, and GroupIndex its
	// number: groups need no names (OCM's labels decision-group-name and
	// decision-group-index).
	Group      string
	GroupIndex int
}

// Authority is who says where an instance runs.
type Authority struct {
	Kind AuthorityKind
	// Name of the Distribution, of the label's Placement, or of the cluster whose
	// instance it is a resource of; the default has none.
	Name string
}

// AuthorityKind is how an instance came to its clusters.
type AuthorityKind string

// Who may say where an instance runs. The first that says something counts.
const (
	// ByParent: the hub made the instance, for one cluster.
	ByParent AuthorityKind = "Parent"
	// ByDistribution: its Distribution has a placement.
	ByDistribution AuthorityKind = "Distribution"
	// ByLabel: its label kronvoy.io/placement names a Placement.
	ByLabel AuthorityKind = "Label"
	// ByDefault: the hub's --default-placement.
	ByDefault AuthorityKind = "Default"
)

// String says it in words, as in "Distribution shop".
func (a Authority) String() string {
	switch a.Kind {
	case ByParent:
		return "the instance on cluster " + a.Name + " that it is a resource of"
	case ByDistribution:
		return "Distribution " + a.Name
	case ByLabel:
		return "label " + kronvoyv1alpha1.LabelPlacement + ": " + a.Name
	}
	return "the hub's default"
}

// Reasons of the condition Placed, besides those that a Distribution's condition
// Resolved has too.
const (
	ReasonPlaced      = "Placed"
	ReasonNoPlacement = "NoPlacement"
	ReasonNotPinned   = "NotPinned"
)

// Placer finds out where instances run.
type Placer struct {
	Reader client.Reader
	// HubNamespace holds the Placements of cluster-scoped instances.
	HubNamespace string
	Default      DefaultPlacement
	// Unfit says which overrides of a Distribution do not fit the kind of its
	// instances; nil is nothing.
	Unfit func(*kronvoyv1alpha1.Distribution) error
}

// Decide says where an instance runs that the given Distribution owns, nil for
// none; see Owner. An instance that the hub made runs where it was made for. For
// any other the Distribution's placement counts, then the instance's label, then
// the hub's default. A Distribution that cannot be used says nothing that could
// be followed, and what it would say is not known: nothing changes.
func (p Placer) Decide(ctx context.Context, instance *unstructured.Unstructured, owner *kronvoyv1alpha1.Distribution) (Decision, error) {
	if decision, known, err := p.pinned(ctx, instance); known || err != nil {
		return decision, err
	}
	name := instance.GetLabels()[kronvoyv1alpha1.LabelPlacement]
	if owner != nil {
		decision, known, err := p.byOwner(ctx, owner)
		if known && owner.Spec.Placement != nil {
			decision.Shadowed = name
		}
		if known || err != nil {
			return decision, err
		}
	}
	if name == "" {
		return p.unplaced(ctx, instance)
	}
	label := reference{name: name, at: "label " + kronvoyv1alpha1.LabelPlacement}
	decision, err := p.read(ctx, RevisionNamespace(instance, p.HubNamespace), label)
	decision.By = Authority{ByLabel, name}
	return decision, err
}

// byOwner is what a Distribution says; known is false when it leaves that to
// others.
func (p Placer) byOwner(ctx context.Context, d *kronvoyv1alpha1.Distribution) (decision Decision, known bool, err error) {
	if err := p.unusable(d); err != nil {
		return Decision{
			By: Authority{ByDistribution, d.Name}, Reason: kronvoyv1alpha1.ReasonInvalidDistribution,
			Message: fmt.Sprintf("Distribution %s cannot be used: %v", d.Name, err),
		}, true, nil
	}
	if d.Spec.Placement == nil {
		return Decision{}, false, nil
	}
	decision, err = p.ByDistribution(ctx, d)
	return decision, true, err
}

func (p Placer) unusable(d *kronvoyv1alpha1.Distribution) error {
	if _, err := policy.On(&d.Spec, nil); err != nil || p.Unfit == nil {
		return err
	}
	return p.Unfit(d)
}

// ByDistribution says where the instances of a Distribution run that has a
// placement.
func (p Placer) ByDistribution(ctx context.Context, d *kronvoyv1alpha1.Distribution) (Decision, error) {
	decision, err := p.read(ctx, d.Namespace, references(d)...)
	decision.By = Authority{ByDistribution, d.Name}
	return decision, err
}
