package registration

import (
	"testing"

	clusterv1 "open-cluster-management.io/api/cluster/v1"

	"github.com/kronvoy/kronvoy/hub/events"
)

func TestEveryReasonOfAConditionIsToldOf(t *testing.T) {
	for _, reason := range []string{
		reasonAccepted, reasonDenied, reasonWaiting, reasonNameReserved, reasonNameTaken, reasonTerminating, reasonJoined,
		reasonDetached, reasonLettingGo, clusterv1.ConditionDeletingReasonResourceRemaining,
	} {
		if kind := events.Registration(reason); kind.Reason != reason {
			t.Errorf("%s is no kind of event", reason)
		}
	}
	if kind := events.Registration("Available"); kind != (events.Kind{}) {
		t.Errorf("a reason of others is told of as %v", kind)
	}
}
