//go:build integration

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kronvoy/kronvoy/test/fleet"
	"github.com/kronvoy/kronvoy/test/ocm"
	"github.com/kronvoy/kronvoy/test/probe"
)

// klusterlet is the cluster whose agent is OCM's own.
const klusterlet = "klusterlet"

// ocmPatience is for what OCM's agent does in its loop of 10 to 19 seconds.
const ocmPatience = 2 * time.Minute

// klusterletJoins adds a cluster and starts OCM's agent on it; nobody has
// described the cluster yet.
func (s *scene) klusterletJoins() (*fleet.Cluster, *fleet.Process) {
	s.Helper()
	spoke, err := s.stack.Fleet.AddSpoke(s.Context(), fleet.ClusterOptions{Name: klusterlet, Region: klusterlet, Nodes: 1, APIServerArgs: s.audit.Args(klusterlet)})
	if err != nil {
		s.Fatal(err)
	}
	onHub, err := s.stack.Identify(s.Context(), spoke, ocm.Namespace)
	if err != nil {
		s.Fatal(err)
	}
	s.hub.Patch(s, "managedclusters.cluster.open-cluster-management.io", klusterlet, `{metadata: {labels: {size: small}}}`)
	if s.spokes[klusterlet], err = probe.OpenIn(s.stack.Fleet, klusterlet); err != nil {
		s.Fatal(err)
	}
	agent, err := ocm.Start(s.Context(), s.stack.Fleet, spoke, onHub, s.stack.Config("ocm", "spoke"), os.Stderr)
	if err != nil {
		s.Fatal(err)
	}
	return spoke, agent
}

// describe says what OCM's registration agent would.
func (s *scene) describe() {
	s.Helper()
	if err := ocm.Describe(s.Context(), s.stack.Fleet, klusterlet, "v1.36.3"); err != nil {
		s.Fatal(err)
	}
}

// readyWithin is ready, with the patience that OCM's agent needs.
func (s *scene) readyWithin(kind, name string, clusters int64) *probe.Object {
	s.Helper()
	var instance *probe.Object
	probe.Within(s, ocmPatience, kind+" "+name+" to be ready", func() error {
		instance = s.instance(kind, name)
		ready := instance.Condition("Ready")
		if ready.Status != "True" || ready.ObservedGeneration != instance.GetGeneration() || instance.Int("status.fleet.ready") != clusters {
			return fmt.Errorf("its status is %v", instance.At("status"))
		}
		return nil
	})
	return instance
}

// gone waits until an instance is not on the hub any more.
func (s *scene) gone(kind, name string) {
	s.Helper()
	probe.Within(s, ocmPatience, kind+" "+name+" to go", func() error {
		if instance := s.instance(kind, name); instance != nil {
			return fmt.Errorf("its status is %v, its target's %v", instance.At("status"), s.target(klusterlet, kind, name).At("status"))
		}
		return nil
	})
}

// deletions are the names of what was deleted on a cluster since a moment, by
// the agents there, in order.
func (s *scene) deletions(cluster string, begin time.Time) []string {
	s.Helper()
	var names []string
	for _, w := range s.audit.Since(s, begin) {
		if w.Cluster == cluster && w.Verb == "delete" && w.Namespace == s.ns && w.Code == 200 {
			names = append(names, w.Resource+"/"+w.Name)
		}
	}
	return names
}

// resources are what the cluster's works hold of an instance, by work.
func (s *scene) resources(kind, name string) map[string][]string {
	s.Helper()
	found := map[string][]string{}
	for _, w := range s.works(klusterlet, kind, name) {
		for _, config := range w.List("spec.manifestConfigs") {
			found[w.GetName()] = append(found[w.GetName()], config.Text("resourceIdentifier.name"))
		}
	}
	return found
}

