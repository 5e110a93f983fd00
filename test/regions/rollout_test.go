//go:build integration

package regions

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kronvoy/kronvoy/test/probe"
)

const rollouts = "rollouts.kronvoy.io"

// staged is a definition's spec with one ConfigMap, which is ready everywhere but
// where the region stands in spec.broken.
const staged = `
schema:
  spec:
    text: string | default="one"
    broken: string | default="nowhere"
resources:
- id: settings
  readyWhen: ["${settings.data.broken == 'false'}"]
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.metadata.name}"}
    data: {text: "${schema.spec.text}", broken: "${string(cluster.labels.region == schema.spec.broken)}", tier: "${cluster.labels.?tier.orValue('none')}"}`

// waves are the clusters in the order of the regions that the tests roll by.
var waves = [][]string{{euWest1, euWest2}, {usEast1, usEast2}, {apSouth1, apSouth2}}

// rolls has an instance "one" of a kind of its own on all clusters, region by
// region and one cluster at a time. The text is the rest of spec.rollout.
func (s *scene) rolls(kind, rollout string) {
	s.Helper()
	s.define(kind, staged)
	s.distribute("calm", kind, fmt.Sprintf(`placement: {clusterSelector: {matchExpressions: [{key: region, operator: Exists}]}}
rollout:
  groupBy: {label: region, order: [eu-west, us-east, ap-south]}
  maxConcurrency: 1
  minSuccessTime: 1s
%s`, indent(rollout, 2)))
	s.create(kind, "one", "", "")
	s.phase("Succeeded", "")
	s.ready(kind, "one", everywhere...)
}

// phase waits until the rollout is in a phase, with a word in its message, and
// returns it.
func (s *scene) phase(phase, message string) *probe.Object {
	s.Helper()
	var r *probe.Object
	probe.Eventually(s, fmt.Sprintf("the rollout to be %s (%s)", phase, message), func() error {
		r = s.hub.Get(s, rollouts, s.ns+"/calm")
		if got := r.Text("status.phase"); got != phase || !strings.Contains(r.Text("status.message"), message) {
			return fmt.Errorf("it is %v", r.At("status"))
		}
		return nil
	})
	return r
}

// texts are what the clusters have, in the order of the regions.
func (s *scene) texts() string {
	s.Helper()
	var out []string
	for _, cluster := range slices.Concat(waves...) {
		out = append(out, s.on(cluster, "configmaps", "one").Text("data.text"))
	}
	return strings.Join(out, " ")
}

// region of a cluster, by its name.
func region(cluster string) string { return cluster[:strings.LastIndex(cluster, "-")] }

// orderly fails the test if more than one cluster of a region was on its way at a
// time, or one before its region, since the recording began. back is the revision that clusters
// may return to in any order.
func (s *scene) orderly(seen *probe.Recording, kind, back string) {
	s.Helper()
	assigned, passed, flying := map[string]string{}, map[string]string{}, map[string]string{}
	for _, event := range seen.Events(s) {
		t := &probe.Object{Unstructured: event.Unstructured}
		if t.Text("spec.instance.kind") != kind || t.Text("spec.revision") == back && back != "" {
			continue
		}
		cluster, revision := t.GetNamespace(), t.Text("spec.revision")
		if at := t.Text("spec.assignedAt"); at != assigned[cluster] {
			assigned[cluster] = at
			if other := flying[region(cluster)]; other != "" && other != cluster {
				s.Errorf("%s got %s while %s was on its way", cluster, revision, other)
			}
			flying[region(cluster)] = cluster
			for _, before := range waves[:slices.IndexFunc(waves, func(w []string) bool { return slices.Contains(w, cluster) })] {
				for _, earlier := range before {
					if passed[earlier] != revision {
						s.Errorf("%s got %s before %s had passed", cluster, revision, earlier)
					}
				}
			}
		}
		if t.Text("spec.passedAt") != "" {
			if passed[cluster] = revision; flying[region(cluster)] == cluster {
				delete(flying, region(cluster))
			}
		}
	}
	if len(assigned) == 0 {
		s.Error("nothing moved")
	}
}

