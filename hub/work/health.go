package work

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/internal/plain"
)

// Health is how objects of a node are.
type Health struct {
	State kronvoyv1alpha1.Health
	// Message says why they are not Healthy.
	Message string
}

// MaxHealthMessage bounds the message, in bytes: a Target holds one for each node.
const MaxHealthMessage = 512

// healthOf is the worst health of a node's objects. What is only read is somebody
// else's, and not judged.
func healthOf(node *graph.Node, answers []answer) (worst Health, judged bool) {
	if node.Kind == graph.External || len(answers) == 0 {
		return Health{}, false
	}
	found := map[workv1.ResourceIdentifier]Health{}
	for _, a := range answers {
		health := a.health(node)
		// One that moves is in two works; what is known of it counts.
		if before, twice := found[a.key()]; !twice || before.State == kronvoyv1alpha1.HealthUnknown {
			found[a.key()] = health
		}
	}
	worst = Health{State: kronvoyv1alpha1.Healthy}
	for _, a := range answers {
		worst = worst.Or(found[a.key()])
	}
	return worst, true
}

// severities order health from good to bad: that something is wrong is more
// than that nothing is known.
var severities = []kronvoyv1alpha1.Health{
	"", kronvoyv1alpha1.Healthy, kronvoyv1alpha1.HealthUnknown, kronvoyv1alpha1.HealthProgressing, kronvoyv1alpha1.HealthFailed,
}

// Or is the worse of two, and the first of two that are the same.
func (h Health) Or(other Health) Health {
	if slices.Index(severities, other.State) > slices.Index(severities, h.State) {
		return other
	}
	return h
}

// health is the agent's word on one object. It counts only if it was given of the
// work as it stands, and of an object that carries its manifest: then the object
// has been judged after the change, and not before.
func (a answer) health(node *graph.Node) Health {
	if !a.agent.Health {
		return Health{kronvoyv1alpha1.HealthUnknown, "the cluster's agent does not judge health"}
	}
	unknown := Health{kronvoyv1alpha1.HealthUnknown, describe(a.id) + " has not been judged yet as it should be now"}
	if a.status == nil || !a.carried(node) {
		return unknown
	}
	c := findCondition(a.status.Conditions, kronvoyv1alpha1.ConditionManifestHealthy)
	if c == nil || c.ObservedGeneration != a.work.Generation {
		return unknown
	}
	why := plain.Cut(plain.Message(fmt.Sprintf("%s: %s: %s", describe(a.id), c.Reason, c.Message)), MaxHealthMessage)
	switch c.Status {
	case metav1.ConditionTrue:
		return Health{State: kronvoyv1alpha1.Healthy}
	case metav1.ConditionFalse:
		return Health{kronvoyv1alpha1.HealthFailed, why}
	case metav1.ConditionUnknown:
		return Health{kronvoyv1alpha1.HealthProgressing, why}
	}
	return unknown
}
