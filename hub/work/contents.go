package work

import (
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// Shipped is an object in works, as those see it who look at them.
type Shipped struct {
	// ID is what there is one of on a cluster.
	ID     workv1.ResourceIdentifier
	Policy kronvoyv1alpha1.ManifestPolicy
	// ReadOnly objects are looked at, and somebody else's.
	ReadOnly bool
	// Raw is the manifest as JSON.
	Raw []byte
}

// Contents are the objects in an instance's works on one cluster, each once: what
// moves from one work to another may be in both.
func Contents(works []*workv1.ManifestWork, agent Capabilities) (map[workv1.ResourceIdentifier]Shipped, error) {
	manifests, _, err := shippedBefore(Input{Previous: works, Capabilities: agent})
	if err != nil {
		return nil, err
	}
	contents := make(map[workv1.ResourceIdentifier]Shipped, len(manifests))
	for id, m := range manifests {
		contents[id] = Shipped{ID: id, Policy: m.policy, ReadOnly: readOnly(m.config), Raw: m.raw}
	}
	return contents, nil
}
