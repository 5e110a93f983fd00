package status

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// says is a ready Target with conditions, each as type, status, reason and
// message.
func says(cluster string, conditions ...[4]string) kronvoyv1alpha1.Target {
	t := target(cluster, ready, "")
	for _, c := range conditions {
		t.Status.Conditions = append(t.Status.Conditions, kronvoyv1alpha1.TargetCondition{
			Type: c[0], Status: metav1.ConditionStatus(c[1]), Reason: c[2], Message: c[3],
		})
	}
	return t
}

// authored is the input of an instance whose definition has conditions.
func authored(targets ...kronvoyv1alpha1.Target) Input {
	in := input(targets...)
	in.AuthorConditions = true
	return in
}

func condition4(conditionType, status, reason, message string, generation int64) map[string]any {
	m := map[string]any{"type": conditionType, "status": status, "lastTransitionTime": "2026-01-02T12:00:00Z"}
	if reason != "" {
		m["reason"] = reason
	}
	if message != "" {
		m["message"] = message
	}
	if generation != 0 {
		m["observedGeneration"] = generation
	}
	return m
}

func TestTheAuthorsConditionsStandInThePlaceOfTheBuiltInOnes(t *testing.T) {
	old := func(t kronvoyv1alpha1.Target) kronvoyv1alpha1.Target {
		t.Status.Revision = "r0"
		return t
	}
	kept := func(t kronvoyv1alpha1.Target) kronvoyv1alpha1.Target {
		t.Status.Conditions[0].Kept = true
		return t
	}
	leaving := func(t kronvoyv1alpha1.Target) kronvoyv1alpha1.Target {
		t.DeletionTimestamp = &noon
		return t
	}
	cases := map[string]struct {
		targets []kronvoyv1alpha1.Target
		want    []any
	}{
		"on one cluster they are that cluster's, in the author's order": {
			targets: []kronvoyv1alpha1.Target{says("a", [4]string{"Ready", "True", "Up", "fine"}, [4]string{"Backup", "False"})},
			want:    []any{condition4("Ready", "True", "Up", "fine", 3), condition4("Backup", "False", "", "", 3)},
		},
		"on several what all say": {
			targets: []kronvoyv1alpha1.Target{says("a", [4]string{"Degraded", "False", "Fine", "no fault"}), says("b", [4]string{"Degraded", "False", "Fine", "no fault"})},
			want:    []any{condition4("Degraded", "False", "Fine", "no fault", 3)},
		},
		"the same for another reason": {
			targets: []kronvoyv1alpha1.Target{says("a", [4]string{"Ready", "False", "Disk", "full"}), says("b", [4]string{"Ready", "False", "Net", ""})},
			want:    []any{condition4("Ready", "False", "ClustersDiffer", "False on 2 of 2 clusters (a: full, b)", 3)},
		},
		"the same in other words": {
			targets: []kronvoyv1alpha1.Target{says("a", [4]string{"Ready", "True", "Up", "2 pods"}), says("b", [4]string{"Ready", "True", "Up", "3 pods"})},
			want:    []any{condition4("Ready", "True", "Up", "True on 2 of 2 clusters (a: 2 pods, b: 3 pods)", 3)},
		},
		"unknown where clusters disagree, whichever status is the bad one": {
			targets: []kronvoyv1alpha1.Target{
				says("a", [4]string{"Ready", "True"}, [4]string{"Degraded", "False"}),
				says("b", [4]string{"Ready", "False", "Disk", "full"}, [4]string{"Degraded", "True", "Disk", "full"}),
				says("c", [4]string{"Ready", "True"}, [4]string{"Degraded", "False"}),
			},
			want: []any{
				condition4("Ready", "Unknown", "ClustersDiffer", "False on 1 of 3 clusters (b: full); True on 2 of 3 clusters (a, c)", 3),
				condition4("Degraded", "Unknown", "ClustersDiffer", "False on 2 of 3 clusters (a, c); True on 1 of 3 clusters (b: full)", 3),
			},
		},
		"a cluster that has not said anything yet is no agreement": {
			targets: []kronvoyv1alpha1.Target{says("a", [4]string{"Ready", "True"}), target("b", progressing, "")},
			want:    []any{condition4("Ready", "Unknown", "ClustersDiffer", "not known yet on 1 of 2 clusters (b); True on 1 of 2 clusters (a)", 0)},
		},
		"a cluster that the instance is leaving has no say": {
			targets: []kronvoyv1alpha1.Target{says("a", [4]string{"Ready", "True"}), leaving(says("b", [4]string{"Ready", "False"}))},
			want:    []any{condition4("Ready", "True", "", "", 3)},
		},
		"what was judged at an old revision is not of this generation": {
			targets: []kronvoyv1alpha1.Target{says("a", [4]string{"Ready", "True"}), old(says("b", [4]string{"Ready", "True"}))},
			want:    []any{condition4("Ready", "True", "", "", 0)},
		},
		"what was kept is not of this generation": {
			targets: []kronvoyv1alpha1.Target{kept(says("a", [4]string{"Ready", "True"}))},
			want:    []any{condition4("Ready", "True", "", "", 0)},
		},
		"nowhere nothing is known": {want: []any{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			status := Summarize(authored(tc.targets...))
			if diff := cmp.Diff(tc.want, status["conditions"]); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
			builtin := byType(status["fleet"].(map[string]any)["conditions"].([]any))
			for _, kind := range []string{InstanceManaged, GraphResolved, ResourcesReady, Ready, Placed, Progressing, Drifted} {
				if _, there := builtin[kind]; !there {
					t.Errorf("the built-in condition %s is nowhere", kind)
				}
			}
		})
	}
}

