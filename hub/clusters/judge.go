package clusters

import (
	"fmt"
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
)

// skipClockCheck on a ManagedCluster turns ManagedClusterConditionClockSynced
// off (OCM).
const skipClockCheck = "registration.open-cluster-management.io/skip-clock-sync-check"

// Reasons of conditions of a ManagedCluster; OCM's.
const (
	reasonLeaseStopped = "ManagedClusterLeaseUpdateStopped"
	reasonClockSynced  = "ManagedClusterClockSynced"
	reasonClockOff     = "ManagedClusterClockOutOfSync"
)

// renewal is what the hub saw of a lease, by its own clock.
type renewal struct {
	// at is when the lease was first seen as it is.
	at time.Time
	// fresh: it was seen to change then. A hub that has just started cannot know
	// when the lease that it finds was renewed.
	fresh bool
}

// judgeLease says in the conditions what the lease tells. A lease that is renewed
// tells nothing of the cluster's API server: True and False are the agent's to
// say. While it is not renewed only Unknown stands, whatever somebody wrote.
func judgeLease(c *clusterv1.ManagedCluster, lease *coordinationv1.Lease, seen renewal, now time.Time) (conditions []metav1.Condition) {
	conditions = slices.Clone(c.Status.Conditions)
	grace := Grace(c)
	if now.Sub(seen.at) >= grace {
		setIfDifferent(&conditions, metav1.Condition{
			Type: clusterv1.ManagedClusterConditionAvailable, Status: metav1.ConditionUnknown, Reason: reasonLeaseStopped,
			Message: fmt.Sprintf("the agent has not renewed its lease for more than %s", grace),
		})
	}
	judgeClock(&conditions, c, lease, seen, grace)
	return conditions
}

// judgeClock compares the time that the agent wrote into its lease with that of
// the hub's own clock when it saw the change. Nothing else depends on it.
func judgeClock(conditions *[]metav1.Condition, c *clusterv1.ManagedCluster, lease *coordinationv1.Lease, seen renewal, window time.Duration) {
	if _, skip := c.Annotations[skipClockCheck]; skip {
		apimeta.RemoveStatusCondition(conditions, clusterv1.ManagedClusterConditionClockSynced)
		return
	}
	if !seen.fresh || lease.Spec.RenewTime == nil {
		return
	}
	condition := metav1.Condition{
		Type: clusterv1.ManagedClusterConditionClockSynced, Status: metav1.ConditionTrue, Reason: reasonClockSynced,
		Message: "the clocks of cluster and hub agree",
	}
	if skew := seen.at.Sub(lease.Spec.RenewTime.Time).Abs(); skew > window {
		condition.Status, condition.Reason = metav1.ConditionFalse, reasonClockOff
		condition.Message = fmt.Sprintf("the clocks of cluster and hub differ by more than %s: certificates and tokens may not work; set the cluster's clock", window)
	}
	setIfDifferent(conditions, condition)
}

// setIfDifferent leaves a condition alone that says the same already, in
// whatever words.
func setIfDifferent(conditions *[]metav1.Condition, condition metav1.Condition) {
	known := apimeta.FindStatusCondition(*conditions, condition.Type)
	if known == nil || known.Status != condition.Status || known.Reason != condition.Reason {
		apimeta.SetStatusCondition(conditions, condition)
	}
}

// taints are a cluster's as they should be: the two that tell of an outage as
// the condition has it (OCM), all others as they are, and each with the time at
// which it came.
func taints(c *clusterv1.ManagedCluster, now time.Time) []clusterv1.Taint {
	wanted := slices.Clone(c.Spec.Taints)
	if c.Spec.HubAcceptsClient {
		due := outage(c)
		wanted = slices.DeleteFunc(wanted, func(t clusterv1.Taint) bool { return automatic(t) && t.Key != due })
		if due != "" && !slices.ContainsFunc(wanted, automatic) {
			wanted = append(wanted, clusterv1.Taint{Key: due, Effect: clusterv1.TaintEffectNoSelect})
		}
	}
	for i := range wanted {
		if wanted[i].TimeAdded.IsZero() {
			wanted[i].TimeAdded = metav1.NewTime(now)
		}
	}
	return wanted
}

// automatic says whether a taint is one of those that come and go by themselves.
func automatic(t clusterv1.Taint) bool {
	return t.Effect == clusterv1.TaintEffectNoSelect &&
		(t.Key == clusterv1.ManagedClusterTaintUnavailable || t.Key == clusterv1.ManagedClusterTaintUnreachable)
}

// marked is the key of the taint that tells of a cluster's outage; empty for none.
func marked(c *clusterv1.ManagedCluster) string {
	if i := slices.IndexFunc(c.Spec.Taints, automatic); i >= 0 {
		return c.Spec.Taints[i].Key
	}
	return ""
}

// outage is the key of the taint that a cluster's availability asks for; empty
// for none.
func outage(c *clusterv1.ManagedCluster) string {
	available := apimeta.FindStatusCondition(c.Status.Conditions, clusterv1.ManagedClusterConditionAvailable)
	switch {
	case available == nil || available.Status == metav1.ConditionUnknown:
		return clusterv1.ManagedClusterTaintUnreachable
	case available.Status == metav1.ConditionFalse:
		return clusterv1.ManagedClusterTaintUnavailable
	}
	return ""
}
