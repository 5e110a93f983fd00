// Package policy is about what Distributions say of instances: which one owns an
// instance, what is to be done about its resources on a cluster, and in whose
// name. It is pure.
//
//	Distributions + Targets ──Owner──► name ──(hub/rollout)──► Target.spec.distribution
//	Distribution + cluster ──On──► Policies ──(hub/work)──► ManifestPolicy of each manifest
//	Distribution + namespace + flags ──Identity.Decide──► executor of each work
package policy

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/internal/fieldpattern"
)

// maxPathBytes is how many bytes the paths of one Distribution may have: each
// manifest carries those that concern it, in an annotation of its work.
const maxPathBytes = 16 << 10

// InvalidError says why a Distribution cannot be used.
type InvalidError struct {
	// Field of the Distribution, as in spec.policies[1].paths[0].
	Field string
	// Reason of its condition Accepted.
	Reason string
	Err    error
}

// Error names the field and what is wrong with it.
func (e *InvalidError) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap gives what is wrong with the field.
func (e *InvalidError) Unwrap() error { return e.Err }

// Policies are what a Distribution says of an instance's resources on one
// cluster, in order. The zero value says nothing: the defaults.
type Policies []kronvoyv1alpha1.DistributionPolicy

// On gives what a Distribution says for a cluster with the given labels. The
// error is an InvalidError, and the same for all clusters: what can be used on
// one alone would be refused later, by a change of labels.
func On(spec *kronvoyv1alpha1.DistributionSpec, cluster map[string]string) (Policies, error) {
	if _, err := Selects(spec, nil); err != nil {
		return nil, err
	}
	if spec.Placement != nil {
		if _, err := selects("spec.placement.clusterSelector", spec.Placement.ClusterSelector, nil); err != nil {
			return nil, err
		}
	}
	var chosen Policies
	size := 0
	for i, p := range spec.Policies {
		matches, err := selects(fmt.Sprintf("spec.policies[%d].clusterSelector", i), p.ClusterSelector, cluster)
		if err != nil {
			return nil, err
		}
		for j, path := range p.Paths {
			if _, err := fieldpattern.Parse(path); err != nil {
				return nil, &InvalidError{Field: fmt.Sprintf("spec.policies[%d].paths[%d]", i, j), Reason: kronvoyv1alpha1.ReasonInvalidPath, Err: err}
			}
			size += len(path)
		}
		if matches {
			chosen = append(chosen, p)
		}
	}
	if size > maxPathBytes {
		return nil, &InvalidError{Field: "spec.policies", Reason: kronvoyv1alpha1.ReasonTooLarge,
			Err: fmt.Errorf("all paths together have %d characters, and %d are allowed", size, maxPathBytes)}
	}
	return chosen, nil
}

// Selects says whether a Distribution selects an instance of its kind with the
// given labels.
func Selects(spec *kronvoyv1alpha1.DistributionSpec, instance map[string]string) (bool, error) {
	return selects("spec.instances.selector", spec.Instances.Selector, instance)
}

// selects takes no selector for one that selects everything.
func selects(field string, selector *metav1.LabelSelector, set map[string]string) (bool, error) {
	if selector == nil {
		return true, nil
	}
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return false, &InvalidError{Field: field, Reason: kronvoyv1alpha1.ReasonInvalidSelector, Err: err}
	}
	return parsed.Matches(labels.Set(set)), nil
}

// Govern writes into a manifest's policy what is said of its node, and the
// default where nothing is. Of each attribute the first entry counts; fields
// have drift policies of their own, which come before the object's.
func (p Policies) Govern(manifest *kronvoyv1alpha1.ManifestPolicy) {
	manifest.Drift, manifest.Takeover, manifest.Deletion, manifest.Fields = "", "", "", nil
	for _, entry := range p {
		if len(entry.Nodes) > 0 && !slices.Contains(entry.Nodes, manifest.Node) {
			continue
		}
		if len(entry.Paths) > 0 {
			manifest.Fields = append(manifest.Fields, kronvoyv1alpha1.FieldPolicy{Paths: entry.Paths, Drift: entry.Drift})
			continue
		}
		first(&manifest.Drift, entry.Drift)
		first(&manifest.Takeover, entry.Takeover)
		first(&manifest.Deletion, entry.Deletion)
	}
}

func first[T ~string](chosen *T, said T) {
	if *chosen == "" {
		*chosen = said
	}
}
