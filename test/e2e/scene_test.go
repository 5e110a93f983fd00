//go:build integration

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kronvoy/kronvoy/test/probe"
)

// everywhere is the Placement on all clusters that every scene has; there is
// one with the name of each cluster, too.
const everywhere = "everywhere"

// scene is one test's own part of the world.
type scene struct {
	*testing.T
	*world
	ns    string
	kinds []string
}

// begin makes a namespace with Placements, for which agents use their own
// rights; the caller defers end.
func begin(t *testing.T, namespace string) *scene {
	t.Helper()
	s := beginTenant(t, namespace)
	s.hub.Apply(t, "{apiVersion: v1, kind: Namespace, metadata: {name: "+namespace+", annotations: {kronvoy.io/agent-identity: allowed}}}")
	return s
}

// beginTenant is begin for a namespace that nothing is allowed.
func beginTenant(t *testing.T, namespace string) *scene {
	t.Helper()
	s := &scene{T: t, world: shared.Get(t), ns: namespace}
	s.hub.Apply(t, fmt.Sprintf(`
apiVersion: v1
kind: Namespace
metadata: {name: %[1]s}
---
apiVersion: cluster.open-cluster-management.io/v1beta2
kind: ManagedClusterSetBinding
metadata: {name: global, namespace: %[1]s}
spec: {clusterSet: global}`, namespace))
	s.place(everywhere, regions(strings.Join([]string{euWest, usEast, apSouth}, ", ")))
	for _, cluster := range []string{euWest, usEast, apSouth} {
		s.place(cluster, "{matchLabels: {region: "+cluster+"}}")
	}
	return s
}

// place makes or changes a Placement.
func (s *scene) place(name, labelSelector string) {
	s.Helper()
	s.placeTolerating(name, labelSelector, "[]")
}

func (s *scene) placeTolerating(name, labelSelector, tolerations string) {
	s.Helper()
	s.hub.Apply(s, fmt.Sprintf(`
apiVersion: cluster.open-cluster-management.io/v1beta1
kind: Placement
metadata: {name: %s, namespace: %s}
spec:
  clusterSets: [global]
  predicates: [{requiredClusterSelector: {labelSelector: %s}}]
  tolerations: %s`, name, s.ns, labelSelector, tolerations))
}

// define makes or changes the definition of a kind and waits until the hub has
// judged it. The text is the definition's spec.
func (s *scene) define(kind, spec string) *probe.Object {
	s.Helper()
	return s.await(kind, spec, "True")
}

// defineBadly is define for a definition that the hub must refuse.
func (s *scene) defineBadly(kind, spec string) *probe.Object {
	s.Helper()
	return s.await(kind, spec, "False")
}

// submit makes or changes the definition of a kind.
func (s *scene) submit(kind, spec string) {
	s.Helper()
	if !slices.Contains(s.kinds, kind) {
		s.kinds = append(s.kinds, kind)
	}
	s.hub.Define(s, kind, spec)
}

func (s *scene) await(kind, spec, accepted string) *probe.Object {
	s.Helper()
	s.submit(kind, spec)
	var rgd *probe.Object
	probe.Eventually(s, "definition "+kind+" to be judged", func() error {
		rgd = s.definition(kind)
		graph, ready := rgd.Condition("GraphAccepted"), rgd.Condition("Ready")
		if graph.Status != accepted || graph.ObservedGeneration != rgd.GetGeneration() || ready.Status != accepted {
			return fmt.Errorf("GraphAccepted is %v, Ready %v, its status %v", graph, ready, rgd.At("status"))
		}
		return nil
	})
	return rgd
}

func (s *scene) definition(kind string) *probe.Object {
	s.Helper()
	return s.hub.Get(s, "resourcegraphdefinitions.kro.run", strings.ToLower(kind))
}

// create makes or changes an instance. The text is its spec.
func (s *scene) create(kind, name, placement, spec string) {
	s.Helper()
	if spec == "" {
		spec = "{}"
	}
	s.hub.Apply(s, fmt.Sprintf(`
apiVersion: kro.run/v1alpha1
kind: %s
metadata: {name: %s, namespace: %s, labels: {kronvoy.io/placement: %s}}
spec:
%s`, kind, name, s.ns, placement, probe.Indent(spec, 2)))
}

func (s *scene) instance(kind, name string) *probe.Object {
	s.Helper()
	return s.hub.Get(s, probe.Resource(kind), s.ns+"/"+name)
}

