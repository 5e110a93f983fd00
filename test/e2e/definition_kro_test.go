//go:build integration

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kronvoy/kronvoy/test/probe"
)

// kroLease is what kro's leader election writes.
func (s *scene) kroLease(holder string, renewed time.Time, seconds int) {
	s.Helper()
	s.hub.Apply(s, fmt.Sprintf(`
apiVersion: v1
kind: Namespace
metadata: {name: kro-system}
---
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: controller.kro.run, namespace: kro-system}
spec: {holderIdentity: %q, leaseDurationSeconds: %d, renewTime: %q}`, holder, seconds, renewed.UTC().Format("2006-01-02T15:04:05.000000Z")))
}

// stays looks for a while whether the hub leaves its own objects of an
// instance, and the definition's CRD, as they are.
func (s *scene) stays(kind, name string) {
	s.Helper()
	versions := func() string {
		var b strings.Builder
		fmt.Fprint(&b, s.crd(kind).GetResourceVersion(), s.instance(kind, name).GetResourceVersion(), s.definition(kind).GetResourceVersion())
		for _, w := range s.works(euWest, kind, name) {
			fmt.Fprint(&b, w.At("metadata.generation"))
		}
		fmt.Fprint(&b, s.target(euWest, kind, name).GetResourceVersion())
		return b.String()
	}
	before := versions()
	probe.During(s, 3*time.Second, "the hub leaves everything as it is", func() error {
		if after := versions(); after != before {
			return fmt.Errorf("versions were %s, are %s", before, after)
		}
		return nil
	})
}

func TestTheHubYieldsToALiveKroAndTakesOverWhenItHasGone(t *testing.T) {
	s := begin(t, "yielding")
	defer s.end()
	s.define("Yielding", written)
	s.create("Yielding", "one", euWest, "")
	s.ready("Yielding", "one", 1)
	defer s.hub.Delete(t, "leases.coordination.k8s.io", "kro-system/controller.kro.run")
	changed := func(mark string) string {
		return strings.Replace(written, `"${schema.spec.text}"`, `"${schema.spec.text + '`+mark+`'}"`, 1) + "\n"
	}

	// The renewal lies ahead so that the Lease holds for as long as it takes.
	s.kroLease("kro-5f6d_1", time.Now().Add(time.Hour), 15)
	s.submit("Yielding", changed("!"))
	live := s.judged("Yielding", "ControllerReady", "False", "KroControllerLive")
	for _, part := range []string{"kro-system/controller.kro.run", "kro-5f6d_1", "scale kro to zero"} {
		if !strings.Contains(live.Message, part) {
			t.Errorf("%q is not in %q", part, live.Message)
		}
	}
	if ready, state := s.definition("Yielding").Condition("Ready"), s.definition("Yielding").Text("status.state"); ready.Reason != "KroControllerLive" || state != "Inactive" {
		t.Errorf("Ready is %v, the state %s", ready, state)
	}
	s.create("Yielding", "one", euWest, "text: two")
	s.stays("Yielding", "one")
	if got := s.on(euWest, "configmaps", "one").Text("data.text"); got != "one" {
		t.Errorf("the object on the cluster has text %q", got)
	}

	s.kroLease("", time.Now(), 15) // given back
	s.judged("Yielding", "Ready", "True", "Ready")
	s.holds(euWest, "configmaps", "one", "data.text", "two!")
	s.ready("Yielding", "one", 1)

	t.Run("a kro without a Lease gives itself away", func(t *testing.T) {
		s.hub.Delete(t, "leases.coordination.k8s.io", "kro-system/controller.kro.run")
		// What kro writes when the hub has changed the CRD.
		s.hub.Patch(t, definitions+"/status", "yielding", `status: {state: Active, conditions: [
  {type: GraphAccepted, status: "True", reason: Valid, message: resource graph and schema are valid},
  {type: ControllerReady, status: "True", reason: Running, message: controller is running}]}`)
		if message := s.judged("Yielding", "ControllerReady", "False", "KroControllerLive").Message; !strings.Contains(message, probe.Editor) {
			t.Errorf("the message is %q, it should name who wrote: %s", message, probe.Editor)
		}
		s.create("Yielding", "one", euWest, "text: three")
		s.stays("Yielding", "one")
		// A Lease that ran out after that status was written: that kro has gone.
		s.kroLease("kro-5f6d_1", time.Now(), 1)
		s.judged("Yielding", "Ready", "True", "Ready")
		s.holds(euWest, "configmaps", "one", "data.text", "three!")
		s.ready("Yielding", "one", 1)
	})
	t.Run("a definition is deleted when kro has gone", func(t *testing.T) {
		s.hub.Delete(t, probe.Resource("Yielding"), s.ns+"/one")
		s.goes(euWest, "configmaps", "one")
	})
}
