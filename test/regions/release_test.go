//go:build integration

package regions

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kronvoy/kronvoy/test/probe"
)

// released is staged with an instance of another kind in it.
const released = staged + `
- id: part
  template: {apiVersion: kro.run/v1alpha1, kind: Part, metadata: {name: "${schema.metadata.name}-part"}, spec: {text: "${settings.data.text}"}}`

// part is a definition's spec of what is a part of others.
const part = `
schema:
  spec: {text: string}
resources:
- id: part
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.metadata.name}"}, data: {text: "${schema.spec.text}"}}`

// free is a definition's spec whose instances no strategy moves.
const free = `
schema:
  spec: {}
resources:
- id: free
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.metadata.name}"}, data: {cluster: "${cluster.name}"}}`

// A hub of another release, which renders differently, takes the place of the one
// that runs, and that its place again in the middle: clusters are moved under their
// strategy, and until then everything on them is as it was.
func TestAReleaseMovesClustersUnderTheirStrategy(t *testing.T) {
	s := begin(t, "released")
	defer s.end()
	newer := s.release("v2")
	s.define("Part", part)
	s.define("Released", released)
	s.define("Free", free)
	s.strategy("Released", "maxConcurrency: 100%")
	s.place("everywhere", "{matchExpressions: [{key: region, operator: Exists}]}")
	s.create("Free", "free", "everywhere", "")
	s.create("Released", "one", "", "")
	s.create("Released", "two", "", "")
	s.phase("Succeeded", "")
	s.ready("Released", "one", everywhere...)
	s.ready("Released", "two", everywhere...)
	s.ready("Free", "free", everywhere...)
	s.strategy("Released", "maxConcurrency: 1\napproval: {beforeGroups: [us-east]}")
	p := people{s, s.person("operator", operator), s.person("approver", approver)}
	first := s.revision()
	begun := s.there("one", everywhere...)
	moves := s.hub.Record(t, "", targets)
	rest := []string{usEast1, usEast2, apSouth1, apSouth2}
	kept := s.untouched(rest...)

	newer()
	s.phase("WaitingForApproval", usEast)
	s.rendered("free", "v2/ v2/ v2/ v2/ v2/ v2/")
	s.rendered("one", "v2/one v2/one v1/one v1/one v1/one v1/one")
	s.rendered("one-part", "v2/one v2/one v1/one v1/one v1/one v1/one")
	s.rendered("two", "v2/one v2/one v1/one v1/one v1/one v1/one")
	s.keeps("one", rest...)
	kept()

	// What is wanted of a cluster that is kept may change meanwhile, and end.
	s.create("Released", "one", "", "text: two")
	s.rendered("one", "v2/two v2/two v1/one v1/one v1/one v1/one")
	s.rendered("one-part", "v2/two v2/two v1/one v1/one v1/one v1/one")
	s.phase("WaitingForApproval", usEast)
	kept()
	s.hub.Delete(t, probe.Resource("Released"), s.ns+"/two")
	for _, cluster := range everywhere {
		s.goes(cluster, "configmaps", "two")
		s.goes(cluster, "configmaps", "two-part")
	}
	s.keeps("one", rest...)
	kept()
	s.orderly(moves, "Released", first)

	// The older one takes over, while somebody has stopped everything.
	second := s.revision()
	p.steers("pause", "calm").want(s, 0)
	s.phase("Paused", "paused by")
	kept = s.untouched(everywhere...)
	s.release("")()
	s.rendered("free", "v1/ v1/ v1/ v1/ v1/ v1/")
	s.keeps("one", euWest1, euWest2)
	third := s.revised(second)
	s.phase("Paused", "paused by")
	kept()
	moves = s.hub.Record(t, "", targets)
	p.steers("resume", "calm").want(s, 0)
	s.phase("WaitingForApproval", usEast)
	s.rendered("one", "v1/two v1/two v1/one v1/one v1/one v1/one")
	s.rendered("one-part", "v1/two v1/two v1/one v1/one v1/one v1/one")
	p.answers("approve", s.question(2).GetName()).want(s, 0)
	s.phase("Succeeded", "all groups have passed")
	s.rendered("one", "v1/two v1/two v1/two v1/two v1/two v1/two")
	s.rendered("one-part", "v1/two v1/two v1/two v1/two v1/two v1/two")
	s.orderly(moves, "Released", first, second)
	s.has(third)

	// The newer one comes again, and to the end.
	moves = s.hub.Record(t, "", targets)
	kept = s.untouched(rest...)
	newer()
	s.phase("WaitingForApproval", usEast)
	s.rendered("one", "v2/two v2/two v1/two v1/two v1/two v1/two")
	s.rendered("one-part", "v2/two v2/two v1/two v1/two v1/two v1/two")
	s.keeps("one", rest...)
	kept()
	p.answers("approve", s.question(2).GetName()).want(s, 0)
	s.phase("Succeeded", "all groups have passed")
	s.rendered("one", "v2/two v2/two v2/two v2/two v2/two v2/two")
	s.rendered("one-part", "v2/two v2/two v2/two v2/two v2/two v2/two")
	s.orderly(moves, "Released", third)
	s.has(second)
	if got := s.there("one", everywhere...); !maps.Equal(got, begun) {
		t.Errorf("objects were made anew: there were %v, there are %v", begun, got)
	}
}