// ready waits until an instance is ready on that many clusters, as its spec is
// now, and returns it.
func (s *scene) ready(kind, name string, clusters int64) *probe.Object {
	s.Helper()
	var instance *probe.Object
	probe.Eventually(s, kind+" "+name+" to be ready", func() error {
		instance = s.instance(kind, name)
		ready := instance.Condition("Ready")
		if ready.Status != "True" || ready.ObservedGeneration != instance.GetGeneration() || instance.Int("status.fleet.ready") != clusters ||
			instance.Int("status.fleet.placed") != clusters {
			return fmt.Errorf("its status is %v", instance.At("status"))
		}
		return nil
	})
	return instance
}

// target is the hub's record of an instance on a cluster; nil if there is none.
func (s *scene) target(cluster, kind, name string) *probe.Object {
	s.Helper()
	for _, t := range s.hub.List(s, "targets.kronvoy.io", cluster) {
		if t.Text("spec.instance.namespace") == s.ns && t.Text("spec.instance.kind") == kind && t.Text("spec.instance.name") == name {
			return t
		}
	}
	return nil
}

// node waits until a node of an instance is in a state on a cluster, and
// returns it.
func (s *scene) node(cluster, kind, name, id, state string) *probe.Object {
	s.Helper()
	var node *probe.Object
	probe.Eventually(s, fmt.Sprintf("node %s to be %s on %s", id, state, cluster), func() error {
		t := s.target(cluster, kind, name)
		for _, node = range t.List("status.nodes") {
			if node.Text("id") == id && node.Text("state") == state {
				return nil
			}
		}
		return fmt.Errorf("its target says %v", t.At("status"))
	})
	return node
}

// state waits until an instance's Target on a cluster is in a state, and
// returns it.
func (s *scene) state(cluster, kind, name, state string) *probe.Object {
	s.Helper()
	var t *probe.Object
	probe.Eventually(s, name+" to be "+state+" on "+cluster, func() error {
		if t = s.target(cluster, kind, name); t.Text("status.state") != state {
			return fmt.Errorf("its status is %v", t.At("status"))
		}
		return nil
	})
	return t
}

// works are an instance's ManifestWorks on a cluster.
func (s *scene) works(cluster, kind, name string) []*probe.Object {
	s.Helper()
	return s.hub.Works(s, cluster, kind, s.ns, name)
}

// report is the first WorkReport of an instance on a cluster.
func (s *scene) report(cluster, kind, name string) *probe.Object {
	s.Helper()
	for _, w := range s.works(cluster, kind, name) {
		return s.hub.Get(s, "workreports.kronvoy.io", cluster+"/"+w.GetName())
	}
	return nil
}

// on reads an object of the scene's namespace on a spoke; nil if it is absent.
func (s *scene) on(cluster, resource, name string) *probe.Object {
	s.Helper()
	return s.spokes[cluster].Get(s, resource, s.ns+"/"+name)
}

// appears waits for an object of the scene's namespace on a spoke.
func (s *scene) appears(cluster, resource, name string) *probe.Object {
	s.Helper()
	var obj *probe.Object
	probe.Eventually(s, resource+" "+name+" to be on "+cluster, func() error {
		if obj = s.on(cluster, resource, name); obj == nil {
			return fmt.Errorf("it is not there")
		}
		return nil
	})
	return obj
}

// goes waits until an object of the scene's namespace is not on a spoke.
func (s *scene) goes(cluster, resource, name string) {
	s.Helper()
	s.spokes[cluster].Goes(s, resource, s.ns+"/"+name)
}

// holds waits until a field of an object on a spoke has a value.
func (s *scene) holds(cluster, resource, name, path string, want any) {
	s.Helper()
	s.spokes[cluster].Holds(s, resource, s.ns+"/"+name, path, want)
}

// end deletes all instances and definitions of the scene; nothing of them may
// be left on the hub. A failed test shows the logs instead.
func (s *scene) end() {
	s.Helper()
	if s.Failed() {
		s.logs()
		return
	}
	for _, kind := range s.kinds {
		s.hub.Undefine(s, kind, s.ns)
	}
	probe.Eventually(s, "everything of namespace "+s.ns+" to be gone from the hub", func() error {
		return s.hub.Leftovers(s, s.ns, s.kinds...)
	})
}

// logs shows the ends of the processes' logs.
func (s *scene) logs() {
	s.Helper()
	s.Logf("the hub's log ends with:\n%s", probe.Tail(s.stack.Hub.Log(), 20))
	for name, agent := range s.stack.Agents {
		s.Logf("the log of %s's agent ends with:\n%s", name, probe.Tail(agent.Log(), 15))
	}
}