func TestAClusterWithOCMsOwnAgent(t *testing.T) {
	s := begin(t, "ocm-apps")
	spoke, agent := s.klusterletJoins()
	defer s.leave(spoke)
	defer func() {
		if t.Failed() {
			t.Logf("the log of OCM's agent ends with:\n%s", probe.Tail(agent.Log(), 40))
		}
		if err := agent.Kill(); err != nil {
			t.Error(err)
		}
	}()
	// OCM's registration agent, which would say that the cluster is alive, is not
	// run here.
	const unspokenFor = "[{key: cluster.open-cluster-management.io/unreachable, operator: Exists}]"
	s.placeTolerating("both", regions(euWest+", "+klusterlet), unspokenFor)
	s.placeTolerating(klusterlet, "{matchLabels: {region: "+klusterlet+"}}", unspokenFor)

	defer s.end()
	step := func(name string, f func()) {
		ok := t.Run(name, func(inner *testing.T) {
			s.T = inner
			f()
		})
		if s.T = t; !ok {
			t.FailNow()
		}
	}
	step("nothing is shipped before somebody has described it", s.described)
	step("an application beside Kronvoy's agent", s.application)
	step("one node leaves, and then what it needed", s.pruned)
	step("a readyWhen that it cannot judge", s.judgedByTheHub)
	step("a service account that may do nothing but config maps", s.confined)
	step("what it cannot do is said before anything is shipped", s.lacking)
	step("its agent becomes Kronvoy's, and OCM's again", func() { s.changesItsAgent(spoke, agent) })
}

// described is the hub before and after it knows the cluster.
func (s *scene) described() {
	s.define("Waiting", chain)
	s.create("Waiting", "one", klusterlet, "")
	if message := s.state(klusterlet, "Waiting", "one", "Pending").Text("status.message"); !strings.Contains(message, "to describe the cluster") {
		s.Errorf("it says %q", message)
	}
	if works := s.works(klusterlet, "Waiting", "one"); len(works) > 0 {
		s.Errorf("it has %v", works)
	}
	s.describe()
	s.readyWithin("Waiting", "one", 1)
	s.hub.Delete(s, probe.Resource("Waiting"), s.ns+"/one")
	s.gone("Waiting", "one")
}

// application is the example webapp: it completes, is updated, and goes in the
// reverse order.
func (s *scene) application() {
	text, err := os.ReadFile(filepath.Join(s.stack.Root(), "examples", "webapp", "rgd.yaml"))
	if err != nil {
		s.Fatal(err)
	}
	s.kinds = append(s.kinds, "WebApp")
	s.hub.Apply(s, string(text))
	probe.Eventually(s, "the definition to be ready", func() error {
		if ready := s.definition("WebApp").Condition("Ready"); ready.Status != "True" {
			return fmt.Errorf("Ready is %v", ready)
		}
		return nil
	})
	s.create("WebApp", "shop", "both", "name: shop")
	instance := s.readyWithin("WebApp", "shop", 2)
	if got := s.on(klusterlet, "configmaps", "shop-address").Text("data.address"); got == "" || got != s.on(klusterlet, "services", "shop").Text("spec.clusterIP") {
		s.Errorf("the address is %q", got)
	}
	values := map[string]int64{}
	for _, row := range instance.List("status.fleet.clusters") {
		values[row.Text("name")] = row.Int("values.availableReplicas")
	}
	if values[klusterlet] != 1 || values[euWest] != 3 {
		s.Errorf("available replicas are %v", values)
	}
	if works := s.works(klusterlet, "WebApp", "shop"); len(works) != 4 {
		s.Errorf("%d works for four waves: %v", len(works), s.resources("WebApp", "shop"))
	}
	if reports := s.hub.List(s, "workreports.kronvoy.io", klusterlet); len(reports) > 0 {
		s.Errorf("%d reports for an agent that makes none", len(reports))
	}
	if works := s.works(euWest, "WebApp", "shop"); len(works) != 1 {
		s.Errorf("%d works with Kronvoy's agent", len(works))
	}

	s.create("WebApp", "shop", "both", "name: shop\nport: 8080\nreplicas: {small: 2}")
	s.readyWithin("WebApp", "shop", 2)
	if got := s.on(klusterlet, "configmaps", "shop-address").Text("data.url"); !strings.HasSuffix(got, ":8080/") {
		s.Errorf("the URL is %q", got)
	}
	if got := s.on(klusterlet, "deployments.apps", "shop").Int("status.availableReplicas"); got != 2 {
		s.Errorf("%d replicas are available", got)
	}

	begin := time.Now()
	s.hub.Delete(s, probe.Resource("WebApp"), s.ns+"/shop")
	s.gone("WebApp", "shop")
	want := []string{"configmaps/shop-address", "services/shop", "deployments/shop", "configmaps/shop-settings"}
	for _, cluster := range []string{klusterlet, euWest} {
		if got := s.deletions(cluster, begin); !slices.Equal(got, want) {
			s.Errorf("on %s were deleted %q, want %q", cluster, got, want)
		}
	}
}

