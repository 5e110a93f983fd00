package status

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

var noon = metav1.NewTime(time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC))

func target(cluster string, state kronvoyv1alpha1.TargetState, values string) kronvoyv1alpha1.Target {
	t := kronvoyv1alpha1.Target{
		ObjectMeta: metav1.ObjectMeta{Namespace: cluster},
		Status:     kronvoyv1alpha1.TargetStatus{State: state, Revision: "r1"},
	}
	if state != kronvoyv1alpha1.TargetReady {
		t.Status.Message = "waits"
	}
	if values != "" {
		t.Status.Values = &runtime.RawExtension{Raw: []byte(values)}
	}
	return t
}

// refused is a Target whose cluster's agent cannot do what the graph needs.
func refused(cluster string) kronvoyv1alpha1.Target {
	t := target(cluster, failed, "")
	t.Status.Reason, t.Status.Revision = kronvoyv1alpha1.ReasonAgentLacks+kronvoyv1alpha1.FeatureWorkReport, ""
	return t
}

func input(targets ...kronvoyv1alpha1.Target) Input {
	return Input{Generation: 3, Revision: "r1", Placed: true, PlacedReason: "Placed", Targets: targets, Now: noon}
}

// asked has a question about five clusters, with an answer.
func asked(in Input, decision kronvoyv1alpha1.ApprovalDecision) Input {
	in.Approvals = []kronvoyv1alpha1.ApprovalRequest{{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-1"},
		Spec:       kronvoyv1alpha1.ApprovalRequestSpec{Action: kronvoyv1alpha1.ApprovalRemove, ClusterCount: 5, Clusters: []string{"a", "b", "c", "d", "e"}},
		Status:     kronvoyv1alpha1.ApprovalRequestStatus{Decision: decision, DecidedBy: "bob"},
	}}
	return in
}

// shadowed has a label that counts for nothing.
func shadowed(in Input) Input {
	in.Shadowed = "the label counts for nothing"
	return in
}

// conditionsOf are a status's conditions by type, as status and reason.
func conditionsOf(status map[string]any) map[string]string {
	out := map[string]string{}
	for _, c := range status["conditions"].([]any) {
		m := c.(map[string]any)
		out[m["type"].(string)] = m["status"].(string) + "/" + m["reason"].(string)
	}
	return out
}

const (
	ready       = kronvoyv1alpha1.TargetReady
	progressing = kronvoyv1alpha1.TargetProgressing
	failed      = kronvoyv1alpha1.TargetFailed
	unreachable = kronvoyv1alpha1.TargetUnreachable
)

