package definition

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
)

const (
	yes     = metav1.ConditionTrue
	no      = metav1.ConditionFalse
	unknown = metav1.ConditionUnknown
)

// TestState: conditions, reasons and state of kro v0.9.4 (its
// pkg/controller/resourcegraphdefinition/controller_status.go), for each way a
// pass can go.
func TestState(t *testing.T) {
	g := &graph.Graph{}
	issues := graph.Issues{{Path: "spec", Offset: -1, Message: "wrong"}}
	awaiting := verdict{status: unknown, reason: reasonAwaiting}
	served := func() *outcome {
		return &outcome{graph: g, revisions: met("Resolved", ""), kind: met("Ready", ""), controller: met("Running", ""), revisionNumber: 1}
	}
	// In the order GraphRevisionsResolved, GraphAccepted, KindReady,
	// ControllerReady, Ready.
	type statuses [5]verdict
	allMet := statuses{met("Resolved", ""), met("Valid", ""), met("Ready", ""), met("Running", ""), met("Ready", "")}
	with := func(s statuses, i int, v verdict, ready verdict) statuses {
		s[i], s[4] = v, ready
		return s
	}
	tests := map[string]struct {
		passes []*outcome
		want   statuses
		state  krov1alpha1.State
		issued int64
	}{
		"served": {passes: []*outcome{served()}, want: allMet, state: krov1alpha1.Active, issued: 1},
		"never valid": {
			passes: []*outcome{{issues: issues}},
			want:   statuses{awaiting, unmet("InvalidResourceGraph", ""), awaiting, awaiting, unmet("InvalidResourceGraph", "")},
			state:  krov1alpha1.Inactive,
		},
		"no longer valid": {
			passes: []*outcome{served(), {issues: issues}},
			want:   with(allMet, 1, unmet("InvalidResourceGraph", ""), unmet("InvalidResourceGraph", "")),
			state:  krov1alpha1.Inactive, issued: 1,
		},
		"put right": {passes: []*outcome{served(), {issues: issues}, served()}, want: allMet, state: krov1alpha1.Active, issued: 1},
		"being established": {
			passes: []*outcome{{graph: g, kind: kindState{}.verdict()}},
			want:   statuses{awaiting, met("Valid", ""), awaiting, awaiting, awaiting}, state: krov1alpha1.Inactive,
		},
		"a CRD of another's": {
			passes: []*outcome{{graph: g, kind: kindState{fault: "another's"}.verdict()}},
			want:   statuses{awaiting, met("Valid", ""), unmet("Failed", ""), awaiting, unmet("Failed", "")}, state: krov1alpha1.Inactive,
		},
		"a breaking change": {
			passes: []*outcome{served(), {graph: g, kind: kindState{fault: "breaks", kept: true}.verdict(), revisions: met("Resolved", ""), controller: met("Running", ""), revisionNumber: 1}},
			want:   with(allMet, 2, unmet("Failed", ""), unmet("Failed", "")), state: krov1alpha1.Inactive, issued: 1,
		},
		"watches that do not start": {
			passes: []*outcome{{graph: g, revisions: met("Resolved", ""), kind: met("Ready", ""), controller: unmet("FailedToStart", ""), revisionNumber: 1}},
			want:   with(allMet, 3, unmet("FailedToStart", ""), unmet("FailedToStart", "")), state: krov1alpha1.Inactive, issued: 1,
		},
		"kro is live": {
			passes: []*outcome{served(), {kro: "its Lease is held"}},
			want:   with(allMet, 3, unmet("KroControllerLive", ""), unmet("KroControllerLive", "")), state: krov1alpha1.Inactive, issued: 1,
		},
		"kro is live and finds a fault": {
			passes: []*outcome{{graph: g, kind: kindState{fault: "breaks"}.verdict()}, {kro: "its Lease is held"}},
			want:   statuses{awaiting, met("Valid", ""), unmet("Failed", ""), unmet("KroControllerLive", ""), unmet("KroControllerLive", "")},
			state:  krov1alpha1.Inactive,
		},
		"deleted with instances": {
			passes: []*outcome{served(), {waitsFor: "instances"}},
			want:   with(allMet, 0, met("Resolved", ""), unmet("InstancesExist", "")), state: krov1alpha1.Active, issued: 1,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			rgd := &krov1alpha1.ResourceGraphDefinition{}
			rgd.Status.Conditions = []krov1alpha1.Condition{{Type: formerGraphAccepted, Status: yes}}
			for i, pass := range test.passes {
				rgd.Generation = int64(i + 1)
				pass.state(rgd, metav1.NewTime(time.Unix(int64(i), 0)))
			}
			var got statuses
			var kinds []krov1alpha1.ConditionType
			for i, c := range rgd.Status.Conditions {
				got[i] = verdict{status: c.Status, reason: deref(c.Reason)}
				kinds = append(kinds, c.Type)
			}
			if diff := cmp.Diff([]krov1alpha1.ConditionType{"GraphRevisionsResolved", "GraphAccepted", "KindReady", "ControllerReady", "Ready"}, kinds); diff != "" {
				t.Fatalf("conditions (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(verdict{})); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
			if rgd.Status.State != test.state || rgd.Status.LastIssuedRevision != test.issued {
				t.Errorf("state %s and revision %d, want %s and %d", rgd.Status.State, rgd.Status.LastIssuedRevision, test.state, test.issued)
			}
			if got, want := condition(rgd, krov1alpha1.Ready).ObservedGeneration, int64(len(test.passes)); got != want {
				t.Errorf("Ready observed generation %d, want %d", got, want)
			}
			before := rgd.DeepCopy()
			test.passes[len(test.passes)-1].state(rgd, metav1.NewTime(time.Unix(99, 0)))
			if diff := cmp.Diff(before.Status, rgd.Status); diff != "" {
				t.Errorf("the same outcome changes the status once more:\n%s", diff)
			}
		})
	}
}

func TestOnlyStatusesOfOthersAreLookedAt(t *testing.T) {
	with := func(state krov1alpha1.State) *krov1alpha1.ResourceGraphDefinition {
		rgd := &krov1alpha1.ResourceGraphDefinition{ObjectMeta: metav1.ObjectMeta{Name: "app"}}
		rgd.Status.State = state
		return rgd
	}
	var s statements
	s.note(with(krov1alpha1.Inactive))
	tests := map[string]struct {
		before, after krov1alpha1.State
		want          bool
	}{
		"ours":             {"", krov1alpha1.Inactive, false},
		"somebody else's":  {krov1alpha1.Inactive, krov1alpha1.Active, true},
		"no status at all": {krov1alpha1.Inactive, "", true},
		"the same again":   {krov1alpha1.Active, krov1alpha1.Active, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := s.byOthers().Update(event.UpdateEvent{ObjectOld: with(test.before), ObjectNew: with(test.after)}); got != test.want {
				t.Errorf("it is looked at: %t, want %t", got, test.want)
			}
		})
	}
}
