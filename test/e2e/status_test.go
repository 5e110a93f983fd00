//go:build integration

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kronvoy/kronvoy/test/probe"
)

// spread is three ConfigMaps, of which the last takes what the first says.
const spread = `
schema:
  spec:
    text: string | default="one"
resources:
- id: first
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: first}
    data: {text: "${schema.spec.text}"}
- id: beside
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: beside}
    data: {text: "${schema.spec.text}"}
- id: behind
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: behind}
    data: {text: "${first.data.text}"}`

// kro stops everything while a child is on its way out (rule 45). Here only
// what depends on it waits.
func TestRule45_aTerminatingChildIsNamedAndHoldsNothingElseUp(t *testing.T) {
	s := begin(t, "terminating")
	defer s.end()
	s.define("Spread", spread)
	s.create("Spread", "one", euWest, "")
	s.ready("Spread", "one", 1)
	s.spokes[euWest].Patch(t, "configmaps", s.ns+"/first", `{metadata: {finalizers: [e2e.kronvoy.io/hold]}}`)
	s.spokes[euWest].Delete(t, "configmaps", s.ns+"/first")
	gone := s.on(euWest, "configmaps", "first").GetUID()

	var instance *probe.Object
	probe.Eventually(t, "the instance to tell", func() error {
		instance = s.instance("Spread", "one")
		for _, kind := range []string{"ResourcesReady", "Ready"} {
			if c := instance.Condition(kind); c.Status != "False" || c.Reason != "ResourceDeleting" || !strings.Contains(c.Message, "ConfigMap "+s.ns+"/first is being deleted") {
				return fmt.Errorf("its status is %v", instance.At("status"))
			}
		}
		return nil
	})
	if state := instance.Text("status.state"); state != "IN_PROGRESS" {
		t.Errorf("the state is %s", state)
	}
	s.create("Spread", "one", euWest, "text: two")
	s.holds(euWest, "configmaps", "beside", "data.text", "two")
	s.node(euWest, "Spread", "one", "behind", "Held")
	s.node(euWest, "Spread", "one", "first", "Deleting")
	if text := s.on(euWest, "configmaps", "behind").Text("data.text"); text != "one" {
		t.Errorf("what depends on it says %s", text)
	}
	probe.Eventually(t, "the instance to name the nodes", func() error {
		row := fleetRow(s.instance("Spread", "one"), euWest)
		got := map[string]string{}
		for _, node := range row.List("nodes") {
			got[node.Text("id")] = node.Text("state") + " " + fmt.Sprint(node.At("waitsFor"))
		}
		want := map[string]string{"first": "Deleting [first to be applied]", "behind": "Held [first to be ready]"}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("(-want +got):\n%s", diff)
		}
		return nil
	})

	s.spokes[euWest].Patch(t, "configmaps", s.ns+"/first", `{metadata: {finalizers: null}}`)
	s.ready("Spread", "one", 1)
	s.holds(euWest, "configmaps", "behind", "data.text", "two")
	if s.on(euWest, "configmaps", "first").GetUID() == gone {
		t.Error("it is the same object")
	}
}

// told are the values of Ready that a watch has shown of an instance, without
// repetitions, and how often its status was written.
func told(t *testing.T, seen *probe.Recording, name string) (ready []string, writes int) {
	t.Helper()
	last := ""
	for _, e := range seen.Of(t, "MODIFIED", name) {
		status := e.Condition("Ready").Status
		if len(ready) == 0 || ready[len(ready)-1] != status {
			ready = append(ready, status)
		}
		if now := fmt.Sprint(e.At("status")); now != last {
			last = now
			writes++
		}
	}
	return ready, writes
}