func TestStateAndConditions(t *testing.T) {
	cases := map[string]struct {
		in         Input
		state      string
		conditions map[string]string
	}{
		"a cluster whose agent cannot do it": {
			in: input(target("a", ready, ""), refused("b")), state: Error,
			conditions: map[string]string{"Placed": "False/AgentLacksWorkReport", "ResourcesReady": "False/NotReady", "Ready": "False/AgentLacksWorkReport"},
		},
		"ready everywhere": {
			in: input(target("a", ready, ""), target("b", ready, "")), state: Active,
			conditions: map[string]string{"Ready": "True/Ready", "Progressing": "False/Complete", "Placed": "True/Placed", "Drifted": "False/InSync", "PlacementShadowed": ""},
		},
		"clusters that left and wait for an approval": {
			in: asked(input(target("a", ready, ""), target("b", ready, "")), ""), state: Active,
			conditions: map[string]string{"Ready": "True/Ready", "RemovalHeld": "True/NeedsApproval"},
		},
		"clusters that left and whose removal was rejected": {
			in: asked(input(target("a", ready, "")), kronvoyv1alpha1.Rejected), state: Active, conditions: map[string]string{"RemovalHeld": "True/ApprovalRejected"},
		},
		"clusters whose removal was approved": {
			in: asked(input(target("a", ready, "")), kronvoyv1alpha1.Approved), state: Active, conditions: map[string]string{"RemovalHeld": ""},
		},
		"its label counts for nothing": {
			in: shadowed(input(target("a", ready, ""))), state: Active,
			conditions: map[string]string{"Ready": "True/Ready", "PlacementShadowed": "True/DistributionPlaces"},
		},
		"one cluster is on its way": {
			in: input(target("a", ready, ""), target("b", progressing, "")), state: InProgress,
			conditions: map[string]string{"Ready": "False/NotReady", "Progressing": "True/ClustersProgressing"},
		},
		"one cluster failed": {
			in: input(target("a", ready, ""), target("b", failed, "")), state: Error,
			conditions: map[string]string{"Ready": "False/NotReady", "ResourcesReady": "False/NotReady"},
		},
		"an unreachable cluster is no error, but not ready": {
			in: input(target("a", ready, ""), target("b", unreachable, "")), state: InProgress,
			conditions: map[string]string{"Ready": "False/NotReady"},
		},
		"ready at an old revision is not ready": {
			in: func() Input {
				in := input(target("a", ready, ""))
				in.Revision = "r2"
				return in
			}(),
			state:      InProgress,
			conditions: map[string]string{"Ready": "False/NotReady", "Progressing": "True/ClustersProgressing"},
		},
		"placed nowhere": {
			in:    Input{PlacedReason: "NoPlacement", PlacedMessage: "label it", Now: noon},
			state: InProgress, conditions: map[string]string{"Placed": "False/NoPlacement", "Ready": "False/NoPlacement"},
		},
		"its definition is gone": {
			in:    Input{PlacedReason: "NoPlacement", GraphMessage: "no accepted definition serves this kind", Now: noon},
			state: Error, conditions: map[string]string{"GraphResolved": "False/ResolutionFailed", "Ready": "False/ResolutionFailed"},
		},
		"on its way out": {
			in: func() Input {
				in := input(target("a", kronvoyv1alpha1.TargetDeleting, ""))
				in.Deleting = true
				return in
			}(),
			state: Deleting, conditions: map[string]string{"ResourcesReady": "Unknown/UnderDeletion", "Ready": "Unknown/UnderDeletion"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			status := Summarize(tc.in)
			if status["state"] != tc.state {
				t.Errorf("state is %v, want %s", status["state"], tc.state)
			}
			got := conditionsOf(status)
			for kind, want := range tc.conditions {
				if got[kind] != want {
					t.Errorf("condition %s is %s, want %s", kind, got[kind], want)
				}
			}
		})
	}
}

