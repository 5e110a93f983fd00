package rollout

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/placement/rollout"
)

// sample is what is known of a Target, as the planner takes it. A status counts
// for the assignment that it was written for, and for no later one, whoever asks:
// the hub says in it for which. That the objects on the cluster are those of the
// revision hub/work sees to: a verdict on other ones is none.
func sample(t *kronvoyv1alpha1.Target, gates kronvoyv1alpha1.RolloutGate) rollout.Target {
	status := &t.Status
	out := rollout.Target{
		Cluster: t.Namespace, Instance: t.Spec.Instance.Name, Assignment: rollout.Assignment{Revision: t.Spec.Revision},
		Moved: micro(t.Spec.AssignedAt), Passed: micro(t.Spec.PassedAt), Deleting: t.DeletionTimestamp != nil,
		Current: stamp(t.Spec.AssignedAt),
	}
	if found := t.Spec.Gates; found != nil {
		out.Found = rollout.Finding{Open: found.Open, Since: found.Since.Time}
	}
	spoken := stamp(status.AssignedAt)
	if failure, since := failed(t, gates); failure != "" {
		out.Failed = rollout.Failure{Of: spoken, Since: since, Message: failure}
	}
	if status.Revision != t.Spec.Revision {
		// Nothing of the revision is shipped: it is blocked, or suspended.
		return out
	}
	out.Gates.Ready = rollout.Gate{Of: spoken, Open: status.State == kronvoyv1alpha1.TargetReady, Since: seconds(status.Clocks.StateSince), Message: status.Message}
	out.Gates.Health = rollout.Gate{Of: spoken, Open: status.Health == kronvoyv1alpha1.Healthy, Since: seconds(status.Clocks.HealthSince), Message: unhealthy(status)}
	if gates.MaxDrift != nil {
		out.Gates.Drift = rollout.Gate{
			Of: spoken, Open: status.Drift.Objects <= *gates.MaxDrift,
			Message: fmt.Sprintf("%d objects differ from what was applied, and %d may", status.Drift.Objects, *gates.MaxDrift),
		}
	}
	return out
}

// failed says what will not get better by itself, and since when.
func failed(t *kronvoyv1alpha1.Target, gates kronvoyv1alpha1.RolloutGate) (message string, since time.Time) {
	switch status := &t.Status; {
	case status.State == kronvoyv1alpha1.TargetFailed:
		return status.Message, seconds(status.Clocks.StateSince)
	case status.Health == kronvoyv1alpha1.HealthFailed && builtinHealth(gates) && status.Revision == t.Spec.Revision:
		return unhealthy(status), seconds(status.Clocks.HealthSince)
	}
	return "", time.Time{}
}

// unhealthy says of the first node that is not healthy what is wrong with it.
func unhealthy(status *kronvoyv1alpha1.TargetStatus) string {
	for _, node := range status.Nodes {
		if node.Health != status.Health || node.Health == kronvoyv1alpha1.Healthy {
			continue
		}
		switch {
		case node.HealthMessage != "":
			return node.ID + ": " + node.HealthMessage
		case node.Health == kronvoyv1alpha1.HealthUnknown:
			return node.ID + ": the cluster's agent has not judged its health"
		default:
			return node.ID + " is not healthy: " + string(node.Health)
		}
	}
	return ""
}

// builtinHealth is asked for unless somebody says otherwise.
func builtinHealth(g kronvoyv1alpha1.RolloutGate) bool {
	return g.BuiltinHealth == nil || *g.BuiltinHealth
}

func micro(t *metav1.MicroTime) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}

func seconds(t *metav1.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}

// stamp tells assignments of one Target apart; empty for none.
func stamp(at *metav1.MicroTime) string {
	if at == nil {
		return ""
	}
	return at.UTC().Format(metav1.RFC3339Micro)
}
