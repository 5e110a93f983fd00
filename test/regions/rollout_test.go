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
	"time"

	"github.com/kronvoy/kronvoy/test/probe"
	"github.com/kronvoy/kronvoy/test/proxy"
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

// waves are all clusters in the order of the regions that the tests roll by.
var waves = [][]string{{euWest1, euWest2}, {usEast1, usEast2}, {apSouth1, apSouth2}}

// rolls has an instance "one" of a kind of its own on the scene's clusters, to be
// changed region by region and one cluster at a time. The text is the rest of
// spec.rollout.
func (s *scene) rolls(kind, rollout string) {
	s.Helper()
	s.define(kind, staged)
	s.strategy(kind, "maxConcurrency: 100%")
	s.create(kind, "one", "", "")
	s.phase("Succeeded", "")
	s.ready(kind, "one", slices.Concat(s.waves...)...)
	s.strategy(kind, "maxConcurrency: 1\nminSuccessTime: 1s\n"+rollout)
}

// strategy is that of Distribution calm, on the scene's clusters, region by region.
func (s *scene) strategy(kind, rollout string) {
	s.Helper()
	where := "{matchExpressions: [{key: region, operator: Exists}]}"
	if len(s.waves[0]) == 1 {
		where = "{matchLabels: {tier: gold}}"
	}
	s.distribute("calm", kind, "placement: {clusterSelector: "+where+`}
rollout:
  groupBy: {label: region, order: [eu-west, us-east, ap-south]}
`+probe.Indent(rollout, 2))
	s.condition(distributions, "calm", "Accepted", "True", "")
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
	for _, cluster := range slices.Concat(s.waves...) {
		out = append(out, s.on(cluster, "configmaps", "one").Text("data.text"))
	}
	return strings.Join(out, " ")
}

// region of a cluster, by its name.
func region(cluster string) string { return cluster[:strings.LastIndex(cluster, "-")] }

// orderly fails the test if more than one cluster of a region was on its way with
// instance "one" at a time since the recording began, one before its region, or one
// twice with the same revision. They may return in any order to the revisions that
// they had before.
func (s *scene) orderly(seen *probe.Recording, kind string, before ...string) {
	s.Helper()
	assigned, passed, flying := map[string]string{}, map[string]string{}, map[string]string{}
	times := map[[2]string]int{}
	for _, t := range seen.Events(s) {
		if t.GetKind() != "Target" || t.Text("spec.instance.kind") != kind || t.Text("spec.instance.name") != "one" {
			continue
		}
		cluster, revision := t.GetNamespace(), t.Text("spec.revision")
		forward := !slices.Contains(before, revision)
		if at := t.Text("spec.assignedAt"); at != assigned[cluster] && (forward || assigned[cluster] != "") {
			assigned[cluster] = at
			if times[[2]string{cluster, revision}]++; times[[2]string{cluster, revision}] > 1 {
				s.Errorf("%s got %s twice", cluster, revision)
			}
			if other := flying[region(cluster)]; other != "" && other != cluster {
				s.Errorf("%s got %s while %s was on its way", cluster, revision, other)
			}
			flying[region(cluster)] = cluster
			for _, wave := range s.waves[:slices.IndexFunc(s.waves, func(w []string) bool { return slices.Contains(w, cluster) })] {
				for _, earlier := range wave {
					if forward && passed[earlier] != revision {
						s.Errorf("%s got %s before %s had passed", cluster, revision, earlier)
					}
				}
			}
		}
		switch {
		case forward && t.Text("spec.passedAt") != "":
			passed[cluster] = revision
		case forward || t.Text("status.assignedAt") != t.Text("spec.assignedAt") || t.Text("status.state") != "Ready":
			continue
		}
		if flying[region(cluster)] == cluster {
			delete(flying, region(cluster))
		}
	}
	if len(assigned) == 0 {
		s.Error("nothing moved")
	}
}

