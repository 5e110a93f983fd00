//go:build integration

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kronvoy/kronvoy/test/probe"
)

// sharing renders one object that instances may have in common, and one of
// their own.
const sharing = `
schema:
  spec:
    object: string
    key: string
    value: string | default="one"
resources:
- id: own
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.metadata.name}-own"}
    data: {text: "${schema.spec.value}"}
- id: shared
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.spec.object}"}
    data: {"key": "${schema.spec.key}", "text": "${schema.spec.value}"}`

func TestTwoInstancesNeverStripOneAnother(t *testing.T) {
	s := begin(t, "neighbours")
	defer s.end()
	s.define("Neighbour", sharing)
	s.create("Neighbour", "left", euWest, `{object: common, key: left}`)
	s.ready("Neighbour", "left", 1)
	common := s.on(euWest, "configmaps", "common")

	// The object is the first one's: the second is told so, for this object
	// alone.
	s.create("Neighbour", "right", euWest, `{object: common, key: right}`)
	probe.Eventually(t, "the second instance to say whose the object is", func() error {
		ready := s.instance("Neighbour", "right").Condition("Ready")
		if ready.Status != "False" || !strings.Contains(ready.Message, "neighbours/common") || !strings.Contains(ready.Message, "not ours") {
			return fmt.Errorf("Ready is %v", ready)
		}
		return nil
	})
	s.appears(euWest, "configmaps", "right-own")
	if got := s.on(euWest, "configmaps", "common"); got.GetResourceVersion() != common.GetResourceVersion() {
		t.Errorf("the first one's object was written: %v", got)
	}

	// Each goes on by itself.
	s.create("Neighbour", "left", euWest, `{object: common, key: left, value: two}`)
	s.create("Neighbour", "right", euWest, `{object: common, key: right, value: three}`)
	s.holds(euWest, "configmaps", "common", "data.text", "two")
	s.holds(euWest, "configmaps", "left-own", "data.text", "two")
	s.holds(euWest, "configmaps", "right-own", "data.text", "three")
	if got := s.on(euWest, "configmaps", "common").Text("data.key"); got != "left" {
		t.Errorf("the key is %q", got)
	}
	s.ready("Neighbour", "left", 1)

	// What the second one never got it does not take with it.
	s.hub.Delete(t, probe.Resource("Neighbour"), s.ns+"/right")
	s.goes(euWest, "configmaps", "right-own")
	probe.Eventually(t, "the second instance to go", func() error {
		if instance := s.instance("Neighbour", "right"); instance != nil {
			return fmt.Errorf("its status is %v", instance.At("status"))
		}
		return nil
	})
	if got := s.on(euWest, "configmaps", "common"); got.GetUID() != common.GetUID() {
		t.Errorf("the object went with it: %v", got)
	}
}

func TestAnObjectThatIsFreeAgainIsTaken(t *testing.T) {
	s := begin(t, "freed")
	defer s.end()
	s.define("Freed", sharing)
	s.create("Freed", "left", euWest, `{object: common, key: left}`)
	s.ready("Freed", "left", 1)
	s.create("Freed", "right", euWest, `{object: common, key: right}`)
	s.state(euWest, "Freed", "right", "Failed")

	s.hub.Delete(t, probe.Resource("Freed"), s.ns+"/left")
	s.ready("Freed", "right", 1)
	if got := s.on(euWest, "configmaps", "common").Text("data.key"); got != "right" {
		t.Errorf("the key is %q", got)
	}
}

func TestFieldsOfOthersOnOurObjectsStay(t *testing.T) {
	s := begin(t, "foreign")
	defer s.end()
	s.define("Foreign", sharing)
	s.create("Foreign", "one", euWest, `{object: common, key: a}`)
	s.ready("Foreign", "one", 1)
	s.spokes[euWest].Patch(t, "configmaps", s.ns+"/common", `{data: {theirs: kept}, metadata: {annotations: {example.com/theirs: kept}}}`)

	s.create("Foreign", "one", euWest, `{object: common, key: a, value: two}`)
	s.holds(euWest, "configmaps", "common", "data.text", "two")
	s.ready("Foreign", "one", 1)
	got := s.on(euWest, "configmaps", "common")
	if got.Text("data.theirs") != "kept" || got.GetAnnotations()["example.com/theirs"] != "kept" {
		t.Errorf("what others added is gone: %v", got)
	}
	if n := s.report(euWest, "Foreign", "one").Int("status.findingCount"); n != 0 {
		t.Errorf("%d objects count as different", n)
	}
}
