//go:build integration

package spoke_test

import (
	"fmt"
	"testing"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// finding waits for the only finding of a report, with this value observed.
func (w *world) finding(work, observed string) kronvoyv1alpha1.Finding {
	w.t.Helper()
	var found kronvoyv1alpha1.Finding
	w.eventually("a finding with "+observed, func() error {
		all := w.getReport(work).Findings
		if len(all) != 1 || len(all[0].Details) == 0 || all[0].Details[0].Observed != observed {
			return fmt.Errorf("the findings are %+v", all)
		}
		found = all[0]
		return nil
	})
	return found
}

func TestAFindingKeepsItsNameWhileTheSameFieldsDiffer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	settings := w.configMap("settings", "color", "blue", "size", "large")
	settings.policy.Drift = kronvoyv1alpha1.DriftReport
	w.ship("one", settings)
	w.settled("one")

	w.patch(settings, "kubectl-edit", `{"data":{"color":"red"}}`)
	first := w.finding("one", `"red"`)
	w.patch(settings, "kubectl-edit", `{"data":{"color":"green"}}`)
	second := w.finding("one", `"green"`)
	if first.ID == "" || second.ID != first.ID || !second.FirstSeen.Equal(&first.FirstSeen) || second.Count != 2 {
		t.Errorf("with another value it became %+v from %+v", second, first)
	}
	w.patch(settings, "kubectl-edit", `{"data":{"color":null,"size":"small"}}`)
	if other := w.finding("one", ""); other.ID == first.ID || len(other.Details) != 2 {
		t.Errorf("with another field it is %+v", other)
	}
	w.patch(settings, "kubectl-edit", `{"data":{"color":"blue","size":"large"}}`)
	w.reported("one")
	w.patch(settings, "kubectl-edit", `{"data":{"color":"red"}}`)
	if again := w.finding("one", `"red"`); again.ID == first.ID {
		t.Errorf("what was over has its name again: %+v", again)
	}
}

func TestAFindingKeepsItsNameOverANewManifest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	settings := w.configMap("settings", "color", "blue", "size", "large")
	settings.policy.Drift = kronvoyv1alpha1.DriftReport
	w.ship("one", settings)
	w.settled("one")
	w.patch(settings, "kubectl-edit", `{"data":{"color":"red"}}`)
	first := w.finding("one", `"red"`)
	next := w.configMap("settings", "color", "blue", "size", "small")
	next.policy = settings.policy
	w.update("one", next)
	w.holdsData(settings, "size", "small")
	w.quiet()
	if after := w.finding("one", `"red"`); after.ID != first.ID {
		t.Errorf("it was %+v and is %+v", first, after)
	}
}

func TestAFindingKeepsItsNameWhenTheAgentStartsAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	settings := w.configMap("settings", "color", "blue", "size", "large")
	settings.policy.Drift = kronvoyv1alpha1.DriftReport
	w.ship("one", settings)
	w.settled("one")
	w.patch(settings, "kubectl-edit", `{"data":{"color":"red"}}`)
	first := w.finding("one", `"red"`)
	w.quiet()
	w.stop()
	w.start()
	w.patch(settings, "kubectl-edit", `{"data":{"color":"white"}}`)
	if next := w.finding("one", `"white"`); next.ID != first.ID || next.Count != 2 || !next.FirstSeen.Equal(&first.FirstSeen) {
		t.Errorf("it was %+v and is %+v", first, next)
	}
}
