package spoke

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestWorksThatVanishedAreToldWithTheTimeThatIsLeft(t *testing.T) {
	noon := time.Date(2026, 9, 4, 12, 0, 0, 0, time.UTC)
	many := make([]vanished, 0, 7)
	for _, work := range []string{"g", "f", "e", "d", "c", "b", "a"} {
		many = append(many, vanished{work, noon})
	}
	const rest = " Their objects stay as they are until 2026-09-04T13:00:00Z at the earliest, and are deleted then." +
		" Apply what made them again, instances, placements and the cluster's labels: the same works take the same objects over." +
		" For more time start the agent with a longer --eviction-grace-period."
	const begin = "Works that are gone from the hub without having been deleted, as after a restore from an older backup: "
	condition := func(status metav1.ConditionStatus, reason, message string) *metav1.Condition {
		return &metav1.Condition{Type: "WorksVanished", Status: status, Reason: reason, Message: message}
	}
	tests := map[string]struct {
		gone    []vanished
		evicted int
		want    *metav1.Condition
	}{
		"none":                   {},
		"the first counts":       {gone: []vanished{{"b", noon.Add(time.Minute)}, {"a", noon}}, want: condition("True", "Vanished", begin+"2 (a, b)."+rest)},
		"many":                   {gone: many, want: condition("True", "Vanished", begin+"7 (a, b, c, d, e, …)."+rest)},
		"some are deleted":       {gone: []vanished{{"a", noon}}, evicted: 2, want: condition("True", "Vanished", begin+"1 (a)."+rest)},
		"all that are left went": {evicted: 2, want: condition("False", "Evicted", "Works that had vanished from the hub, did not come back in 1h0m0s, and whose objects were deleted: 2, the last at 2026-09-04T13:30:00Z.")},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := worksVanished(test.gone, time.Hour, test.evicted, noon.Add(90*time.Minute))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