// What is stored is all that there is: a hub that is killed, and another one, go on
// where it was.
func TestARolloutGoesRegionByRegionWhateverBecomesOfTheHub(t *testing.T) {
	s := begin(t, "calmly")
	defer s.end()
	seen := s.hub.Record(t, "", targets)
	s.rolls("Calm", "")
	s.create("Calm", "one", "", "text: two")
	for _, wave := range waves {
		s.holds(wave[0], "configmaps", "one", "data.text", "two")
		s.restartHub()
	}
	probe.Eventually(t, "all clusters to have it", func() error {
		if got := s.texts(); got != "two two two two two two" {
			return fmt.Errorf("clusters have %s", got)
		}
		return nil
	})
	r := s.phase("Succeeded", "all groups have passed")
	if r.Int("status.counts.ready") != 6 || len(r.List("status.groups")) != 3 || r.List("status.groups")[1].Text("name") != usEast {
		t.Errorf("the rollout says %v", r.At("status"))
	}
	s.orderly(seen, "Calm", "")
}

func TestARolloutThatFailsInTheSecondRegionGoesBack(t *testing.T) {
	s := begin(t, "backwards")
	defer s.end()
	s.rolls("Staged", "onFailure: Rollback\nprogressDeadline: 5s")
	good := s.instance("Staged", "one").Text("status.fleet.revision")
	seen := s.hub.Record(t, "", targets)
	s.create("Staged", "one", "", "text: two\nbroken: us-east")
	r := s.phase("RolledBack", "all clusters are back")
	if got := s.texts(); got != "one one one one one one" {
		t.Errorf("clusters have %s; %v", got, r.At("status"))
	}
	s.orderly(seen, "Staged", good)
	// It is not tried again, by a hub either that knows only what is stored.
	s.restartHub()
	s.phase("RolledBack", "")
	s.create("Staged", "one", "", "text: three")
	s.phase("Succeeded", "")
	if got := s.texts(); got != "three three three three three three" {
		t.Errorf("clusters have %s", got)
	}
}