func TestReadyDoesNotFlap(t *testing.T) {
	s := begin(t, "steady")
	defer s.end()
	s.define("Steady", spread)
	s.create("Steady", "one", everywhere, "")
	s.ready("Steady", "one", 3)

	t.Run("while drift is put right", func(t *testing.T) {
		seen := s.hub.Record(t, s.ns, probe.Resource("Steady"))
		s.spokes[usEast].Patch(t, "configmaps", s.ns+"/first", `{data: {text: mine}}`)
		s.holds(usEast, "configmaps", "first", "data.text", "one")
		probe.Eventually(t, "the instance to tell of it", func() error {
			if row := fleetRow(s.instance("Steady", "one"), usEast); !strings.Contains(row.Text("drift"), "data.text") {
				return fmt.Errorf("its row is %v", row)
			}
			return nil
		})
		s.ready("Steady", "one", 3)
		if ready, writes := told(t, seen, "one"); slices.Contains(ready, "False") || slices.Contains(ready, "Unknown") || writes > 3 {
			t.Errorf("Ready was %v, in %d writes of the status", ready, writes)
		}
	})
	t.Run("while a new spec rolls out", func(t *testing.T) {
		seen := s.hub.Record(t, s.ns, probe.Resource("Steady"))
		s.create("Steady", "one", everywhere, "text: two")
		s.ready("Steady", "one", 3)
		ready, writes := told(t, seen, "one")
		if once := slices.Compact(slices.DeleteFunc(ready, func(r string) bool { return r == "True" })); len(once) > 1 || writes > 6 {
			t.Errorf("Ready was %v, in %d writes of the status", ready, writes)
		}
	})
}

const conditioned = `
schema:
  spec:
    color: string | default="blue"
  status:
    conditions:
    - "${runtime.newCondition({type: 'Ready', status: runtime.condition(schema, 'Ready').status, reason: runtime.condition(schema, 'ResourcesReady').reason})}"
    - "${runtime.newCondition({type: 'Colored', status: settings.data.color == 'blue' ? 'True' : 'False', reason: 'Seen', message: 'it is ' + settings.data.color})}"
    - "${runtime.newCondition({type: 'Large', status: cluster.labels['size'] == 'large' ? 'True' : 'False'})}"
    - "${runtime.newCondition({type: 'Tinted', status: settings.data.tint == 'red' ? 'True' : 'False'})}"
resources:
- id: settings
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.metadata.name}"}
    data: {color: "${schema.spec.color}"}`

// conditions are those of an instance, by type, as status, reason and message.
func conditions(instance *probe.Object, path string) map[string]string {
	out := map[string]string{}
	for _, c := range instance.List(path) {
		out[c.Text("type")] = strings.TrimSpace(c.Text("status") + " " + c.Text("reason") + " " + c.Text("message"))
	}
	return out
}

func TestTheAuthorsConditionsStandInThePlaceOfTheBuiltInOnes(t *testing.T) {
	s := begin(t, "conditions")
	defer s.end()
	s.define("Conditioned", conditioned)
	s.create("Conditioned", "here", euWest, "")
	s.create("Conditioned", "there", everywhere, "")
	want := map[string]map[string]string{
		"here": {"Ready": "True AllResourcesReady", "Colored": "True Seen it is blue", "Large": "True"},
		"there": {
			"Ready": "True AllResourcesReady", "Colored": "True Seen it is blue",
			"Large": "Unknown ClustersDiffer False on 2 of 3 clusters (ap-south, us-east); True on 1 of 3 clusters (eu-west)",
		},
	}
	for name, clusters := range map[string]int64{"here": 1, "there": 3} {
		instance := s.ready("Conditioned", name, clusters)
		if diff := cmp.Diff(want[name], conditions(instance, "status.conditions")); diff != "" {
			t.Errorf("conditions of %s (-want +got):\n%s", name, diff)
		}
		builtin := conditions(instance, "status.fleet.conditions")
		for _, kind := range []string{"InstanceManaged", "GraphResolved", "ResourcesReady", "Ready", "Placed"} {
			if !strings.HasPrefix(builtin[kind], "True") {
				t.Errorf("of %s the built-in condition %s is %q", name, kind, builtin[kind])
			}
		}
		if state := instance.Text("status.state"); state != "ACTIVE" {
			t.Errorf("the state of %s is %s", name, state)
		}
	}
	out, err := s.hub.Kubectl(t, "-n", s.ns, "get", probe.Resource("Conditioned"), "here", "--no-headers")
	if fields := strings.Fields(out); err != nil || len(fields) < 3 || fields[1] != "ACTIVE" || fields[2] != "True" {
		t.Errorf("kubectl get prints %q: %v", out, err)
	}

	// A condition follows the live object, and one that cannot be judged any
	// more stays as it was found last.
	s.spokes[euWest].Patch(t, "configmaps", s.ns+"/here", `{data: {tint: red}}`)
	s.shows("here", map[string]string{"Ready": "True AllResourcesReady", "Colored": "True Seen it is blue", "Large": "True", "Tinted": "True"})
	s.create("Conditioned", "here", euWest, "color: green")
	s.shows("here", map[string]string{"Ready": "True AllResourcesReady", "Colored": "False Seen it is green", "Large": "True", "Tinted": "True"})
	s.spokes[euWest].Patch(t, "configmaps", s.ns+"/here", `{data: {tint: null}}`)
	probe.Eventually(t, "the cluster to say that it kept a condition", func() error {
		for _, c := range s.target(euWest, "Conditioned", "here").List("status.conditions") {
			if c.Text("type") == "Tinted" && c.At("kept") == true {
				return nil
			}
		}
		return fmt.Errorf("its target says %v", s.target(euWest, "Conditioned", "here").At("status.conditions"))
	})
	s.shows("here", map[string]string{"Ready": "True AllResourcesReady", "Colored": "False Seen it is green", "Large": "True", "Tinted": "True"})

	// The built-in ones that an author reads know of a suspension, too.
	s.hub.Patch(t, probe.Resource("Conditioned"), s.ns+"/here", `{metadata: {annotations: {kro.run/reconcile: suspended}}}`)
	s.shows("here", map[string]string{"Ready": "False ReconciliationSuspended", "Colored": "False Seen it is green", "Large": "True", "Tinted": "True"})
}

