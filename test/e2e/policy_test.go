//go:build integration

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kronvoy/kronvoy/test/probe"
)

// distribute makes or changes a Distribution for all instances of a kind. The
// text is its policies.
func (s *scene) distribute(name, kind, policies string) {
	s.Helper()
	s.hub.Apply(s, fmt.Sprintf(`
apiVersion: kronvoy.io/v1alpha1
kind: Distribution
metadata: {name: %s, namespace: %s}
spec:
  instances: {apiVersion: kro.run/v1alpha1, kind: %s}
  policies: %s`, name, s.ns, kind, policies))
}

// tells waits until a Distribution's condition is as it should be, of its spec
// as it is now.
func (s *scene) tells(distribution, condition, status, reason, text string) *probe.Object {
	s.Helper()
	var d *probe.Object
	probe.Eventually(s, "Distribution "+distribution+" to be "+reason, func() error {
		d = s.hub.Get(s, "distributions.kronvoy.io", s.ns+"/"+distribution)
		c := d.Condition(condition)
		if c.Status != status || c.Reason != reason || !strings.Contains(c.Message, text) || c.ObservedGeneration != d.GetGeneration() {
			return fmt.Errorf("its status is %v", d.At("status"))
		}
		return nil
	})
	return d
}

func TestPoliciesOfADistributionActAtOnce(t *testing.T) {
	s := begin(t, "policies")
	defer s.end()
	s.define("Governed", drifting)
	s.distribute("calm", "Governed", `
  - {nodes: [web], paths: [spec.replicas], drift: Ignore}
  - {nodes: [settings], drift: Report}`)
	s.tells("calm", "Ready", "True", "NoInstances", "no Governed")
	s.create("Governed", "one", usEast, "")
	s.ready("Governed", "one", 1)
	s.tells("calm", "Ready", "True", "Resolved", "")
	revision := s.target(usEast, "Governed", "one").Text("spec.revision")

	spoke := s.spokes[usEast]
	if out, err := spoke.Kubectl(t, "-n", s.ns, "scale", "deployment/one", "--replicas=7"); err != nil {
		t.Fatal(err, out)
	}
	spoke.Patch(t, "configmaps", s.ns+"/one", `{data: {color: red}}`)
	s.finding(usEast, "Governed", "one", func(f *probe.Object) error {
		if got := fmt.Sprint(f.Text("action"), f.Text("kind"), f.List("details")[0].Text("path")); got != "ReportedConfigMapdata.color" {
			return fmt.Errorf("the report says %s", got)
		}
		return nil
	})
	probe.Eventually(t, "the instance to tell of the drift", func() error {
		if drifted := s.instance("Governed", "one").Condition("Drifted"); drifted.Status != "True" || !strings.Contains(drifted.Message, "data.color") {
			return fmt.Errorf("Drifted is %v", drifted)
		}
		return nil
	})
	s.audit.Quiet(t, time.Second)
	s.holds(usEast, "configmaps", "one", "data.color", "red")
	s.holds(usEast, "deployments.apps", "one", "spec.replicas", int64(7))
	if n := s.report(usEast, "Governed", "one").Int("status.findingCount"); n != 1 {
		t.Errorf("%d objects are reported, want the config map alone", n)
	}

	// Other policies put right what those left alone, without a new revision.
	s.distribute("calm", "Governed", `[{drift: Correct}]`)
	s.holds(usEast, "configmaps", "one", "data.color", "blue")
	s.ready("Governed", "one", 1)
	if now := s.target(usEast, "Governed", "one").Text("spec.revision"); now != revision {
		t.Errorf("the revision is %s, and was %s", now, revision)
	}

	// What cannot be used changes nothing of what is there.
	works := s.works(usEast, "Governed", "one")[0].GetGeneration()
	s.distribute("calm", "Governed", `[{paths: ["spec..replicas"], drift: Ignore}]`)
	s.tells("calm", "Accepted", "False", "InvalidPath", "spec.policies[0].paths[0]")
	s.blames(usEast, "Governed", "one", "Distribution calm cannot be used: spec.policies[0].paths[0]")
	if now := s.works(usEast, "Governed", "one")[0].GetGeneration(); now != works {
		t.Errorf("the work has generation %d, and had %d", now, works)
	}
	s.distribute("calm", "Governed", `[{nodes: [wbe], drift: Report}]`)
	s.tells("calm", "Resolved", "False", "UnknownNode", `no resource with id "wbe"`)
	s.ready("Governed", "one", 1)
	for what, policies := range map[string]string{
		"takeover and deletion are about whole objects":              `[{paths: [spec], drift: Ignore, deletion: Orphan}]`,
		"a policy says at least one of drift, takeover and deletion": `[{nodes: [web]}]`,
	} {
		err := s.hub.TryApply(t.Context(), fmt.Sprintf(`
apiVersion: kronvoy.io/v1alpha1
kind: Distribution
metadata: {name: bad, namespace: policies}
spec: {instances: {apiVersion: kro.run/v1alpha1, kind: Governed}, policies: %s}`, policies))
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("the API server says %v, want %q", err, what)
		}
	}

	// Whatever is to stay stays, also when all goes.
	s.distribute("calm", "Governed", `[{nodes: [settings], deletion: Orphan}]`)
	s.hub.Delete(t, probe.Resource("Governed"), s.ns+"/one")
	s.goes(usEast, "deployments.apps", "one")
	probe.Eventually(t, "the Target to be gone", func() error {
		if left := s.target(usEast, "Governed", "one"); left != nil {
			return fmt.Errorf("it says %v", left.At("status"))
		}
		return nil
	})
	if left := s.on(usEast, "configmaps", "one"); left == nil || len(left.GetOwnerReferences()) > 0 {
		t.Errorf("the orphan is %v", left)
	}
	s.hub.Delete(t, "distributions.kronvoy.io", s.ns+"/calm")
}

