package health

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

const podsWait = "its pods are not all up to date and available yet"

// waitsFor is what objects of the built-in kinds wait for, by group/kind.
var waitsFor = map[string]string{
	"apps/Deployment":        podsWait,
	"apps/StatefulSet":       podsWait,
	"apps/DaemonSet":         podsWait,
	"apps/ReplicaSet":        podsWait,
	"batch/Job":              "it is not complete yet",
	"/Pod":                   "it is not ready yet",
	"/Service":               "it has no address yet",
	"/PersistentVolumeClaim": "it is not bound yet",
	"apiextensions.k8s.io/CustomResourceDefinition": "it is not established yet",
}

// exceptions are kinds of which kstatus asks how far they are, where a gate asks
// whether a change has done harm. Each is given an object whose status is about
// the object as it is, and kstatus' answer.
var exceptions = map[string]func(object map[string]any, kstatus Verdict) Verdict{
	"apps/Deployment":  deployment,
	"apps/StatefulSet": statefulSet,
	"batch/Job":        job,
	"/Pod":             pod,
}

// deployment: once a rollout is over, or paused, it is healthy while Kubernetes
// calls it available, which is as many pods as its own maxUnavailable asks for.
// kstatus asks for all of spec.replicas at all times; a Deployment that an
// autoscaler changes every few minutes, or whose nodes are drained one by one,
// would be under way for ever.
func deployment(object map[string]any, kstatus Verdict) Verdict {
	if kstatus.Status != metav1.ConditionUnknown {
		return kstatus
	}
	progressing, _ := condition(object, "Progressing")
	available, _ := condition(object, "Available")
	over := progressing.Reason == "NewReplicaSetAvailable" || boolean(object, "spec", "paused")
	replicas, updated := count(object, "status.replicas"), count(object, "status.updatedReplicas")
	// With a maxUnavailable of all pods a Deployment is available without any.
	some := count(object, "status.availableReplicas") > 0 || replicas == 0 && status.GetIntField(object, ".spec.replicas", 1) == 0
	if over && replicas == updated && available.Status == metav1.ConditionTrue && some {
		return healthy
	}
	return kstatus
}

// statefulSet: with the strategy OnDelete people say when a pod is replaced, and
// kstatus does not look at the pods at all.
func statefulSet(object map[string]any, kstatus Verdict) Verdict {
	if kstatus == healthy && count(object, "status.readyReplicas") < status.GetIntField(object, ".spec.replicas", 1) {
		return underWay("", podsWait)
	}
	return kstatus
}

// job: one that runs is fine for kstatus. Whether it does what it is there for is
// known when it is over.
func job(object map[string]any, kstatus Verdict) Verdict {
	if failure, found := condition(object, "Failed"); found && failure.Status == metav1.ConditionTrue {
		return failed(failure.Reason, failure.Message)
	}
	if complete, _ := condition(object, "Complete"); complete.Status == metav1.ConditionTrue {
		return kstatus
	}
	return underWay("", waitsFor["batch/Job"])
}

// pod: one that ended with an error is over for kstatus. And it takes one without
// a node for failed after 15 seconds, by the clock: a cluster that gets another
// node for it needs longer.
func pod(object map[string]any, kstatus Verdict) Verdict {
	switch status.GetStringField(object, ".status.phase", "") {
	case "Failed":
		return failed(status.GetStringField(object, ".status.reason", ""), status.GetStringField(object, ".status.message", "it ended with an error"))
	case "Pending":
		return underWay("", waitsFor["/Pod"])
	}
	return kstatus
}

// condition of the object's status, as far as it is one.
func condition(object map[string]any, kind string) (metav1.Condition, bool) {
	list, _, _ := unstructured.NestedFieldNoCopy(object, "status", "conditions")
	conditions, _ := list.([]any)
	for _, c := range conditions {
		fields, _ := c.(map[string]any)
		if fields["type"] != kind {
			continue
		}
		text := func(field string) string { s, _ := fields[field].(string); return s }
		generation, _ := fields["observedGeneration"].(int64)
		return metav1.Condition{
			Type: kind, Status: metav1.ConditionStatus(text("status")), ObservedGeneration: generation,
			Reason: text("reason"), Message: text("message"),
		}, true
	}
	return metav1.Condition{}, false
}

func count(object map[string]any, path string) int { return status.GetIntField(object, "."+path, 0) }

func boolean(object map[string]any, path ...string) bool {
	value, _, _ := unstructured.NestedFieldNoCopy(object, path...)
	b, _ := value.(bool)
	return b
}