// pruned takes the end of a chain away, and then its middle while the first
// stays: what leaves gets works of its own.
func (s *scene) pruned() {
	s.define("Pruned", `
schema:
  spec:
    side: boolean | default=true
resources:
- id: first
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: first}, data: {text: one}}
- id: other
  includeWhen: ["${schema.spec.side}"]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: other}, data: {text: one}}
- id: second
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: second}, data: {before: "${first.metadata.uid}"}}
- id: aside
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: aside}, data: {before: "${other.metadata.uid}"}}`)
	s.create("Pruned", "one", klusterlet, "")
	s.readyWithin("Pruned", "one", 1)
	uids := map[string]string{}
	for _, name := range []string{"first", "second"} {
		uids[name] = string(s.on(klusterlet, "configmaps", name).GetUID())
	}
	begin := time.Now()
	s.spokes[klusterlet].Patch(s, "configmaps", s.ns+"/aside", `{metadata: {finalizers: ["example.com/hold"]}}`)
	s.create("Pruned", "one", klusterlet, "side: false")
	probe.Within(s, ocmPatience, "the hub to wait for the end of aside", func() error {
		aside := s.on(klusterlet, "configmaps", "aside")
		message := s.target(klusterlet, "Pruned", "one").Text("status.message")
		if aside.GetDeletionTimestamp() == nil || !strings.Contains(message, "is still being deleted") {
			return fmt.Errorf("aside is %v, its target says %q", aside, message)
		}
		return nil
	})
	if other := s.on(klusterlet, "configmaps", "other"); other == nil || other.GetDeletionTimestamp() != nil {
		s.Errorf("other goes while aside is there: %v", other)
	}
	s.spokes[klusterlet].Patch(s, "configmaps", s.ns+"/aside", `{metadata: {finalizers: null}}`)
	s.goes(klusterlet, "configmaps", "other")
	s.readyWithin("Pruned", "one", 1)
	if got, want := s.deletions(klusterlet, begin), []string{"configmaps/aside", "configmaps/other"}; !slices.Equal(got, want) {
		s.Errorf("deleted %q, want %q", got, want)
	}
	for name, uid := range uids {
		if got := s.on(klusterlet, "configmaps", name); string(got.GetUID()) != uid {
			s.Errorf("%s was replaced", name)
		}
	}
	s.hub.Delete(s, probe.Resource("Pruned"), s.ns+"/one")
	s.gone("Pruned", "one")
}

// judgedByTheHub has a readyWhen with a function that OCM's agent lacks, of a
// field that nothing else reads; behind it is what needs a long text.
func (s *scene) judgedByTheHub() {
	s.define("Judged", `
schema:
  spec: {}
resources:
- id: gate
  readyWhen: ['${sets.contains(["open"], [gate.data.?state.orValue("closed")])}']
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: gate}, data: {text: one}}
- id: behind
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: behind}, data: {text: "${gate.data.long}"}}`)
	s.create("Judged", "one", klusterlet, "")
	probe.Within(s, ocmPatience, "the gate to be closed", func() error {
		for _, node := range s.target(klusterlet, "Judged", "one").List("status.nodes") {
			if node.Text("id") == "gate" && strings.Contains(fmt.Sprint(node.At("waitsFor")), "gate to be ready") {
				return nil
			}
		}
		return fmt.Errorf("its target says %v", s.target(klusterlet, "Judged", "one").At("status"))
	})
	if behind := s.on(klusterlet, "configmaps", "behind"); behind != nil {
		s.Error("something is behind the closed gate")
	}
	// More than the 1,024 bytes that OCM allows for JSON.
	long := strings.Repeat("x", 5000)
	s.spokes[klusterlet].Patch(s, "configmaps", s.ns+"/gate", `{data: {state: open, long: `+long+`}}`)
	s.readyWithin("Judged", "one", 1)
	if got := s.on(klusterlet, "configmaps", "behind").Text("data.text"); got != long {
		s.Errorf("a text of %d bytes came back as %d", len(long), len(got))
	}
	s.hub.Delete(s, probe.Resource("Judged"), s.ns+"/one")
	s.gone("Judged", "one")
}