func TestOfTwoDistributionsThePresentOwnerKeepsTheInstance(t *testing.T) {
	s := begin(t, "contested")
	defer s.end()
	s.define("Contested", drifting)
	s.distribute("second", "Contested", `[{drift: Report}]`)
	s.create("Contested", "one", usEast, "")
	s.ready("Contested", "one", 1)
	s.tells("second", "Ready", "True", "Resolved", "")

	s.distribute("first", "Contested", `[{drift: Ignore}]`)
	s.tells("first", "Conflicted", "True", "OwnedByAnother", "Contested one belongs to Distribution second")
	owner := func(name string, instances int64) {
		t.Helper()
		probe.Eventually(t, name+" to own the instance", func() error {
			d, target := s.hub.Get(t, "distributions.kronvoy.io", s.ns+"/"+name), s.target(usEast, "Contested", "one")
			if got := target.Text("spec.distribution"); got != name || d.Int("status.instances") != instances {
				return fmt.Errorf("the Target names %q, and %s counts %d", got, name, d.Int("status.instances"))
			}
			return nil
		})
	}
	owner("second", 1)
	s.restartHub()
	s.tells("first", "Conflicted", "True", "OwnedByAnother", "Contested one belongs to Distribution second")
	owner("second", 1)
	policyOf := func(want string) {
		t.Helper()
		probe.Eventually(t, "the works to say "+want, func() error {
			if text := s.works(usEast, "Contested", "one")[0].GetAnnotations()["kronvoy.io/manifest-policies"]; !strings.Contains(text, want) {
				return fmt.Errorf("they say %s", text)
			}
			return nil
		})
	}
	policyOf(`"drift":"Report"`)
	s.hub.Delete(t, "distributions.kronvoy.io", s.ns+"/second")
	owner("first", 1)
	s.tells("first", "Conflicted", "False", "NoConflict", "")
	policyOf(`"drift":"Ignore"`)
	s.hub.Delete(t, "distributions.kronvoy.io", s.ns+"/first")
	probe.Eventually(t, "the defaults to count", func() error {
		if text := s.works(usEast, "Contested", "one")[0].GetAnnotations()["kronvoy.io/manifest-policies"]; strings.Contains(text, "drift") {
			return fmt.Errorf("the works say %s", text)
		}
		return nil
	})
}