func TestAGoodRolloutGoesRegionByRegion(t *testing.T) {
	t.Parallel()
	s := begin(t, "calmly")
	defer s.end()
	s.rolls("Calm", "")
	first := s.instance("Calm", "one").Text("status.fleet.revision")
	seen := s.hub.Record(t, "", targets)
	s.create("Calm", "one", "", "text: two")
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
	s.orderly(seen, "Calm", first)
}

func TestARolloutThatFailsInTheSecondRegionGoesBack(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
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
	s.tells("tree", []string{"entered/one", "--cluster", euWest1}, `rollout calm +WaitingForApproval`, `cluster eu-west-1 +Ready`, `ConfigMap entered/one +A`)
	bundle := filepath.Join(t.TempDir(), "bundle.tar.gz")
	told := s.kronvoy(s.hub.Kubeconfig, "debug", "bundle", "-o", bundle)
	if _, err := os.Stat(bundle); err != nil || told.code != 0 || !strings.Contains(told.out, bundle+" has ") {
		t.Errorf("kronvoy debug bundle: %v, %v", told, err)
	}
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
	s.kronvoy(s.person("boss", approver), "rollout", "approve", second.GetName(), "-n", s.ns).want(s, 0)
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
	told := s.kronvoy(s.hub.Kubeconfig, append([]string{command, "-n", s.ns}, args...)...)
	for _, pattern := range patterns {
		if !regexp.MustCompile(pattern).MatchString(told.out) {
			s.Errorf("kronvoy %s does not say %q:\n%s%s", command, pattern, told.out, told.err)
		}
	}
}

// A Deployment without readyWhen is ready as soon as it is applied: what stops it
// is that it does not become available.
func TestARolloutOfWhatNeverBecomesHealthyStopsAtTheFirstGroup(t *testing.T) {
	t.Parallel()
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

// A cluster that does what it is told, and is cut off before it can say so, holds up
// the rollout: that it is silent may be why. When it is back all goes on.
func TestARolloutStopsForAClusterThatIsCutOffInTheMiddleOfItsMove(t *testing.T) {
	s := begin(t, "severed")
	defer s.end()
	s.rolls("Severed", "progressDeadline: 5s")
	first := s.instance("Severed", "one").Text("status.fleet.revision")
	uid := s.on(severable, "configmaps", "one").GetUID()
	seen, there := s.hub.Record(t, "", targets), s.spokes[severable].Record(t, s.ns, "configmaps")
	s.undo = append(s.undo, s.proxy.Heal)
	s.proxy.Run(proxy.Plan{{
		Request: proxy.Request{Link: severable + "-on-hub", Verb: "patch", Resource: "manifestworks/status", Object: severable + "/" + s.works(severable, "Severed", "one")[0].GetName()},
		Nth:     1, Kind: proxy.Outage, For: time.Hour,
	}})

	s.create("Severed", "one", "", "text: two")
	s.holds(severable, "configmaps", "one", "data.text", "two")
	s.phase("Paused", "1 failed in group us-east")
	probe.Eventually(t, severable+" to be known as unreachable", func() error {
		if c := s.hub.Get(t, managedClusters, severable).Condition("ManagedClusterConditionAvailable"); c.Status == "True" {
			return fmt.Errorf("it is %v", c)
		}
		return nil
	})
	probe.During(t, 2*time.Second, "nothing moves while it is silent", func() error {
		if got := s.texts(); got != "two two two one one one" {
			return fmt.Errorf("clusters have %s", got)
		}
		return nil
	})
	s.proxy.Heal()
	s.phase("Succeeded", "")
	if got := s.texts(); got != "two two two two two two" || s.on(severable, "configmaps", "one").GetUID() != uid {
		t.Errorf("clusters have %s", got)
	}
	if got := there.Of(t, "MODIFIED", "one"); len(got) != 1 {
		t.Errorf("on %s it changed %d times: %s", severable, len(got), there.Summary(t))
	}
	s.orderly(seen, "Severed", first)
}