func TestTimesAndGenerationsOfTheAuthorsConditions(t *testing.T) {
	first := Summarize(authored(says("a", [4]string{"Ready", "True"}, [4]string{"Backup", "True"})))
	in := authored(says("a", [4]string{"Ready", "False"}, [4]string{"Backup", "True"}))
	in.Targets[0].Status.Conditions[1].Kept = true
	in.Generation, in.Previous, in.Now = 4, first, metav1.NewTime(noon.Add(time.Hour))
	flipped := condition4("Ready", "False", "", "", 4)
	flipped["lastTransitionTime"] = "2026-01-02T13:00:00Z"
	if diff := cmp.Diff([]any{flipped, condition4("Backup", "True", "", "", 3)}, Summarize(in)["conditions"]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNothingIsWrittenWhenNothingChanged(t *testing.T) {
	in := authored(says("a", [4]string{"Ready", "True"}), says("b", [4]string{"Ready", "False", "Disk", "full"}))
	in.Targets[0].Status.Issues = []string{"x"}
	first := Summarize(in)
	in.Previous, in.Now = first, metav1.NewTime(noon.Add(time.Hour))
	if diff := cmp.Diff(first, Summarize(in)); diff != "" {
		t.Errorf("(-first +second):\n%s", diff)
	}
}

func TestWhileItIsDeletedTheAuthorsConditionsStayAndOneTellsOfTheDeletion(t *testing.T) {
	in := authored(says("a", [4]string{"Backup", "True", "Done", ""}, [4]string{"ResourcesReady", "True"}))
	in.Previous, in.Deleting = Summarize(in), true
	in.Targets = []kronvoyv1alpha1.Target{target("a", kronvoyv1alpha1.TargetDeleting, "")}
	for range 2 {
		status := Summarize(in)
		want := []any{
			condition4("ResourcesReady", "Unknown", "UnderDeletion", "1 clusters are still being cleaned up", 3),
			condition4("Backup", "True", "Done", "", 3),
		}
		if diff := cmp.Diff(want, status["conditions"]); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		in.Previous = status
	}
}

func TestAnIssueOfTheAuthorsStatusMakesTheStateAnError(t *testing.T) {
	in := authored(says("a"), says("b"), says("c"))
	for i := range in.Targets {
		in.Targets[i].Status.Issues = []string{"spec.schema.status.conditions[0]: division by zero"}
	}
	in.Targets[2].Status.Issues = append(in.Targets[2].Status.Issues, "spec.schema.status.n: division by zero")
	status := Summarize(in)
	want := []any{"on a, b, c: spec.schema.status.conditions[0]: division by zero", "on c: spec.schema.status.n: division by zero"}
	if diff := cmp.Diff(want, status["fleet"].(map[string]any)["issues"]); diff != "" || status["state"] != Error {
		t.Errorf("state %v, issues (-want +got):\n%s", status["state"], diff)
	}
	if fault := Fault(status, "fleet"); fault != want[0] {
		t.Errorf("the fault is %q", fault)
	}
}

func TestTypesThatEachClusterMakesUpAreBounded(t *testing.T) {
	var targets []kronvoyv1alpha1.Target
	for i := range 300 {
		name := fmt.Sprintf("c%03d", i)
		targets = append(targets, says(name, [4]string{"ReadyOn-" + name, "True"}))
	}
	status := Summarize(authored(targets...))
	if n := len(status["conditions"].([]any)); n != maxConditions {
		t.Errorf("%d conditions, want %d", n, maxConditions)
	}
	want := []any{"the clusters give conditions of 300 types, of which 256 are shown"}
	if diff := cmp.Diff(want, status["fleet"].(map[string]any)["issues"]); diff != "" {
		t.Errorf("issues (-want +got):\n%s", diff)
	}
}

func TestWhoseDefinitionIsGoneHasItsConditionsWhereTheyWere(t *testing.T) {
	in := authored(says("a", [4]string{"Ready", "True"}))
	in.FleetField = "kronvoyFleet"
	status := Summarize(in)
	if field := FleetFieldIn(status); field != in.FleetField || !HadAuthorConditions(status, field) {
		t.Errorf("field %s, author's conditions %v", field, HadAuthorConditions(status, field))
	}
	in.AuthorConditions, in.FleetField = false, ""
	status = Summarize(in)
	if field := FleetFieldIn(status); field != "fleet" || HadAuthorConditions(status, field) {
		t.Errorf("field %s, author's conditions %v", field, HadAuthorConditions(status, field))
	}
}

func TestASuspendedInstance(t *testing.T) {
	cases := map[string]struct {
		targets []kronvoyv1alpha1.Target
		state   string
	}{
		"all is well":                      {targets: []kronvoyv1alpha1.Target{target("a", ready, "")}, state: Active},
		"well at an older revision":        {targets: []kronvoyv1alpha1.Target{{Status: kronvoyv1alpha1.TargetStatus{State: ready, Revision: "r0"}}}, state: Active},
		"something was not ready":          {targets: []kronvoyv1alpha1.Target{target("a", progressing, "")}, state: InProgress},
		"something had failed":             {targets: []kronvoyv1alpha1.Target{target("a", failed, "")}, state: Error},
		"nothing was placed before it was": {state: InProgress},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			in := input(tc.targets...)
			in.Suspended = true
			status := Summarize(in)
			got := conditionsOf(status)
			if got[ResourcesReady] != "False/ReconciliationSuspended" || got[Progressing] != "False/ReconciliationSuspended" || got[Ready] != "False/ReconciliationSuspended" {
				t.Errorf("conditions %v", got)
			}
			if status["state"] != tc.state {
				t.Errorf("state %v, want %s", status["state"], tc.state)
			}
		})
	}
}