func TestAGroupIsEnteredWhenItIsApproved(t *testing.T) {
	s := begin(t, "entered")
	defer s.end()
	s.define("Entered", staged)
	s.distribute("calm", "Entered", `placement: {clusterSelector: {matchExpressions: [{key: region, operator: Exists}]}}
rollout: {groupBy: {label: region, order: [eu-west, us-east, ap-south]}, approval: {beforeGroups: [us-east]}}`)
	s.create("Entered", "one", "", "")
	s.phase("WaitingForApproval", "us-east")
	first := s.question(2)
	if first.Text("spec.action") != "EnterGroup" || first.Text("spec.group") != usEast || len(s.targets("Entered", "one")) != 2 {
		t.Errorf("people are asked %v", first.At("spec"))
	}
	s.tells("explain", []string{"instance", "entered/one"}, "Rollout calm is WaitingForApproval, at group us-east",
		"kronvoy rollout approve "+first.GetName()+" -n entered", `eu-west-1 +eu-west +Ready`)
	s.create("Entered", "one", "", "text: two")
	probe.Eventually(t, "another question to take its place", func() error {
		requests := s.hub.List(s, approvalRequests, s.ns)
		if len(requests) != 1 || requests[0].GetName() == first.GetName() {
			return fmt.Errorf("there are %d", len(requests))
		}
		return nil
	})
	second := s.question(2)
	three := filepath.Join(t.TempDir(), "three.yaml")
	if err := os.WriteFile(three, []byte("{apiVersion: kro.run/v1alpha1, kind: Entered, metadata: {name: one}, spec: {text: three}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.tells("preview", []string{"-f", three}, "Rollout entered/calm", `1. eu-west: 2 clusters, at most 1 at a time`, `2. us-east: after approval, 2 clusters`, `3. ap-south: 2 clusters`)
	if out, err := s.kronvoy(s.person("boss", true), "rollout", "approve", second.GetName(), "-n", s.ns); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s.phase("Succeeded", "")
	s.ready("Entered", "one", everywhere...)
	if left := s.hub.List(s, approvalRequests, s.ns); len(left) > 0 {
		t.Errorf("the hub still asks %v", left[0])
	}
}

// tells runs a command in the scene's namespace, and looks for patterns in what it
// prints.
func (s *scene) tells(command string, args []string, patterns ...string) {
	s.Helper()
	// A preview of a change has an exit status of its own.
	out, err := s.kronvoy(s.hub.Kubeconfig, append([]string{command, "-n", s.ns}, args...)...)
	for _, pattern := range patterns {
		if !regexp.MustCompile(pattern).MatchString(out) {
			s.Errorf("kronvoy %s does not say %q: %v\n%s", command, pattern, err, out)
		}
	}
}

// A Deployment without readyWhen is ready as soon as it is applied: what stops it
// is that it does not become available.
func TestARolloutOfWhatNeverBecomesHealthyStopsAtTheFirstGroup(t *testing.T) {
	s := begin(t, "crashing")
	defer s.end()
	s.define("Crashing", `
schema:
  spec: {text: string | default="one"}
resources:
- id: deployment
  template:
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: "${schema.metadata.name}"}
    spec:
      replicas: 1
      progressDeadlineSeconds: 3600
      selector: {matchLabels: {app: "${schema.metadata.name}"}}
      template:
        metadata: {labels: {app: "${schema.metadata.name}"}}
        spec: {containers: [{name: main, image: none, args: ["${schema.spec.text}"]}]}`)
	s.distribute("calm", "Crashing", `placement: {clusterSelector: {matchExpressions: [{key: region, operator: Exists}]}}
rollout: {groupBy: {label: region, order: [eu-west, us-east, ap-south]}, maxConcurrency: 1, progressDeadline: 5s}`)
	s.create("Crashing", "one", "", "")
	r := s.phase("Paused", "1 failed in group eu-west")
	if got := s.targets("Crashing", "one"); len(got) != 1 || got[euWest1].Text("status.state") != "Ready" {
		t.Errorf("it is on %d clusters; %v", len(got), r.At("status"))
	}
}

// A cluster that is cut off in the middle is skipped, and comes after when it is
// back; one that joins gets the instance with its region.
func TestARolloutGoesOnWithoutAClusterThatIsCutOff(t *testing.T) {
	s := begin(t, "cutoff")
	defer s.end()
	s.label(apSouth2, "cutoff", "late")
	s.define("Cutoff", staged)
	s.distribute("calm", "Cutoff", `placement: {clusterSelector: {matchExpressions: [{key: region, operator: Exists}, {key: cutoff, operator: DoesNotExist}]}}
rollout: {groupBy: {label: region, order: [eu-west, us-east, ap-south]}, maxConcurrency: 1, minSuccessTime: 1s}`)
	s.create("Cutoff", "one", "", "")
	s.phase("Succeeded", "")
	back := s.outage(usEast1)
	s.create("Cutoff", "one", "", "text: two")
	s.holds(usEast2, "configmaps", "one", "data.text", "two")
	s.label(apSouth2, "cutoff", "")
	s.holds(apSouth2, "configmaps", "one", "data.text", "two")
	r := s.phase("Succeeded", "1 skipped")
	if got := s.targets("Cutoff", "one")[usEast1].Text("spec.revision"); got == s.targets("Cutoff", "one")[usEast2].Text("spec.revision") {
		t.Errorf("a cluster that cannot be reached was moved: %v", r.At("status"))
	}
	back()
	s.holds(usEast1, "configmaps", "one", "data.text", "two")
	s.ready("Cutoff", "one", everywhere...)
}