// confined is a chain in the name of an account that may not even see what a work
// is emptied down to.
func (s *scene) confined() {
	s.account(klusterlet, "deployer")
	s.grant(klusterlet, "deployer", "configmaps", "get", "create", "update", "patch", "delete")
	s.hub.Apply(s, fmt.Sprintf(`
apiVersion: kronvoy.io/v1alpha1
kind: Distribution
metadata: {name: confined, namespace: %s}
spec: {instances: {apiVersion: kro.run/v1alpha1, kind: Confined}, serviceAccountName: deployer, policies: [{drift: Report}]}`, s.ns))
	defer s.hub.Delete(s, "distributions.kronvoy.io", s.ns+"/confined")
	s.define("Confined", chain)
	s.create("Confined", "one", klusterlet, "")
	probe.Eventually(s, "the Distribution to count", func() error {
		executor, ineffective := s.executor(klusterlet, "Confined", "one"), s.target(klusterlet, "Confined", "one").Text("status.ineffective")
		if executor != s.ns+"/deployer" || !strings.HasPrefix(ineffective, "policies of Distribution confined about drift have no effect") {
			return fmt.Errorf("the executor is %s, and the target says %q", executor, ineffective)
		}
		return nil
	})
	s.readyWithin("Confined", "one", 1)
	begin := time.Now()
	s.create("Confined", "one", klusterlet, "withLast: false")
	s.goes(klusterlet, "configmaps", "one-last")
	s.readyWithin("Confined", "one", 1)
	s.hub.Delete(s, probe.Resource("Confined"), s.ns+"/one")
	s.gone("Confined", "one")
	if got, want := s.deletions(klusterlet, begin), []string{"configmaps/one-last", "configmaps/one-second", "configmaps/one-first"}; !slices.Equal(got, want) {
		s.Errorf("deleted %q, want %q", got, want)
	}
}

// lacking needs a list of the cluster, which OCM's feedback cannot carry.
func (s *scene) lacking() {
	s.define("Lacking", `
schema:
  spec: {}
resources:
- id: service
  template: {apiVersion: v1, kind: Service, metadata: {name: listed}, spec: {selector: {app: x}, ports: [{port: 80}]}}
- id: reader
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: reader}, data: {protocol: "${service.spec.ports[0].protocol}"}}`)
	s.create("Lacking", "one", "both", "")
	s.state(euWest, "Lacking", "one", "Ready")
	target := s.state(klusterlet, "Lacking", "one", "Failed")
	if got := target.Text("status.reason"); got != "AgentLacksWorkReport" {
		s.Errorf("its target gives the reason %q", got)
	}
	probe.Eventually(s, "the instance to say so", func() error {
		placed := s.instance("Lacking", "one").Condition("Placed")
		if placed.Status != "False" || placed.Reason != "AgentLacksWorkReport" ||
			!strings.Contains(placed.Message, klusterlet+": ") || !strings.Contains(placed.Message, `node "service"`) || !strings.Contains(placed.Message, "spec.ports") {
			return fmt.Errorf("Placed is %v", placed)
		}
		return nil
	})
	if works := s.works(klusterlet, "Lacking", "one"); len(works) > 0 {
		s.Errorf("it has works: %v", works)
	}
	if got := s.on(euWest, "configmaps", "reader").Text("data.protocol"); got != "TCP" {
		s.Errorf("the other cluster read %q", got)
	}
	s.hub.Delete(s, probe.Resource("Lacking"), s.ns+"/one")
	s.gone("Lacking", "one")
}