func TestAuthorValues(t *testing.T) {
	cases := map[string]struct {
		targets []kronvoyv1alpha1.Target
		want    map[string]any
		differs bool
	}{
		"one cluster's values are the instance's": {
			targets: []kronvoyv1alpha1.Target{target("a", progressing, `{"replicas":2}`)},
			want:    map[string]any{"replicas": int64(2)},
		},
		"values that all ready clusters agree on": {
			targets: []kronvoyv1alpha1.Target{target("a", ready, `{"replicas":2}`), target("b", ready, `{"replicas":2}`), target("c", progressing, `{"replicas":9}`)},
			want:    map[string]any{"replicas": int64(2)},
		},
		"values that differ are left out and named": {
			targets: []kronvoyv1alpha1.Target{target("a", ready, `{"replicas":2,"image":"x"}`), target("b", ready, `{"replicas":3,"image":"x"}`)},
			want:    map[string]any{"image": "x"}, differs: true,
		},
		"a value that one lacks differs": {
			targets: []kronvoyv1alpha1.Target{target("a", ready, `{"image":"x"}`), target("b", ready, `{}`)},
			want:    map[string]any{}, differs: true,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			status := Summarize(input(tc.targets...))
			_, differs := conditionsOf(status)["StatusDiffers"]
			if differs != tc.differs {
				t.Errorf("StatusDiffers is %v, want %v", differs, tc.differs)
			}
			for _, own := range []string{"state", "conditions", "fleet"} {
				delete(status, own)
			}
			if diff := cmp.Diff(tc.want, status); diff != "" {
				t.Errorf("values (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheFleetNamesAtMostFiftyClustersTheWorstFirst(t *testing.T) {
	var targets []kronvoyv1alpha1.Target
	for i := range 200 {
		state := ready
		if i == 150 {
			state = failed
		}
		targets = append(targets, target(fmt.Sprintf("c%03d", i), state, ""))
	}
	fleet := Summarize(input(targets...))["fleet"].(map[string]any)
	rows := fleet["clusters"].([]any)
	if len(rows) != maxRows {
		t.Fatalf("%d rows, want %d", len(rows), maxRows)
	}
	if first := rows[0].(map[string]any); first["name"] != "c150" || first["state"] != "Failed" {
		t.Errorf("the first row is %v, want the failed cluster", first)
	}
	if fleet["placed"] != int64(200) || fleet["ready"] != int64(199) || fleet["failed"] != int64(1) {
		t.Errorf("counters are %v", fleet)
	}
}

func TestConditionTimesMoveOnlyWhenTheStatusFlips(t *testing.T) {
	first := Summarize(input(target("a", progressing, "")))
	in := input(target("a", progressing, ""))
	in.Previous, in.Now = first, metav1.NewTime(noon.Add(time.Hour))
	if diff := cmp.Diff(first, Summarize(in)); diff != "" {
		t.Errorf("nothing changed, but the status did (-first +second):\n%s", diff)
	}
	in.Targets = []kronvoyv1alpha1.Target{target("a", ready, "")}
	for _, c := range Summarize(in)["conditions"].([]any) {
		m := c.(map[string]any)
		moved := m["lastTransitionTime"] == "2026-01-02T13:00:00Z"
		flipped := m["type"] == "Ready" || m["type"] == "ResourcesReady" || m["type"] == "Progressing"
		if moved != flipped {
			t.Errorf("%s: moved is %v, flipped is %v", m["type"], moved, flipped)
		}
	}
}

func TestARemovalThatIsHeldSaysWhatToDo(t *testing.T) {
	for decision, want := range map[kronvoyv1alpha1.ApprovalDecision]string{
		"":                       "5 clusters (a, b, c and 2 more) left the placement and keep the instance until somebody approves: kronvoy rollout approve web-1 -n shop",
		kronvoyv1alpha1.Rejected: "5 clusters (a, b, c and 2 more) left the placement and keep the instance: bob rejected ApprovalRequest web-1; the hub asks again when it is deleted",
	} {
		if got := removalHeld(asked(Input{}, decision).Approvals)[0].Message; got != want {
			t.Errorf("%q: it says %q, want %q", decision, got, want)
		}
	}
}

func TestARowSaysSinceWhenAClusterIsLeavingAndWhyItIsNot(t *testing.T) {
	gone, held := target("a", ready, ""), target("b", ready, "")
	gone.Spec.Removal = &kronvoyv1alpha1.TargetRemoval{Since: noon, Held: "it waits until others are gone"}
	gone.DeletionTimestamp = &noon
	held.Spec.Removal = &kronvoyv1alpha1.TargetRemoval{Since: noon, Held: "it waits until others are gone"}
	rows := Summarize(input(gone, held))["fleet"].(map[string]any)["clusters"].([]any)
	for i, want := range []any{nil, "it waits until others are gone"} {
		r := rows[i].(map[string]any)
		if r["leaving"] != noon.UTC().Format("2006-01-02T15:04:05Z") || r["held"] != want {
			t.Errorf("the row says %v", r)
		}
	}
}

func TestARowSaysSinceWhenAClusterDiffers(t *testing.T) {
	hourAgo := metav1.NewTime(noon.Add(-time.Hour))
	differs := target("a", ready, "")
	differs.Status.Drift.Objects, differs.Status.Clocks = 1, kronvoyv1alpha1.Clocks{StateSince: &hourAgo, DriftSince: &noon}
	failed := *differs.DeepCopy()
	failed.Namespace, failed.Status.State = "b", kronvoyv1alpha1.TargetFailed
	rows := Summarize(input(differs, failed))["fleet"].(map[string]any)["clusters"].([]any)
	for i, want := range []metav1.Time{noon, hourAgo} {
		if r := rows[i].(map[string]any); r["since"] != want.UTC().Format("2006-01-02T15:04:05Z") {
			t.Errorf("the row says %v", r)
		}
	}
}

func TestAnInstanceNamesItsRollout(t *testing.T) {
	in := input(target("a", ready, ""))
	in.Rollout = &kronvoyv1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Name: "calm"}, Status: kronvoyv1alpha1.RolloutStatus{Phase: kronvoyv1alpha1.RolloutPaused, Group: "eu"}}
	fleet, _ := Summarize(in)["fleet"].(map[string]any)
	if diff := cmp.Diff(map[string]any{"name": "calm", "phase": "Paused", "group": "eu"}, fleet["rollout"]); diff != "" {
		t.Errorf("fleet.rollout (-want +got):\n%s", diff)
	}
}