// shows waits until the conditions of an instance are these.
func (s *scene) shows(name string, want map[string]string) {
	s.Helper()
	probe.Eventually(s, "the conditions of "+name, func() error {
		if diff := cmp.Diff(want, conditions(s.instance("Conditioned", name), "status.conditions")); diff != "" {
			return fmt.Errorf("(-want +got):\n%s", diff)
		}
		return nil
	})
}

const faulty = `
schema:
  spec:
    parts: integer | default=1
  status:
    share: ${10 / (schema.spec.parts - 1)}
    color: ${settings.data.color}
    conditions:
    - "${runtime.newCondition({type: 'Fair', status: 10 / (schema.spec.parts - 1) > 1 ? 'True' : 'False'})}"
    - "${runtime.newCondition({type: 'Blue', status: settings.data.color == 'blue' ? 'True' : 'False'})}"
resources:
- id: settings
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.metadata.name}"}
    data: {color: blue}`

func TestAnExpressionOfTheStatusThatFailsIsNamedAndHidesNoOther(t *testing.T) {
	s := begin(t, "faulty")
	defer s.end()
	s.define("Faulty", faulty)
	s.create("Faulty", "one", everywhere, "")
	probe.Eventually(t, "the instance to tell", func() error {
		instance := s.instance("Faulty", "one")
		issues, _ := instance.At("status.fleet.issues").([]any)
		if len(issues) != 2 || !strings.Contains(fmt.Sprint(issues...), "division by zero") || !strings.HasPrefix(fmt.Sprint(issues[0]), "on ap-south, eu-west, us-east: spec.schema.status.") {
			return fmt.Errorf("the issues are %q", issues)
		}
		got := fmt.Sprintf("%s %s %v %v", instance.Text("status.state"), instance.Text("status.color"), instance.At("status.share"), conditions(instance, "status.conditions"))
		if want := "ERROR blue <nil> map[Blue:True]"; got != want {
			return fmt.Errorf("it says %s", got)
		}
		return nil
	})
	s.create("Faulty", "one", everywhere, "parts: 3")
	probe.Eventually(t, "the instance to be well", func() error {
		instance := s.instance("Faulty", "one")
		got := fmt.Sprintf("%s %v %v", instance.Text("status.state"), instance.At("status.fleet.issues"), conditions(instance, "status.conditions"))
		if want := "ACTIVE <nil> map[Blue:True Fair:True]"; got != want {
			return fmt.Errorf("it says %s", got)
		}
		return nil
	})
}
