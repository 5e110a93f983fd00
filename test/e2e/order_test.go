//go:build integration

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kronvoy/kronvoy/test/probe"
)

// gated is a chain of ConfigMaps. The gate is ready when somebody on the spoke
// has written into it what it says itself.
const gated = `
schema:
  spec:
    text: string | default="one"
resources:
- id: gate
  readyWhen:
  - ${gate.data.?open.orValue("") == gate.data.text}
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: gate}
    data: {text: "${schema.spec.text}"}
- id: behind
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: behind}
    data: {text: "${gate.data.text}"}
- id: last
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: last}
    data: {text: "${behind.data.text}"}`

// openGate makes the gate ready for a text.
func (s *scene) openGate(cluster, text string) *probe.Object {
	s.Helper()
	return s.spokes[cluster].Patch(s, "configmaps", s.ns+"/gate", `{data: {open: "`+text+`"}}`)
}

func TestNothingOfALaterWaveExistsBeforeItsDependencyIsReady(t *testing.T) {
	s := begin(t, "waves")
	defer s.end()
	s.define("Wave", gated)
	seen := s.spokes[euWest].Record(t, s.ns, "configmaps")
	s.create("Wave", "one", euWest, "")

	node := s.node(euWest, "Wave", "one", "behind", "Held")
	if got := fmt.Sprint(node.At("waitsFor")); !strings.Contains(got, "gate") {
		t.Errorf("it waits for %s, want gate", got)
	}
	if got := s.instance("Wave", "one").Condition("Ready"); got.Status == "True" {
		t.Errorf("the instance is ready behind a closed gate: %v", got)
	}
	opened := s.openGate(euWest, "one")
	s.ready("Wave", "one", 1)

	behind, last := seen.Await(t, "ADDED", "behind"), seen.Await(t, "ADDED", "last")
	if opened.Version() >= behind.Version() || behind.Version() >= last.Version() {
		t.Errorf("the gate opened at %d, then came %d and %d: %s", opened.Version(), behind.Version(), last.Version(), seen.Summary(t))
	}
}

func TestADependencyThatBecomesUnreadyDuringAnUpdateDeletesNothing(t *testing.T) {
	s := begin(t, "unready")
	defer s.end()
	s.define("Dependent", gated)
	s.create("Dependent", "one", euWest, "")
	s.appears(euWest, "configmaps", "gate")
	s.openGate(euWest, "one")
	s.ready("Dependent", "one", 1)
	behind, last := s.on(euWest, "configmaps", "behind"), s.on(euWest, "configmaps", "last")
	seen := s.spokes[euWest].Record(t, s.ns, "configmaps")

	s.create("Dependent", "one", euWest, "text: two")
	s.holds(euWest, "configmaps", "gate", "data.text", "two")
	s.node(euWest, "Dependent", "one", "behind", "Held")
	s.node(euWest, "Dependent", "one", "last", "Held")
	if got := s.on(euWest, "configmaps", "behind").Text("data.text"); got != "one" {
		t.Errorf("behind says %q although its dependency is not ready", got)
	}
	opened := s.openGate(euWest, "two")
	s.ready("Dependent", "one", 1)

	for _, before := range []*probe.Object{behind, last} {
		after := s.on(euWest, "configmaps", before.GetName())
		if after.GetUID() != before.GetUID() || after.Text("data.text") != "two" {
			t.Errorf("%s is now %v", before.GetName(), after)
		}
	}
	for _, event := range seen.Events(t) {
		if event.Type == "DELETED" || event.GetDeletionTimestamp() != nil {
			t.Errorf("a watch has shown %s, deleted at %v", event, event.GetDeletionTimestamp())
		}
		if event.GetName() != "gate" && event.Text("data.text") == "two" && event.Version() < opened.Version() {
			t.Errorf("%s was changed at %d, the gate opened at %d", event.GetName(), event.Version(), opened.Version())
		}
	}
}

// chain is three ConfigMaps, each of which needs the one before.
const chain = `
schema:
  spec:
    text: string | default="one"
    withLast: boolean | default=true
resources:
- id: first
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.metadata.name}-first"}
    data: {text: "${schema.spec.text}"}
- id: second
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.metadata.name}-second"}
    data: {text: "${schema.spec.text}", before: "${first.metadata.uid}"}
- id: last
  includeWhen: ["${schema.spec.withLast}"]
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.metadata.name}-last"}
    data: {text: "${schema.spec.text}", before: "${second.metadata.uid}"}`

func TestDeletionGoesInReverseOrderAndWaitsForEachWave(t *testing.T) {
	s := begin(t, "reverse")
	defer s.end()
	s.define("Reverse", chain)
	s.create("Reverse", "one", euWest, "")
	s.ready("Reverse", "one", 1)
	seen := s.spokes[euWest].Record(t, s.ns, "configmaps")
	const hold = `{metadata: {finalizers: ["example.com/hold"]}}`
	const release = `{metadata: {finalizers: null}}`
	for _, name := range []string{"one-last", "one-second"} {
		s.spokes[euWest].Patch(t, "configmaps", s.ns+"/"+name, hold)
	}
	s.hub.Delete(t, probe.Resource("Reverse"), s.ns+"/one")

	waits := []string{"one-last", "one-second"}
	stays := [][]string{{"one-second", "one-first"}, {"one-first"}}
	for i, name := range waits {
		probe.Eventually(t, "the hub to say that "+name+" is still being deleted", func() error {
			target := s.target(euWest, "Reverse", "one")
			if message := target.Text("status.message"); !strings.Contains(message, "/"+name+" is still being deleted") {
				return fmt.Errorf("it says %q", message)
			}
			return nil
		})
		for _, other := range stays[i] {
			if obj := s.on(euWest, "configmaps", other); obj == nil || obj.GetDeletionTimestamp() != nil {
				t.Errorf("%s goes while %s is there: %v", other, name, obj)
			}
		}
		s.spokes[euWest].Patch(t, "configmaps", s.ns+"/"+name, release)
	}
	s.goes(euWest, "configmaps", "one-first")
	first, second, last := seen.Await(t, "DELETED", "one-first"), seen.Await(t, "DELETED", "one-second"), seen.Await(t, "DELETED", "one-last")
	if last.Version() >= second.Version() || second.Version() >= first.Version() {
		t.Errorf("deleted at %d, %d and %d: %s", last.Version(), second.Version(), first.Version(), seen.Summary(t))
	}
	probe.Eventually(t, "the instance to go", func() error {
		if instance := s.instance("Reverse", "one"); instance != nil {
			return fmt.Errorf("its status is %v", instance.At("status"))
		}
		return nil
	})
}

func TestAnExcludedNodeLeavesAndComesBack(t *testing.T) {
	s := begin(t, "excluded")
	defer s.end()
	s.define("Conditional", chain)
	s.create("Conditional", "one", euWest, "")
	s.ready("Conditional", "one", 1)
	first, last := s.on(euWest, "configmaps", "one-first"), s.on(euWest, "configmaps", "one-last")

	s.create("Conditional", "one", euWest, "withLast: false")
	s.goes(euWest, "configmaps", "one-last")
	s.ready("Conditional", "one", 1)
	s.node(euWest, "Conditional", "one", "last", "Excluded")

	s.create("Conditional", "one", euWest, "withLast: true")
	back := s.appears(euWest, "configmaps", "one-last")
	s.ready("Conditional", "one", 1)
	if back.GetUID() == last.GetUID() {
		t.Error("the same object came back: it never left")
	}
	if got := s.on(euWest, "configmaps", "one-first"); got.GetUID() != first.GetUID() {
		t.Error("the object that stayed was replaced")
	}
}
