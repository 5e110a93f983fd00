// Package health judges a live object by what its status says: whether it is
// healthy, has failed, or is under way to either. The rules are those of kstatus
// (sigs.k8s.io/cli-utils), which go by the conventions of the Kubernetes API
// (observedGeneration; the conditions Ready, Reconciling and Stalled) and know
// the built-in kinds; exceptions.go is where a gate needs another answer.
//
// It is a function of the object: no clock, no cluster.
package health

import (
	"regexp"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/internal/plain"
)

const (
	// maxMessage bounds what a verdict says, in bytes: there is one for each
	// object of a work, and the work's status has to hold them all.
	maxMessage = 256
	// maxReason bounds an object's own reason.
	maxReason = 64
)

// Verdict is what is found of one object.
type Verdict struct {
	// Status is True for healthy, False for failed, Unknown for under way.
	Status metav1.ConditionStatus
	// Reason as a condition may have it, and Message: a line of plain text, empty
	// where all is well. As long as status and reason stay, a message may change
	// and be no news.
	Reason, Message string
}

// Judge an object as it is on the cluster. One whose status follows no convention
// is healthy, as is one without a status: nothing that can be read speaks
// against it.
func Judge(object map[string]any) Verdict {
	live := &unstructured.Unstructured{Object: object}
	result, err := status.Compute(live)
	if err != nil {
		return healthy
	}
	group, kind := live.GroupVersionKind().Group, live.GetKind()
	verdict := translate(result, waitsFor[group+"/"+kind])
	switch except := exceptions[group+"/"+kind]; {
	case except != nil && !unobserved(result):
		return except(object, verdict)
	case verdict == healthy && outdated(live):
		return underWay("", notSeen)
	}
	return verdict
}

var healthy = Verdict{Status: metav1.ConditionTrue, Reason: kronvoyv1alpha1.ReasonHealthy}

const notSeen = "its controller has not seen its latest change yet"

// underWay and failed have a reason and a message that the object's owners wrote.
func underWay(reason, message string) Verdict {
	return verdict(metav1.ConditionUnknown, reason, kronvoyv1alpha1.ReasonInProgress, message)
}

func failed(reason, message string) Verdict {
	return verdict(metav1.ConditionFalse, reason, kronvoyv1alpha1.ReasonFailed, message)
}

func verdict(status metav1.ConditionStatus, reason, otherwise, message string) Verdict {
	if len(reason) > maxReason || !reasonPattern.MatchString(reason) {
		reason = otherwise
	}
	return Verdict{Status: status, Reason: reason, Message: plain.Cut(plain.Message(message), maxMessage)}
}

// reasonPattern is what the API demands of a condition's reason: a status with
// another one would be refused as a whole.
var reasonPattern = regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$`)

// translate gives kstatus' result. waits is what objects of a built-in kind wait
// for: kstatus counts their replicas, and each would be news.
func translate(result *status.Result, waits string) Verdict {
	reason, message := "", result.Message
	if len(result.Conditions) > 0 {
		reason, message = result.Conditions[0].Reason, result.Conditions[0].Message
	}
	switch {
	case result.Status == status.CurrentStatus:
		return healthy
	case result.Status == status.TerminatingStatus:
		return underWay(kronvoyv1alpha1.ReasonTerminating, "it is being deleted")
	case result.Status == status.FailedStatus:
		return failed(reason, message)
	case waits != "":
		return underWay("", waits)
	case unobserved(result):
		return underWay("", notSeen)
	default:
		return underWay(reason, message)
	}
}

// unobserved is true where the object's status is not about the object as it is:
// it is being deleted, or has a newer generation. Nothing else in it counts then.
func unobserved(result *status.Result) bool {
	return result.Status == status.TerminatingStatus ||
		len(result.Conditions) > 0 && result.Conditions[0].Reason == "LatestGenerationNotObserved"
}

// outdated is true where the condition Ready is of an earlier generation, by its
// own observedGeneration; kstatus looks at the one of the whole status alone,
// which many kinds do not have.
func outdated(live *unstructured.Unstructured) bool {
	if _, whole, _ := unstructured.NestedFieldNoCopy(live.Object, "status", "observedGeneration"); whole {
		return false
	}
	ready, _ := condition(live.Object, "Ready")
	return ready.ObservedGeneration != 0 && ready.ObservedGeneration < live.GetGeneration()
}