// changesItsAgent replaces OCM's agent by Kronvoy's and back, below a running
// instance.
func (s *scene) changesItsAgent(spoke *fleet.Cluster, agent *fleet.Process) {
	s.define("Changing", chain)
	s.create("Changing", "one", klusterlet, "")
	s.readyWithin("Changing", "one", 1)
	uids := map[string]string{}
	note := func(names ...string) {
		for _, name := range names {
			uids[name] = string(s.on(klusterlet, "configmaps", name).GetUID())
		}
	}
	note("one-first", "one-second", "one-last")
	s.create("Changing", "three", klusterlet, "")
	s.readyWithin("Changing", "three", 1)
	begin := time.Now()
	check := func() {
		s.Helper()
		for name, uid := range uids {
			if got := s.on(klusterlet, "configmaps", name); got == nil || string(got.GetUID()) != uid {
				s.Errorf("%s is %v, was %s", name, got, uid)
			}
		}
		for _, w := range s.audit.Since(s, begin) {
			if w.Cluster == klusterlet && w.Verb == "delete" && w.Resource == "configmaps" && !strings.HasPrefix(w.Name, "three-") {
				s.Errorf("deleted: %s", w)
			}
		}
	}

	if err := agent.Stop(s.Context()); err != nil {
		s.Fatal(err)
	}
	if err := s.stack.Join(s.Context(), spoke); err != nil {
		s.Fatal(err)
	}
	s.create("Changing", "one", klusterlet, "text: two")
	s.readyWithin("Changing", "one", 1)
	probe.Eventually(s, "Kronvoy's agent to have reports to answer in", func() error {
		if reports := s.hub.List(s, "workreports.kronvoy.io", klusterlet); len(reports) < 6 {
			return fmt.Errorf("there are %d", len(reports))
		}
		return nil
	})
	// What came with OCM's agent goes with Kronvoy's, and may come again.
	s.hub.Delete(s, probe.Resource("Changing"), s.ns+"/three")
	s.gone("Changing", "three")
	if got, want := s.deletions(klusterlet, begin), []string{"configmaps/three-last", "configmaps/three-second", "configmaps/three-first"}; !slices.Equal(got, want) {
		s.Errorf("deleted %q, want %q", got, want)
	}
	s.create("Changing", "three", klusterlet, "")
	s.readyWithin("Changing", "three", 1)
	s.create("Changing", "two", klusterlet, "")
	s.readyWithin("Changing", "two", 1)
	note("two-first", "two-second", "two-last")
	if works := s.works(klusterlet, "Changing", "two"); len(works) != 1 {
		s.Errorf("%d works with Kronvoy's agent", len(works))
	}
	check()

	if err := s.stack.Agents[klusterlet].Stop(s.Context()); err != nil {
		s.Fatal(err)
	}
	s.describe()
	if err := agent.Start(); err != nil {
		s.Fatal(err)
	}
	// A wave is added: Kronvoy's agent would have put it into any work.
	s.create("Changing", "one", klusterlet, "text: three")
	s.readyWithin("Changing", "one", 1)
	s.holds(klusterlet, "configmaps", "one-last", "data.text", "three")
	probe.Within(s, ocmPatience, "what was in one work to be in one for each wave", func() error {
		if got := s.resources("Changing", "two"); len(got) != 3 || s.instance("Changing", "two").Condition("Ready").Status != "True" {
			return fmt.Errorf("the works hold %v, its target is %v", got, s.target(klusterlet, "Changing", "two").At("status"))
		}
		for work, names := range s.resources("Changing", "two") {
			if len(names) != 1 {
				return fmt.Errorf("work %s holds %v", work, names)
			}
		}
		return nil
	})
	check()
	for _, name := range []string{"one", "two", "three"} {
		begin := time.Now()
		s.hub.Delete(s, probe.Resource("Changing"), s.ns+"/"+name)
		s.gone("Changing", name)
		want := []string{"configmaps/" + name + "-last", "configmaps/" + name + "-second", "configmaps/" + name + "-first"}
		if got := s.deletions(klusterlet, begin); !slices.Equal(got, want) {
			s.Errorf("deleted %q, want %q", got, want)
		}
		s.goes(klusterlet, "configmaps", name+"-last")
		s.goes(klusterlet, "configmaps", name+"-second")
		s.goes(klusterlet, "configmaps", name+"-first")
	}
}
