//go:build integration

package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/kronvoy/kronvoy/test/probe"
)

// many renders 3,000 objects, in three nodes of a thousand.
const many = `
schema:
  spec:
    text: string | default="one"
resources:
- id: a
  forEach: [{i: "${lists.range(1000)}"}]
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "a-${string(i)}"}
    data: {text: "${schema.spec.text}"}
- id: b
  forEach: [{i: "${lists.range(1000)}"}]
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "b-${string(i)}"}
    data: {text: "${schema.spec.text}"}
- id: c
  forEach: [{i: "${lists.range(1000)}"}]
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "c-${string(i)}"}
    data: {text: "${schema.spec.text}"}`

// long is how long 3,000 objects may take; the agent makes 200 requests a
// second.
const long = 3 * time.Minute

func TestThreeThousandSmallObjectsComeAndGo(t *testing.T) {
	s := begin(t, "many")
	defer s.end()
	s.define("Many", many)
	s.create("Many", "one", usEast, "")
	probe.Within(t, long, "3,000 objects to be ready", func() error {
		if ready := s.instance("Many", "one").Condition("Ready"); ready.Status != "True" {
			return fmt.Errorf("Ready is %v", ready)
		}
		return nil
	})
	if n := len(s.spokes[usEast].List(t, "configmaps", s.ns)); n != 3001 { // and kube-root-ca.crt
		t.Errorf("%d ConfigMaps are there", n)
	}
	s.hub.Delete(t, probe.Resource("Many"), s.ns+"/one")
	probe.Within(t, long, "all to be gone", func() error {
		if instance := s.instance("Many", "one"); instance != nil {
			return fmt.Errorf("%v, %d ConfigMaps", instance.Condition("ResourcesReady"), len(s.spokes[usEast].List(t, "configmaps", s.ns)))
		}
		return nil
	})
	if n := len(s.spokes[usEast].List(t, "configmaps", s.ns)); n != 1 {
		t.Errorf("%d ConfigMaps are left", n)
	}
}
