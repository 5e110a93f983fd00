package work

import (
	"fmt"

	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/policy"
)

// govern gives manifests the policies as they are now, also those that stay as
// they were shipped, or are on their way out. What is only read takes none.
func govern(manifests []manifest, policies policy.Policies) {
	for i := range manifests {
		if !readOnly(manifests[i].config) {
			policies.Govern(&manifests[i].policy)
		}
	}
}

func readOnly(config workv1.ManifestConfigOption) bool {
	return config.UpdateStrategy != nil && config.UpdateStrategy.Type == workv1.UpdateStrategyTypeReadOnly
}

// Restate is the plan that brings policies to works which are otherwise as they
// stand; it has no works when they have them already. Teardown begins with it: an
// object that is to stay must not go because its policy was on its way.
func Restate(previous []*workv1.ManifestWork, policies policy.Policies, agent Capabilities) (Plan, error) {
	return restate(previous, agent, policies.Govern)
}

// Orphan is Restate for a cluster on which all objects are to stay, whatever
// their policies say: what else those say stays as it was shipped.
func Orphan(previous []*workv1.ManifestWork, agent Capabilities) (Plan, error) {
	return restate(previous, agent, func(p *kronvoyv1alpha1.ManifestPolicy) { p.Deletion = kronvoyv1alpha1.DeletionOrphan })
}

func restate(previous []*workv1.ManifestWork, agent Capabilities, change func(*kronvoyv1alpha1.ManifestPolicy)) (Plan, error) {
	var plan Plan
	for _, w := range previous {
		if w.DeletionTimestamp != nil {
			continue
		}
		shipped, err := kronvoyv1alpha1.ParseManifestPolicies(w.Annotations)
		if err != nil {
			return Plan{}, fmt.Errorf("work %s/%s: %w", w.Namespace, w.Name, err)
		}
		for i := range shipped {
			if i < len(w.Spec.ManifestConfigs) && !readOnly(w.Spec.ManifestConfigs[i]) {
				change(&shipped[i])
			}
		}
		text := encode(shipped)
		if len(shipped) == 0 || text == w.Annotations[kronvoyv1alpha1.AnnotationManifestPolicies] {
			continue
		}
		restated := w.DeepCopy()
		restated.Annotations[kronvoyv1alpha1.AnnotationManifestPolicies] = text
		if !agent.Reports {
			manifests, _, err := takeApart(restated)
			if err != nil {
				return Plan{}, err
			}
			restated.Spec.DeleteOption = orphaned(manifests)
		}
		restated.Annotations[kronvoyv1alpha1.AnnotationHash] = HashOf(restated)
		plan.Works = append(plan.Works, restated)
	}
	return plan, nil
}
