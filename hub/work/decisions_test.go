package work

import (
	"testing"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
)

func decision(verdict kronvoyv1alpha1.DriftVerdict, id, name string, paths ...string) kronvoyv1alpha1.DriftDecision {
	return kronvoyv1alpha1.DriftDecision{
		ID: id, Verdict: verdict, Paths: paths,
		ObjectReference: kronvoyv1alpha1.ObjectReference{Version: "v1", Kind: "ConfigMap", Resource: "configmaps", Namespace: "shop", Name: name},
	}
}

func finding(action kronvoyv1alpha1.FindingAction, id, name string, paths ...string) kronvoyv1alpha1.Finding {
	f := kronvoyv1alpha1.Finding{
		ID: id, Action: action, Missing: len(paths) == 0, DetailCount: int32(len(paths)),
		ObjectReference: kronvoyv1alpha1.ObjectReference{Version: "v1", Kind: "ConfigMap", Resource: "configmaps", Namespace: "shop", Name: name},
	}
	for _, path := range paths {
		f.Details = append(f.Details, kronvoyv1alpha1.FindingDetail{Path: path})
	}
	return f
}

// policy is that of the object in the works as they stand.
func (w *world) policy(name string) kronvoyv1alpha1.ManifestPolicy {
	w.t.Helper()
	for _, x := range w.works {
		manifests, _, err := takeApart(x)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, m := range manifests {
			if m.id.Name == name {
				return m.policy
			}
		}
	}
	w.t.Fatalf("no work holds %s", name)
	return kronvoyv1alpha1.ManifestPolicy{}
}

// drop does what hub/target does after it has written.
func (w *world) drop(plan Plan) {
	w.t.Helper()
	standing, err := Standing(w.decisions, plan.Works, w.works, w.reports)
	if err != nil {
		w.t.Fatal(err)
	}
	w.decisions = standing
}

func (w *world) report() *kronvoyv1alpha1.WorkReportStatus {
	return &w.reports[shop.WorkName(0)].Status
}

func TestWhatIsAcceptedStandsInThePolicyOfItsObjectUntilItIsTakenBack(t *testing.T) {
	w := settled(t)
	plain := hashesOf(w.works)
	w.decisions = []kronvoyv1alpha1.DriftDecision{
		decision(kronvoyv1alpha1.DriftAccept, "1", "b", "data.value", "data.a"), decision(kronvoyv1alpha1.DriftAccept, "2", "b", "data.value"),
		decision("Later", "3", "b", "data.other"),
	}
	w.drop(w.step(false))
	want(t, "what is accepted of b", []string{"data.a", "data.value"}, w.policy("b").Accepted)
	want(t, "what is accepted of a", nil, w.policy("a").Accepted)
	want(t, "decisions", 3, len(w.decisions))

	// a is what b waits for: b stays as it was shipped, with its decisions as
	// they are now.
	w.spec["value"], w.unready["a"] = "two", true
	w.step(false)
	want(t, "b", graph.Held, stateOf(w.last, "b"))
	w.decisions = nil
	w.step(false)
	want(t, "what is accepted of b", nil, w.policy("b").Accepted)
	w.spec["value"], w.unready["a"] = "one", false
	w.step(false)
	w.step(false)
	want(t, "hashes", plain, hashesOf(w.works))
}

func TestADecisionLeavesWithItsObject(t *testing.T) {
	w := settled(t)
	w.decisions = []kronvoyv1alpha1.DriftDecision{decision(kronvoyv1alpha1.DriftAccept, "1", "c", "data.value"), decision(kronvoyv1alpha1.DriftAccept, "2", "b", "data.value")}
	w.drop(w.step(false))
	want(t, "decisions", 2, len(w.decisions))
	w.spec["short"] = true
	for range 3 {
		w.drop(w.step(false))
	}
	want(t, "decisions", w.decisions, []kronvoyv1alpha1.DriftDecision{decision(kronvoyv1alpha1.DriftAccept, "2", "b", "data.value")})
}

func TestADecisionToPutRightEndsWhenTheAgentHasAnswered(t *testing.T) {
	w := settled(t)
	plain := hashesOf(w.works)
	w.report().Findings = []kronvoyv1alpha1.Finding{finding(kronvoyv1alpha1.FindingReported, "1", "b", "data.value")}
	w.decisions = []kronvoyv1alpha1.DriftDecision{decision(kronvoyv1alpha1.DriftPutRight, "1", "b", "data.value")}
	w.mute = true
	w.drop(w.step(false))
	w.drop(w.step(false))
	want(t, "what is put right", []string{"1"}, w.policy("b").Correct)
	want(t, "decisions before the agent has answered", 1, len(w.decisions))

	// It answers, and has failed: the finding stays, and so does the decision.
	w.mute = false
	w.drop(w.step(false))
	want(t, "decisions while it fails", 1, len(w.decisions))
	w.report().Findings[0].Action = kronvoyv1alpha1.FindingCorrected
	w.drop(w.step(false))
	want(t, "decisions when it is done", 0, len(w.decisions))
	w.step(false)
	want(t, "hashes", plain, hashesOf(w.works))
}

