package status

import (
	"cmp"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// unhealthy is true of what is known not to be well. Of what is not known there is
// nothing to tell: not every agent judges health.
func unhealthy(health kronvoyv1alpha1.Health) bool {
	return health == kronvoyv1alpha1.HealthProgressing || health == kronvoyv1alpha1.HealthFailed
}

// sickness says what is not healthy on a cluster, although it may be ready.
func sickness(t *kronvoyv1alpha1.Target) string {
	if !unhealthy(t.Status.Health) {
		return ""
	}
	for _, node := range t.Status.Nodes {
		if node.Health == t.Status.Health {
			return shorten(node.ID + " is " + inWords(node.Health) + ": " + node.HealthMessage)
		}
	}
	return ""
}

func inWords(health kronvoyv1alpha1.Health) string {
	if health == kronvoyv1alpha1.HealthFailed {
		return "not healthy, and has failed"
	}
	return "not healthy yet"
}

// Health is how an instance is on all its clusters, by its own status, and why it
// is not healthy; empty where the status does not say.
func Health(status map[string]any) (kronvoyv1alpha1.Health, string) {
	fleet, _ := status[FleetFieldIn(status)].(map[string]any)
	healthy, said := fleet["healthy"].(int64)
	placed, _ := fleet["placed"].(int64)
	switch {
	case !said:
		return "", ""
	case placed > 0 && healthy == placed:
		return kronvoyv1alpha1.Healthy, ""
	}
	rows, _ := fleet["clusters"].([]any)
	for _, worst := range []kronvoyv1alpha1.Health{kronvoyv1alpha1.HealthFailed, kronvoyv1alpha1.HealthProgressing, kronvoyv1alpha1.HealthUnknown} {
		for _, r := range rows {
			row, _ := r.(map[string]any)
			if row["health"] == string(worst) {
				message, _ := row["message"].(string)
				return worst, cmp.Or(message, "its health is "+string(worst))
			}
		}
	}
	return kronvoyv1alpha1.HealthProgressing, "not all of its clusters are ready"
}

// sick is why a node is not healthy.
func sick(node kronvoyv1alpha1.NodeStatus) string {
	if !unhealthy(node.Health) {
		return ""
	}
	return node.HealthMessage
}