// release builds the hub of another release of Kronvoy, see stack.HubOf. What it
// returns starts that in the place of the one that runs. The scene's end goes back.
func (s *scene) release(hashVersion string) (start func()) {
	s.Helper()
	path, err := s.stack.HubOf(s.Context(), hashVersion)
	if err != nil {
		s.Fatal(err)
	}
	if hashVersion != "" {
		s.undo = append(s.undo, s.release(""))
	}
	return func() {
		s.Helper()
		s.hubs.Lock()
		defer s.hubs.Unlock()
		if err := s.stack.Hub.Replace(s.Context(), path); err != nil {
			s.Fatal(err)
		}
	}
}

// rendered waits until the clusters, in the order of the regions, have a ConfigMap
// of these releases and texts, as in v1/one.
func (s *scene) rendered(name, want string) {
	s.Helper()
	probe.Eventually(s, "clusters to have "+want+" as "+name, func() error {
		var got []string
		for _, cluster := range slices.Concat(s.waves...) {
			obj := s.on(cluster, "configmaps", name)
			version, _, _ := strings.Cut(obj.GetAnnotations()["kronvoy.io/hash"], "-")
			got = append(got, version+"/"+obj.Text("data.text"))
		}
		if got := strings.Join(got, " "); got != want {
			return fmt.Errorf("they have %s", got)
		}
		return nil
	})
}

// revision is the newest of instance "one".
func (s *scene) revision() string {
	s.Helper()
	return s.instance("Released", "one").Text("status.fleet.revision")
}

// revised waits until instance "one" has another newest revision, and returns it.
func (s *scene) revised(before string) (now string) {
	s.Helper()
	probe.Eventually(s, "a revision after "+before, func() error {
		if now = s.revision(); now == before {
			return fmt.Errorf("it is %s", now)
		}
		return nil
	})
	return now
}

// has waits until instance "one" is ready on all clusters with a revision.
func (s *scene) has(revision string) {
	s.Helper()
	s.ready("Released", "one", everywhere...)
	if got := s.revision(); got != revision {
		s.Errorf("the newest revision is %s, not %s", got, revision)
	}
	for cluster, target := range s.targets("Released", "one") {
		if got := target.Text("status.revision"); got != revision {
			s.Errorf("%s has %s, not %s", cluster, got, revision)
		}
	}
}

// keeps waits until the hub says of these clusters, and of no others, that they keep
// what another release rendered; all is well on them.
func (s *scene) keeps(name string, clusters ...string) {
	s.Helper()
	probe.Eventually(s, fmt.Sprintf("%v to keep %s", clusters, name), func() error {
		for cluster, target := range s.targets("Released", name) {
			says := strings.Contains(target.Text("status.message"), "another release of Kronvoy rendered it")
			if kept := slices.Contains(clusters, cluster); kept != says || kept && target.Text("status.state") != "Ready" {
				return fmt.Errorf("the target on %s says %v", cluster, target.At("status"))
			}
		}
		return nil
	})
}

// there are the ConfigMaps of a name on clusters.
func (s *scene) there(name string, clusters ...string) map[string]types.UID {
	s.Helper()
	found := map[string]types.UID{}
	for _, cluster := range clusters {
		found[cluster] = s.on(cluster, "configmaps", name).GetUID()
	}
	return found
}

// untouched returns what fails the test if anything of instance "one" has been
// written since, to these clusters or on them; agents tell their status.
func (s *scene) untouched(clusters ...string) (still func()) {
	s.Helper()
	look := func() map[string]string {
		s.Helper()
		found := map[string]string{}
		for _, cluster := range clusters {
			for _, name := range []string{"one", "one-part"} {
				obj := s.on(cluster, "configmaps", name)
				found[name+" on "+cluster] = fmt.Sprint(obj.GetUID(), obj.GetResourceVersion())
			}
			for _, w := range s.works(cluster, "Released", "one") {
				found["work "+cluster+"/"+w.GetName()] = fmt.Sprint(w.GetUID(), w.GetGeneration(), w.GetLabels(), w.GetAnnotations())
			}
		}
		return found
	}
	before := look()
	if len(before) != 3*len(clusters) {
		s.Fatalf("there are %v", before)
	}
	return func() {
		s.Helper()
		if diff := cmp.Diff(before, look()); diff != "" {
			s.Errorf("something has changed on %v (-before +after):\n%s", clusters, diff)
		}
	}
}