// on is a Target with nodes, each as id and state.
func on(cluster string, state kronvoyv1alpha1.TargetState, nodes ...kronvoyv1alpha1.NodeStatus) kronvoyv1alpha1.Target {
	t := target(cluster, state, "")
	t.Status.Nodes = nodes
	return t
}

func TestAnObjectThatSomebodyDeletedIsTheReason(t *testing.T) {
	going := kronvoyv1alpha1.NodeStatus{ID: "web", State: kronvoyv1alpha1.NodeDeleting, Message: "Deployment shop/web is being deleted"}
	cases := map[string]struct {
		targets []kronvoyv1alpha1.Target
		want    string
	}{
		"on one of two clusters":      {targets: []kronvoyv1alpha1.Target{on("a", ready), on("b", progressing, going)}, want: "False/ResourceDeleting"},
		"a failure elsewhere is more": {targets: []kronvoyv1alpha1.Target{on("a", failed), on("b", progressing, going)}, want: "False/NotReady"},
		"nothing is being deleted":    {targets: []kronvoyv1alpha1.Target{on("a", progressing)}, want: "False/NotReady"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := conditionsOf(Summarize(input(tc.targets...)))[ResourcesReady]; got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

func TestTheFleetNamesTheNodesThatAreNotReadyAndWhatTheyWaitFor(t *testing.T) {
	waits := []string{"a.x", "b.x", "c.x", "d.x"}
	in := input(
		on("a", ready, kronvoyv1alpha1.NodeStatus{ID: "one", State: "Ready"}, kronvoyv1alpha1.NodeStatus{ID: "two", State: "Excluded"}),
		on("b", progressing, kronvoyv1alpha1.NodeStatus{ID: "one", State: "Ready"},
			kronvoyv1alpha1.NodeStatus{ID: "two", State: "Pending", WaitsFor: waits}, kronvoyv1alpha1.NodeStatus{ID: "three", State: "Failed", Message: "no"}),
	)
	rows := Summarize(in)["fleet"].(map[string]any)["clusters"].([]any)
	if nodes, there := rows[0].(map[string]any)["nodes"]; there {
		t.Errorf("all is ready on a, but its row has %v", nodes)
	}
	want := []any{
		map[string]any{"id": "two", "state": "Pending", "waitsFor": []any{"a.x", "b.x", "c.x"}},
		map[string]any{"id": "three", "state": "Failed", "message": "no"},
	}
	if diff := cmp.Diff(want, rows[1].(map[string]any)["nodes"]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheNodesInTheFleetAreBounded(t *testing.T) {
	var nodes []kronvoyv1alpha1.NodeStatus
	for i := range 30 {
		nodes = append(nodes, kronvoyv1alpha1.NodeStatus{ID: fmt.Sprint("n", i), State: "Pending"})
	}
	var targets []kronvoyv1alpha1.Target
	for i := range 30 {
		targets = append(targets, on(fmt.Sprintf("c%02d", i), progressing, nodes...))
	}
	total := 0
	for _, r := range Summarize(input(targets...))["fleet"].(map[string]any)["clusters"].([]any) {
		listed, _ := r.(map[string]any)["nodes"].([]any)
		if total += len(listed); len(listed) > maxRowNodes {
			t.Errorf("a row lists %d nodes", len(listed))
		}
	}
	if total != maxNodes {
		t.Errorf("%d nodes are listed, want %d", total, maxNodes)
	}
}

func TestWhatAnAuthorsConditionReadsOfTheInstance(t *testing.T) {
	cases := map[string]struct {
		target    kronvoyv1alpha1.Target
		suspended bool
		want      map[string]string
	}{
		"ready":     {target: on("a", ready), want: map[string]string{"ResourcesReady": "True/AllResourcesReady", "Ready": "True/Ready"}},
		"not ready": {target: on("a", progressing), want: map[string]string{"ResourcesReady": "False/NotReady", "Ready": "False/NotReady"}},
		"suspended": {target: on("a", ready), suspended: true, want: map[string]string{"ResourcesReady": "False/ReconciliationSuspended", "Ready": "False/ReconciliationSuspended"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.want["InstanceManaged"], tc.want["GraphResolved"] = "True/Managed", "True/Resolved"
			got := map[string]string{}
			for _, c := range OnOneCluster(&tc.target, tc.suspended) {
				got[c.Type] = string(c.Status) + "/" + c.Reason
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