func TestWhatDiffersAfterAnAcceptanceIsTakenBackIsPutRight(t *testing.T) {
	w := settled(t)
	w.decisions = []kronvoyv1alpha1.DriftDecision{decision(kronvoyv1alpha1.DriftAccept, "1", "b", "data.value")}
	w.drop(w.step(false))

	// The report of before knows of no difference: it was ignored.
	w.decisions = []kronvoyv1alpha1.DriftDecision{decision(kronvoyv1alpha1.DriftPutRight, "1", "b", "data.value")}
	w.mute = true
	w.drop(w.step(false))
	w.drop(w.step(false))
	want(t, "decisions before the agent has answered", 1, len(w.decisions))
	want(t, "what is accepted", nil, w.policy("b").Accepted)

	w.mute = false
	w.answer()
	w.report().Findings = []kronvoyv1alpha1.Finding{
		finding(kronvoyv1alpha1.FindingReported, "2", "b", "data.value"), finding(kronvoyv1alpha1.FindingReported, "3", "a", "data.value"),
	}
	w.drop(w.step(false))
	want(t, "what is put right", []string{"1", "2"}, w.policy("b").Correct)
	want(t, "what is put right of a", nil, w.policy("a").Correct)
	w.report().Findings[0].Action = kronvoyv1alpha1.FindingCorrected
	w.drop(w.step(false))
	want(t, "decisions when it is done", 0, len(w.decisions))
}

func TestADecisionCoversFindingsAboutNoOtherFields(t *testing.T) {
	tests := map[string]struct {
		decision kronvoyv1alpha1.DriftDecision
		finding  kronvoyv1alpha1.Finding
		covered  bool
	}{
		"the finding itself":        {decision(kronvoyv1alpha1.DriftPutRight, "1", "b", "data.old"), finding(kronvoyv1alpha1.FindingConflict, "1", "b", "data.x", "data.y"), true},
		"a missing object":          {decision(kronvoyv1alpha1.DriftPutRight, "1", "b"), finding(kronvoyv1alpha1.FindingReported, "1", "b"), true},
		"the same field":            {decision(kronvoyv1alpha1.DriftPutRight, "1", "b", "data.x"), finding(kronvoyv1alpha1.FindingReported, "2", "b", "data.x"), true},
		"a field below":             {decision(kronvoyv1alpha1.DriftPutRight, "1", "b", "data"), finding(kronvoyv1alpha1.FindingReported, "2", "b", "data.x"), true},
		"an element below":          {decision(kronvoyv1alpha1.DriftPutRight, "1", "b", "data"), finding(kronvoyv1alpha1.FindingReported, "2", "b", `data["a.b"]`), true},
		"a field that begins so":    {decision(kronvoyv1alpha1.DriftPutRight, "1", "b", "data.x"), finding(kronvoyv1alpha1.FindingReported, "2", "b", "data.xy"), false},
		"another field beside it":   {decision(kronvoyv1alpha1.DriftPutRight, "1", "b", "data.x"), finding(kronvoyv1alpha1.FindingReported, "2", "b", "data.x", "data.y"), false},
		"another object":            {decision(kronvoyv1alpha1.DriftPutRight, "1", "b", "data.x"), finding(kronvoyv1alpha1.FindingReported, "1", "a", "data.x"), false},
		"what is over":              {decision(kronvoyv1alpha1.DriftPutRight, "1", "b", "data.x"), finding(kronvoyv1alpha1.FindingCorrected, "1", "b", "data.x"), false},
		"another agent's":           {decision(kronvoyv1alpha1.DriftPutRight, "1", "b", "data.x"), finding(kronvoyv1alpha1.FindingReported, "", "b", "data.x"), false},
		"an object that is missing": {decision(kronvoyv1alpha1.DriftPutRight, "1", "b", "data.x"), finding(kronvoyv1alpha1.FindingReported, "2", "b"), false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			report := &kronvoyv1alpha1.WorkReport{Status: kronvoyv1alpha1.WorkReportStatus{Findings: []kronvoyv1alpha1.Finding{tc.finding}}}
			if got := covered(tc.decision, report); (len(got) == 1) != tc.covered {
				t.Errorf("it covers %q", got)
			}
		})
	}
}
