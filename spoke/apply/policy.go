package apply

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/internal/fieldpattern"
)

// FieldPolicy is the drift policy of the fields that its patterns match.
type FieldPolicy struct {
	Patterns []fieldpattern.Pattern
	Drift    kronvoyv1alpha1.DriftPolicy
}

// known refuses a drift policy of a later release: to take it for another one
// might overwrite what it protects.
func known(policy kronvoyv1alpha1.DriftPolicy) error {
	switch policy {
	case "", kronvoyv1alpha1.DriftCorrect, kronvoyv1alpha1.DriftReport, kronvoyv1alpha1.DriftIgnore:
		return nil
	}
	return fmt.Errorf("this agent knows no drift policy %q; it knows Correct, Report and Ignore", policy)
}

// field gives the first policy that names a field; nil for none.
func (i *Item) field(path fieldpath.Path) *FieldPolicy {
	for n := range i.Fields {
		if fieldpattern.Match(i.Fields[n].Patterns, path) {
			return &i.Fields[n]
		}
	}
	return nil
}

// policies decide about drift of one object, field by field.
type policies struct {
	item *Item
	// suspended is set while nothing of the object may be written.
	suspended bool
	// live and desired are the places that ignoreFields name in the object and in
	// the manifest: what is selected by its neighbours may be in one of them alone.
	live, desired places
}

// policies evaluates what a manifest's policies say of an object and of itself;
// without an object they speak of one that is gone.
func (i *Item) policies(obj, body *unstructured.Unstructured) (*policies, error) {
	p := &policies{item: i, suspended: i.Suspended || held(obj)}
	if obj == nil || len(i.IgnorePresent)+len(i.IgnoreChanged) == 0 {
		return p, nil
	}
	var err error
	if body == nil {
		if body, err = i.content(); err != nil {
			return nil, err
		}
	}
	if p.live, err = i.locate(obj); err != nil {
		return nil, err
	}
	p.desired, err = i.locate(body)
	return p, err
}

// of says what is done about drift of a field; for the empty path, of the object
// as a whole.
func (p *policies) of(path fieldpath.Path) kronvoyv1alpha1.DriftPolicy {
	switch {
	case path.Equals(holdPath):
		return kronvoyv1alpha1.DriftReport // it is nobody's to correct, and all should know
	case p.gives(path):
		return kronvoyv1alpha1.DriftIgnore
	case p.asks(path):
		return kronvoyv1alpha1.DriftCorrect
	}
	policy := p.item.Policy.Drift
	if field := p.item.field(path); field != nil {
		policy = field.Drift
	}
	switch {
	case policy != "" && policy != kronvoyv1alpha1.DriftCorrect:
		return policy
	case p.suspended:
		return kronvoyv1alpha1.DriftReport
	}
	return kronvoyv1alpha1.DriftCorrect
}

// asks says whether somebody wants a field put right whatever its policy is; no
// one overrides a suspension.
func (p *policies) asks(path fieldpath.Path) bool { return !p.suspended && p.item.asked.asks(path) }

// gives says whether a field is named as one to leave to whoever changes it. A
// manifest that wants another value of it does not take it back, as it does
// where the object as a whole has the policy Ignore.
func (p *policies) gives(path fieldpath.Path) bool {
	if p.inPresent(path) || p.live.within(p.live.changed, path) || p.desired.within(p.desired.changed, path) {
		return true
	}
	if below(path, p.item.Policy.Accepted) {
		return true
	}
	field := p.item.field(path)
	return field != nil && field.Drift == kronvoyv1alpha1.DriftIgnore
}

// inPresent says whether a field is ours only in an object that we create.
func (p *policies) inPresent(path fieldpath.Path) bool {
	return p.live.within(p.live.present, path) || p.desired.within(p.desired.present, path)
}
